"""One pass over one environment: observe, decide, preview, judge, update, probe, record, tell.

Every effect is behind a port. What is wanted is written down before it is done, so that a crash
at any point is found by the next process as an unfinished pass and mended by `_recover`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath

from reconciler.core.decide import decide
from reconciler.core.digest import digest as digest_of
from reconciler.core.errors import (
    PendingOperationsError,
    ReconcilerError,
    StackLockedError,
)
from reconciler.core.inventory import Inventory, Service, read_inventory, touched
from reconciler.core.judge import judge
from reconciler.core.model import (
    Decision,
    Outcome,
    OutcomeKind,
    Pass,
    Preview,
    ProbeResult,
    ProcessMark,
    Revision,
    Step,
    Verdict,
    VerdictKind,
)
from reconciler.core.outcomes import failed, held, seen, summarize
from reconciler.core.policy import Guard, OnFailure, Policy, UpdateMode
from reconciler.core.record import Record, Running
from reconciler.ports import Clock, Engine, Prober, Processes, Program, Progress, Source, Store

PROBE_EVERY = 1.0
"""Seconds between two tries of a probe: a container that has just started answers within a few."""

KEPT_WORK = 20
"""How many passes' engine logs are kept on disk."""


@dataclass(frozen=True)
class Ports:
    """Everything outside that a pass needs.

    Args:
        work: directory under which each pass gets a private one for plan, events and engine output.
    """

    source: Source
    engine: Engine
    store: Store
    prober: Prober
    clock: Clock
    processes: Processes
    progress: Progress
    work: Path


@dataclass(frozen=True)
class Target:
    """One environment as a pass sees it.

    Args:
        policy: the environment's.
        project: where the Pulumi project lies in the repository, `.` for its top.
        config_dir: where its stack files lie below that.
    """

    policy: Policy
    project: str = "."
    config_dir: str = "."

    @property
    def name(self) -> str:
        """The environment's name."""
        return self.policy.name


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

    with ports.store.hold(target.policy.stack):
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
    with _program(target, ports, revision, _digest(target, ports, revision), work) as program:
        preview = ports.engine.preview(program)
        return preview, judge(preview, target.policy, ports.store.approvals(target.name))


# -- observe ---------------------------------------------------------------------------------------


def _observe(target: Target, ports: Ports, record: Record) -> _Wanted:
    policy = target.policy
    desired = ports.source.resolve(policy.reference)
    digest = _digest(target, ports, desired)
    request = ports.store.asked(target.name)
    decision = decide(
        desired,
        digest,
        record,
        policy,
        ports.clock.now(),
        request=request,
        approvals=ports.store.approvals(target.name) if record.held is not None else frozenset(),
        others=_others(policy, ports.store),
    )
    return _Wanted(desired, digest, decision, request.id if request else None)


def _others(policy: Policy, store: Store) -> Mapping[str, Record]:
    names = policy.after.environments if policy.after else ()
    return {name: store.load(name) for name in names}


def _digest(target: Target, ports: Ports, revision: Revision) -> str:
    stacks = str(PurePosixPath(target.project, target.config_dir))
    return digest_of(
        ports.source.entries(revision, target.project),
        ports.source.entries(revision, stacks),
        config_dir=target.config_dir,
        stack=target.policy.stack,
    )


# -- the short ways --------------------------------------------------------------------------------


def _waiting(target: Target, ports: Ports, record: Record, wanted: _Wanted) -> Pass:
    noted = record.deciding(wanted.decision, ports.clock.now())
    if noted is not record:
        ports.store.save(noted)
        ports.progress.tell(target.name, f"{wanted.decision.reason}: {wanted.decision.why}")
    return _as_pass(target, ports, wanted)


