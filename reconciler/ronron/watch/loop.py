"""Many passes: polls the source on a timer, and gives each environment to a worker when that is free.

Level, not edge: every poll reads everything again, so a lost wake-up costs one interval and nothing else.
Only this module catches unexpected errors, and counts each as a failure of its pass.
"""

from __future__ import annotations

import random
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ronron.core.backups import DrillResult
from ronron.core.decide import backoff
from ronron.core.errors import (
    AgentUnreachableError,
    ConfigError,
    ReconcilerError,
    SourceError,
    StackLockedError,
)
from ronron.core.hints import for_environment
from ronron.core.model import Outcome, OutcomeKind, Pass
from ronron.core.policy import Retry
from ronron.core.status import removed_hint
from ronron.passes.reconcile import Ports, Target, reconcile
from ronron.passes.removed import note_removed
from ronron.watch.backup_checks import back_up_own_state, check_backups, run_due_drill
from ronron.watch.periodic import Job, Periodic
from ronron.watch.unused_packages import remove_unneeded

EVERYWHERE = "source"
"""The name in lines that are about no single environment."""

SLOWEST = timedelta(minutes=5)
"""An unreachable repository is polled less and less often, but at least this often."""

BRIEF_SECONDS = 1.0
"""What ends within this time after a signal is not worth a line about waiting for it."""

Result = Pass | ReconcilerError
"""The result of one environment in a poll."""


