"""Options of the `ssh` program for a connection to a machine; every caller uses the same."""

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
        """Read an address of the declaration.

        Raises:
            ValueError: it names no user or no host.
        """
        parts = urlsplit(address)
        if parts.username is None or parts.hostname is None:
            raise ValueError(f"{address!r} names no user and host")
        return cls(user=parts.username, host=parts.hostname, port=parts.port or _PORT)


def ssh_options(address: SshAddress, host_key: str) -> list[str]:
    """Options that prompt for nothing, trust one host key only, and share one connection.

    A command passes the pinned host key, not a file: the options are in the state, and a path would differ
    between people and directories. Needs OpenSSH 8.5.
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
        # Without sharing, each call of Docker's API opens a connection, and sshd limits concurrent ones.
        "ControlMaster": "auto",
        "ControlPath": "~/.ssh/ronron-%C",
        "ControlPersist": "60",
    }
    return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
