"""The text of the watcher's systemd unit. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ronron.core.model import Value

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:,@=")

_TEXT = """\
# Written by `ronron unit`. Write it again after Ronron, or what it uses, has moved.
[Unit]
Description=Ronron updates each environment as the repository says
Wants=network-online.target
After=network-online.target docker.service
# It never gives up: what stops it may be gone later.
StartLimitIntervalSec=0

[Service]
Type=exec
User={user}
{groups}{state}{variables}ExecStart={command}
Restart=on-failure
RestartSec=30
# One signal lets a running update end. Only the watcher gets it, and it stops the engine itself.
KillMode=mixed
TimeoutStopSec=15min
# The engine reads home directories, an ssh-agent below /tmp, and the socket of Docker, so these stay open.
NoNewPrivileges=yes
ProtectSystem=full
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
UMask=0077

[Install]
WantedBy=multi-user.target
"""


class Unit(Value):
    """What differs from one unit to another.

    Args:
        command: of the service, with an absolute path.
        user: that it runs as.
        groups: that it gets besides the user's own.
        variables: its environment, besides what systemd sets.
        state_directory: a directory below /var/lib that systemd makes for the user; empty for none.
    """

    command: tuple[str, ...]
    user: str
    groups: tuple[str, ...] = ()
    variables: Mapping[str, str]
    state_directory: str = ""


def unit_text(unit: Unit) -> str:
    """The unit file; systemd.exec(5) and systemd.service(5) give the meaning of each line."""
    variables = (
        f"Environment={_quoted(f'{name}={value}')}\n" for name, value in sorted(unit.variables.items())
    )
    state = unit.state_directory
    return _TEXT.format(
        user=unit.user,
        groups=f"SupplementaryGroups={' '.join(unit.groups)}\n" if unit.groups else "",
        state=f"StateDirectory={state}\nStateDirectoryMode=0700\n" if state else "",
        variables="".join(variables),
        command=_command(unit.command),
    )


def _command(words: Sequence[str]) -> str:
    return " ".join(_quoted(word).replace("$", "$$") for word in words)


def _quoted(text: str) -> str:
    """A word as systemd reads it: specifiers and, where need be, quotes are escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("%", "%%")
    return escaped if text and set(text) <= _PLAIN else f'"{escaped}"'
