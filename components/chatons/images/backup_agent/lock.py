"""One command at a time: the kernel's lock on a file, gone with the processes that hold it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from .errors import AgentError

WAIT_SECONDS = 1800.0
"""How long a command waits for the one that works now."""

TRY_SECONDS = 0.2


@contextlib.contextmanager
def held(path: Path, *, wait: float = WAIT_SECONDS) -> Iterator[int]:
    """Hold the lock; gives its descriptor, which children get so that it lives as long as they do.

    Raises:
        AgentError: `busy`: somebody else holds it for longer than `wait` seconds.
    """
    deadline = time.monotonic() + wait
    with _opened(path) as descriptor:
        while not _taken(descriptor):
            if time.monotonic() > deadline:
                raise AgentError(
                    "busy",
                    "cannot begin: another backup, prune or check of this service is at work",
                    "Wait until it has ended: ronron backup status",
                )
            time.sleep(TRY_SECONDS)
        yield descriptor


def is_free(path: Path) -> bool:
    """Whether nobody holds it now."""
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
            "Look at the agent's volume: docker volume ls",
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
