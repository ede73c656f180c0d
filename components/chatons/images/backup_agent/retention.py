"""Which snapshots go: restic keeps by days, weeks and months, we say of what, and take the halves left alone.

Pure. Retention looks at one half of each snapshot only, so both halves of one always share their fate:
rounding at the border of a day can never part them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from .configuration import Keep

WITHIN = timedelta(days=2)
"""What is younger always stays: a row of bad updates in one day must not push out the state before them."""


@dataclass(frozen=True)
class Half:
    """One restic snapshot of ours: of the database or of the files.

    Attributes:
        id: restic's, in full.
        run: the tag that both halves share; empty where there is none.
        files: the half with the manifest.
        paired: of a half with files: whether a dump belongs to it.
        taken: when.
    """

    id: str
    run: str
    files: bool
    paired: bool
    taken: datetime


def policy(keep: Keep, host: str) -> list[str]:
    """Words for `restic forget`: over the halves with files, all of them in one group."""
    words = ["--host", host, "--tag", "files", "--group-by", "host", "--keep-last", "1"]
    words += ["--keep-within", f"{WITHIN.days}d"]
    for name, number in (("daily", keep.daily), ("weekly", keep.weekly), ("monthly", keep.monthly)):
        if number:
            words += [f"--keep-{name}", str(number)]
    return words


def worth_asking(halves: Iterable[Half], now: datetime) -> bool:
    """Whether restic could find anything to forget: not while all is younger than what always stays."""
    ages = sorted(half.taken for half in halves if half.files)
    return len(ages) > 1 and ages[0] < now - WITHIN


def alone(halves: Iterable[Half], *, in_progress: str | None = None) -> list[Half]:
    """The halves that count for nothing, because their other half is not there.

    Args:
        halves: all of this service; what carries no run was not made by an agent, and stays.
        in_progress: the run that is just being made; its halves stay.
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
