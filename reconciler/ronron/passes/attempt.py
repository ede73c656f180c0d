"""The steps of a pass that act: preview, judge, snapshot, update, probe.

A step takes what is known of the attempt so far and gives what is known after it; none changes anything in
place. `bring` runs steps in order until one of them has an outcome. Every effect is behind a port.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from ronron.core.containers import MadeContainer
from ronron.core.drift import Drift, DriftKind
from ronron.core.errors import EngineError, ReconcilerError, StackLockedError, UpdateFailedError
from ronron.core.excluded import Excluded
from ronron.core.inventory import (
    Inventory,
    Probe,
    Service,
    changed_probes,
    held_services,
    read_inventory,
    touched,
)
from ronron.core.judge import judge as judged
from ronron.core.model import (
    SHORT,
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
from ronron.core.outcomes import failed, held_back, in_part, seen, summarize, waiting, with_reasons
from ronron.core.policy import OnDrift, Policy, UpdateMode
from ronron.core.record import Record
from ronron.core.released import Guarded
from ronron.core.removals import released as released_by_request
from ronron.core.way_back import (
    added,
    changed_images,
    deleted,
    existing,
    known_state,
    other_images,
    released,
    wanted,
)
from ronron.passes.following import Following, reasons_of_services
from ronron.passes.health import save_probes
from ronron.passes.machines import readable, services_on
from ronron.passes.releasing import preview_releasing
from ronron.passes.removals import preview_removing, wish
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
        repair: the revision is live, and what drifted is put back.
    """

    revision: Revision
    digest: str
    policy: Policy
    running: Revision | None
    rollback: bool = False
    repair: bool = False


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
        put_back: the containers that drifted and are replaced.
        unprotected: names of those among them that are replaced without a snapshot.
        made: the containers of the stack after the update; None where none was made or it cannot be read.
        removed: URNs of the volumes that leave the state because a person asked to remove their service.
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
    put_back: tuple[Drift, ...] = ()
    unprotected: tuple[str, ...] = ()
    made: tuple[MadeContainer, ...] | None = None
    removed: frozenset[str] = frozenset()
    outcome: Outcome | None = None

    def of(self, program: Program) -> Program:
        """The program with what is replaced besides."""
        if not self.put_back:
            return program
        return program.with_(replace=tuple(one.urn for one in self.put_back), repaired=self.unprotected)

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
        return _with_verdict(failed(error), attempt), attempt
    raise AssertionError("the last step of a pass has an outcome")


# -- the steps, in their order ---------------------------------------------------------------------


def preview(begun: Begun, program: Program, attempt: Attempt) -> Attempt:
    """Compute the changes.

    After a failure, first refresh the resources that it left with init errors, and release what the failed
    revision added where that stands in the way.
    """
    engine, wanted_program = begun.ports.engine, attempt.of(program)
    asked = wish(attempt.record, begun.ports.clock.now())

    def compute() -> tuple[Preview, tuple[Guarded, ...]]:
        if attempt.certain:
            return engine.preview(wanted_program), ()
        return preview_releasing(engine, wanted_program, attempt.record.known_state, begun.log)

    if not attempt.certain:
        _refresh_failed(begun, program)
    found, going = preview_removing(compute, engine, wanted_program, asked, begun.log)
    begun.log(f"preview: {summarize(found)}")
    return replace(
        attempt, preview=found, released=going, removed=released_by_request(found.changes, asked.removals)
    )