@dataclass
class Loop:
    """Polls, starts passes, drains.

    Args:
        ports: for the passes.
        targets: reads the policy from the source as it stands now; raises ConfigError or SourceError.
        poll: time from one poll to the next; jitter only makes it shorter, by up to a tenth. A decision that
            time alone can change makes it shorter, too: its environment is polled at `poll_again_at`.
        workers: how many environments may have a pass at once; a stack never has two.
        debug: log tracebacks of unexpected errors.
        only: names of the environments to work on; empty for all.
        repository: the source's address without credentials, for the backup of the reconciler's own state.
        backup_poll: time from one check of an environment's backups to the next.
        jobs: what is repeated beside passes and maintenance; nothing of it where the loop polls once.
    """

    ports: Ports
    targets: Callable[[], Mapping[str, Target]]
    poll: timedelta
    workers: int = 4
    debug: bool = False
    only: frozenset[str] = frozenset()
    repository: str = ""
    backup_poll: timedelta = timedelta(minutes=15)
    jobs: Sequence[Job] = ()
    _periodic: Periodic = field(init=False)
    _stop: threading.Event = field(default_factory=threading.Event)
    _wake: threading.Event = field(default_factory=threading.Event)
    _poll_now: threading.Event = field(default_factory=threading.Event)
    _poll_again_at: dict[str, datetime] = field(default_factory=dict)
    _running: set[str] = field(default_factory=set)
    _passes: dict[str, Future[Result]] = field(default_factory=dict)
    _maintenance: dict[str, Future[None]] = field(default_factory=dict)
    _maintained: dict[str, datetime] = field(default_factory=dict)
    _updated: set[str] = field(default_factory=set)
    _logged: dict[tuple[str, str], ReconcilerError] = field(default_factory=dict)
    _targets: Mapping[str, Target] = field(default_factory=dict)
    _blind: int = 0

    def __post_init__(self) -> None:
        self._periodic = Periodic(self.ports.clock, self.jobs, self._job_failed, self._log_recovery)

    def run(self, *, once: bool = False) -> Mapping[str, Result]:
        """Poll until asked to stop, or once; then wait for running passes.

        Returns:
            The last result of each environment; an error of the source or the policy under `EVERYWHERE`.
        """
        results: dict[str, Result] = {}
        if not once:
            self._periodic.begin()
        with (
            # One thread of its own: drills run one at a time, and no pass waits for an agent.
            ThreadPoolExecutor(1, thread_name_prefix="maintenance") as maintainers,
            ThreadPoolExecutor(self.workers, thread_name_prefix="pass") as pool,
        ):
            while not self._stop.is_set():
                # Cleared before the poll: whatever happens from here on leads to another one.
                self._poll_now.clear()
                error = self._poll_once(pool, maintainers)
                if once:
                    if error is not None:
                        results[EVERYWHERE] = error
                    wait(self._passes.values())
                    self._maintain(maintainers)
                    break
                self._wait_for_next_poll()
            self._periodic.stop()
            self._announce_drain()
        return results | {name: future.result() for name, future in self._passes.items()}

    def wake(self) -> None:
        """Poll now; for a webhook, a finished pass, a signal."""
        self._poll_now.set()
        self._wake.set()

    def stop(self) -> None:
        """Start nothing new and let running passes end; a second call interrupts them, cleanly."""
        if self._stop.is_set():
            self.ports.engine.interrupt()
        self._stop.set()
        self.wake()

    # -- one poll ----------------------------------------------------------------------------------

    def _poll_once(self, pool: ThreadPoolExecutor, maintainers: ThreadPoolExecutor) -> ReconcilerError | None:
        try:
            self.ports.source.refresh()
            targets = self.targets()
            self._refuse_unknown(targets)
        except ReconcilerError as error:
            self._blind += 1
            self._log_error(EVERYWHERE, error)
            return error
        self._blind = 0
        self._log_recovery(EVERYWHERE)
        self._report_removed(targets)
        self._targets = targets
        self._periodic.use({name: one for name, one in targets.items() if not self.only or name in self.only})
        self._maintain(maintainers)
        for name in set(self._poll_again_at) - set(targets):
            self._poll_again_at.pop(name, None)
        for name, target in targets.items():
            if self.only and name not in self.only:
                continue
            if name not in self._running:
                self._poll_again_at.pop(name, None)
                self._running.add(name)
                self._passes[name] = pool.submit(self._pass, target)
        return None

    def _wait_for_next_poll(self) -> None:
        """Wait for the interval, for the time at which a decision can change, or for `wake`."""
        clock = self.ports.clock
        end = clock.now() + timedelta(seconds=self._pause())
        while True:
            # Cleared before anything is read: a pass that ends from here on ends the wait below.
            self._wake.clear()
            # An unreachable repository is not polled more often because an environment waits for a time.
            times = [] if self._blind else list(self._poll_again_at.values())
            left = (min([end, *times]) - clock.now()).total_seconds()
            if self._poll_now.is_set() or left <= 0 or not clock.wait(left, until=self._wake):
                return

    def _maintain(self, maintainers: ThreadPoolExecutor) -> None:
        """Check the backups of the environments that have had a pass here, where it is time."""
        now = self.ports.clock.now()
        for name, target in self._targets.items():
            maintained = self._maintained.get(name)
            if name not in self._passes or name in self._running:
                continue
            if name in self._maintenance and not self._maintenance[name].done():
                continue
            if maintained is None or now - maintained >= self.backup_poll:
                self._maintained[name] = now
                self._maintenance[name] = maintainers.submit(self._after_pass, target, self._targets)

    def _after_pass(self, target: Target, targets: Mapping[str, Target]) -> None:
        """Check the backups, back up the own state, run a drill; no error here ends a pass or the loop."""
        name = target.name
        updated = name in self._updated
        self._updated.discard(name)
        steps: tuple[tuple[str, Callable[[], object]], ...] = (
            ("check the backups", lambda: check_backups(name, self.ports, self.ports.clock.now())),
            (
                "back up the reconciler's own state",
                lambda: back_up_own_state(target, targets, self.ports, self.repository, updated=updated),
            ),
            ("remove unused virtual environments", lambda: remove_unneeded(targets, self.ports)),
            ("run a drill", lambda: run_due_drill(target, self.ports, self._stop.is_set)),
        )
        for what, step in steps:
            try:
                done = step()
            except AgentUnreachableError as error:
                # An update may replace the agent right now; after it, this is done again.
                if not self._is_updating(name):
                    self._log_error(name, error, about=what)
            except ReconcilerError as error:
                self._log_error(name, error, about=what)
            except Exception as error:  # noqa: BLE001 - as for a pass
                self._log_error(name, self._internal(error), about=what)
            else:
                self._log_recovery(name, about=what)
                if isinstance(done, DrillResult):
                    check_backups(name, self.ports, self.ports.clock.now())

    def _is_updating(self, name: str) -> bool:
        try:
            return self.ports.store.load(name).running is not None
        except ReconcilerError:
            return False

    def _refuse_unknown(self, targets: Mapping[str, Target]) -> None:
        unknown = sorted(self.only - set(targets))
        if unknown:
            known = ", ".join(sorted(targets))
            raise ConfigError(f"cannot find the environment {unknown[0]}", hint=f"use one of: {known}")

    def _pause(self) -> float:
        slow = Retry(after=self.poll, ceiling=max(self.poll, SLOWEST))
        pause = backoff(self._blind, slow) if self._blind else self.poll
        return pause.total_seconds() * random.uniform(0.9, 1.0)  # noqa: S311 - jitter is no secret

    def _report_removed(self, targets: Mapping[str, Target]) -> None:
        for name in note_removed(targets, self.ports):
            self._log(name, "removed from the policy; its stack stays as it is")
            self._log(name, f"hint: {removed_hint(self.ports.store.load(name))}")

    def _pass(self, target: Target) -> Result:
        try:
            result = self._reconcile(target)
        finally:
            # Before the loop is woken, so that its next poll can start another pass.
            self._running.discard(target.name)
        # A revision may have come in the meantime, or another environment may have waited for this one.
        # After an interruption a poll at once would only find the same stack still locked.
        outcome = result.outcome if isinstance(result, Pass) else None
        if outcome is not None:
            self._periodic.due_now(target.name)
        if outcome is not None and outcome.kind is not OutcomeKind.INTERRUPTED:
            self.wake()
        return result

    def _reconcile(self, target: Target) -> Result:
        try:
            made = reconcile(target, self.ports)
        except ReconcilerError as error:
            self._log_error(target.name, error)
            return error
        except Exception as error:  # noqa: BLE001 - the one place that catches unexpected errors
            return self._unexpected(target, error)
        self._log_recovery(target.name)
        self._ask_for_maintenance(made)
        if made.outcome is None and made.decision.poll_again_at is not None:
            self._poll_again_at[target.name] = made.decision.poll_again_at
            # The loop may wait already; it has to reckon again how long.
            self._wake.set()
        return made

    def _ask_for_maintenance(self, made: Pass) -> None:
        """Have the backups checked soon: an update may have failed because no snapshot could be taken."""
        if made.outcome is None or made.outcome.adopted or made.outcome.kind is OutcomeKind.INTERRUPTED:
            return
        if made.outcome.kind in {OutcomeKind.UPDATED, OutcomeKind.DEGRADED, OutcomeKind.ROLLED_BACK}:
            self._updated.add(made.environment)
        self._maintained.pop(made.environment, None)

    def _internal(self, error: Exception) -> ReconcilerError:
        text = (
            "".join(traceback.format_exception(error)) if self.debug else f"{type(error).__name__}: {error}"
        )
        return ReconcilerError(f"internal error: {text}", hint="run it with --debug, and report its output")

    def _unexpected(self, target: Target, error: Exception) -> ReconcilerError:
        internal = self._internal(error)
        self._log_error(target.name, internal)
        with suppress(ReconcilerError):  # a store that fails now leaves a pass that the next one recovers
            self._close(target, internal)
        return internal

    def _close(self, target: Target, error: ReconcilerError) -> None:
        store, now = self.ports.store, self.ports.clock.now()
        record = store.load(target.name)
        if record.running is not None and record.running.owner == self.ports.processes.mark():
            running = record.running
            outcome = Outcome(kind=OutcomeKind.FAILED, message=str(error), hint=error.hint, retryable=True)
            store.finish(running.pass_id, outcome, now, record.after(outcome, running.revision, None, now))

    def _announce_drain(self) -> None:
        # A pass that only decides ends at once; nobody waits for that.
        wait(self._passes.values(), BRIEF_SECONDS)
        wait(self._maintenance.values(), BRIEF_SECONDS)
        running = sorted(name for name, future in self._passes.items() if not future.done())
        running += sorted(
            f"backups of {name}" for name, future in self._maintenance.items() if not future.done()
        )
        if running and self._stop.is_set():
            self._log(
                EVERYWHERE, f"stopping: waiting for {', '.join(running)}; a second signal interrupts it"
            )

    def _job_failed(self, name: str, about: str, error: Exception) -> None:
        known = error if isinstance(error, ReconcilerError) else self._internal(error)
        self._log_error(name, known, about=about)

    # -- each error once ---------------------------------------------------------------------------

    def _log_error(self, name: str, error: ReconcilerError, about: str = "") -> None:
        key = (name, about)
        if key in self._logged and str(self._logged[key]) == str(error):
            return
        self._logged[key] = error
        self._log(name, f"cannot {about}: {error}" if about else f"{_word(error)}: {error}")
        if error.hint:
            self._log(name, f"hint: {for_environment(error.hint, name)}")

    def _log_recovery(self, name: str, about: str = "") -> None:
        error = self._logged.pop((name, about), None)
        if error is not None:
            self._log(name, f"recovered: {_recovery(name, error, about)}")

    def _log(self, name: str, line: str) -> None:
        self.ports.progress.log(name, line)


def _word(error: ReconcilerError) -> str:
    if isinstance(error, StackLockedError):
        return "locked"
    return "cannot poll" if isinstance(error, SourceError) else "error"


def _recovery(name: str, error: ReconcilerError, about: str) -> str:
    """What works again, as a sentence with a subject."""
    if about:
        return f"the watcher can {about} again"
    if isinstance(error, SourceError):
        return "the repository is reachable"
    if isinstance(error, StackLockedError):
        return f"the stack of {name} is no longer locked"
    return "the policy can be read" if name == EVERYWHERE else f"the watcher can check {name} again"
