"""Ends what a reconciler that died left: an engine that still runs, and the processes of a dead one."""

from __future__ import annotations

import os
import select
import signal
from datetime import timedelta
from pathlib import Path

from ronron.adapters.pulumi_engine.stops import note_stop, was_stopped
from ronron.core.errors import StackLockedError
from ronron.core.model import ProcessMark
from ronron.core.words import counted
from ronron.ports import Processes, Program
from ronron.process_runner.runner import kill


def end_orphan(
    left: ProcessMark, program: Program, processes: Processes, *, home: Path, grace: timedelta
) -> list[str]:
    """Stop the engine of an update whose reconciler died, and kill what it left.

    Args:
        left: the engine, as the reconciler wrote it down.
        program: of the update; its work directory has the note of an earlier stop.
        processes: says whether the engine runs, and finds what it left.
        home: the engine's PULUMI_HOME.
        grace: for the resource operation under way to end.

    Returns:
        One phrase for each thing that was done.

    Raises:
        StackLockedError: the engine still runs after that time.
    """
    alive = processes.alive(left)
    if alive is None:
        # On another host; if it still runs, its lock is still there.
        return []
    found = []
    if alive:
        _interrupt_and_wait(left, program.work, processes, grace)
        if processes.alive(left):
            raise StackLockedError(
                f"the engine of the last update still runs as process {left.pid}",
                where=f"stack {program.stack}",
                hint=f"wait until it ends, it was asked to stop; find it with `ps -fp {left.pid}`",
            )
        found.append("stopped its engine, which was still running")
    if left.boot == processes.mark().boot:
        orphans = kill_orphans(processes, left.pid, home)
        if orphans:
            found.append(f"killed {counted(orphans, 'processes')} that its engine had left")
    return found


def kill_orphans(processes: Processes, leader: int, home: Path) -> int:
    """Kill the processes that a dead engine left; returns how many there were.

    Args:
        processes: finds them.
        leader: the process ID of the engine.
        home: its PULUMI_HOME. Everything that it started has it in its environment, which proves that a
            process is not of a younger session with the same ID.
    """
    mark = f"PULUMI_HOME={home}".encode()
    return kill(pid for pid in processes.in_session(leader) if mark in _environment_of(pid))


def _interrupt_and_wait(left: ProcessMark, work: Path, processes: Processes, grace: timedelta) -> None:
    """Send one SIGINT, unless it got one before, and wait for the resource operation under way."""
    try:
        pidfd = os.pidfd_open(left.pid)
    except ProcessLookupError:
        return
    try:
        # Checked again: from here on the ID cannot be given to another process.
        if processes.alive(left):
            if not was_stopped(work, left.pid):
                note_stop(work, left.pid)
                signal.pidfd_send_signal(pidfd, signal.SIGINT)
            select.select([pidfd], [], [], grace.total_seconds())
    finally:
        os.close(pidfd)


def _environment_of(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
