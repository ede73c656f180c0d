"""The schedule, in the foreground: it runs each job, one at a time, as a process of its own.

A job is a command of the agent: its memory is freed with its process.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import subprocess
import sys
from collections.abc import Callable

from .configuration import Configuration, Places
from .journal import Journal, now
from .lock import is_free, locked
from .timetable import Timetable

STOP_SECONDS = 7.0
"""From SIGTERM to SIGKILL of a job that runs when the agent is stopped."""

POLL_SECONDS = 5.0
"""How often the clock is compared with the timetable: it may be set, and a machine may sleep."""

_ENDS = frozenset({signal.SIGTERM, signal.SIGINT})
_WAKES = _ENDS | {signal.SIGCHLD}

_COMMANDS = {
    "backup": ["backup", "--reason", "schedule"],
    "prune": ["prune"],
    "check": ["check"],
}
_log = logging.getLogger("ronron-agent")


class Serving:
    """The running schedule.

    Args:
        configuration: of the agent.
        journal: of the agent.
    """

    def __init__(self, configuration: Configuration, journal: Journal) -> None:
        self._timetable = Timetable(configuration, journal)
        _, self._first = journal.since()

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises:
            AgentError: `failed`: the schedule or the journal cannot be used.
        """
        # Blocked signals wait for sigtimedwait. Jobs inherit the mask and reset it.
        signal.pthread_sigmask(signal.SIG_BLOCK, _WAKES)
        self._timetable.plan(now(), first=self._first)
        times = sorted(self._timetable.times().items())
        _log.info("serving: %s", ", ".join(f"{job} at {at.isoformat()}" for job, at in times))
        stopped = False
        while not stopped:
            job = self._timetable.due(now())
            stopped = _stop_requested(POLL_SECONDS) if job is None else self._run(job)
        _log.info("stopping")

    def _run(self, job: str) -> bool:
        """Run one job to its end; whether the agent must stop."""
        self._timetable.begin(job, now())
        child = subprocess.Popen(
            [sys.executable, "-m", __package__ or "backup_agent", *_COMMANDS[job]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        stopped = False
        while child.poll() is None and not stopped:
            stopped = _stop_requested(POLL_SECONDS)
        if stopped:
            _end(child)
        code = child.wait()
        _log.info("%s: %s", job, "done" if code == 0 else f"failed ({code})")
        self._timetable.end(job, now(), done=code == 0, stopped=stopped)
        return stopped


def serve(
    configuration: Configuration, places: Places, journal: Journal, find_data: Callable[[], None]
) -> None:
    """Serve the schedule until SIGTERM or SIGINT.

    Args:
        configuration: of the agent.
        places: of the agent.
        journal: of the agent.
        find_data: finds out whether volumes were recreated.

    Raises:
        AgentError: `busy`: another process serves already; or the schedule cannot be used.
    """
    with locked(places.state / "serve.lock", wait=10.0):
        serving = Serving(configuration, journal)
        find_data()
        serving.run()


def alive(places: Places) -> bool:
    """Whether a process serves: it has the lock."""
    return not is_free(places.state / "serve.lock")


def _stop_requested(seconds: float) -> bool:
    """Wait for a signal or the end of a child, at most so long; whether the agent must stop."""
    received = signal.sigtimedwait(_WAKES, seconds)
    return received is not None and received.si_signo in _ENDS


def _end(child: subprocess.Popen[bytes]) -> None:
    child.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout=STOP_SECONDS)
    child.kill()
