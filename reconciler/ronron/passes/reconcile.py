"""One pass over one environment: observe, decide, preview, judge, update, probe, record, tell.

Every effect is behind a port; the steps that may fail are in `attempt`. What is wanted is written down
before it is done, so that a crash at any point is found by the next process as an unfinished pass and
mended by `_recover`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from ronron.core.decide import decide
from ronron.core.errors import PendingOperationsError, ReconcilerError, StackLockedError
from ronron.core.judge import judge
from ronron.core.model import Decision, Outcome, OutcomeKind, Pass, Preview, Revision, Step, Verdict
from ronron.core.outcomes import failed
from ronron.core.policy import Policy
from ronron.core.record import Record, Running
from ronron.passes.attempt import Attempt, Ports, Target, digest_at, prepared
from ronron.passes.machines import find_excluded, still_silent
from ronron.ports import Store

__all__ = ["KEPT_WORK", "Ports", "Target", "look", "reconcile"]

KEPT_WORK = 20
"""How many passes' engine logs are kept on disk."""


@dataclass(frozen=True)
class _Wanted:
    """What is looked at in one pass; values only."""

    revision: Revision
    digest: str
    decision: Decision
    request: int | None


def reconcile(target: Target, ports: Ports) -> Pass:
    """Make one pass over an environment, if one is due.

    The source has been refreshed by the caller.

    Returns:
        The pass with its outcome; without an outcome where the decision was to wait.

    Raises:
        SourceError, ConfigError, StoreError: nothing could be decided; nothing was done.
        StackLockedError: another live process works on this stack.
    """
    record = ports.store.load(target.name)
    wanted = _observe(target, ports, record)
    if record.running is None and wanted.decision.step is Step.WAIT:
        return _waiting(target, ports, record, wanted)

    with ports.store.lock(target.policy.stack):
        # Another process may have made this very pass while we waited for the stack.
        record = ports.store.load(target.name)
        if record.running is not None:
            record = _recover(target, ports, record, record.running)
        wanted = _observe(target, ports, record)
        match wanted.decision.step:
            case Step.WAIT:
                return _waiting(target, ports, record, wanted)
            case Step.ADOPT:
                return _adopt(target, ports, record, wanted)
            case Step.PREVIEW:
                return _carry_out(target, ports, record, wanted)


def look(target: Target, ports: Ports, revision: Revision, work: Path) -> tuple[Preview, Verdict]:
    """Preview and judge a revision without any effect, record or lock.

    Raises:
        SourceError, EngineError: it cannot be previewed.
    """
    record = ports.store.load(target.name)
    digest = digest_at(target, ports, revision)
    without = find_excluded(ports.machines, record.inventory)
    if without is not None:
        ports.progress.log(target.name, f"machines: {without.why}")
    with prepared(
        target, ports, revision, digest, work, running=record.everywhere, excluded=without
    ) as program:
        preview = ports.engine.preview(program)
        return preview, judge(preview, target.policy, ports.store.approvals(target.name))


# -- observe ---------------------------------------------------------------------------------------


def _observe(target: Target, ports: Ports, record: Record) -> _Wanted:
    policy = target.policy
    desired = ports.source.resolve(policy.reference)
    digest = digest_at(target, ports, desired)
    request = ports.store.asked(target.name)
    decision = decide(
        desired,
        digest,
        record,
        policy,
        ports.clock.now(),
        request=request,
        approvals=ports.store.approvals(target.name) if record.waiting is not None else frozenset(),
        others=_others(policy, ports.store),
        silent=still_silent(record, desired, ports.machines),
    )
    return _Wanted(desired, digest, decision, request.id if request else None)


def _others(policy: Policy, store: Store) -> Mapping[str, Record]:
    names = policy.after.environments if policy.after else ()
    return {name: store.load(name) for name in names}


# -- the short ways --------------------------------------------------------------------------------


def _waiting(target: Target, ports: Ports, record: Record, wanted: _Wanted) -> Pass:
    noted = record.deciding(wanted.decision, ports.clock.now())
    if noted is not record:
        ports.store.save(noted)
        ports.progress.log(target.name, f"{wanted.decision.reason}: {wanted.decision.why}")
    return _as_pass(target, ports, wanted)


def _adopt(target: Target, ports: Ports, record: Record, wanted: _Wanted) -> Pass:
    now = ports.clock.now()
    started = _as_pass(target, ports, wanted)
    outcome = Outcome(kind=OutcomeKind.UNCHANGED, message=wanted.decision.why, adopted=True)
    number = ports.store.begin(started)
    after = record.adopting(wanted.revision, now).deciding(wanted.decision, now)
    ports.store.finish(number, outcome, now, after)
    ports.progress.log(target.name, f"{outcome.kind}: {outcome.message}")
    return started.with_(id=number, finished=now, outcome=outcome)


def _as_pass(target: Target, ports: Ports, wanted: _Wanted) -> Pass:
    return Pass(
        environment=target.name,
        revision=wanted.revision,
        decision=wanted.decision,
        started=ports.clock.now(),
    )


# -- the whole way ---------------------------------------------------------------------------------


def _carry_out(target: Target, ports: Ports, record: Record, wanted: _Wanted) -> Pass:
    started = _as_pass(target, ports, wanted)
    number = ports.store.begin(started)
    running = Running(pass_id=number, revision=wanted.revision, owner=ports.processes.mark())
    intent = record.attempting(running, started.started, wanted.request).with_(stack=target.policy.stack)
    intent = intent.deciding(wanted.decision, started.started)
    ports.store.save(intent)
    ports.progress.log(target.name, f"{wanted.decision.reason}: {wanted.decision.why}")

    attempt = Attempt(target, ports, intent, wanted.revision, wanted.digest, ports.work / str(number))
    outcome = attempt.run()
    finished = ports.clock.now()
    after = attempt.record.after(outcome, wanted.revision, wanted.digest, finished)
    ports.store.finish(number, outcome, finished, after)
    _expire(ports.work, number)
    _tell_outcome(target, ports, outcome, finished - started.started)
    return started.with_(id=number, finished=finished, outcome=outcome)


# -- after a crash ---------------------------------------------------------------------------------


def _recover(target: Target, ports: Ports, record: Record, running: Running) -> Record:
    """Close a pass whose process died: we hold the stack, so its owner is gone.

    Raises:
        StackLockedError: something of the dead pass is alive and cannot be stopped.
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
    ports.store.finish(running.pass_id, outcome, now(), after)
    ports.progress.log(target.name, f"recovery: {outcome.message}")
    return after


def _tell_outcome(target: Target, ports: Ports, outcome: Outcome, took: timedelta) -> None:
    ports.progress.log(target.name, f"{outcome.kind} in {took.total_seconds():.1f} s: {outcome.message}")
    if outcome.hint:
        ports.progress.log(target.name, f"what to do: {outcome.hint}")


# -- places ----------------------------------------------------------------------------------------


def _expire(work: Path, newest: int) -> None:
    """Remove the plan of a finished pass and the directories of passes long gone."""
    for plan in (work / str(newest)).glob("*plan*"):
        plan.unlink()
    numbers = sorted((int(entry.name) for entry in work.iterdir() if entry.name.isdigit()), reverse=True)
    for number in numbers[KEPT_WORK:]:
        shutil.rmtree(work / str(number), ignore_errors=True)
