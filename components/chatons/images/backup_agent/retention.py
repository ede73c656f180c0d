"""Which snapshots are removed: restic retains by days, weeks and months; this finds halves that are alone.

Pure. Restic decides about one half of each snapshot only, so both halves are always removed together, also
where they are on two sides of midnight.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from .configuration import Retention

WITHIN = timedelta(days=2)
"""Younger snapshots are retained: many bad updates in a day must not push out the state before them."""


@dataclass(frozen=True)
class Half:
    """One restic snapshot of the agent: of the database or of the files.

    Attributes:
        id: restic's, in full.
        run: the tag that both halves have; empty where there is none.
        files: the half with the manifest.
        paired: of a half with files: whether a dump belongs to it.
        taken: time of the restic snapshot.
    """

    id: str
    run: str
    files: bool
    paired: bool
    taken: datetime


def policy(retention: Retention, host: str) -> list[str]:
    """Arguments of `restic forget` that select the halves with files, in one group."""
    words = ["--host", host, "--tag", "files", "--group-by", "host", "--keep-last", "1"]
    words += ["--keep-within", f"{WITHIN.days}d"]
    for name, number in (
        ("daily", retention.daily),
        ("weekly", retention.weekly),
        ("monthly", retention.monthly),
    ):
        if number:
            words += [f"--keep-{name}", str(number)]
    return words


def worth_asking(halves: Iterable[Half], now: datetime) -> bool:
    """Whether restic could remove anything: not while every snapshot is younger than `WITHIN`."""
    ages = sorted(half.taken for half in halves if half.files)
    return len(ages) > 1 and ages[0] < now - WITHIN


def alone(halves: Iterable[Half], *, in_progress: str | None = None) -> list[Half]:
    """The halves that do not count, because their other half does not exist.

    Args:
        halves: all halves of this service; one without a run was not made by an agent, and stays.
        in_progress: the run of a backup that runs now; its halves stay.
    """
    known = [half for half in halves if half.run]
    with_files = {half.run for half in known if half.files}
    with_dump = {half.run for half in known if not half.files}
    return [
        half
        for half in known
        if half.run != in_progress
        and (half.paired and half.run not in with_dump if half.files else half.run not in with_files)
    ]
