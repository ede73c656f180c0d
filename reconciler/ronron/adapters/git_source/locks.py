"""Locks that end with their owner, and the git process that a dead owner may have left running."""

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

RETRY_AFTER = 0.02
"""Seconds between two tries of a lock that another process has."""


class LockBusyError(Exception):
    """Another live process has the lock, and kept it until we timed out."""


class _Work(Value):
    """The content of a lock file while git works under the lock."""

    owner: ProcessMark
    git: ProcessMark


@dataclass(frozen=True)
class Lock:
    """A lock that we have.

    Args:
        descriptor: to be inherited by git, which then has the lock as long as it lives, even if we die.
        unclean: git was killed under this lock, by us or with its owner.
        processes: finds processes by their ID.
    """

    descriptor: int
    unclean: bool
    processes: Processes

    def working(self, git: int) -> None:
        """Record that git now works under the lock, so that other processes can tell when it is orphaned."""
        child = self.processes.mark_of(git)
        if child is not None:
            work = _Work(owner=self.processes.mark(), git=child)
            os.ftruncate(self.descriptor, 0)
            os.pwrite(self.descriptor, work.model_dump_json().encode(), 0)

    def clean(self) -> None:
        """Record that git ended by itself."""
        os.ftruncate(self.descriptor, 0)


@contextmanager
def locked(path: Path, patience: timedelta, processes: Processes) -> Iterator[Lock]:
    """Lock a file against other threads and processes; the system unlocks it when all owners died.

    A git process whose owner is proven dead (`Lock.working`) is killed, and so are the helpers that it left:
    they have the lock too. A signal from the kernel at the owner's death would not reach the helpers.

    Args:
        path: of the lock file; created when needed.
        patience: how long to wait for a live owner.
        processes: proves which owners are dead.

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
            time.sleep(RETRY_AFTER)
        yield Lock(descriptor, os.fstat(descriptor).st_size > 0, processes)
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Lock an open file; false where another open file has the lock (flock(2))."""
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
