"""Many passes: looks at the source on a timer, and gives each environment to a worker when it is free.

Level, not edge: every look reads everything again, so a lost wake-up costs one interval and nothing else.
Only this module catches what nobody expected, and counts it as a failure of that pass.
"""

from __future__ import annotations

import random
import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ronron.core.backups import DrillResult
from ronron.core.decide import backoff
from ronron.core.errors import ConfigError, ReconcilerError, SourceError, StackLockedError
from ronron.core.model import Outcome, OutcomeKind, Pass
from ronron.core.policy import Retry
from ronron.passes.reconcile import Ports, Target, reconcile
from ronron.watch.backup_checks import back_up_own_state, check_backups, run_due_drill

EVERYWHERE = "source"
"""What the loop calls itself where it speaks of no single environment."""

SLOWEST = timedelta(minutes=5)
"""A repository that does not answer is asked less and less often, and at least this often."""

Result = Pass | ReconcilerError
"""What became of an environment in a look."""


@dataclass
class Loop:
    """Looks, hands out passes, drains.

    Args:
        ports: for the passes.
        targets: reads the policy from the source as it stands now; raises ConfigError or SourceError.
        poll: time from one look to the next; jitter only makes it shorter, by up to a tenth.
        workers: how many environments may be worked on at once; one stack is never worked on twice.
        debug: tell tracebacks of what nobody expected.
        only: names of the environments to work on; empty for all.
        repository: the source's address without credentials, for our own backup.
        backup_poll: time from one look at the backups of an environment to the next.
    """

    ports: Ports
    targets: Callable[[], Mapping[str, Target]]
    poll: timedelta
    workers: int = 4
    debug: bool = False
    only: frozenset[str] = frozenset()
    repository: str = ""
    backup_poll: timedelta = timedelta(minutes=15)
    _stop: threading.Event = field(default_factory=threading.Event)
    _wake: threading.Event = field(default_factory=threading.Event)
    _passes: dict[str, Future[Result]] = field(default_factory=dict)
    _care: dict[str, Future[None]] = field(default_factory=dict)
    _cared: dict[str, datetime] = field(default_factory=dict)
    _updated: set[str] = field(default_factory=set)
    _said: dict[tuple[str, str], str] = field(default_factory=dict)
    _targets: Mapping[str, Target] = field(default_factory=dict)
    _removed: set[str] = field(default_factory=set)
    _blind: int = 0

    def run(self, *, once: bool = False) -> Mapping[str, Result]:
        """Look until asked to stop, or once; then wait for what runs.

        Returns:
            What became of each environment last; an error of the source or the policy under `EVERYWHERE`.
        """
        results: dict[str, Result] = {}
        with (
            # One thread of its own: drills are made one at a time, and no pass waits for an agent.
            ThreadPoolExecutor(1, thread_name_prefix="care") as carers,
            ThreadPoolExecutor(self.workers, thread_name_prefix="pass") as pool,
        ):
            while not self._stop.is_set():
                # Cleared before the look: whatever happens from here on earns another one.
                self._wake.clear()
                error = self._look(pool, carers)
                if once:
                    if error is not None:
                        results[EVERYWHERE] = error
                    wait(self._passes.values())
                    self._look_after(carers)
                    break
                self.ports.clock.wait(self._pause(), until=self._wake)
            self._announce_drain()
        return results | {name: future.result() for name, future in self._passes.items()}

    def wake(self) -> None:
        """Look again now; for a webhook, a finished pass, a signal."""
        self._wake.set()

    def stop(self) -> None:
        """Take on nothing new, let what runs end; a second call interrupts what runs, cleanly."""
        if self._stop.is_set():
            self.ports.engine.interrupt()
        self._stop.set()
        self._wake.set()

    # -- one look ----------------------------------------------------------------------------------

    def _look(self, pool: ThreadPoolExecutor, carers: ThreadPoolExecutor) -> ReconcilerError | None:
        try:
            self.ports.source.refresh()
            targets = self.targets()
            self._refuse_unknown(targets)
        except ReconcilerError as error:
            self._blind += 1
            self._say(EVERYWHERE, error)
            return error
        self._blind = 0
        self._unsay(EVERYWHERE)
        self._report_removed(targets)
        self._targets = targets
        self._look_after(carers)
        for name, target in targets.items():
            if self.only and name not in self.only:
                continue
            if name not in self._passes or self._passes[name].done():
                self._passes[name] = pool.submit(self._pass, target)
                self._passes[name].add_done_callback(self._after)
        return None

    def _look_after(self, carers: ThreadPoolExecutor) -> None:
        """Look at the backups of the environments that have had a pass here, where it is time."""
        now = self.ports.clock.now()
        for name, target in self._targets.items():
            made, cared = self._passes.get(name), self._cared.get(name)
            if made is None or not made.done() or (name in self._care and not self._care[name].done()):
                continue
            if cared is None or now - cared >= self.backup_poll:
                self._cared[name] = now
                self._care[name] = carers.submit(self._after_pass, target, self._targets)

    def _after_pass(self, target: Target, targets: Mapping[str, Target]) -> None:
        """Look at the backups, keep our own, make a drill; nothing of it may end a pass or the loop."""
        name = target.name
        updated = name in self._updated
        self._updated.discard(name)
        steps: tuple[tuple[str, Callable[[], object]], ...] = (
            ("look at the backups", lambda: check_backups(name, self.ports, self.ports.clock.now())),
            (
                "keep the reconciler's own backup",
                lambda: back_up_own_state(target, targets, self.ports, self.repository, updated=updated),
            ),
            ("make a drill", lambda: run_due_drill(target, self.ports, self._stop.is_set)),
        )
        for what, step in steps:
            try:
                done = step()
            except ReconcilerError as error:
                self._say(name, error, about=what)
            except Exception as error:  # noqa: BLE001 - as for a pass
                self._say(name, self._told(error), about=what)
            else:
                self._unsay(name, about=what)
                if isinstance(done, DrillResult):
                    check_backups(name, self.ports, self.ports.clock.now())

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
        removed = {name for name in self.ports.store.environments() if name not in targets}
        for name in sorted(removed - self._removed):
            self._tell(
                name, "no longer in the policy; its stack is left as it is, destroy it by hand if meant"
            )
        self._removed = removed

    def _pass(self, target: Target) -> Result:
        try:
            made = reconcile(target, self.ports)
        except ReconcilerError as error:
            self._say(target.name, error)
            return error
        except Exception as error:  # noqa: BLE001 - the one place where the unexpected ends
            return self._unexpected(target, error)
        self._unsay(target.name)
        self._earn_care(made)
        return made

    def _earn_care(self, made: Pass) -> None:
        """Have the backups looked at soon: an update may have failed because no snapshot could be taken."""
        if made.outcome is None or made.outcome.adopted or made.outcome.kind is OutcomeKind.INTERRUPTED:
            return
        if made.outcome.kind in {OutcomeKind.UPDATED, OutcomeKind.DEGRADED, OutcomeKind.ROLLED_BACK}:
            self._updated.add(made.environment)
        self._cared.pop(made.environment, None)

    def _after(self, future: Future[Result]) -> None:
        # A revision may have come in the meantime, or another environment may have waited for this one.
        # After an interruption a look at once would only find the same stack still locked.
        result = future.result()
        outcome = result.outcome if isinstance(result, Pass) else None
        if outcome is not None and outcome.kind is not OutcomeKind.INTERRUPTED:
            self._wake.set()

    def _told(self, error: Exception) -> ReconcilerError:
        text = (
            "".join(traceback.format_exception(error)) if self.debug else f"{type(error).__name__}: {error}"
        )
        return ReconcilerError(
            f"internal error: {text}", hint="run again with --debug and report what it says"
        )

    def _unexpected(self, target: Target, error: Exception) -> ReconcilerError:
        told = self._told(error)
        self._say(target.name, told)
        with suppress(ReconcilerError):  # a store that fails now leaves a pass that the next one recovers
            self._close(target, told)
        return told

    def _close(self, target: Target, told: ReconcilerError) -> None:
        store, now = self.ports.store, self.ports.clock.now()
        record = store.load(target.name)
        if record.running is not None and record.running.owner == self.ports.processes.mark():
            running = record.running
            outcome = Outcome(kind=OutcomeKind.FAILED, message=str(told), hint=told.hint, retryable=True)
            store.finish(running.pass_id, outcome, now, record.after(outcome, running.revision, None, now))

    def _announce_drain(self) -> None:
        running = sorted(name for name, future in self._passes.items() if not future.done())
        running += sorted(f"backups of {name}" for name, future in self._care.items() if not future.done())
        if running and self._stop.is_set():
            self._tell(EVERYWHERE, f"stopping: {', '.join(running)} may end first; ask again to interrupt")

    # -- saying a thing once -----------------------------------------------------------------------

    def _say(self, name: str, error: ReconcilerError, about: str = "") -> None:
        key = (name, about)
        if self._said.get(key) == str(error):
            return
        self._said[key] = str(error)
        self._tell(name, f"cannot {about}: {error}" if about else f"{_word(error)}: {error}")
        if error.hint:
            self._tell(name, f"what to do: {error.hint}")

    def _unsay(self, name: str, about: str = "") -> None:
        if self._said.pop((name, about), None) is not None:
            self._tell(name, f"that is over: can {about} again" if about else "that is over: it works again")

    def _tell(self, name: str, line: str) -> None:
        self.ports.progress.log(name, line)


def _word(error: ReconcilerError) -> str:
    if isinstance(error, StackLockedError):
        return "locked"
    return "cannot look" if isinstance(error, SourceError) else "error"
