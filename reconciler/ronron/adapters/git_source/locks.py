"""Locks that die with their owner, and the git process that a dead owner may have left running."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pydantic import ValidationError

from ronron.core.model import ProcessMark, Value
from ronron.ports import Processes

LOOK_AGAIN = 0.02
"""Seconds between two looks at a lock that somebody else holds."""


class LockBusyError(Exception):
    """Somebody who lives holds the lock, and did so until our patience ended."""


class _Work(Value):
    """What is written into a lock while git works under it."""

    owner: ProcessMark
    git: ProcessMark


@dataclass(frozen=True)
class Held:
    """A lock that is ours.

    Args:
        descriptor: to be inherited by git: while it lives the lock is held, even when we do not.
        unclean: git was killed under this lock, by us or with its owner.
        processes: tells who is who.
    """

    descriptor: int
    unclean: bool
    processes: Processes

    def working(self, git: int) -> None:
        """Write down that git now works under the lock, so that others can tell when it is orphaned."""
        child = self.processes.mark_of(git)
        if child is not None:
            work = _Work(owner=self.processes.mark(), git=child)
            os.ftruncate(self.descriptor, 0)
            os.pwrite(self.descriptor, work.model_dump_json().encode(), 0)

    def clean(self) -> None:
        """Git ended in its own time."""
        os.ftruncate(self.descriptor, 0)


@contextmanager
def locked(path: Path, patience: timedelta, processes: Processes) -> Iterator[Held]:
    """Hold a lock file against other threads and processes; the system gives it up when all die.

    A git process whose owner is proven dead (`Held.working`) is killed instead of waited for, and so are
    the helpers that it left behind: they hold the lock too.

    Args:
        path: of the lock file; made when needed.
        patience: how long to wait for a holder that lives.
        processes: the proof of who is dead.

    Raises:
        LockBusyError: see there.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + patience.total_seconds()
        while not try_lock(descriptor):
            _end_orphan(descriptor, processes)
            if time.monotonic() >= deadline:
                raise LockBusyError(str(path))
            time.sleep(LOOK_AGAIN)
        yield Held(descriptor, os.fstat(descriptor).st_size > 0, processes)
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Take the lock on an open file, or say that another open file has it (flock(2))."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _end_orphan(descriptor: int, processes: Processes) -> None:
    try:
        work = _Work.model_validate_json(os.pread(descriptor, 4096, 0))
    except ValidationError:
        return
    if processes.alive(work.owner) is not False:
        return
    now = processes.mark_of(work.git.pid)
    if now == work.git or (now is None and processes.in_session(work.git.pid)):
        with suppress(ProcessLookupError):
            os.killpg(work.git.pid, signal.SIGKILL)
