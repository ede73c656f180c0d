"""Whether a child still does something: restic 0.14 stands still for ever where an upload fails at the end.

`Repository.Flush` hands the last packs to uploaders that are gone already, and waits for them under a context
that nobody ends: seen with a full target, also as 2 of 60 runs under load, and whatever the backend. Source:
restic v0.14.0, internal/archiver/archiver.go, `Archiver.Snapshot`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

LONGEST = 150.0
"""Seconds without a sign of life. Restic pauses for up to 90 between two tries: 60 and half of them more."""

LEAST_BYTES = 4096
"""Read and written within that time. A restic that stands still wakes its clocks and refreshes its lock."""

LEAST_CPU = 0.5
"""Seconds of work within that time, likewise."""

_MOVED = re.compile(rb"^(?:rchar|wchar): (\d+)$", re.M)
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Work:
    """What a process has done since it began: bytes through read and write, and seconds of CPU."""

    bytes: int
    cpu: float


def work_of(pid: int) -> Work | None:
    """What a process has done; None where the kernel does not tell.

    Source: proc(5), /proc/pid/io and /proc/pid/stat.
    """
    try:
        moved = sum(map(int, _MOVED.findall(Path(f"/proc/{pid}/io").read_bytes())))
        # The name stands in brackets and may itself hold brackets and blanks.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (OSError, ValueError):
        return None
    return Work(moved, (int(fields[11]) + int(fields[12])) / _TICKS)


class Watch:
    """Says of a series of looks at one process whether it stands still.

    Args:
        first: what it had done at first.
        at: when that was, in seconds of any clock.
        longest: seconds without a sign of life that are too many.
    """

    def __init__(self, first: Work | None, at: float, longest: float = LONGEST) -> None:
        self._last = first
        self._since = at
        self._longest = longest

    def stands_still(self, now: Work | None, at: float) -> bool:
        """Whether there was no sign of life for too long; never where the kernel does not tell."""
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
