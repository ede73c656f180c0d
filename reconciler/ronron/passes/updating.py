"""The steps of a pass that update: note whose data the update touches, and carry out the plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ronron.core.drift import Drift, DriftKind
from ronron.core.errors import EngineError, ReconcilerError, StackLockedError
from ronron.core.inventory import Inventory, touched
from ronron.core.model import Outcome, OutcomeKind, ProcessMark
from ronron.core.outcomes import failed, with_reasons
from ronron.core.record import Record
from ronron.core.way_back import changed_images, existing, known_state, other_images
from ronron.passes.attempt import Attempt, Begun, with_verdict
from ronron.passes.following import Following
from ronron.passes.machines import readable
from ronron.passes.snapshots import taken_before, touched_with_backup
from ronron.ports import Program


def snapshot(begun: Begun, program: Program, attempt: Attempt) -> Attempt:
    """Note whose data the update touches: the program has their snapshots taken before it changes them.

    Their ids are read at the end of the pass, see `with_snapshots`.
    """
    del program
    if not attempt.updates:
        return attempt
    services = touched_with_backup(attempt.preview.changes, attempt.record.inventory)
    excluded = begun.excluded_with(readable(attempt.record.inventory))
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


def remove_replaced(begun: Begun, put_back: Sequence[Drift], document: object | None) -> None:
    """Remove the containers that were made by hand and have the names of those that are put back.

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
    outcome = with_verdict(failed(error), attempt).with_(
        # Of a replacement that failed, the first half was carried out.
        changes=tuple(change for change in following.done if change.urn not in lost),
        failed_changes=tuple(following.failed),
    )
    if outcome.kind is not OutcomeKind.FAILED:
        return outcome
    reasons = following.reasons(program)
    return with_reasons(outcome, reasons, following.resources)
