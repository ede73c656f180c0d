"""The schedule, in the foreground: its jobs outlive the container, and what was missed is made up for.

Each job is a process of its own that runs a command of the agent: its memory ends with it.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from .configuration import Configuration, Places
from .errors import AgentError
from .journal import Journal, now
from .lock import held, is_free
from .schedule import AGAIN, FIRST_BACKUP, PRUNE_DAYS, days_of, trigger

if TYPE_CHECKING:
    from apscheduler.schedulers.background import BackgroundScheduler

STOP_SECONDS = 7.0
"""A job gets so long to end; Docker gives ten seconds before it kills."""

LOOK_SECONDS = 5.0

_ENDS = frozenset({signal.SIGTERM, signal.SIGINT})

_COMMANDS = {
    "backup": ["backup", "--reason", "schedule"],
    "prune": ["prune"],
    "check": ["check"],
}
_log = logging.getLogger("ronron-agent")
_serving: Serving | None = None


class Serving:
    """The running schedule.

    Args:
        configuration: of the agent.
        places: of the agent.
        journal: of the agent.
    """

    def __init__(self, configuration: Configuration, places: Places, journal: Journal) -> None:
        self._configuration = configuration
        self._places = places
        self._journal = journal
        self._stopping = threading.Event()
        self._guard = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._scheduler = _scheduler(places)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        global _serving  # a job that is kept on disk can only name a function
        _serving = self
        # Waited for below. Before threads begin, so that the kernel hands them to nobody else.
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
        _, first = self._journal.since()
        self._scheduler.start(paused=True)
        self._plan(first)
        self._scheduler.resume()
        _log.info("serving: %s", ", ".join(f"{name} at {at}" for name, at in self._next().items()))
        while signal.sigtimedwait(_ENDS, LOOK_SECONDS) is None:
            if not self._scheduler.running:
                raise AgentError("failed", "cannot go on: the scheduler has ended", "Read the log above it")
            self._remember_next()
        _log.info("stopping")
        # Paused and not shut down: APScheduler looks for due jobs once more as it shuts down, and takes them
        # off its store without running them. Whatever is in the store now is there at the next start.
        self._scheduler.pause()
        self._end_child()

    def job(self, kind: str) -> None:
        """Do one job; a backup that fails is tried again later."""
        with self._guard:
            if not self._stopping.is_set():
                self._child = subprocess.Popen(
                    [sys.executable, "-m", __package__ or "backup_agent", *_COMMANDS[kind]],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,
                )
        code = self._child.wait() if self._child is not None else -signal.SIGTERM
        with self._guard:
            self._child = None
        _log.info("%s: %s", kind, "done" if code == 0 else f"failed ({code})")
        if code == 0:
            self._not_again(kind)
        elif self._stopping.is_set():
            # What was broken off by our own end is begun again at the next start.
            self._once(kind, now())
        elif kind == "backup":
            self._once(kind, now() + AGAIN)

    def _plan(self, first: bool) -> None:
        """Give every job its trigger; an unchanged one keeps its next time, also where that has passed."""
        from apscheduler.triggers.interval import IntervalTrigger

        cron = trigger(self._configuration.schedule)
        begin = cron.get_next_fire_time(None, now()) or now()
        check = days_of(self._configuration.check)
        wanted: dict[str, tuple[str, Any]] = {
            "backup": (f"cron {self._configuration.schedule}", cron),
            "check": (
                f"every {check} days",
                IntervalTrigger(days=check, start_date=begin + timedelta(hours=2)),
            ),
        }
        if self._configuration.forget:
            wanted["prune"] = (
                f"every {PRUNE_DAYS} days",
                IntervalTrigger(days=PRUNE_DAYS, start_date=begin + timedelta(hours=1)),
            )
        elif self._scheduler.get_job("prune"):
            self._scheduler.remove_job("prune")
        for kind, (words, made) in wanted.items():
            # The words are the job's name: they say on disk what it was planned from.
            present = self._scheduler.get_job(kind)
            if present is None or present.name != words:
                self._scheduler.add_job(due, made, args=[kind], id=kind, name=words, replace_existing=True)
        if first:
            self._once("backup", now() + FIRST_BACKUP)
        self._remember_next()

    def _once(self, kind: str, at: datetime) -> None:
        name = f"again {kind}"
        self._scheduler.add_job(
            due, "date", run_date=at, args=[kind], id=name, name=name, replace_existing=True
        )

    def _not_again(self, kind: str) -> None:
        if self._scheduler.get_job(f"again {kind}"):
            self._scheduler.remove_job(f"again {kind}")

    def _next(self) -> dict[str, str]:
        found: dict[str, datetime] = {}
        for job in self._scheduler.get_jobs():
            (kind,) = job.args
            if job.next_run_time and (kind not in found or job.next_run_time < found[kind]):
                found[kind] = job.next_run_time
        return {kind: at.isoformat(timespec="seconds") for kind, at in sorted(found.items())}

    def _remember_next(self) -> None:
        for kind in _COMMANDS:
            self._journal.remember(f"next {kind}", self._next().get(kind, ""))

    def _end_child(self) -> None:
        """End the job that runs now, if there is one; its thread is waited for as the process ends."""
        with self._guard:
            self._stopping.set()
            child = self._child
        if child is None:
            return
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()


def due(kind: str) -> None:
    """What the scheduler calls; its name is on disk, so it stays."""
    if _serving is not None:
        _serving.job(kind)


def serve(configuration: Configuration, places: Places, journal: Journal) -> None:
    """Serve the schedule until somebody ends it.

    Raises:
        AgentError: `busy`: another one serves already; or the schedule cannot be used.
    """
    with held(places.state / "serve.lock", wait=10.0):
        Serving(configuration, places, journal).run()


def alive(places: Places) -> bool:
    """Whether somebody serves: its lock is held."""
    return not is_free(places.state / "serve.lock")


def _scheduler(places: Places) -> BackgroundScheduler:
    from apscheduler.executors.pool import ThreadPoolExecutor
    from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
    from apscheduler.schedulers.background import BackgroundScheduler

    return BackgroundScheduler(
        jobstores={"default": SQLAlchemyJobStore(url=f"sqlite:///{places.state / 'schedule.sqlite'}")},
        # One job after the other: they would wait for each other's lock anyway.
        executors={"default": ThreadPoolExecutor(1)},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        timezone="UTC",
    )