def _adopt(target: Target, ports: Ports, record: Record, wanted: _Wanted) -> Pass:
    now = ports.clock.now()
    started = _as_pass(target, ports, wanted)
    outcome = Outcome(kind=OutcomeKind.UNCHANGED, message=wanted.decision.why, adopted=True)
    number = ports.store.begin(started)
    after = record.adopting(wanted.revision, now).deciding(wanted.decision, now)
    ports.store.finish(number, outcome, now, after)
    ports.progress.tell(target.name, f"{outcome.kind}: {outcome.message}")
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
    intent = record.attempting(running, started.started, wanted.request)
    intent = intent.deciding(wanted.decision, started.started)
    ports.store.save(intent)
    ports.progress.tell(target.name, f"{wanted.decision.reason}: {wanted.decision.why}")

    attempt = _Attempt(target, ports, intent, wanted, ports.work / str(number))
    outcome = attempt.run()
    finished = ports.clock.now()
    after = attempt.record.after(outcome, wanted.revision, wanted.digest, finished)
    if attempt.inventory is not None:
        after = after.with_(inventory=attempt.inventory)
    ports.store.finish(number, outcome, finished, after)
    _expire(ports.work, number)
    _tell_outcome(target, ports, outcome, finished - started.started)
    return started.with_(id=number, finished=finished, outcome=outcome)


class _Attempt:
    """The steps of one pass that may fail; the outcome says how far it came."""

    def __init__(self, target: Target, ports: Ports, record: Record, wanted: _Wanted, work: Path) -> None:
        self.target = target
        self.ports = ports
        self.record = record
        self.wanted = wanted
        self.work = work
        self.inventory: object | None = None
        self._disturbed = False

    def run(self) -> Outcome:
        """Preview, judge, update and probe the wanted revision; go back where the policy says so."""
        try:
            outcome = self._bring(self.wanted.revision, self.wanted.digest, self.target.policy)
        except ReconcilerError as error:
            outcome = failed(error)
        if outcome.kind is OutcomeKind.FAILED and self._can_go_back:
            return self._go_back(outcome)
        return outcome

    def _bring(self, revision: Revision, digest: str, policy: Policy) -> Outcome:
        """Bring the stack to a revision; raises a ReconcilerError or returns an outcome."""
        with _program(self.target, self.ports, revision, digest, self.work) as program:
            preview = self.ports.engine.preview(program)
            self._tell(f"preview: {summarize(preview)}")
            verdict = judge(preview, policy, self.ports.store.approvals(self.target.name))
            self._tell(f"verdict: {verdict.kind}: {verdict.why}")
            match verdict.kind:
                case VerdictKind.UNCHANGED:
                    return self._unchanged(program, preview, verdict)
                case VerdictKind.ALLOWED:
                    return self._update(program, preview, verdict)
                case VerdictKind.NEEDS_APPROVAL | VerdictKind.FORBIDDEN:
                    return held(self.target.name, preview, verdict)

    def _unchanged(self, program: Program, preview: Preview, verdict: Verdict) -> Outcome:
        self.inventory = self.record.inventory or self.ports.engine.state(program).inventory
        inventory = read_inventory(self.inventory)
        probes = self._probe(inventory, tuple(inventory.services) if inventory else ())
        return seen(
            OutcomeKind.UNCHANGED, f"{program.revision.short}: {verdict.why}", preview, verdict, probes
        )

    def _update(self, program: Program, preview: Preview, verdict: Verdict) -> Outcome:
        self._disturbed = True
        updated = self.ports.engine.update(program, preview, self._note_engine)
        for change in updated.changes:
            if change.custom:
                self._tell(f"update: {change.operation} {change.name}")
        self.inventory = updated.inventory
        inventory = read_inventory(updated.inventory)
        probes = self._probe(inventory, touched(preview.changes, inventory) if inventory else ())
        done = seen(OutcomeKind.UPDATED, f"{program.revision.short} is live", preview, verdict, probes)
        return done.with_(changes=updated.changes)

    def _note_engine(self, mark: ProcessMark) -> None:
        if self.record.running is not None:
            self.record = self.record.with_(running=self.record.running.with_(engine=mark))
            self.ports.store.save(self.record)

    def _probe(self, inventory: Inventory | None, names: tuple[str, ...]) -> tuple[ProbeResult, ...]:
        services = inventory.services if inventory else {}
        until = self.ports.clock.now() + self.target.policy.probe_for
        results = []
        for name in names:
            result = self._probe_one(name, services[name], until)
            if result is not None:
                self._tell(f"probe: {name} {'healthy' if result.healthy else 'unhealthy'}: {result.detail}")
                results.append(result)
        return tuple(results)

    def _probe_one(self, name: str, service: Service, until: datetime) -> ProbeResult | None:
        if service.probe is None:
            return None
        while True:
            result = self.ports.prober.probe(name, service.probe)
            if result.healthy or self.ports.clock.now() >= until:
                return result
            self.ports.clock.wait(PROBE_EVERY)

    # -- going back --------------------------------------------------------------------------------

    @property
    def _can_go_back(self) -> bool:
        healthy = self.record.healthy
        return (
            self._disturbed
            and self.target.policy.on_failure is OnFailure.ROLLBACK
            and healthy is not None
            and healthy.commit != self.wanted.revision.commit
        )

    def _go_back(self, failure: Outcome) -> Outcome:
        healthy = self.record.healthy
        if healthy is None:
            return failure
        self._tell(f"{failure.kind}: {failure.message}")
        self._tell(f"rollback: going back to {healthy.short}")
        # A rollback is the policy's own wish, so it needs no approval; data and machines still do.
        policy = self.target.policy.with_(update=UpdateMode.AUTOMATIC, guard=Guard())
        back = replace(self.wanted, revision=healthy)
        try:
            outcome = self._bring(back.revision, _digest(self.target, self.ports, healthy), policy)
        except ReconcilerError as error:
            outcome = failed(error)
        if outcome.kind in {OutcomeKind.UPDATED, OutcomeKind.UNCHANGED}:
            return outcome.with_(
                kind=OutcomeKind.ROLLED_BACK,
                message=f"{failure.message}; went back to {healthy.short}",
                hint=failure.hint,
                restored=healthy,
            )
        return failure.with_(
            message=f"{failure.message}; cannot go back to {healthy.short}: {outcome.message}",
            hint=outcome.hint or failure.hint,
        )

    def _tell(self, line: str) -> None:
        self.ports.progress.tell(self.target.name, line)


