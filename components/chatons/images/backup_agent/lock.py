"""One command at a time: a lock on a file, which the kernel releases with the processes that have it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from .errors import AgentError

WAIT_SECONDS = 1800.0
"""Timeout of a command that waits for the running one."""

POLL_SECONDS = 0.2


@contextlib.contextmanager
def locked(path: Path, *, wait: float = WAIT_SECONDS) -> Iterator[int]:
    """Take the lock; yields its descriptor, so that child processes can inherit it and keep it locked.

    Raises:
        AgentError: `busy`: another process has the lock, and `wait` seconds passed.
    """
    deadline = time.monotonic() + wait
    with _opened(path) as descriptor:
        while not _taken(descriptor):
            if time.monotonic() > deadline:
                raise AgentError(
                    "busy",
                    "cannot start: another backup, prune or check of this service runs",
                    "wait until it has ended: ronron backup status",
                )
            time.sleep(POLL_SECONDS)
        yield descriptor


def is_free(path: Path) -> bool:
    """Whether no process has the lock now."""
    if not path.exists():
        return True
    with _opened(path) as descriptor:
        return _taken(descriptor)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise AgentError(
            "failed",
            f"cannot open the agent's lock {path}: {error.strerror}",
            "check the agent's volume: docker volume ls",
        ) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
