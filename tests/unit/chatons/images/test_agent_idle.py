"""The agent ends an idle child process, and waits for a busy one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chatons.images.backup_agent.configuration import Places, Secrets, parsed
from chatons.images.backup_agent.errors import AgentError
from chatons.images.backup_agent.idle import LEAST_BYTES, LEAST_CPU, Watch, Work, work_of
from chatons.images.backup_agent.processes import IdleError, Process
from chatons.images.backup_agent.restic import Restic

DOCUMENT = {
    "version": 1,
    "project": "ronron",
    "stack": "local",
    "service": "pad",
    "kind": "etherpad",
    "running": {"version": "3.3.1", "image": "etherpad/etherpad:3.3.1", "image_digest": None},
    "repository": "/repository",
    "host": "ronron-local-pad",
    "volumes": {"var": "/data/var"},
    "schedule": "0 3 * * *",
    "keep": {"daily": 7, "weekly": 4, "monthly": 6},
    "check": "weekly",
    "drill": "weekly",
}


@pytest.mark.parametrize(
    ("looks", "said"),
    [
        ([(0, 0.0, 99.0)], [False]),
        ([(0, 0.0, 100.0)], [True]),
        ([(LEAST_BYTES - 1, 0.0, 100.0)], [True]),
        ([(LEAST_BYTES, 0.0, 100.0)], [False]),
        ([(0, LEAST_CPU - 0.01, 100.0)], [True]),
        ([(0, LEAST_CPU, 100.0)], [False]),
        # What it does counts from the last sign of life, however many looks that takes.
        ([(LEAST_BYTES - 1, 0.0, 50.0), (LEAST_BYTES, 0.0, 99.0), (LEAST_BYTES, 0.0, 198.0)], [False] * 3),
        ([(LEAST_BYTES, 0.0, 50.0), (LEAST_BYTES, 0.0, 149.0)], [False, False]),
        ([(LEAST_BYTES, 0.0, 50.0), (LEAST_BYTES, 0.0, 150.0)], [False, True]),
    ],
)  # fmt: skip
def test_a_process_without_work_for_too_long_is_idle(
    looks: list[tuple[int, float, float]], said: list[bool]
) -> None:
    watch = Watch(Work(0, 0.0), 0.0, longest=100.0)
    assert [watch.is_idle(Work(moved, cpu), at) for moved, cpu, at in looks] == said


def test_a_process_that_the_kernel_does_not_show_is_not_idle() -> None:
    watch = Watch(Work(0, 0.0), 0.0, longest=100.0)
    assert not watch.is_idle(None, 1000.0)
    assert not watch.is_idle(Work(0, 0.0), 1000.0)
    assert watch.is_idle(Work(0, 0.0), 1100.0)
    assert work_of(2**22 + 1) is None


def test_the_work_of_a_process_is_its_bytes_and_its_cpu_time() -> None:
    before = work_of(os.getpid())
    with Path("/dev/zero").open("rb") as zeros:
        zeros.read(LEAST_BYTES)
    after = work_of(os.getpid())
    assert before is not None
    assert after is not None
    assert after.bytes - before.bytes >= LEAST_BYTES
    assert after.cpu >= before.cpu > 0.0


BUSY = "import time\nwhile time.process_time() < 1.2: pass\n"
READS = """
import time
with open("/dev/zero", "rb", buffering=0) as zeros:
    for _ in range(24):
        zeros.read(9000)
        time.sleep(0.05)
"""


@pytest.mark.parametrize(
    ("does", "clock_of"),
    [
        pytest.param(BUSY, lambda work: work.cpu, id="computes"),
        pytest.param(READS, lambda work: work.bytes / 9000 * 0.05, id="reads"),
    ],
)
def test_a_busy_process_is_not_ended(tmp_path: Path, does: str, clock_of: Callable[[Work], float]) -> None:
    """Its own work is the clock, so that a busy machine on which it gets no CPU changes nothing."""
    times = [0.0]

    def clock() -> float:
        work = work_of(child.pid)
        times.append(clock_of(work) if work else times[-1])
        return times[-1]

    with Process([sys.executable, "-c", does], dict(os.environ), tmp_path) as child:
        assert child.wait(60.0, idle_seconds=0.8, clock=clock).code == 0
    assert times[-1] > 0.8


def test_an_idle_process_is_ended(tmp_path: Path) -> None:
    with (
        Process(["sleep", "600"], dict(os.environ), tmp_path) as child,
        pytest.raises(IdleError, match="sleep was idle"),
    ):
        child.wait(600.0, idle_seconds=0.5)
    assert work_of(child.pid) is None


@pytest.mark.parametrize(
    ("repository", "code"),
    # Of the kernel's own places all have no room at all.
    [("/proc", "full"), ("/", "unreachable"), ("rest:http://backup.example/", "unreachable")],
)
def test_an_idle_restic_is_full_where_a_local_repository_has_no_space(
    tmp_path: Path, repository: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = tmp_path / "restic"
    stand_in.write_text("#!/bin/sh\nexec sleep 600\n")
    stand_in.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    places = Places(state=tmp_path, temporary=tmp_path, memory=tmp_path)
    secrets = Secrets(tmp_path / "repository-password")
    restic = Restic(parsed(DOCUMENT), secrets, places, repository=repository, idle_seconds=0.5)
    with pytest.raises(AgentError, match=r"cannot store the files: .*was idle") as caught:
        restic.ended("backup", "/data", seconds=600.0, verb="store the files")
    assert caught.value.code == code