def judge(begun: Begun, program: Program, attempt: Attempt) -> Attempt:
    """Say whether the changes may be made; what needs a person ends the attempt."""
    del program
    approvals = begun.ports.store.approvals(begun.target.name)
    # What a person has to approve is judged as any other change.
    proposes = attempt.goal.repair and attempt.goal.policy.drift.on_drift is OnDrift.PROPOSE
    put_back = frozenset() if proposes else frozenset(one.urn for one in attempt.put_back)
    policy = attempt.goal.policy.with_(update=UpdateMode.APPROVAL) if proposes else attempt.goal.policy
    # What a failed revision added is no loss: what of it may hold data stays in the world.
    before = None if attempt.certain else attempt.record.known_state
    own = added(deleted(attempt.preview.changes), before)
    verdict = judged(attempt.preview, policy, approvals, put_back, own, attempt.removed)
    begun.log(f"verdict: {verdict.kind}: {verdict.why}")
    attempt = replace(attempt, verdict=verdict)
    if verdict.kind in {VerdictKind.UNCHANGED, VerdictKind.ALLOWED}:
        return attempt
    for change in verdict.causes[:CAUSES_LOGGED]:
        begun.log(f"cause: {change.operation} {change.name}")
    if len(verdict.causes) > CAUSES_LOGGED:
        begun.log(f"cause: and {len(verdict.causes) - CAUSES_LOGGED} more")
    outcome = waiting(begun.target.name, attempt.preview, verdict)
    if attempt.goal.repair and verdict.kind is VerdictKind.NEEDS_APPROVAL:
        yes = f"ronron approve {begun.target.name} {attempt.preview.identity[:SHORT]}"
        names = ", ".join(one.key for one in attempt.put_back)
        outcome = outcome.with_(
            message=f"would put back {names}: {verdict.why}", hint=f"approve it with {yes}"
        )
    return replace(attempt, outcome=outcome)


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
    record = _with_known_state(begun, program, attempt)
    inventory = readable(before)
    services = touched(attempt.preview.changes, inventory) if inventory is not None else ()
    planned = changed_images(attempt.preview.changes, inventory)
    # If we die, nobody knows which of them were started.
    intent = _migrated(record, planned)

    def note(mark: ProcessMark) -> None:
        if intent.running is not None:
            running = intent.running.with_(engine=mark, services=services)
            begun.ports.store.save(intent.with_(running=running))

    remove_replaced(begun, attempt.put_back, before)
    with begun.ports.failures.watch() as watch:
        following = Following(begun.target.name, begun.ports, watch, inventory)
        try:
            updated = begun.ports.engine.update(attempt.of(program), attempt.preview, note, following.follow)
        except ReconcilerError as error:
            outcome = _failed_update(program, attempt, error, following)
            started = _started(error, planned, inventory)
            return replace(
                attempt,
                record=_migrated(record, started),
                before=before,
                carried=not outcome.locked,
                started=started,
                outcome=outcome,
            )
    record = _migrated(record.with_(inventory=updated.inventory), planned)
    if record.known_state is not None:
        record = _migrated(record, other_images(record.known_state, readable(updated.inventory)))
    return replace(
        attempt,
        record=record,
        before=before,
        carried=True,
        started=planned,
        changes=updated.changes,
        made=updated.containers,
    )


def probe(begun: Begun, program: Program, attempt: Attempt) -> Attempt:
    """Ask the services through their public URLs; one that is not healthy makes the attempt a failure."""
    inventory = read_inventory(attempt.record.inventory)
    probes = _probe(begun, inventory, _to_probe(attempt, inventory)) if inventory is not None else ()
    save_probes(begun.target.policy, begun.ports, probes, inventory)
    revision = program.revision
    if attempt.updates:
        names = ", ".join(one.key for one in attempt.put_back)
        message = f"{revision.short} is live" + (f"; put back {names}" if names else "")
        done = seen(OutcomeKind.UPDATED, message, attempt.preview, attempt.verdict, probes).with_(
            changes=attempt.changes
        )
    else:
        message = f"{revision.short}: {attempt.verdict.why}"
        done = seen(OutcomeKind.UNCHANGED, message, attempt.preview, attempt.verdict, probes)
    sick = [one.service for one in probes if not one.healthy]
    if sick and inventory is not None:
        reasons = reasons_of_services(begun.target.name, begun.ports, program, inventory, sick)
        done = with_reasons(done, reasons)
    done = in_part(done, revision, _excluded(begun, inventory)).with_(released=released(attempt.released))
    if done.kind is OutcomeKind.DEGRADED and attempt.record.known_state is not None:
        # It is healthy where it is live, so what it has is not released when the rest fails.
        known = attempt.record.known_state.holding(wanted(attempt.preview.changes))
        attempt = replace(attempt, record=attempt.record.with_(known_state=known))
    return replace(attempt, outcome=held_back(done, begun.target.name, held_services(inventory)))


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


