"""The steps of a pass that act: preview, judge, snapshot, update, probe.

A step takes what is known of the attempt so far and gives what is known after it; none changes anything in
place. `bring` runs steps in order until one of them has an outcome. Every effect is behind a port.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from ronron.core.errors import EngineError, ReconcilerError, StackLockedError, UpdateFailedError
from ronron.core.excluded import Excluded
from ronron.core.inventory import Inventory, Probe, Service, changed_probes, read_inventory, touched
from ronron.core.judge import judge as judged
from ronron.core.model import (
    Change,
    Outcome,
    OutcomeKind,
    Preview,
    ProbeResult,
    ProcessMark,
    Revision,
    Verdict,
    VerdictKind,
)
from ronron.core.outcomes import failed, in_part, seen, summarize, waiting
from ronron.core.policy import Policy
from ronron.core.record import Record
from ronron.core.released import Guarded
from ronron.core.way_back import (
    added,
    baseline,
    changed_images,
    deleted,
    existing,
    other_images,
    released,
    wanted,
)
from ronron.passes.machines import readable, services_on
from ronron.passes.releasing import preview_releasing
from ronron.passes.snapshots import going_back, taken_before, touched_with_backup
from ronron.passes.target import Ports, Target, prepared
from ronron.ports import Clock, Prober, Program

PROBE_EVERY = 1.0
"""Seconds between two tries of a probe: a container that has just started answers within a few."""

CAUSES_LOGGED = 10
"""How many of the changes that need a person are logged by name."""

_NOT_PREVIEWED = Preview(changes=(), identity="")
_NOT_JUDGED = Verdict(kind=VerdictKind.FORBIDDEN, why="nothing was previewed yet")


@dataclass(frozen=True)
class Begun:
    """A pass that has begun: what stays the same through all of its steps.

    Args:
        target: the environment.
        ports: everything outside.
        work: the pass's private directory.
        started: when it began.
        excluded: the unreachable machines that its updates skip; None for none.
    """

    target: Target
    ports: Ports
    work: Path
    started: datetime
    excluded: Excluded | None = None

    def log(self, line: str) -> None:
        """One plain line for a person."""
        self.ports.progress.log(self.target.name, line)


@dataclass(frozen=True)
class Goal:
    """A revision that the stack is to be brought to.

    Args:
        revision: this one.
        digest: of what the environment depends on there.
        policy: what the preview is judged by.
        running: the revision that is live before, where anybody knows.
        rollback: it is the way back from an update that failed in this pass.
    """

    revision: Revision
    digest: str
    policy: Policy
    running: Revision | None
    rollback: bool = False


@dataclass(frozen=True)
class Attempt:
    """How far the stack has come on its way to a goal.

    Args:
        goal: where it is going.
        record: what is remembered of the environment; a crash from here on finds what was saved of it.
        known: anybody knows what was live before: nothing failed or was stopped since the last good pass.
        preview, verdict: of the engine and of `judge`, once they are known.
        disturbed: an update has begun, so the stack may be anywhere between two revisions.
        released: what its update removes from the state and leaves in the world.
        touched: the services with a backup that updates of this pass touch.
        before: the stack output `inventory` before the update.
        carried: an update to the goal has begun.
        started: the services that it has started on another image, as far as anybody knows.
        changes: the changes that the update made.
        outcome: how it ended, once it has.
    """

    goal: Goal
    record: Record
    known: bool
    preview: Preview = _NOT_PREVIEWED
    verdict: Verdict = _NOT_JUDGED
    disturbed: bool = False
    released: tuple[Guarded, ...] = ()
    touched: frozenset[str] = frozenset()
    before: object | None = None
    carried: bool = False
    started: frozenset[str] = frozenset()
    changes: tuple[Change, ...] = ()
    outcome: Outcome | None = None

    @property
    def updates(self) -> bool:
        """Whether the plan is carried out: it changes something, and it may."""
        return self.verdict.kind is VerdictKind.ALLOWED

    @property
    def certain(self) -> bool:
        """Whether the stack is as the last good pass left it."""
        return self.known and not self.goal.rollback


Step = Callable[[Begun, Program, Attempt], Attempt]
"""A step of a pass; it may raise a ReconcilerError, which ends the attempt as a failure."""


def bring(begun: Begun, attempt: Attempt, steps: Sequence[Step]) -> tuple[Outcome, Attempt]:
    """Run steps in order until one has an outcome or fails; never raises a ReconcilerError."""
    goal = attempt.goal
    try:
        with prepared(
            *(begun.target, begun.ports, goal.revision, goal.digest, begun.work),
            running=goal.running,
            excluded=begun.excluded,
            going_back=_going_back(begun, attempt),
        ) as program:
            for step in steps:
                attempt = step(begun, program, attempt)
                if attempt.outcome is not None:
                    return attempt.outcome, attempt
    except ReconcilerError as error:
        return failed(error), attempt
    raise AssertionError("the last step of a pass has an outcome")


# -- the steps, in their order ---------------------------------------------------------------------


def preview(begun: Begun, program: Program, attempt: Attempt) -> Attempt:
    """Compute the changes.

    After a failure, first refresh the resources that it left with init errors, and release what the failed
    revision added where that stands in the way.
    """
    engine = begun.ports.engine
    going: tuple[Guarded, ...] = ()
    if attempt.certain:
        found = engine.preview(program)
    else:
        _refresh_failed(begun, program)
        found, going = preview_releasing(engine, program, attempt.record.baseline, begun.log)
    begun.log(f"preview: {summarize(found)}")
    return replace(attempt, preview=found, released=going)


def judge(begun: Begun, program: Program, attempt: Attempt) -> Attempt:
    """Say whether the changes may be made; what needs a person ends the attempt."""
    del program
    approvals = begun.ports.store.approvals(begun.target.name)
    # What a failed revision added is no loss: what of it may hold data stays in the world.
    before = None if attempt.certain else attempt.record.baseline
    own = added(deleted(attempt.preview.changes), before)
    verdict = judged(attempt.preview, attempt.goal.policy, approvals, own)
    begun.log(f"verdict: {verdict.kind}: {verdict.why}")
    attempt = replace(attempt, verdict=verdict)
    if verdict.kind in {VerdictKind.UNCHANGED, VerdictKind.ALLOWED}:
        return attempt
    for change in verdict.causes[:CAUSES_LOGGED]:
        begun.log(f"cause: {change.operation} {change.name}")
    if len(verdict.causes) > CAUSES_LOGGED:
        begun.log(f"cause: and {len(verdict.causes) - CAUSES_LOGGED} more")
    return replace(attempt, outcome=waiting(begun.target.name, attempt.preview, verdict))


def snapshot(begun: Begun, program: Program, attempt: Attempt) -> Attempt:
    """Note whose data the update touches: the program has their snapshots taken before it changes them.

    Their ids are read at the end of the pass, see `with_snapshots`.
    """
    del program
    if not attempt.updates:
        return attempt
    services = touched_with_backup(attempt.preview.changes, attempt.record.inventory)
    excluded = _excluded(begun, readable(attempt.record.inventory))
    services -= set(excluded.services if excluded is not None else ())
    return replace(attempt, touched=attempt.touched | services, disturbed=True)


def update(begun: Begun, program: Program, attempt: Attempt) -> Attempt:
    """Carry out the plan that was judged; where nothing would change, read what the stack exports."""
    before = attempt.record.inventory
    if not attempt.updates:
        # An update that failed, or that went on after we had died, may have exported another one.
        certain = attempt.certain and before is not None
        found = before if certain else begun.ports.engine.state(program).inventory
        return replace(attempt, record=attempt.record.with_(inventory=found), before=before)
    record = _with_baseline(begun, program, attempt)
    planned = changed_images(attempt.preview.changes, readable(before))
    # If we die, nobody knows which of them were started.
    intent = _migrated(record, planned)

    def note(mark: ProcessMark) -> None:
        if intent.running is not None:
            begun.ports.store.save(intent.with_(running=intent.running.with_(engine=mark)))

    try:
        updated = begun.ports.engine.update(program, attempt.preview, note)
    except StackLockedError:
        raise
    except EngineError as error:
        started = planned if error.begun is None else changed_images(error.begun, readable(before))
        record, outcome = _migrated(record, started), failed(error)
        return replace(attempt, record=record, before=before, carried=True, started=started, outcome=outcome)
    for change in updated.changes:
        if change.custom:
            begun.log(f"update: {change.operation} {change.name}")
    record = _migrated(record.with_(inventory=updated.inventory), planned)
    if record.baseline is not None:
        record = _migrated(record, other_images(record.baseline, readable(updated.inventory)))
    return replace(
        attempt, record=record, before=before, carried=True, started=planned, changes=updated.changes
    )


def probe(begun: Begun, program: Program, attempt: Attempt) -> Attempt:
    """Ask the services through their public URLs; one that is not healthy makes the attempt a failure."""
    inventory = read_inventory(attempt.record.inventory)
    probes = _probe(begun, inventory, _to_probe(attempt, inventory)) if inventory is not None else ()
    revision = program.revision
    if attempt.updates:
        done = seen(
            OutcomeKind.UPDATED, f"{revision.short} is live", attempt.preview, attempt.verdict, probes
        ).with_(changes=attempt.changes)
    else:
        message = f"{revision.short}: {attempt.verdict.why}"
        done = seen(OutcomeKind.UNCHANGED, message, attempt.preview, attempt.verdict, probes)
    done = in_part(done, revision, _excluded(begun, inventory)).with_(released=released(attempt.released))
    if done.kind is OutcomeKind.DEGRADED and attempt.record.baseline is not None:
        # It is healthy where it is live, so what it has is not released when the rest fails.
        held = attempt.record.baseline.holding(wanted(attempt.preview.changes))
        attempt = replace(attempt, record=attempt.record.with_(baseline=held))
    return replace(attempt, outcome=done)


# -- what is read at the end ------------------------------------------------------------------------


def with_snapshots(begun: Begun, outcome: Outcome, attempt: Attempt) -> Outcome:
    """The outcome with the snapshots that were taken before the updates of this pass."""
    taken = taken_before(
        begun.target.name,
        attempt.touched,
        attempt.record.inventory,
        begun.started,
        begun.ports.backups,
        begun.ports.progress,
    )
    return outcome.with_(snapshots=taken) if taken else outcome


def probe_until(name: str, probe: Probe, until: datetime, prober: Prober, clock: Clock) -> ProbeResult:
    """Ask a service until it is healthy, or the time has come: one that has just started needs a while."""
    while True:
        result = prober.probe(name, probe)
        if result.healthy or clock.now() >= until:
            return result
        clock.wait(PROBE_EVERY)


def _going_back(begun: Begun, attempt: Attempt) -> tuple[str, ...]:
    if attempt.certain:
        return ()
    failing = attempt.goal.running if attempt.goal.rollback else None
    return going_back(begun.ports, begun.target.name, attempt.record, attempt.goal.digest, failing)


def _with_baseline(begun: Begun, program: Program, attempt: Attempt) -> Record:
    """The record with the state before the update, where everything in that is known to be healthy."""
    record = attempt.record
    if not attempt.certain and record.baseline is not None:
        return record
    urns = existing(attempt.preview.changes)
    if begun.excluded is not None:
        # A preview does not show what is on excluded machines.
        urns |= {one.urn for one in begun.ports.engine.state(program).guarded}
    found = baseline(
        urns,
        readable(record.inventory),
        record.digest if attempt.certain else None,
        begun.ports.clock.now(),
    )
    return record.with_(baseline=found)


def _migrated(record: Record, services: frozenset[str]) -> Record:
    """The record with services whose data may have been migrated since the baseline."""
    if record.baseline is None:
        return record
    return record.with_(baseline=record.baseline.with_migrated(services))


def _refresh_failed(begun: Begun, program: Program) -> None:
    try:
        refreshed = begun.ports.engine.refresh_failed(program)
    except UpdateFailedError as error:
        # The update says better what is wrong, and may bring what is missing: a new token, for instance.
        begun.log(f"refresh: cannot refresh the resources whose last update failed: {error.message}")
        return
    if refreshed:
        begun.log(f"refresh: refreshed {', '.join(refreshed)}, whose last update failed")


def _excluded(begun: Begun, inventory: Inventory | None) -> Excluded | None:
    """The excluded machines with the services that an inventory has on them."""
    if begun.excluded is None or inventory is None:
        return begun.excluded
    return begun.excluded.with_(services=services_on(begun.excluded.machines, inventory))


def _to_probe(attempt: Attempt, inventory: Inventory) -> tuple[str, ...]:
    """The services that an update touched, and those whose probe is another one than before.

    All of them where nobody knows what is live: whatever was unhealthy then must not be forgotten.
    """
    if not attempt.updates:
        return tuple(inventory.services)
    if not attempt.known:
        return tuple(sorted(inventory.services))
    return tuple(
        sorted({*touched(attempt.preview.changes, inventory), *changed_probes(attempt.before, inventory)})
    )


def _probe(begun: Begun, inventory: Inventory, names: tuple[str, ...]) -> tuple[ProbeResult, ...]:
    unreachable = begun.excluded.machines if begun.excluded is not None else {}
    until = begun.ports.clock.now() + begun.target.policy.probe_for
    results = []
    for name in names:
        service = inventory.services[name]
        if service.machine in unreachable:
            continue
        result = _probe_one(begun, name, service, until)
        if result is not None:
            begun.log(f"probe: {name} {'healthy' if result.healthy else 'unhealthy'}: {result.detail}")
            results.append(result)
    return tuple(results)


def _probe_one(begun: Begun, name: str, service: Service, until: datetime) -> ProbeResult | None:
    if service.probe is None:
        return None
    return probe_until(name, service.probe, until, begun.ports.prober, begun.ports.clock)
