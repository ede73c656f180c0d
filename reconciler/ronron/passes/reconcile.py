"""One pass over one environment: observe, decide, preview, judge, snapshot, update, probe, record, tell.

`_make_pass` has the nine steps in their order; those that act are in `planning`, `updating` and `probing`.
Every effect is behind a port. What is wanted is written down before it is done, so that the next process
finds a crash at any point as an unfinished pass, and `_recover` closes that.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from ronron.core.decide import Observed, decide
from ronron.core.errors import EngineError, PendingOperationsError, ReconcilerError, StackLockedError
from ronron.core.hints import for_environment, naming
from ronron.core.judge import judge as judged
from ronron.core.model import Decision, Outcome, OutcomeKind, Pass, Preview, Reason, Revision, Step, Verdict
from ronron.core.outcomes import failed, log_lines
from ronron.core.policy import Policy
from ronron.core.record import Record, Running
from ronron.core.removals import released
from ronron.passes.attempt import Attempt, Begun, Goal, bring
from ronron.passes.drift import Wish, drifted_now, look_after, look_before, note_dead_repair, repair_for
from ronron.passes.following import log_details
from ronron.passes.machines import find_excluded, still_unreachable
from ronron.passes.planning import judge, preview
from ronron.passes.probing import probe
from ronron.passes.releasing import releasable
from ronron.passes.removals import after_removals, preview_removing, wish
from ronron.passes.snapshots import going_back
from ronron.passes.target import Ports, Target, digest_at, prepared
from ronron.passes.updating import snapshot, update, with_snapshots
from ronron.passes.way_back import forgotten, left_of, resume, roll_back, told
from ronron.ports import Store

__all__ = ["RETAINED_WORK", "Ports", "Target", "preview_only", "reconcile"]

RETAINED_WORK = 20
"""The engine logs of this many passes stay on disk."""


def reconcile(target: Target, ports: Ports) -> Pass:
    """Make one pass over an environment, if one is due.

    The source has been refreshed by the caller.

    Returns:
        The pass with its outcome; without an outcome where the decision was to wait.

    Raises:
        SourceError, ConfigError, StoreError: nothing could be decided; nothing was done.
        StackLockedError: another live process works on this stack.
    """
    with naming(target.name):
        return _reconcile(target, ports)


def _reconcile(target: Target, ports: Ports) -> Pass:
    record = ports.store.load(target.name)
    observed = _observe(target, ports, record)
    decision = decide(observed)
    if record.running is None and decision.step is Step.WAIT:
        return _rest(target, ports, observed, decision)

    with ports.store.lock(target.policy.stack):
        # Another process may have made this very pass while we waited for the lock.
        record = ports.store.load(target.name)
        if record.running is not None:
            record = _recover(target, ports, record, record.running)
        return _make_pass(target, ports, record)


def _make_pass(target: Target, ports: Ports, record: Record) -> Pass:
    """The nine steps of a pass; the stack is locked."""
    observed = _observe(target, ports, record)
    decision = decide(observed)
    if decision.step is not Step.PREVIEW:
        return _rest(target, ports, observed, decision)

    made, begun, attempt = _begin(target, ports, observed, decision)
    wish = Wish.PERSON if decision.reason is Reason.REQUESTED else Wish.POLICY
    steps = (look_before(wish), preview, judge, snapshot, update, probe)
    left = left_of(record, observed.desired)
    if left is not None:
        outcome, attempt = resume(begun, left, attempt, steps)
    else:
        attempt = replace(attempt, record=attempt.record.with_(way_back=None))
        outcome, attempt = bring(begun, attempt, steps)
        outcome, attempt = roll_back(begun, outcome, attempt, steps)
        outcome = forgotten(begun, record.way_back, outcome)
    outcome = with_snapshots(begun, outcome, attempt)
    outcome, attempt = told(begun, outcome, attempt)
    outcome = outcome.with_(hint=for_environment(outcome.hint, target.name))
    look_after(begun, outcome, attempt)

    made = _record(ports, made, observed, outcome, attempt.record)
    _tell(ports, made, outcome)
    return made


def preview_only(target: Target, ports: Ports, revision: Revision, work: Path) -> tuple[Preview, Verdict]:
    """Preview and judge a revision without any effect or record.

    Only the volumes of a service that a person asked to remove are unprotected, under the stack's lock.

    Raises:
        SourceError, EngineError: it cannot be previewed.
    """
    record = ports.store.load(target.name)
    digest = digest_at(target, ports, revision)
    excluded = find_excluded(ports.machines, record.inventory)
    if excluded is not None:
        ports.progress.log(target.name, f"machines: {excluded.why}")
    with (
        naming(target.name),
        prepared(
            *(target, ports, revision, digest, work),
            running=record.everywhere,
            excluded=excluded,
            going_back=going_back(ports, target.name, record, digest, None) if record.digest is None else (),
        ) as program,
    ):
        skipped = excluded.names if excluded is not None else ()
        drifted = drifted_now(target, ports, record, program, skipped)
        if drifted:
            program = program.with_(replace=tuple(one.urn for one in drifted))
        asked = wish(record, ports.clock.now())
        try:
            found = preview_removing(
                lambda: ports.engine.preview(program),
                *(ports.engine, program, asked),
                lambda line: ports.progress.log(target.name, line),
                lambda: ports.store.lock(target.policy.stack),
            )
        except EngineError as error:
            before = record.known_state if record.digest is None else None
            text = releasable(ports.engine, program, before, error)
            if text:
                error.hint = f"run ronron update {target.name}: a revision that failed had added this; {text}"
            raise
        approvals, put_back = ports.store.approvals(target.name), frozenset(program.replace)
        removed = released(found.changes, asked.removals)
        return found, judged(found, target.policy, approvals, put_back, removed=removed)


# -- observe ---------------------------------------------------------------------------------------


def _observe(target: Target, ports: Ports, record: Record) -> Observed:
    policy = target.policy
    desired = ports.source.resolve(policy.reference)
    return Observed(
        desired=desired,
        digest=digest_at(target, ports, desired),
        record=record,
        policy=policy,
        now=ports.clock.now(),
        request=ports.store.asked(target.name),
        approvals=ports.store.approvals(target.name) if record.waiting is not None else frozenset(),
        others=_others(policy, ports.store),
        unreachable=still_unreachable(record, desired, ports.machines),
        repair=repair_for(ports.store.load_drift(target.name), policy, ports.store, ports.clock.now()),
    )


def _others(policy: Policy, store: Store) -> Mapping[str, Record]:
    names = policy.after.environments if policy.after else ()
    return {name: store.load(name) for name in names}


# -- nothing to update -----------------------------------------------------------------------------


def _rest(target: Target, ports: Ports, observed: Observed, decision: Decision) -> Pass:
    """Note the decision to wait, or record a revision that changes nothing."""
    if decision.step is Step.ADOPT:
        return _adopt(target, ports, observed, decision)
    noted = observed.record.deciding(decision)
    if noted is not observed.record:
        ports.store.save(noted)
        ports.progress.log(target.name, f"{decision.reason}: {decision.why}")
    return _as_pass(target, ports, observed, decision)


def _adopt(target: Target, ports: Ports, observed: Observed, decision: Decision) -> Pass:
    begun = _as_pass(target, ports, observed, decision)
    now = begun.started
    outcome = Outcome(kind=OutcomeKind.UNCHANGED, message=decision.why, adopted=True)
    number = ports.store.begin(begun)
    ports.store.finish(
        number, outcome, now, observed.record.adopting(observed.desired, now).deciding(decision)
    )
    ports.progress.log(target.name, f"{outcome.kind}: {outcome.message}")
    return begun.with_(id=number, finished=now, outcome=outcome)


def _as_pass(target: Target, ports: Ports, observed: Observed, decision: Decision) -> Pass:
    return Pass(
        environment=target.name, revision=observed.desired, decision=decision, started=ports.clock.now()
    )


# -- the beginning and the end of an update --------------------------------------------------------


def _begin(
    target: Target, ports: Ports, observed: Observed, decision: Decision
) -> tuple[Pass, Begun, Attempt]:
    """Write the intent down, and find the machines that the update has to skip."""
    record, request = observed.record, observed.request
    made = _as_pass(target, ports, observed, decision)
    repair = decision.reason is Reason.DRIFT and record.live is not None
    revision = record.live if repair and record.live is not None else observed.desired
    made = made.with_(revision=revision)
    number = ports.store.begin(made)
    running = Running(pass_id=number, revision=revision, owner=ports.processes.mark(), repair=repair)
    if repair:
        record = record.repairing(running)
    else:
        record = record.attempting(running, made.started, request.id if request is not None else None)
    record = record.with_(stack=target.policy.stack).deciding(decision)
    ports.store.save(record)
    ports.progress.log(target.name, f"{decision.reason}: {decision.why}")

    begun = Begun(target, ports, ports.work / str(number), ports.clock.now())
    excluded = find_excluded(ports.machines, record.inventory)
    if excluded is not None:
        begun = replace(begun, excluded=excluded)
        begun.log(f"machines: {excluded.why}")
    digest = digest_at(target, ports, revision) if repair else observed.digest
    goal = Goal(revision, digest, target.policy, running=record.everywhere, repair=repair)
    return made.with_(id=number), begun, Attempt(goal, record, known=record.digest is not None)


def _record(ports: Ports, made: Pass, observed: Observed, outcome: Outcome, record: Record) -> Pass:
    """Write the outcome and the record after it, both or neither."""
    finished: datetime = ports.clock.now()
    if record.running is not None and record.running.repair:
        after = record.after_repair()
    else:
        after = record.after(outcome, observed.desired, observed.digest, finished)
        after = after_removals(
            after, observed.record, outcome, lambda line: ports.progress.log(made.environment, line)
        )
    ports.store.finish(made.id, outcome, finished, after)
    _expire(ports.work, made.id)
    return made.with_(finished=finished, outcome=outcome)


def _tell(ports: Ports, made: Pass, outcome: Outcome) -> None:
    took = max(0.0, (made.finished - made.started).total_seconds()) if made.finished is not None else 0.0
    for line in log_lines(f"{outcome.kind} in {took:.1f} s", outcome.message):
        ports.progress.log(made.environment, line)
    # A rollback was preceded by its failure, and what that had to say.
    if not outcome.cause:
        log_details(made.environment, ports.progress, outcome)
    if outcome.hint:
        ports.progress.log(made.environment, f"hint: {outcome.hint}")


# -- after a crash ---------------------------------------------------------------------------------


def _recover(target: Target, ports: Ports, record: Record, running: Running) -> Record:
    """Close a pass whose process died: we have locked the stack, so its owner is gone.

    Raises:
        StackLockedError: a process of the dead pass is alive and cannot be stopped.
    """
    now = ports.clock.now
    ports.progress.log(
        target.name, f"recovery: pass {running.pass_id} for {running.revision.short} did not end"
    )
    try:
        digest = digest_at(target, ports, running.revision)
        with prepared(target, ports, running.revision, digest, ports.work / str(running.pass_id)) as program:
            found = ports.engine.recover_from_crash(program, running.engine)
        outcome = Outcome(kind=OutcomeKind.INTERRUPTED, message=f"its process died; {found}")
        after = record.recovered(now())
    except PendingOperationsError as error:
        outcome = failed(error)
        after = record.recovered(now()).with_(interrupted=False, stalled=error.message)
    except StackLockedError:
        raise
    except ReconcilerError as error:
        # The next pass meets the same trouble in its own steps and reports it there.
        outcome = Outcome(kind=OutcomeKind.INTERRUPTED, message=f"its process died; {error}", hint=error.hint)
        after = record.recovered(now())
    if running.repair and after.stalled is None:
        after = record.after_repair()
        note_dead_repair(ports.store, target.name, outcome.message, now())
    outcome = outcome.with_(hint=for_environment(outcome.hint, target.name))
    ports.store.finish(running.pass_id, outcome, now(), after)
    ports.progress.log(target.name, f"recovery: {outcome.message}")
    return after


# -- places ----------------------------------------------------------------------------------------


def _expire(work: Path, newest: int) -> None:
    """Remove the plan of a finished pass and the directories of passes long gone."""
    for plan in (work / str(newest)).glob("*plan*"):
        plan.unlink()
    numbers = sorted((int(entry.name) for entry in work.iterdir() if entry.name.isdigit()), reverse=True)
    for number in numbers[RETAINED_WORK:]:
        shutil.rmtree(work / str(number), ignore_errors=True)