# -- after a crash ---------------------------------------------------------------------------------


def _recover(target: Target, ports: Ports, record: Record, running: Running) -> Record:
    """Close a pass whose process died: we hold the stack, so its owner is gone.

    Raises:
        StackLockedError: something of the dead pass is alive and cannot be stopped.
    """
    now = ports.clock.now
    ports.progress.tell(
        target.name, f"recovery: pass {running.pass_id} for {running.revision.short} did not end"
    )
    digest = _digest(target, ports, running.revision)
    try:
        with _program(target, ports, running.revision, digest, ports.work / str(running.pass_id)) as program:
            found = ports.engine.settle(program, running.engine)
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
    ports.progress.tell(target.name, f"recovery: {outcome.message}")
    return after


def _tell_outcome(target: Target, ports: Ports, outcome: Outcome, took: timedelta) -> None:
    ports.progress.tell(target.name, f"{outcome.kind} in {took.total_seconds():.1f} s: {outcome.message}")
    if outcome.hint:
        ports.progress.tell(target.name, f"what to do: {outcome.hint}")


# -- places ----------------------------------------------------------------------------------------


@contextmanager
def _program(target: Target, ports: Ports, revision: Revision, digest: str, work: Path) -> Iterator[Program]:
    work.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ports.source.checkout(revision) as checkout:
        yield Program(
            directory=checkout / target.project,
            stack=target.policy.stack,
            work=work,
            revision=revision,
            digest=digest,
            create_stack=target.policy.create_stack,
        )


def _expire(work: Path, newest: int) -> None:
    """Remove the plan of a finished pass and the directories of passes long gone."""
    for plan in (work / str(newest)).glob("*plan*"):
        plan.unlink()
    numbers = sorted((int(entry.name) for entry in work.iterdir() if entry.name.isdigit()), reverse=True)
    for number in numbers[KEPT_WORK:]:
        shutil.rmtree(work / str(number), ignore_errors=True)
