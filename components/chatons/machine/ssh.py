"""How a machine is reached by ssh: options for the `ssh` program, the same for every caller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

_PORT = 22


@dataclass(frozen=True, kw_only=True)
class SshAddress:
    """The parts of `ssh://user@host:port`."""

    user: str
    host: str
    port: int

    @classmethod
    def parse(cls, address: str) -> Self:
        """Read an address that the declaration has accepted."""
        parts = urlsplit(address)
        if parts.username is None or parts.hostname is None:
            raise ValueError(f"{address!r} names no user and host")
        return cls(user=parts.username, host=parts.hostname, port=parts.port or _PORT)


def ssh_options(address: SshAddress, host_key: str) -> list[str]:
    """Options that ask nobody, trust one key only, and share one connection.

    The pinned key is handed over by a command instead of a file: the options are kept in the state, and a
    path would differ between people and directories. Needs OpenSSH 8.5.
    """
    known_as = address.host if address.port == _PORT else f"[{address.host}]:{address.port}"
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": "10",
        "ServerAliveInterval": "15",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": "/dev/null",
        "GlobalKnownHostsFile": "/dev/null",
        "KnownHostsCommand": f"/bin/echo {known_as} {host_key}",
        # Every call of Docker's API would be a connection of its own, and sshd refuses too many at a time.
        "ControlMaster": "auto",
        "ControlPath": "~/.ssh/ronron-%C",
        "ControlPersist": "60",
    }
    return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
