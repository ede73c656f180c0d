"""Which snapshots are removed, and which halves are alone. Pure.

Each lineage of data retains its own days, weeks and months (see lineage.py), so that snapshots of volumes
that were recreated never push out those of the data before. Within a lineage the rules are those of
`restic forget`; restic itself knows no lineages. Both halves of a snapshot are always removed together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
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
        lineage: of a half with files; empty for the original one.
    """

    id: str
    run: str
    files: bool
    paired: bool
    taken: datetime
    lineage: str = ""


def expired(
    halves: Iterable[Half],
    retention: Retention,
    empty: Collection[str] = (),
    *,
    in_progress: str | None = None,
) -> list[Half]:
    """The halves of snapshots that are not retained.

    Retained are, of each lineage: the newest snapshot, the newest one that is not empty, all that are at most
    `WITHIN` older than the newest, and the newest of so many days, weeks and months that have one.

    Args:
        halves: all halves of this service; those without a run or without their other half stay.
        retention: number of days, weeks and months.
        empty: ids of halves with files whose snapshot has nothing in it.
        in_progress: the run of a backup that runs now; its halves stay.
    """
    known = list(halves)
    lonely = {half.id for half in alone(known)}
    by_lineage: dict[str, list[Half]] = {}
    for half in known:
        if half.files and half.run and half.id not in lonely and half.run != in_progress:
            by_lineage.setdefault(half.lineage, []).append(half)
    gone = {
        half.run
        for each in by_lineage.values()
        for half in each
        if half.id not in _retained(each, retention, empty)
    }
    return [half for half in known if half.run in gone]


def _retained(halves: list[Half], retention: Retention, empty: Collection[str]) -> set[str]:
    """Ids of the halves of one lineage that are retained."""
    newest_first = sorted(halves, key=lambda half: half.taken, reverse=True)
    newest = newest_first[0]
    kept = {half.id for half in newest_first if newest.taken - half.taken <= WITHIN}
    full = next((half.id for half in newest_first if half.id not in empty), newest.id)
    kept |= {newest.id, full}
    for number, period in (
        (retention.daily, "%Y-%m-%d"),
        (retention.weekly, "%G-%V"),
        (retention.monthly, "%Y-%m"),
    ):
        first: dict[str, str] = {}
        for half in newest_first:
            first.setdefault(half.taken.strftime(period), half.id)
        kept |= set(list(first.values())[:number])
    return kept


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
