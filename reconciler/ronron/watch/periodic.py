"""Jobs that the watcher repeats, each at an interval of its own, apart from passes and maintenance.

A job works on subjects: an environment, or one service of it. Each subject has its own times: one that hangs
delays no other one. A subject never has two runs at once.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ronron.passes.target import Target
from ronron.ports import Clock

SPREAD = timedelta(seconds=2)
"""The first runs of new subjects are spread over this time at most."""

JITTER = 0.1
"""The part of an interval by which it may be shorter: subjects that began together drift apart."""

LONGEST_WAIT = timedelta(seconds=5)
"""How long a new subject, such as a new service, stays unnoticed at most."""

GRACE = timedelta(seconds=2)
"""How long `stop` waits for runs that do not look at `stopping`."""

Subject = tuple[str, ...]
"""What one run is about: the name of the environment first, then what the job distinguishes in it."""

Targets = Mapping[str, Target]
"""The environments of the policy, by name."""


@dataclass(frozen=True)
class Job:
    """A job that is repeated.

    Args:
        name: what it does, for the line `cannot <name>: ...`, such as `probe the services`.
        subjects: its subjects and the interval of each; called often, so it has to be quick.
        run: works on one subject, in a thread of its own. Returns after how long the subject is due again, or
            None for its interval, which counts from the beginning of the run. It ends soon, and has no
            further effect, once `stopping` is set.
        at_once: how many runs may be under way at once.
    """

    name: str
    subjects: Callable[[Targets], Mapping[Subject, timedelta]]
    run: Callable[[Target, Subject, threading.Event], timedelta | None]
    at_once: int = 4


def for_each_environment(
    every: Callable[[Target], timedelta | None],
) -> Callable[[Targets], Mapping[Subject, timedelta]]:
    """The subjects of a job that works on whole environments.

    Args:
        every: the interval of an environment; None where the job has nothing to do there.
    """

    def subjects(targets: Targets) -> Mapping[Subject, timedelta]:
        intervals = {(name,): every(target) for name, target in targets.items()}
        return {subject: interval for subject, interval in intervals.items() if interval is not None}

    return subjects


@dataclass
class Schedule:
    """When each subject of one job is due.

    Args:
        chance: a random number from 0 to 1.
    """

    chance: Callable[[], float] = random.random
    _due: dict[Subject, datetime] = field(default_factory=dict)
    _intervals: dict[Subject, timedelta] = field(default_factory=dict)
    _began: dict[Subject, datetime] = field(default_factory=dict)

    def know(self, subjects: Mapping[Subject, timedelta], now: datetime) -> None:
        """Take over the subjects as they are now: new ones are due soon, those that are gone never again.

        A subject whose interval has become shorter is due after the new one at most.
        """
        for gone in set(self._due) - set(subjects):
            del self._due[gone]
        for subject, every in subjects.items():
            if subject not in self._due:
                self._due[subject] = now + min(SPREAD, every) * self.chance()
            elif every != self._intervals.get(subject):
                self._due[subject] = min(self._due[subject], now + every)
        self._intervals = dict(subjects)

    def begin_due(self, now: datetime, most: int) -> tuple[Subject, ...]:
        """Begin the runs that are due, the longest due first, at most `most` at once."""
        due = sorted((at, subject) for subject, at in self._due.items() if subject not in self._began)
        free = max(0, most - len(self._began))
        begun = tuple(subject for at, subject in due if at <= now)[:free]
        self._began |= dict.fromkeys(begun, now)
        return begun

    def end(self, subject: Subject, now: datetime, again: timedelta | None) -> None:
        """Note that a run has ended, and when the subject is due again."""
        began = self._began.pop(subject)
        if subject not in self._due:
            return
        every = self._intervals[subject]
        next_time = began + every * (1 - JITTER * self.chance()) if again is None else now + again
        self._due[subject] = max(now, next_time)

    def due_now(self, environment: str, now: datetime) -> None:
        """Make all subjects of an environment due now."""
        self._due |= {subject: now for subject in self._due if subject[0] == environment}

    def next_due(self) -> datetime | None:
        """When the next run is due that is not under way; None for none."""
        return min((at for subject, at in self._due.items() if subject not in self._began), default=None)


def _in_a_thread(name: str, run: Callable[[], None]) -> None:
    threading.Thread(target=run, name=name, daemon=True).start()


class Periodic:
    """Runs jobs for the environments that the watcher knows, until it is stopped.

    Args:
        clock: the time.
        jobs: what is repeated.
        failed: is called with an environment, what the job does, and the exception that ended a run.
        succeeded: is called with an environment and what the job does after each run without one.
        start: begins a run beside the caller; has a name for it.
    """

    def __init__(
        self,
        clock: Clock,
        jobs: Sequence[Job],
        failed: Callable[[str, str, Exception], None],
        succeeded: Callable[[str, str], None],
        start: Callable[[str, Callable[[], None]], None] = _in_a_thread,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._jobs = [(job, Schedule(chance)) for job in jobs]
        self._failed = failed
        self._succeeded = succeeded
        self._start = start
        self._targets: Targets = {}
        self._lock = threading.RLock()
        self._idle = threading.Condition(self._lock)
        self._running = 0
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Run the jobs from now on, in threads of their own; nothing where there is no job."""
        if self._jobs and self._thread is None:
            self._thread = threading.Thread(target=self._repeat, name="periodic", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Begin no run any more, and wait a moment for those that are under way."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        with self._idle:
            self._idle.wait_for(lambda: not self._running, GRACE.total_seconds())

    def use(self, targets: Targets) -> None:
        """Work on these environments from now on."""
        with self._lock:
            self._targets = dict(targets)
        self._wake.set()

    def due_now(self, environment: str) -> None:
        """Run all jobs of an environment now: something has changed there."""
        with self._lock:
            for _, schedule in self._jobs:
                schedule.due_now(environment, self._clock.now())
        self._wake.set()

    def look(self) -> timedelta:
        """Begin all runs that are due, and say how long nothing else is due."""
        now = self._clock.now()
        next_time = now + LONGEST_WAIT
        for job, schedule in self._jobs:
            with self._lock:
                targets = self._targets
            try:
                subjects = job.subjects(targets)
            except Exception as error:  # noqa: BLE001 - no error of a job ends the others
                self._report(next(iter(sorted(targets)), ""), job, error)
                continue
            with self._lock:
                schedule.know(subjects, now)
                begun = schedule.begin_due(now, job.at_once)
                self._running += len(begun)
            for subject in begun:
                self._begin(job, schedule, targets[subject[0]], subject)
            with self._lock:
                due = schedule.next_due()
            # What is due already waits for a free place: the end of a run wakes the thread.
            if due is not None and due > now:
                next_time = min(next_time, due)
        return next_time - now

    def _repeat(self) -> None:
        while not self._stopping.is_set():
            # Cleared before anything is read: whatever happens from here on ends the wait below.
            self._wake.clear()
            self._clock.wait(self.look().total_seconds(), until=self._wake)

    def _begin(self, job: Job, schedule: Schedule, target: Target, subject: Subject) -> None:
        self._start(f"{job.name}: {' '.join(subject)}", lambda: self._run(job, schedule, target, subject))

    def _run(self, job: Job, schedule: Schedule, target: Target, subject: Subject) -> None:
        again: timedelta | None = None
        try:
            again = job.run(target, subject, self._stopping)
        except Exception as error:  # noqa: BLE001 - no error of a job ends the others
            self._report(subject[0], job, error)
        else:
            if not self._stopping.is_set():
                self._succeeded(subject[0], job.name)
        finally:
            with self._idle:
                schedule.end(subject, self._clock.now(), again)
                self._running -= 1
                self._idle.notify_all()
            self._wake.set()

    def _report(self, environment: str, job: Job, error: Exception) -> None:
        if not self._stopping.is_set():
            self._failed(environment, job.name, error)
