"""Which containers that drifted are put back, and when; and when it was tried too often. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from datetime import datetime, timedelta

from ronron.core.drift import BROKEN, Drift
from ronron.core.drift_record import DriftRecord

LIMIT = 3
"""The same thing is put back so often within `WITHIN`, and then no more until a person says so."""

WITHIN = timedelta(hours=1)


@dataclass(frozen=True)
class Repair:
    """What is to be done about open drift.

    Args:
        why: one sentence.
        due: a pass should put it back, or propose to, now.
        until: when it is due, where that is only a matter of time.
        waiting: a plan waits for a person.
    """

    why: str
    due: bool
    until: datetime | None = None
    waiting: bool = False


def repairable(record: DriftRecord) -> tuple[Drift, ...]:
    """The open drift that a pass may put back without a person's request."""
    known = [one for one in record.open if one.machine not in record.unknown]
    return tuple(one for one in known if not one.held and one.key not in record.stalled)


def about(drifts: Iterable[Drift]) -> tuple[str, ...]:
    """What a proposed plan is about."""
    return tuple(f"{one.key} {one.signature}" for one in drifts)


def repair_of(
    record: DriftRecord, approvals: Set[str], now: datetime, *, after: timedelta | None, proposes: bool
) -> Repair | None:
    """What is to be done now; None for nothing.

    Args:
        record: of the last look.
        approvals: plan identities to which a person said yes.
        now: UTC.
        after: how long to wait after the last failed try; None where nothing is to be tried any more.
        proposes: a person has to approve.
    """
    drifts, waiting, failed = repairable(record), record.waiting, record.failed
    if not drifts and failed is None:
        return None
    names = ", ".join(one.brief for one in drifts)
    why = f"puts back {names}" if names else "finishes what the last pass began to put back"
    if failed is not None:
        if after is None:
            return None
        if now < failed.at + after:
            return Repair(f"{why}: {failed.message}", due=False, until=failed.at + after)
    if waiting is not None and waiting.about == about(drifts) and waiting.identity not in approvals:
        return Repair(f"plan {waiting.identity[:12]} waits for approval: {why}", due=False, waiting=True)
    return Repair(f"{why}; a person has to approve" if proposes and waiting is None else why, due=True)


def unsnapshotable(drifts: Iterable[Drift], asked: Iterable[Drift]) -> tuple[str, ...]:
    """Names of the containers that are put back without a snapshot: a part of their service does not work.

    Data stays in the volumes, and the version is the same. Waiting for a snapshot would keep it down.

    Args:
        drifts: all that are open.
        asked: those that are put back.
    """
    down = {one.service or one.key for one in drifts if one.kind in BROKEN}
    return tuple(sorted(one.container for one in asked if (one.service or one.key) in down))


def stalled(record: DriftRecord) -> Mapping[str, str]:
    """By key, why containers are not put back any more: stalled before, or put back too often."""
    found: dict[str, str] = {}
    for drift in record.open:
        times = [
            one.at for one in record.put_back if one.key == drift.key and one.signature == drift.signature
        ]
        if drift.key in record.stalled:
            found[drift.key] = record.stalled[drift.key]
        elif len(times) >= LIMIT:
            found[drift.key] = (
                f"{drift.key} was put back {len(times)} times within an hour"
                f" ({', '.join(f'{at:%H:%M:%S}' for at in times)} UTC): Ronron makes it"
                f" {_made(drift)}, and something makes it {_found(drift)}"
            )
    return found


def _made(drift: Drift) -> str:
    plain = [f"{one.setting} {one.was or 'not set'}" for one in drift.differences if one.was[:1] != "#"]
    return "; ".join(plain) or drift.was


def _found(drift: Drift) -> str:
    texts = [f"{one.setting} {one.now or 'not set'}" for one in drift.differences if one.now[:1] != "#"]
    return "; ".join(texts) or drift.now
