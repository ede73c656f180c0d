"""What becomes of the processes that a dead engine left."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from ronron.adapters.processes import LinuxProcesses
from ronron.adapters.pulumi_engine.orphans import kill_orphans
from tests.support.pulumi_project import until

PROCESSES = LinuxProcesses()


def test_orphans_of_that_home_are_killed_and_no_others(tmp_path: Path) -> None:
    leader = subprocess.Popen(
        [
            "/bin/sh",
            "-c",
            'PULUMI_HOME="$1" sleep 60 & PULUMI_HOME="$1x" sleep 60 & wait',
            "sh",
            str(tmp_path),
        ],
        start_new_session=True,
        env={"PATH": os.environ["PATH"]},
    )
    try:
        until(lambda: len(PROCESSES.in_session(leader.pid)) == 3, "the two children")
        ours, other = (_child(leader.pid, f"PULUMI_HOME={tmp_path}{ending}") for ending in ("", "x"))
        leader.kill()
        leader.wait()
        assert kill_orphans(PROCESSES, leader.pid, tmp_path) == 1
        assert PROCESSES.mark_of(ours) is None
        assert PROCESSES.mark_of(other) is not None
        assert kill_orphans(PROCESSES, leader.pid, tmp_path) == 0
    finally:
        leader.kill()
        leader.wait()
        for pid in PROCESSES.in_session(leader.pid):
            os.kill(pid, signal.SIGKILL)


def _child(leader: int, variable: str) -> int:
    """The process of a session that has a variable; a moment after its birth it may not have it yet."""
    found: list[int] = []

    def look() -> bool:
        found[:] = [
            pid
            for pid in PROCESSES.in_session(leader)
            if variable.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        ]
        return len(found) == 1

    until(look, variable)
    return found[0]
