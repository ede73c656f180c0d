"""The steps of one pass that may fail: preview, judge, update, probe, and the way back.

Every effect is behind a port. Records and history of a pass are `reconcile`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

from ronron.core.digest import digest as digest_of
from ronron.core.errors import ReconcilerError, UpdateFailedError
from ronron.core.excluded import Excluded
from ronron.core.inventory import Inventory, Probe, Service, changed_probes, read_inventory, touched
from ronron.core.judge import judge
from ronron.core.model import (
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
from ronron.core.policy import Guard, OnFailure, Policy, UpdateMode
from ronron.core.record import Record
from ronron.passes.machines import find_excluded, services_on
from ronron.passes.snapshots import taken_before, touched_with_backup
from ronron.ports import Backups, Clock, Engine, Machines, Prober, Processes, Program, Progress, Source, Store

PROBE_EVERY = 1.0
"""Seconds between two tries of a probe: a container that has just started answers within a few."""


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
    backups: Backups
    machines: Machines
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


def digest_at(target: Target, ports: Ports, revision: Revision) -> str:
    """What an environment depends on at a revision; see `core.digest`."""
    stacks = str(PurePosixPath(target.project, target.config_dir))
    return digest_of(
        ports.source.entries(revision, target.project),
        ports.source.entries(revision, stacks),
        config_dir=target.config_dir,
        stack=target.policy.stack,
    )


@contextmanager
def prepared(
    target: Target,
    ports: Ports,
    revision: Revision,
    digest: str,
    work: Path,
    *,
    running: Revision | None = None,
    excluded: Excluded | None = None,
) -> Iterator[Program]:
    """A program ready to be run: checked out for the block, with a private directory that stays.

    Args:
        target: the environment.
        ports: everything outside.
        revision: what is checked out.
        digest: of what the environment depends on there.
        work: the private directory.
        running: what is live before, where anybody knows.
        excluded: the machines that are left out.

    Raises:
        SourceError: it cannot be checked out.
    """
    work.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ports.source.checkout(revision) as checkout:
        yield Program(
            directory=checkout / target.project,
            stack=target.policy.stack,
            work=work,
            revision=revision,
            digest=digest,
            create_stack=target.policy.create_stack,
            running=running.commit if running is not None else None,
            excluded=excluded.names if excluded is not None else (),
        )


def probe_until(name: str, probe: Probe, until: datetime, prober: Prober, clock: Clock) -> ProbeResult:
    """Ask a service until it is healthy, or the time has come: one that has just started needs a while."""
    while True:
        result = prober.probe(name, probe)
        if result.healthy or clock.now() >= until:
            return result
        clock.wait(PROBE_EVERY)


class Attempt:
    """The steps of one pass that may fail; the outcome says how far they came.

    Args:
        target: the environment.
        ports: everything outside.
        record: what is remembered of it, with the intent of this pass written down.
        revision: what is wanted.
        digest: of what the environment depends on there.
        work: the pass's private directory.

    Attributes:
        record: the same with the engine's process and the stack's inventory, once they are known.
    """

    def __init__(
        self, target: Target, ports: Ports, record: Record, revision: Revision, digest: str, work: Path
    ) -> None:
        self.record = record
        self._target = target
        self._ports = ports
        self._revision = revision
        self._digest = digest
        self._work = work
        self._disturbed = False
        self._touched: set[str] = set()
        self._left_out: Excluded | None = None
        self._started = ports.clock.now()

    def run(self) -> Outcome:
        """Preview, judge, update and probe the wanted revision; go back where the policy says so."""
        self._left_out = find_excluded(self._ports.machines, self.record.inventory)
        if self._left_out is not None:
            self._tell(f"machines: {self._left_out.why}")
        try:
            outcome = self._bring(
                self._revision, self._digest, self._target.policy, running=self.record.everywhere
            )
        except ReconcilerError as error:
            outcome = failed(error)
        if outcome.kind is OutcomeKind.FAILED and self._can_go_back:
            outcome = self._go_back(outcome)
        taken = taken_before(
            self._target.name,
            self._touched,
            self.record.inventory,
            self._started,
            self._ports.backups,
            self._ports.progress,
        )
        return outcome.with_(snapshots=taken) if taken else outcome

    def _bring(self, revision: Revision, digest: str, policy: Policy, *, running: Revision | None) -> Outcome:
        """Bring the stack to a revision; raises a ReconcilerError or returns an outcome."""
        with prepared(
            *(self._target, self._ports, revision, digest, self._work),
            running=running,
            excluded=self._left_out,
        ) as program:
            if self._disturbed or not self._is_known:
                self._mend(program)
            preview = self._ports.engine.preview(program)
            self._tell(f"preview: {summarize(preview)}")
            verdict = judge(preview, policy, self._ports.store.approvals(self._target.name))
            self._tell(f"verdict: {verdict.kind}: {verdict.why}")
            match verdict.kind:
                case VerdictKind.UNCHANGED:
                    return self._unchanged(program, preview, verdict)
                case VerdictKind.ALLOWED:
                    return self._update(program, preview, verdict)
                case VerdictKind.NEEDS_APPROVAL | VerdictKind.FORBIDDEN:
                    return waiting(self._target.name, preview, verdict)

    def _unchanged(self, program: Program, preview: Preview, verdict: Verdict) -> Outcome:
        # An update that failed, or went on without us, may have exported another one.
        known = self._is_known and not self._disturbed and self.record.inventory is not None
        found = self.record.inventory if known else self._ports.engine.state(program).inventory
        self.record = self.record.with_(inventory=found)
        inventory = read_inventory(found)
        probes = self._probe(inventory, tuple(inventory.services) if inventory else ())
        return self._but_for_silent(
            seen(OutcomeKind.UNCHANGED, f"{program.revision.short}: {verdict.why}", preview, verdict, probes),
            program.revision,
            inventory,
        )

    def _update(self, program: Program, preview: Preview, verdict: Verdict) -> Outcome:
        self._disturbed = True
        self._touched |= touched_with_backup(preview.changes, self.record.inventory)
        self._touched -= set(self._left_out.services if self._left_out is not None else ())
        updated = self._ports.engine.update(program, preview, self._note_engine)
        for change in updated.changes:
            if change.custom:
                self._tell(f"update: {change.operation} {change.name}")
        before, self.record = self.record, self.record.with_(inventory=updated.inventory)
        inventory = read_inventory(updated.inventory)
        probes = self._probe(inventory, self._to_ask(preview, before, inventory) if inventory else ())
        done = seen(OutcomeKind.UPDATED, f"{program.revision.short} is live", preview, verdict, probes)
        return self._but_for_silent(done.with_(changes=updated.changes), program.revision, inventory)

    def _but_for_silent(self, outcome: Outcome, revision: Revision, inventory: Inventory | None) -> Outcome:
        """The outcome where machines were left out; what waits for them is what the stack has now."""
        if self._left_out is not None and inventory is not None:
            services = services_on(self._left_out.machines, inventory)
            self._left_out = self._left_out.with_(services=services)
        return in_part(outcome, revision, self._left_out)

    def _mend(self, program: Program) -> None:
        """Let what failed half-way be looked at again; an update alone takes it for done."""
        try:
            looked_at = self._ports.engine.refresh_failed(program)
        except UpdateFailedError as error:
            # The update tells better what is wrong, and may bring what is missing: a new token, for instance.
            self._tell(f"mending: cannot look again at what failed: {error.message}")
            return
        if looked_at:
            self._tell(f"mended: looked again at {', '.join(looked_at)}, whose last update failed")

    @property
    def _is_known(self) -> bool:
        """Whether anybody knows what is live: nothing failed or was stopped since the last good pass."""
        return self.record.digest is not None

    def _to_ask(self, preview: Preview, before: Record, inventory: Inventory) -> tuple[str, ...]:
        """The services that an update touched, and those that are to answer something else than before.

        All of them where nobody knows what is live: whatever was sick then must not be forgotten.
        """
        if not self._is_known:
            return tuple(sorted(inventory.services))
        return tuple(
            sorted({*touched(preview.changes, inventory), *changed_probes(before.inventory, inventory)})
        )

    def _note_engine(self, mark: ProcessMark) -> None:
        if self.record.running is not None:
            self.record = self.record.with_(running=self.record.running.with_(engine=mark))
            self._ports.store.save(self.record)

    def _probe(self, inventory: Inventory | None, names: tuple[str, ...]) -> tuple[ProbeResult, ...]:
        services = inventory.services if inventory else {}
        silent = self._left_out.machines if self._left_out is not None else {}
        until = self._ports.clock.now() + self._target.policy.probe_for
        results = []
        for name in names:
            if services[name].machine in silent:
                continue
            result = self._probe_one(name, services[name], until)
            if result is not None:
                self._tell(f"probe: {name} {'healthy' if result.healthy else 'unhealthy'}: {result.detail}")
                results.append(result)
        return tuple(results)

    def _probe_one(self, name: str, service: Service, until: datetime) -> ProbeResult | None:
        if service.probe is None:
            return None
        return probe_until(name, service.probe, until, self._ports.prober, self._ports.clock)

    # -- going back --------------------------------------------------------------------------------

    @property
    def _can_go_back(self) -> bool:
        healthy = self.record.healthy
        return (
            self._disturbed
            and self._target.policy.on_failure is OnFailure.ROLLBACK
            and healthy is not None
            and healthy.commit != self._revision.commit
        )

    def _go_back(self, failure: Outcome) -> Outcome:
        healthy = self.record.healthy
        if healthy is None:
            return failure
        self._tell(f"{failure.kind}: {failure.message}")
        self._tell(f"rollback: going back to {healthy.short}")
        # A rollback is the policy's own wish, so it needs no approval; data and machines still do.
        policy = self._target.policy.with_(update=UpdateMode.AUTOMATIC, guard=Guard())
        try:
            digest = digest_at(self._target, self._ports, healthy)
            # What came of the revision that failed is what a snapshot would be of.
            outcome = self._bring(healthy, digest, policy, running=self._revision)
        except ReconcilerError as error:
            outcome = failed(error)
        if outcome.kind in {OutcomeKind.UPDATED, OutcomeKind.UNCHANGED, OutcomeKind.DEGRADED}:
            but = f", but for what is silent: {outcome.excluded.why}" if outcome.excluded is not None else ""
            return outcome.with_(
                kind=OutcomeKind.ROLLED_BACK,
                message=f"{failure.message}; went back to {healthy.short}{but}",
                hint=failure.hint,
                restored=healthy,
            )
        return failure.with_(
            message=f"{failure.message}; cannot go back to {healthy.short}: {outcome.message}",
            hint=outcome.hint or failure.hint,
        )

    def _tell(self, line: str) -> None:
        self._ports.progress.log(self._target.name, line)
