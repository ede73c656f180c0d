"""When each job of the agent runs next: stored in the journal, so that it outlives container and machine.

A job whose time passed while the agent was stopped is due at the next start, once.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from .configuration import Configuration
from .journal import Journal, moment
from .schedule import FIRST_BACKUP, PRUNE_DAYS, RETRY_AFTER, days_of, next_run

JOBS = ("backup", "prune", "check")
"""In the order in which they run when several are due at the same time."""


class Timetable:
    """The next run of each job.

    The journal has these facts for each job: `plan JOB`, what its regular runs are computed from; `regular
    JOB`, the next of them; `retry JOB`, an additional run; and `next JOB`, the earlier of both, for STATUS.

    Args:
        configuration: of the agent.
        journal: of the agent.
    """

    def __init__(self, configuration: Configuration, journal: Journal) -> None:
        self._schedule = configuration.schedule
        self._days = {"check": days_of(configuration.check)}
        if configuration.forget:
            self._days["prune"] = PRUNE_DAYS
        self._journal = journal

    def plan(self, now: datetime, *, first: bool) -> None:
        """Compute the next run of every job; a job whose plan did not change keeps its own, also a past one.

        Args:
            now: the present moment.
            first: whether the agent never ran before: then a first backup follows soon.

        Raises:
            AgentError: `failed`: the schedule cannot be used.
        """
        begin = next_run(self._schedule, now)
        for job in JOBS:
            if job != "backup" and job not in self._days:
                self._forget(job)
                continue
            plan = f"cron {self._schedule}" if job == "backup" else f"every {self._days[job]} days"
            known = self._journal.fact(f"plan {job}")
            if known is None and self._journal.fact(f"next {job}"):
                # An agent with APScheduler served before: its next run becomes ours.
                self._journal.remember(f"regular {job}", self._journal.fact(f"next {job}") or "")
            elif known != plan:
                # Not all at once: prune and check follow the first backup.
                later = {"backup": 0, "prune": 1, "check": 2}[job]
                regular = begin + timedelta(hours=later)
                self._set(job, regular=regular, retry=self._time(f"retry {job}"))
            self._journal.remember(f"plan {job}", plan)
        if first:
            self.retry("backup", now + FIRST_BACKUP)

    def due(self, now: datetime) -> str | None:
        """The job whose time came first; None where none is due."""
        times = self.times()
        ready = [job for job in JOBS if job in times and times[job] <= now]
        return min(ready, key=lambda job: times[job], default=None)

    def times(self) -> dict[str, datetime]:
        """The next run of each job."""
        found = {job: self._time(f"next {job}") for job in JOBS}
        return {job: at for job, at in found.items() if at is not None}

    def begin(self, job: str, now: datetime) -> None:
        """Record that a job starts: this run makes up for all missed ones."""
        regular = self._time(f"regular {job}") or now
        if regular <= now:
            if job == "backup":
                regular = next_run(self._schedule, now)
            else:
                period = timedelta(days=self._days[job])
                regular += period * ((now - regular) // period + 1)
        self._set(job, regular=regular, retry=None)

    def end(self, job: str, now: datetime, *, done: bool, stopped: bool = False) -> None:
        """Record that a job ended.

        Args:
            job: which one.
            now: the present moment.
            done: whether it succeeded; a failed backup is retried after `RETRY_AFTER`.
            stopped: whether the agent's own end stopped it: then it runs at the next start.
        """
        if done:
            return
        if stopped:
            self.retry(job, now)
        elif job == "backup":
            self.retry(job, now + RETRY_AFTER)

    def retry(self, job: str, at: datetime) -> None:
        """Run a job once more at a moment, besides its regular runs."""
        self._set(job, regular=self._time(f"regular {job}"), retry=at)

    def _set(self, job: str, *, regular: datetime | None, retry: datetime | None) -> None:
        times = [at for at in (regular, retry) if at is not None]
        upcoming = min(times, default=None)
        for fact, at in (("regular", regular), ("retry", retry), ("next", upcoming)):
            self._journal.remember(f"{fact} {job}", moment(at) if at is not None else "")

    def _forget(self, job: str) -> None:
        for fact in ("plan", "regular", "retry", "next"):
            self._journal.remember(f"{fact} {job}", "")

    def _time(self, fact: str) -> datetime | None:
        text = self._journal.fact(fact)
        return datetime.fromisoformat(text) if text else None
