"""How children are run: their outputs, their deadlines, their ends. The children here are small scripts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from ronron.adapters.processes import LinuxProcesses
from ronron.adapters.pulumi_engine.process_runner import (
    HEAD,
    TAIL,
    Children,
    Command,
    Ended,
    kill_orphans,
    read_back,
)
from tests.support.pulumi_project import until

PROCESSES = LinuxProcesses()
LONG = timedelta(minutes=1)
AT_ONCE = timedelta(seconds=0)

STUBBORN = """
import os, pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGINT, lambda *_: pathlib.Path("asked").open("a").write("x"))
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], process_group=0)
pathlib.Path("pid").write_text(str(child.pid))
pathlib.Path("pid").rename("child")
while True:
    time.sleep(60)
"""
"""It goes on whatever it is asked, and so does its child, in a process group of its own."""

POLITE = """
import pathlib, signal, sys, time
signal.signal(signal.SIGINT, lambda *_: sys.exit(7))
pathlib.Path("ready").touch()
while True:
    time.sleep(60)
"""


def python(place: Path, code: str, *, deadline: timedelta = LONG, **more: object) -> Command:
    values: dict[str, object] = {"environment": {"GREETING": "hello"}, **more}
    return Command(
        argv=[sys.executable, "-c", code],
        cwd=place,
        log=place / "01-test",
        deadline=deadline,
        **values,  # type: ignore[arg-type]
    )


def run(command: Command, started: Callable[[int], None] | None = None) -> Ended:
    children = Children(PROCESSES)
    with children.turn() as turn:
        ended = children.run(turn, command, started)
    assert ended is not None
    return ended


def test_a_child_sees_the_given_environment_alone(tmp_path: Path) -> None:
    ended = run(python(tmp_path, "import os; print(sorted(set(os.environ) - {'LC_CTYPE'}))"))
    assert ended == Ended(0, timed_out=False, interrupted=False)
    assert read_back(tmp_path / "01-test.out") == "['GREETING']\n"


def test_a_child_has_a_session_of_its_own_and_nothing_to_read(tmp_path: Path) -> None:
    run(python(tmp_path, "import os, sys; print(os.getsid(0) == os.getpid(), repr(sys.stdin.read()))"))
    assert read_back(tmp_path / "01-test.out") == "True ''\n"


@pytest.mark.parametrize(("code", "expected"), [("exit(6)", 6), ("import os; os.kill(os.getpid(), 15)", -15)])
def test_how_a_child_ended_is_told(tmp_path: Path, code: str, expected: int) -> None:
    assert run(python(tmp_path, code)).code == expected


def test_outputs_are_for_us_alone(tmp_path: Path) -> None:
    run(python(tmp_path, "open('made', 'w')"))
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"01-test.out": 0o600, "01-test.err": 0o600, "made": 0o600}


# -- reading back ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, HEAD, HEAD + TAIL])
def test_a_short_output_is_read_whole(tmp_path: Path, size: int) -> None:
    (tmp_path / "out").write_bytes(b"x" * size)
    assert read_back(tmp_path / "out") == "x" * size


def test_a_long_output_is_read_without_its_middle(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"a" * HEAD + b"b" * 1000 + b"c" * TAIL)
    text = read_back(tmp_path / "out")
    assert text == "a" * HEAD + "\n… [1000 bytes cut]\n" + "c" * TAIL


def test_bytes_that_are_no_text_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"caf\xe9 \xff\n")
    assert read_back(tmp_path / "out") == "caf\ufffd \ufffd\n"


def test_no_output_is_an_empty_one(tmp_path: Path) -> None:
    assert read_back(tmp_path / "none") == ""


# -- ends ------------------------------------------------------------------------------------------


@contextmanager
def interrupted_when(children: Children, ready: Callable[[], bool]) -> Iterator[None]:
    """Interrupt once a child is ready to hear it: before that it would just die."""

    def interrupt() -> None:
        until(ready, "the child")
        children.interrupt()

    thread = threading.Thread(target=interrupt)
    thread.start()
    yield
    thread.join()


def test_a_child_that_stops_when_asked_is_asked_once(tmp_path: Path) -> None:
    children = Children(PROCESSES)
    with interrupted_when(children, (tmp_path / "ready").exists), children.turn() as turn:
        ended = children.run(turn, python(tmp_path, POLITE))
    assert ended == Ended(7, timed_out=False, interrupted=True)


def test_a_child_that_never_stops_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    children = Children(PROCESSES)
    command = python(tmp_path, STUBBORN, grace=AT_ONCE, last_grace=timedelta(seconds=3))
    begun = (tmp_path / "child").exists
    with interrupted_when(children, begun), children.turn() as turn:
        ended = children.run(turn, command)
    assert ended == Ended(-signal.SIGKILL, timed_out=False, interrupted=True)
    assert (tmp_path / "asked").read_text() == "xx"
    assert PROCESSES.mark_of(int((tmp_path / "child").read_text())) is None


def test_a_deadline_ends_a_child(tmp_path: Path) -> None:
    # A shell lets what it runs in the background ignore SIGINT, and this child would inherit that.
    command = python(
        tmp_path, "import time; time.sleep(60)", deadline=AT_ONCE, grace=AT_ONCE, last_grace=AT_ONCE
    )
    ended = run(command)
    assert ended.timed_out
    assert not ended.interrupted
    assert ended.code != 0


def test_a_turn_that_was_interrupted_begins_nothing_more(tmp_path: Path) -> None:
    children = Children(PROCESSES)
    with children.turn() as turn:
        children.interrupt()
        assert children.run(turn, python(tmp_path, "open('made', 'w')")) is None
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_is_not_for_the_turns_after_it(tmp_path: Path) -> None:
    children = Children(PROCESSES)
    with children.turn():
        children.interrupt()
    with children.turn() as turn:
        assert children.run(turn, python(tmp_path, "")) == Ended(0, timed_out=False, interrupted=False)


# -- the gate --------------------------------------------------------------------------------------


def test_the_owner_is_told_of_a_child_that_has_not_begun(tmp_path: Path) -> None:
    told: list[tuple[int, bool]] = []

    def started(pid: int) -> None:
        told.append((pid, (tmp_path / "pid").exists()))

    run(python(tmp_path, "import os, pathlib; pathlib.Path('pid').write_text(str(os.getpid()))"), started)
    assert told == [(int((tmp_path / "pid").read_text()), False)]


def test_a_gated_child_has_nothing_to_read_either(tmp_path: Path) -> None:
    run(python(tmp_path, "import sys; print(repr(sys.stdin.read()))"), lambda _: None)
    assert read_back(tmp_path / "01-test.out") == "''\n"


def test_where_the_owner_cannot_write_it_down_the_child_never_begins(tmp_path: Path) -> None:
    pids: list[int] = []

    def started(pid: int) -> None:
        pids.append(pid)
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        run(python(tmp_path, "open('made', 'w')"), started)
    assert not (tmp_path / "made").exists()
    assert PROCESSES.mark_of(pids[0]) is None


# -- orphans ---------------------------------------------------------------------------------------


def test_orphans_of_that_home_are_ended_and_no_others(tmp_path: Path) -> None:
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