def remove_replaced(begun: Begun, put_back: Sequence[Drift], document: object | None) -> None:
    """Remove the containers that were made by hand in the place of those that are put back.

    The engine does not know them, and their names are needed.

    Raises:
        BackupError: one cannot be removed.
    """
    inventory = readable(document)
    for one in put_back:
        if one.kind is DriftKind.REPLACED and inventory is not None:
            begun.log(f"update: remove {one.key}, which was made by hand")
            begun.ports.containers.remove_stray(inventory, one.machine, one.container, one.id)


def _started(error: ReconcilerError, planned: frozenset[str], inventory: Inventory | None) -> frozenset[str]:
    """The services that a failed update may have started on another image."""
    if isinstance(error, StackLockedError) or not isinstance(error, EngineError):
        return frozenset()
    return planned if error.begun is None else changed_images(error.begun, inventory)


def _going_back(begun: Begun, attempt: Attempt) -> tuple[str, ...]:
    if attempt.certain:
        return ()
    failing = attempt.goal.running if attempt.goal.rollback else None
    return going_back(begun.ports, begun.target.name, attempt.record, attempt.goal.digest, failing)


def _with_known_state(begun: Begun, program: Program, attempt: Attempt) -> Record:
    """The record with the state before the update, where everything in that is known to be healthy."""
    record = attempt.record
    if attempt.goal.repair or (not attempt.certain and record.known_state is not None):
        return record
    urns = existing(attempt.preview.changes)
    if begun.excluded is not None:
        # A preview does not show what is on excluded machines.
        urns |= {one.urn for one in begun.ports.engine.state(program).guarded}
    found = known_state(
        urns,
        readable(record.inventory),
        record.digest if attempt.certain else None,
        begun.ports.clock.now(),
    )
    return record.with_(known_state=found)


def _migrated(record: Record, services: frozenset[str]) -> Record:
    """The record with services whose data may have been migrated since the known state."""
    if record.known_state is None:
        return record
    return record.with_(known_state=record.known_state.with_migrated(services))


def _failed_update(
    program: Program, attempt: Attempt, error: ReconcilerError, following: Following
) -> Outcome:
    """The outcome of an update that failed, with what it did and why its containers failed.

    At once: what comes next, such as a rollback, replaces the containers.
    """
    lost = {change.urn for change in following.failed}
    outcome = _with_verdict(failed(error), attempt).with_(
        # Of a replacement that failed, the first half was carried out.
        changes=tuple(change for change in following.done if change.urn not in lost),
        failed_changes=tuple(following.failed),
    )
    if outcome.kind is not OutcomeKind.FAILED:
        return outcome
    reasons = following.reasons(program)
    return with_reasons(outcome, reasons, following.resources)


def _with_verdict(outcome: Outcome, attempt: Attempt) -> Outcome:
    """The outcome of an attempt that failed, with the verdict on its preview, where there was one."""
    if attempt.verdict is _NOT_JUDGED:
        return outcome
    return outcome.with_(verdict=attempt.verdict, identity=attempt.preview.identity)


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
        if service.machine in unreachable or service.held is not None:
            continue
        result = _probe_one(begun, name, service, until)
        if result is not None:
            begun.log(f"probe: {name} {'healthy' if result.healthy else 'unhealthy'}: {result.detail}")
            results.append(result)
    return tuple(results)


def _probe_one(begun: Begun, name: str, service: Service, until: datetime) -> ProbeResult | None:
    if service.probe is None:
        return None
    ports = begun.ports
    first = ports.prober.probe(name, service.probe)
    left = (until - ports.clock.now()).total_seconds()
    if first.healthy or left <= 0:
        return first
    begun.log(f"probe: {name} is not healthy yet: {first.detail}; trying for {left:.0f} s")
    ports.clock.wait(PROBE_EVERY)
    return probe_until(name, service.probe, until, ports.prober, ports.clock)
