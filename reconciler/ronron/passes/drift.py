"""Looks at the containers of an environment: what a pass puts back, and what is remembered after it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime
from enum import Enum

from ronron.core.containers import MadeContainer
from ronron.core.decide import backoff
from ronron.core.drift import Drift, DriftKind
from ronron.core.drift_looks import looked, wanted
from ronron.core.drift_news import news
from ronron.core.drift_record import DriftRecord, FailedRepair, PutBack, WaitingRepair
from ronron.core.errors import ReconcilerError
from ronron.core.inventory import Inventory
from ronron.core.model import Outcome, OutcomeKind, VerdictKind
from ronron.core.policy import OnDrift, Policy
from ronron.core.record import Record
from ronron.core.repairs import LIMIT, Repair, about, repair_of, repairable, unsnapshotable
from ronron.passes.attempt import Attempt, Begun
from ronron.passes.machines import readable
from ronron.passes.target import Ports, Target
from ronron.ports import Containers, Program, Store

_TRIES = 5
"""Of a write that another one overtakes."""


class Wish(Enum):
    """Whose wish it is that a pass puts containers back."""

    POLICY = "policy"
    PERSON = "person"


def repair_for(record: DriftRecord, policy: Policy, store: Store, now: datetime) -> Repair | None:
    """What is to be done about the open drift of an environment now; None for nothing."""
    if policy.drift.on_drift is OnDrift.REPORT:
        return None
    approvals = store.approvals(policy.name) if record.waiting is not None else frozenset()
    failed = record.failed
    after = backoff(failed.times, policy.retry) if failed is not None and failed.times < LIMIT else None
    proposes = policy.drift.on_drift is OnDrift.PROPOSE
    return repair_of(record, approvals, now, after=after, proposes=proposes)


def compared(
    record: DriftRecord,
    inventory: Inventory,
    containers: Containers,
    now: datetime,
    *,
    whole: bool,
    made: Callable[[], tuple[MadeContainer, ...]] | None,
) -> DriftRecord:
    """The record after one look; nothing is written.

    Args:
        record: before.
        inventory: of the environment.
        containers: looks.
        now: UTC.
        whole: compare the settings too.
        made: reads the state of the stack. It is asked where a container is not the one that was made before:
            an update by another hand may have made it. None where the record has just been given the state.
    """
    after = looked(
        record, containers.look(inventory, wanted(record.made, inventory)), inventory, now, whole=whole
    )
    before = {(one.key, one.kind, one.id) for one in record.open}
    if made is None or all((one.key, one.kind, one.id) in before for one in after.open):
        return after
    fresh = record.with_(made=made())
    if fresh.made == record.made:
        return after
    return looked(
        fresh, containers.look(inventory, wanted(fresh.made, inventory)), inventory, now, whole=whole
    )


def look_before(wish: Wish) -> Callable[[Begun, Program, Attempt], Attempt]:
    """A step of a pass: look at the containers, and note which of them are put back."""

    def look(begun: Begun, program: Program, attempt: Attempt) -> Attempt:
        inventory, store = readable(attempt.record.inventory), begun.ports.store
        if inventory is None or attempt.goal.rollback:
            return attempt

        def made() -> tuple[MadeContainer, ...]:
            return begun.ports.engine.state(program).containers

        for _ in range(_TRIES):
            before = store.load_drift(begun.target.name)
            if not before.made and wish is not Wish.PERSON:
                return attempt
            known = before if before.made else before.with_(made=made())
            now = begun.ports.clock.now()
            after = compared(known, inventory, begun.ports.containers, now, whole=True, made=made)
            chosen = _chosen(after, begun.target.policy, wish, repair=attempt.goal.repair)
            chosen = tuple(one for one in chosen if one.machine not in _excluded(begun))
            kept = after
            if attempt.goal.repair:
                entries = tuple(PutBack(key=one.key, at=now, signature=one.signature) for one in chosen)
                kept = after.with_(put_back=(*after.put_back, *entries))
            elif wish is Wish.PERSON:
                kept = after.resumed()
            if store.save_drift(kept):
                tell(begun, before, after)
                break
        if chosen and not attempt.goal.repair:
            begun.log(f"drift: puts back {', '.join(one.brief for one in chosen)}")
        machines = sorted({one.machine for one in chosen if one.lost})
        if machines:
            gone = begun.ports.engine.refresh_lost(program, machines)
            if gone:
                begun.log(f"refresh: forgot what is gone, to make it again: {', '.join(gone)}")
        return replace(attempt, put_back=chosen, unprotected=unsnapshotable(after.open, chosen))

    return look


def drifted_now(
    target: Target, ports: Ports, record: Record, program: Program, excluded: Collection[str]
) -> tuple[Drift, ...]:
    """Look for a preview: log what differs, and return what the next update would put back.

    Args:
        target: the environment.
        ports: everything outside.
        record: of the environment.
        program: whose stack is previewed.
        excluded: names of the machines that are skipped.
    """
    inventory, before = readable(record.inventory), ports.store.load_drift(target.name)
    if inventory is None or not before.made:
        return ()

    def made() -> tuple[MadeContainer, ...]:
        return ports.engine.state(program).containers

    after = compared(before, inventory, ports.containers, ports.clock.now(), whole=True, made=made)
    for one in after.open:
        ports.progress.log(target.name, f"drift: {one.sentence}")
    chosen = _chosen(after, target.policy, Wish.POLICY, repair=False)
    return tuple(one for one in chosen if one.machine not in excluded)


def _chosen(record: DriftRecord, policy: Policy, wish: Wish, *, repair: bool) -> tuple[Drift, ...]:
    known = [one for one in record.open if one.machine not in record.unknown]
    if wish is Wish.PERSON:
        # Never what holds data that would go with it.
        return tuple(one for one in known if one.kind is not DriftKind.VOLUME_MISSING and not one.own_volumes)
    if repair or policy.drift.on_drift is OnDrift.UPDATE:
        return repairable(record)
    return ()


def _excluded(begun: Begun) -> frozenset[str]:
    return frozenset(begun.excluded.names if begun.excluded is not None else ())


def tell(begun: Begun, before: DriftRecord, after: DriftRecord) -> None:
    """Log what began and ended between two looks."""
    puts_back = begun.target.policy.drift.on_drift is not OnDrift.REPORT
    for line in news(before, after, begun.target.name, puts_back=puts_back):
        begun.log(line)


def look_after(begun: Begun, outcome: Outcome, attempt: Attempt) -> None:
    """Remember what a pass made, and how it ended for what was to be put back; no error ends the pass."""
    inventory = readable(attempt.record.inventory)
    if inventory is None:
        return
    store, name = begun.ports.store, begun.target.name
    try:
        for _ in range(_TRIES):
            before = store.load_drift(name)
            after = before if attempt.made is None else before.with_(made=attempt.made)
            if not after.made:
                return
            if attempt.made is not None or attempt.goal.repair:
                now = begun.ports.clock.now()
                after = compared(after, inventory, begun.ports.containers, now, whole=True, made=None)
            if attempt.goal.repair:
                after = _ended(after, outcome, attempt, begun.ports.clock.now())
            if store.save_drift(after):
                tell(begun, before, after)
                return
    except ReconcilerError as error:
        begun.log(f"cannot look at the containers: {error}")


def _ended(record: DriftRecord, outcome: Outcome, attempt: Attempt, now: datetime) -> DriftRecord:
    match outcome.kind:
        case OutcomeKind.WAITING:
            waiting = WaitingRepair(
                identity=outcome.identity or "",
                why=outcome.message,
                since=now,
                about=about(attempt.put_back),
                forbidden=outcome.verdict is not None and outcome.verdict.kind is VerdictKind.FORBIDDEN,
            )
            return record.with_(waiting=waiting, failed=None)
        case OutcomeKind.FAILED | OutcomeKind.INTERRUPTED:
            if outcome.locked:
                return record
            times = record.failed.times + 1 if record.failed is not None else 1
            return record.with_(failed=FailedRepair(times=times, at=now, message=outcome.message))
        case _:
            return record.with_(waiting=None, failed=None)


def note_dead_repair(store: Store, environment: str, why: str, now: datetime) -> None:
    """Remember that a process died while it put something back: the next pass does it again."""
    for _ in range(_TRIES):
        record = store.load_drift(environment)
        times = record.failed.times + 1 if record.failed is not None else 1
        if store.save_drift(record.with_(failed=FailedRepair(times=times, at=now, message=why))):
            return
