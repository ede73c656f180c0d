"""The watcher of the demo: starts and stops `ronron watch`, and reads its output."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from demo.collective import clean_environment
from demo.places import STACK, Places
from ronron.adapters.processes import LinuxProcesses
from ronron.core.model import ProcessMark

POLL = 2
"""Poll interval in seconds: short, so that nobody waits in front of a demo."""

GRACE = 120
"""Seconds for a running update to end after SIGTERM."""


class WatcherError(Exception):
    """The watcher ended by itself."""


@contextmanager
def watching(places: Places) -> Iterator[Watcher]:
    """Run `ronron watch` for the block; stopped and waited for at its end."""
    stop_left_over(places)
    with places.watch_log.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ronron.commands.cli", "watch", STACK, "--poll", f"{POLL}s"],
            cwd=places.root,
            env=clean_environment(places.ronron_environment()),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    mark = LinuxProcesses().mark_of(process.pid)
    if mark is not None:
        places.watch_process.write_text(mark.model_dump_json())
    try:
        yield Watcher(places, process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(GRACE)
        places.watch_process.unlink(missing_ok=True)


class Watcher:
    """A running watcher and its output."""

    def __init__(self, places: Places, process: subprocess.Popen[bytes]) -> None:
        self._places = places
        self._process = process
        self._read = 0

    def new_lines(self) -> list[str]:
        """The lines of output since the last call.

        Raises:
            WatcherError: it has ended.
        """
        with self._places.watch_log.open("rb") as log:
            log.seek(self._read)
            fresh = log.read()
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self._read += len(whole)
        if not whole and self._process.poll() is not None:
            raise WatcherError(
                f"ronron watch ended with {self._process.returncode}\nhint: read {self._places.watch_log}"
            )
        return whole.decode(errors="replace").splitlines()


def stop_left_over(places: Places) -> None:
    """Stop the watcher of a killed run, if that process still runs."""
    try:
        mark = ProcessMark.model_validate_json(places.watch_process.read_text())
    except FileNotFoundError:
        return
    processes = LinuxProcesses()
    if processes.alive(mark):
        os.kill(mark.pid, signal.SIGTERM)
        until = time.monotonic() + GRACE
        while processes.alive(mark) and time.monotonic() < until:
            time.sleep(0.2)
    places.watch_process.unlink(missing_ok=True)
