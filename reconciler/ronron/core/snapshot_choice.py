"""Which snapshots may be chosen without naming one, and how much less one has than those before it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from statistics import median

from ronron.core.backups import DataState, Snapshot
from ronron.core.words import counted

SAFETY = "restore"
"""The reason of the safety snapshots that restores take."""

SKEW = timedelta(minutes=5)
"""How far the clocks of two machines may differ before a time counts as odd."""

FEW = 5
"""How many earlier snapshots give the usual size: one unusual night does not move their median."""

FLOOR_BYTES = 64 * 1024
"""A smaller loss of bytes is ignored: a dump without any row has about this size."""

FLOOR_ROWS = 10
"""A smaller loss of rows is ignored: people delete that many in an evening."""

FLOOR_FILES = 3
"""A smaller loss of files is ignored."""


def plausible_snapshots(
    snapshots: Iterable[Snapshot], now: datetime, data: DataState | None = None
) -> list[Snapshot]:
    """The snapshots that may be chosen without naming one, the newest first.

    Left out are those of the future, safety snapshots (they have the data that a restore replaced), and those
    of volumes that were recreated and that nobody has accepted. Of the rest, those of the present lineage of
    the data count; while volumes are recreated, or where that lineage has none, those of the data before.

    Args:
        snapshots: of one service.
        now: with a zone.
        data: what the agent says of the service's data; None where it does not know.
    """
    good = [
        one for one in snapshots if one.reason != SAFETY and one.taken <= now + SKEW and not one.recreated
    ]
    if data is not None and data.state != "unknown":
        good = [one for one in good if (one.lineage == data.lineage) != data.waits] or good
    return sorted(good, key=lambda one: one.taken, reverse=True)


def losses(newest: Snapshot, before: Sequence[Snapshot]) -> list[str]:
    """What a snapshot has less of than those before it: `3 pads instead of about 12`; empty for no loss.

    Args:
        newest: that snapshot.
        before: those before it, the newest first. The newest `FEW` give the usual size; what is gone
            altogether is a loss as long as any of them had it.
    """
    if not before:
        return []
    found = [
        *_loss("files", newest.files.count, [one.files.count for one in before], FLOOR_FILES),
        *_loss("bytes of files", newest.files.bytes, [one.files.bytes for one in before], FLOOR_BYTES),
        *_loss(
            "bytes of the database", _dump_bytes(newest), [_dump_bytes(one) for one in before], FLOOR_BYTES
        ),
    ]
    same_image = newest.image == before[0].image
    for what in sorted({name for one in before for name in one.counts}):
        # Another version may have other tables; the same version without a table has lost it.
        if what in newest.counts or same_image:
            known = [one.counts[what] for one in before if what in one.counts]
            found += _loss(what, newest.counts.get(what, 0), known, FLOOR_ROWS)
    return found


def _dump_bytes(snapshot: Snapshot) -> int:
    return snapshot.database.bytes if snapshot.database else 0


def _loss(what: str, now: int, before: Sequence[int], floor: int) -> list[str]:
    usual = median(before[:FEW])
    if now == 0:
        usual = median([each for each in before if each] or [0])
    if (now == 0 < usual) or (now < usual / 2 and usual - now > floor):
        return [f"{counted(now, what)} instead of about {usual:.0f}"]
    return []
