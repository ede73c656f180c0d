"""What every Processes keeps, the kernel's and the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Protocol

import pytest

from ronron.adapters.processes import LinuxProcesses
from ronron.core.model import ProcessMark
from ronron.ports import Processes
from ronron.testing.processes import FakeProcesses


class World(Protocol):
    @property
    def processes(self) -> Processes: ...
    def spawn(self) -> int: ...
    def spawn_with_child(self) -> tuple[int, int]: ...
    def end(self, pid: int) -> None: ...


class FakeWorld:
    def __init__(self) -> None:
        self.processes = FakeProcesses()

    def spawn(self) -> int:
        return self.processes.spawn("python3").pid

    def spawn_with_child(self) -> tuple[int, int]:
        leader = self.spawn()
        return leader, self.processes.spawn("python3", session=leader).pid

    def end(self, pid: int) -> None:
        mark = self.processes.mark_of(pid)
        assert mark is not None
        self.processes.end(mark)


class LinuxWorld:
    """Real processes; `end` kills without reaping, as a parent does that has other things to do."""

    def __init__(self) -> None:
        self.processes = LinuxProcesses()
        self._started: list[subprocess.Popen[bytes]] = []
        self._children: list[int] = []

    def spawn(self) -> int:
        return self._start("import time; print(flush=True); time.sleep(600)").pid

    def spawn_with_child(self) -> tuple[int, int]:
        code = (
            "import os, subprocess, sys, time\n"
            "child = subprocess.Popen(['sleep', '600'], process_group=0)\n"
            "print(child.pid, flush=True); time.sleep(600)"
        )
        leader = self._start(code)
        self._children.append(int(self._said))
        return leader.pid, self._children[-1]

    def end(self, pid: int) -> None:
        os.kill(pid, 9)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    def _start(self, code: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", code], stdout=subprocess.PIPE, start_new_session=True
        )
        self._started.append(process)
        assert process.stdout is not None
        self._said = process.stdout.readline()
        return process

    def close(self) -> None:
        for pid in self._children:
            os.kill(pid, 9)
        for process in self._started:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


@pytest.fixture(params=["fake", "linux"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "fake":
        yield FakeWorld()
        return
    linux = LinuxWorld()
    yield linux
    linux.close()


def marked(world: World, pid: int) -> ProcessMark:
    mark = world.processes.mark_of(pid)
    assert mark is not None
    return mark


def test_our_own_process_lives(world: World) -> None:
    assert world.processes.alive(world.processes.mark()) is True


def test_a_started_process_lives_until_it_ends(world: World) -> None:
    pid = world.spawn()
    mark = marked(world, pid)
    assert world.processes.alive(mark) is True
    assert world.processes.name_of(pid) is not None
    world.end(pid)
    assert world.processes.alive(mark) is False
    assert world.processes.mark_of(pid) is None
    assert world.processes.name_of(pid) is None


def test_another_process_under_the_same_id_is_not_the_same_process(world: World) -> None:
    mark = marked(world, world.spawn())
    assert world.processes.alive(mark.with_(started=mark.started + 1)) is False


def test_a_process_of_another_boot_is_dead(world: World) -> None:
    assert world.processes.alive(world.processes.mark().with_(boot="another")) is False


def test_of_another_host_nothing_is_known(world: World) -> None:
    assert world.processes.alive(world.processes.mark().with_(host="elsewhere.example")) is None


def test_a_session_outlives_the_process_that_began_it(world: World) -> None:
    leader, child = world.spawn_with_child()
    assert set(world.processes.in_session(leader)) == {leader, child}
    world.end(leader)
    assert world.processes.in_session(leader) == (child,)


def test_a_process_that_is_nobody_has_no_session(world: World) -> None:
    pid = world.spawn()
    world.end(pid)
    assert world.processes.in_session(pid) == ()
