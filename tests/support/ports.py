"""Ports of the loopback interface, each for one process of the tests on this machine."""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
from contextlib import suppress

from toolchain.cache import cache_root

FIRST = 10_000
END = 32_768
"""Where Linux's ephemeral range begins (ip(7))."""

_FOLDER = cache_root() / ".locks"
_given: set[int] = set()
_locks: list[int] = []


def free_port() -> int:
    """A port that nobody uses, and that nobody else gets as long as this process lives.

    Minutes pass before a test's service listens on it. The port is outside of the ephemeral range, from which
    the kernel takes one for each outgoing connection. A lock on the byte of its number, in one file, tells
    other processes of the tests that it is taken.
    """
    if not _locks:
        _FOLDER.mkdir(parents=True, exist_ok=True)
        # Kept open: closing any descriptor of a file gives up all locks of the process on it (fcntl(2)).
        _locks.append(os.open(_FOLDER / "ports-of-tests", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    while True:
        port = FIRST + secrets.randbelow(END - FIRST)
        if port not in _given and _locked(port) and _is_free(port):
            _given.add(port)
            return port


def _locked(port: int) -> bool:
    try:
        fcntl.lockf(_locks[0], fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as found, suppress(OSError):
        found.bind(("127.0.0.1", port))
        return True
    return False
