"""The way back from a revision that failed: code, data where the policy says so, and what is told of it.

The way back is written down before its first effect, and so is every restore. A process that finds one which
did not end goes on with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from ronron.core.backups import Snapshot
from ronron.core.errors import BackupError, ReconcilerError
from ronron.core.hints import DONE_IS_IN_STATE
from ronron.core.inventory import Inventory
from ronron.core.model import SHORT, Outcome, OutcomeKind, Revision, TakenSnapshot
from ronron.core.outcomes import failed, log_lines, one_line
from ronron.core.policy import Guard, OnFailure, UpdateMode
from ronron.core.record import Record
from ronron.core.released import RestoredData, UnrestoredData
from ronron.core.way_back import (
    WayBack,
    changed_images,
    gone_back,
    known_state,
    released_text,
    restore_hint,
    restored_text,
    unrestored_text,
    wanted,
    with_more,
)
from ronron.passes.attempt import Attempt, Begun, Goal, Step, bring
from ronron.passes.following import log_details
from ronron.passes.machines import readable
from ronron.passes.snapshots import before_failure, first_safety_snapshot
from ronron.passes.target import digest_at

_BACK = frozenset({OutcomeKind.UPDATED, OutcomeKind.UNCHANGED, OutcomeKind.DEGRADED})
"""How a way back ends well."""

Ended = tuple[Outcome, Attempt]


def roll_back(begun: Begun, failure: Outcome, attempt: Attempt, steps: Sequence[Step]) -> Ended:
    """Bring the stack back to the last healthy revision where it failed and the policy says so.

    Args:
        begun: the pass.
        failure: how the attempt ended; anything but a failure is given back as it is.
        attempt: at the revision that was wanted.
        steps: of the way back, the same as of the way there.
    """
    healthy = attempt.record.healthy
    if (
        failure.kind is not OutcomeKind.FAILED
        or not attempt.disturbed
        or attempt.goal.repair
        or not begun.target.policy.on_failure.goes_back
        or healthy is None
        or healthy.commit == attempt.goal.revision.commit
    ):
        return failure, attempt
    for line in log_lines(failure.kind, failure.message):
        begun.log(line)
    log_details(begun.target.name, begun.ports.progress, failure)
    failure = failure.with_(message=one_line(failure.message), cause=failure.message)
    way = WayBack(failed=attempt.goal.revision, to=healthy, message=failure.message, hint=failure.hint)
    return go_back(begun, failure, way, attempt, steps)


def left_of(record: Record, desired: Revision) -> WayBack | None:
    """The way back that a pass goes on with: the last pass did not end, and its revision is still wanted."""
    way = record.way_back
    if way is None or not record.interrupted or way.failed.commit != desired.commit:
        return None
    return way


def resume(begun: Begun, way: WayBack, attempt: Attempt, steps: Sequence[Step]) -> Ended:
    """Go on with a way back that did not end."""
    begun.log(f"rollback: going on with the way back that began after {way.failed.short} failed")
    failure = Outcome(kind=OutcomeKind.FAILED, message=way.message, hint=way.hint, retryable=True)
    return go_back(begun, failure, way, replace(attempt, disturbed=True), steps, resumed=True)


def go_back(
    begun: Begun,
    failure: Outcome,
    way: WayBack,
    attempt: Attempt,
    steps: Sequence[Step],
    *,
    resumed: bool = False,
) -> Ended:
    """Make a way back, or what is left of it.

    Args:
        begun: the pass.
        failure: why the revision failed.
        way: what is to be done.
        attempt: at the revision that failed.
        steps: of the way back.
        resumed: an earlier process began it.
    """
    begun.log(f"rollback: going back to {way.to.short}")
    try:
        digest = digest_at(begun.target, begun.ports, way.to)
    except ReconcilerError as error:
        return _stuck(failure, way, failed(error)), attempt
    # A rollback is the policy's own wish, so it needs no approval; data and machines still do.
    policy = begun.target.policy.with_(update=UpdateMode.AUTOMATIC, guard=Guard())
    # What came of the revision that failed is what a snapshot would be of.
    goal = Goal(way.to, digest, policy, running=way.failed, rollback=True)
    record = _noted(begun, attempt.record, way)
    back = Attempt(goal, record, attempt.known, disturbed=True, touched=attempt.touched)
    outcome, back = bring(begun, back, steps)
    wants_data = begun.target.policy.on_failure is OnFailure.RESTORE or bool(way.restores)
    problems: tuple[str, ...] = ()
    if wants_data and outcome.kind is not OutcomeKind.INTERRUPTED:
        # Where the update back failed, what was exported last may be of the revision that failed.
        unsure = outcome.kind is OutcomeKind.FAILED and back.carried and not back.changes
        document = attempt.before if unsure and attempt.carried else back.record.inventory
        restoring = _Restoring(begun, readable(document), resumed=resumed)
        way, back, problems = restoring.run(way, outcome, back)
        if restoring.did_something:
            # Old code on migrated data may have kept the update back from ending well.
            first, carried = outcome, back
            again = Attempt(goal, carried.record, known=False, disturbed=True, touched=carried.touched)
            outcome, back = bring(begun, again, steps)
            back = replace(back, carried=True)
            outcome = outcome.with_(released=(*first.released, *outcome.released))
            if not outcome.changes:
                outcome = outcome.with_(changes=first.changes, verdict=first.verdict, identity=first.identity)
    return _ended(begun, failure, way, outcome, problems), back


def told(begun: Begun, outcome: Outcome, attempt: Attempt) -> Ended:
    """The outcome with what was released, what was restored, and whose data did not go back.

    Args:
        begun: the pass.
        outcome: of the pass.
        attempt: the last one.

    Returns:
        The outcome, and the attempt with a record that forgets what was told; after a success it has a new
        known state.
    """
    if outcome.kind in {OutcomeKind.INTERRUPTED, OutcomeKind.WAITING} or attempt.goal.repair:
        return outcome, attempt
    record, before = attempt.record, attempt.record.known_state
    inventory = readable(record.inventory)
    is_back = outcome.kind in _BACK or outcome.kind is OutcomeKind.ROLLED_BACK
    restored = {one.service for one in outcome.restored_data}
    names: tuple[str, ...] = ()
    if not attempt.certain and (is_back or attempt.carried):
        found = gone_back(before, attempt.goal.digest, inventory if is_back else None)
        names = tuple(name for name in found if name not in restored)
    failing = attempt.goal.running if attempt.goal.rollback else None
    unrestored = tuple(
        UnrestoredData(service=name, snapshot=_before_update(begun, inventory, name, record, failing))
        for name in names
    )
    if outcome.kind in {OutcomeKind.UPDATED, OutcomeKind.UNCHANGED}:
        urns, now = wanted(attempt.preview.changes), begun.ports.clock.now()
        fresh = known_state(urns, inventory, attempt.goal.digest, now)
        attempt = replace(attempt, record=record.with_(known_state=fresh))
    elif is_back and before is not None:
        left = tuple(name for name in before.migrated if name not in {*names, *restored})
        attempt = replace(attempt, record=record.with_(known_state=before.with_(migrated=left)))
    said = (
        released_text(outcome.released),
        restored_text(outcome.restored_data),
        unrestored_text(unrestored),
    )
    outcome = with_more(outcome, said, [restore_hint(begun.target.name, unrestored)])
    return outcome.with_(unrestored=unrestored), attempt


def forgotten(begun: Begun, way: WayBack | None, outcome: Outcome) -> Outcome:
    """The outcome of a pass for another revision, with what an earlier way back left undone.

    Args:
        begun: the pass.
        way: the way back that did not end and is not gone on with; None for none.
        outcome: of the pass.
    """
    if way is None or not way.restores:
        return outcome
    names = ", ".join(one.service for one in way.restores)
    said = f"an earlier pass died before it had restored {names}"
    return with_more(outcome, [said], [restore_hint(begun.target.name, way.restores)])


# -- data ------------------------------------------------------------------------------------------


@dataclass
class _Restoring:
    """Restores services from the snapshots taken before the update that failed.

    Args:
        begun: the pass.
        inventory: of the revision that came back; None where it cannot be read.
        resumed: an earlier process began the way back.
    """

    begun: Begun
    inventory: Inventory | None
    resumed: bool
    did_something: bool = False

    def run(self, way: WayBack, outcome: Outcome, back: Attempt) -> tuple[WayBack, Attempt, tuple[str, ...]]:
        """Restore what is to be restored; every step is written down before and after.

        Returns:
            The way back with what was restored, the attempt, and what went wrong.
        """
        before = back.record.known_state
        if self.inventory is None or before is None:
            return way, back, ()
        problems: list[str] = []
        if not way.restores and not way.restored:
            services = self._services(outcome, back)
            way = way.with_(restores=tuple(self._chosen(way, services, back, problems)))
            back = replace(back, record=_noted(self.begun, back.record, way))
        for taken in way.restores:
            self.did_something = True
            self.begun.log(f"restore: {taken.service} goes back to snapshot {taken.id[:SHORT]}")
            try:
                done = self._restore(self.inventory, taken, back.record)
            except BackupError as error:
                problems.append(f"cannot restore {taken.service}: {error.message}")
                continue
            way = way.done(done)
            back = replace(back, record=_noted(self.begun, back.record, way))
        return way, back, tuple(problems)

    def _services(self, outcome: Outcome, back: Attempt) -> tuple[str, ...]:
        """The services whose code is back: old data must not meet the code that failed."""
        before, inventory = back.record.known_state, self.inventory
        if before is None or inventory is None:
            return ()
        excluded = self.begun.excluded.machines if self.begun.excluded is not None else {}
        there = [
            name
            for name in sorted(before.images)
            if name in inventory.services
            and inventory.services[name].backup is not None
            and inventory.services[name].machine not in excluded
        ]
        if outcome.kind in _BACK or outcome.probes:
            return tuple(there)
        if not back.carried:
            return ()
        waiting = changed_images(back.preview.changes, inventory) - back.started
        return tuple(name for name in there if name not in waiting)

    def _chosen(
        self, way: WayBack, services: Sequence[str], back: Attempt, problems: list[str]
    ) -> list[TakenSnapshot]:
        before, inventory = back.record.known_state, self.inventory
        chosen: list[TakenSnapshot] = []
        if before is None or inventory is None:
            return chosen
        for name in services:
            try:
                found = self.begun.ports.backups.snapshots(inventory, name)
            except BackupError as error:
                if name in {*back.touched, *before.migrated}:
                    problems.append(f"cannot ask for the snapshots of {name}: {error.message}")
                continue
            one = before_failure(found, before.at, way.failed.commit)
            if one is not None:
                chosen.append(TakenSnapshot(service=name, id=one.id))
        return chosen

    def _restore(self, inventory: Inventory, taken: TakenSnapshot, record: Record) -> RestoredData:
        backups, name = self.begun.ports.backups, taken.service
        found = backups.snapshots(inventory, name)
        snapshot = next((one for one in found if one.id == taken.id), None)
        if snapshot is None:
            raise BackupError(f"cannot find snapshot {taken.id[:SHORT]} in the repository", where=name)
        # A restore that was killed half-way left a mixture: the data until then are in its own snapshot.
        since = record.known_state.at if record.known_state is not None and self.resumed else None
        earlier = first_safety_snapshot(found, since) if since is not None else None
        log = partial(self._log, "restore")
        done = backups.restore(inventory, name, snapshot, safety_snapshot=True, log=log)
        safety = earlier.id if earlier is not None else done.safety_snapshot
        return RestoredData(service=name, snapshot=snapshot.id, safety_snapshot=safety)

    def _log(self, word: str, line: str) -> None:
        self.begun.log(f"{word}: {line}")


def _before_update(
    begun: Begun, inventory: Inventory | None, name: str, record: Record, failing: Revision | None
) -> str | None:
    """ID of the snapshot of a service from before the update that failed; None where nobody knows of one."""
    if inventory is None or record.known_state is None or name not in inventory.services:
        return None
    if inventory.services[name].backup is None:
        return None
    try:
        found: Sequence[Snapshot] = begun.ports.backups.snapshots(inventory, name)
    except BackupError as error:
        begun.log(f"snapshot: cannot ask the agent of {name}: {error.message}")
        return None
    one = before_failure(found, record.known_state.at, failing.commit if failing is not None else None)
    return one.id if one is not None else None


# -- how it ended ----------------------------------------------------------------------------------


def _noted(begun: Begun, record: Record, way: WayBack) -> Record:
    """The record with the way back as it stands, written down."""
    noted = record.with_(way_back=way)
    begun.ports.store.save(noted)
    return noted


def _ended(
    begun: Begun, failure: Outcome, way: WayBack, outcome: Outcome, problems: Sequence[str]
) -> Outcome:
    if outcome.kind is OutcomeKind.INTERRUPTED:
        # The stack is not as it was, also where another process has locked it.
        return outcome.with_(
            message=f"{failure.message}; interrupted on the way back to {way.to.short}: {outcome.message}",
            locked=False,
            cause=failure.cause,
            failed_changes=failure.failed_changes,
            containers=failure.containers,
        )
    if outcome.kind in _BACK:
        excluded = outcome.excluded
        but = f", except on unreachable machines: {excluded.why}" if excluded is not None else ""
        ended = outcome.with_(
            kind=OutcomeKind.ROLLED_BACK,
            message=f"{failure.message}; went back to {way.to.short}{but}",
            hint=failure.hint.removesuffix(DONE_IS_IN_STATE),
            restored=way.to,
            cause=failure.cause,
            failed_changes=failure.failed_changes,
            containers=failure.containers,
        )
    else:
        ended = _stuck(failure, way, outcome).with_(released=outcome.released)
    ended = ended.with_(restored_data=way.restored)
    return with_more(ended, problems, [restore_hint(begun.target.name, way.restores)]) if problems else ended


def _stuck(failure: Outcome, way: WayBack, outcome: Outcome) -> Outcome:
    return failure.with_(
        message=f"{failure.message}; cannot go back to {way.to.short}: {outcome.message}",
        hint=outcome.hint or failure.hint,
        containers=(*failure.containers, *outcome.containers),
    )
