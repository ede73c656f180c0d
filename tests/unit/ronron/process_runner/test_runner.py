"""How commands are run: their output, their deadlines, their ends. The commands here are small scripts."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from ronron.adapters.processes import LinuxProcesses
from ronron.process_runner.runner import (
    ERRORS_LIMIT,
    OUTPUT_LIMIT,
    Command,
    Ended,
    OutputLimitError,
    ProcessRunner,
    StartError,
    Stop,
)
from tests.support.pulumi_project import until

PROCESSES = LinuxProcesses()
LONG = timedelta(minutes=1)
AT_ONCE = timedelta(seconds=0)
TWICE = (Stop(signal.SIGINT, LONG, clean=True), Stop(signal.SIGINT, LONG))
GROUP = (Stop(signal.SIGTERM, timedelta(seconds=1), group=True),)

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
    values: dict[str, object] = {
        "environment": {"GREETING": "hello"},
        "log": place / "01-test",
        "stop": TWICE,
        "umask": 0o077,
        **more,
    }
    return Command(
        argv=[sys.executable, "-c", code],
        cwd=place,
        deadline=deadline,
        **values,  # type: ignore[arg-type]
    )


def run(command: Command, started: Callable[[int], None] | None = None, *, barrier: bool = False) -> Ended:
    runner = ProcessRunner(PROCESSES)
    with runner.invocation() as invocation:
        ended = runner.run(invocation, command, started, barrier=barrier)
    assert ended is not None
    return ended


def test_a_child_sees_the_given_environment_alone(tmp_path: Path) -> None:
    ended = run(python(tmp_path, "import os; print(sorted(set(os.environ) - {'LC_CTYPE'}))"))
    assert ended == Ended(0, timed_out=False, interrupted=False)
    assert (tmp_path / "01-test.out").read_text() == "['GREETING']\n"


def test_a_child_has_a_session_of_its_own_and_nothing_to_read(tmp_path: Path) -> None:
    run(python(tmp_path, "import os, sys; print(os.getsid(0) == os.getpid(), repr(sys.stdin.read()))"))
    assert (tmp_path / "01-test.out").read_text() == "True ''\n"


@pytest.mark.parametrize(("code", "expected"), [("exit(6)", 6), ("import os; os.kill(os.getpid(), 15)", -15)])
def test_the_exit_code_or_signal_of_a_child_is_given(tmp_path: Path, code: str, expected: int) -> None:
    assert run(python(tmp_path, code)).code == expected


def test_outputs_are_for_us_alone(tmp_path: Path) -> None:
    run(python(tmp_path, "open('made', 'w')"))
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"01-test.out": 0o600, "01-test.err": 0o600, "made": 0o600}


# -- ends ------------------------------------------------------------------------------------------


@contextmanager
def interrupted_when(runner: ProcessRunner, ready: Callable[[], bool]) -> Iterator[None]:
    """Interrupt once a child is ready to hear it: before that it would just die."""

    def interrupt() -> None:
        until(ready, "the child")
        runner.interrupt()

    thread = threading.Thread(target=interrupt)
    thread.start()
    yield
    thread.join()


def test_a_child_that_stops_when_asked_is_asked_once(tmp_path: Path) -> None:
    runner = ProcessRunner(PROCESSES)
    with interrupted_when(runner, (tmp_path / "ready").exists), runner.invocation() as invocation:
        ended = runner.run(invocation, python(tmp_path, POLITE))
    assert ended == Ended(7, timed_out=False, interrupted=True)


def test_a_child_that_never_stops_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    runner = ProcessRunner(PROCESSES)
    command = python(
        tmp_path,
        STUBBORN,
        stop=(Stop(signal.SIGINT, AT_ONCE, clean=True), Stop(signal.SIGINT, timedelta(seconds=3))),
    )
    begun = (tmp_path / "child").exists
    with interrupted_when(runner, begun), runner.invocation() as invocation:
        ended = runner.run(invocation, command)
    assert ended == Ended(-signal.SIGKILL, timed_out=False, interrupted=True)
    assert (tmp_path / "asked").read_text() == "xx"
    assert PROCESSES.mark_of(int((tmp_path / "child").read_text())) is None


def test_a_deadline_ends_a_child(tmp_path: Path) -> None:
    # A shell lets what it runs in the background ignore SIGINT, and this child would inherit that.
    command = python(
        tmp_path,
        "import time; time.sleep(60)",
        deadline=AT_ONCE,
        stop=(Stop(signal.SIGINT, AT_ONCE, clean=True), Stop(signal.SIGINT, AT_ONCE)),
    )
    ended = run(command)
    assert ended.timed_out
    assert not ended.interrupted
    assert ended.code != 0


def test_an_interrupted_invocation_begins_nothing_more(tmp_path: Path) -> None:
    runner = ProcessRunner(PROCESSES)
    with runner.invocation() as invocation:
        runner.interrupt()
        assert runner.run(invocation, python(tmp_path, "open('made', 'w')")) is None
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_does_not_reach_later_invocations(tmp_path: Path) -> None:
    runner = ProcessRunner(PROCESSES)
    with runner.invocation():
        runner.interrupt()
    with runner.invocation() as invocation:
        assert runner.run(invocation, python(tmp_path, "")) == Ended(0, timed_out=False, interrupted=False)


# -- the start barrier --------------------------------------------------------------------------------------


def test_the_owner_knows_a_child_before_it_begins(tmp_path: Path) -> None:
    seen: list[tuple[int, bool]] = []

    def started(pid: int) -> None:
        seen.append((pid, (tmp_path / "pid").exists()))

    run(
        python(tmp_path, "import os, pathlib; pathlib.Path('pid').write_text(str(os.getpid()))"),
        started,
        barrier=True,
    )
    assert seen == [(int((tmp_path / "pid").read_text()), False)]


def test_a_child_behind_the_barrier_has_nothing_to_read_either(tmp_path: Path) -> None:
    run(python(tmp_path, "import sys; print(repr(sys.stdin.read()))"), lambda _: None, barrier=True)
    assert (tmp_path / "01-test.out").read_text() == "''\n"


def test_a_child_never_begins_where_its_owner_cannot_record_it(tmp_path: Path) -> None:
    pids: list[int] = []

    def started(pid: int) -> None:
        pids.append(pid)
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        run(python(tmp_path, "open('made', 'w')"), started, barrier=True)
    assert not (tmp_path / "made").exists()
    assert PROCESSES.mark_of(pids[0]) is None


# -- pipes -----------------------------------------------------------------------------------------


def test_output_from_pipes_is_given(tmp_path: Path) -> None:
    ended = run(python(tmp_path, "import sys; print(1); print(2, file=sys.stderr)", log=None))
    assert (ended.stdout, ended.stderr) == (b"1\n", b"2\n")
    assert list(tmp_path.iterdir()) == []


def test_a_long_standard_error_is_cut(tmp_path: Path) -> None:
    code = f"import sys; sys.stderr.write('x' * {4 * ERRORS_LIMIT}); print('end')"
    ended = run(python(tmp_path, code, log=None))
    assert ended.stdout == b"end\n"
    assert ERRORS_LIMIT <= len(ended.stderr) < 4 * ERRORS_LIMIT


def test_a_child_that_writes_without_end_is_stopped(tmp_path: Path) -> None:
    pids: list[int] = []
    code = f"import os\nwhile True: os.write(1, b'x' * {OUTPUT_LIMIT >> 6})"
    with pytest.raises(OutputLimitError):
        run(python(tmp_path, code, log=None, stop=GROUP), pids.append)
    assert PROCESSES.mark_of(pids[0]) is None


def test_a_deadline_ends_a_helper_that_keeps_the_pipes_open(tmp_path: Path) -> None:
    code = """
import pathlib, subprocess, sys
helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path("helper").write_text(str(helper.pid))
"""
    ended = run(python(tmp_path, code, log=None, stop=GROUP, deadline=timedelta(seconds=2)))
    assert ended.timed_out
    assert PROCESSES.mark_of(int((tmp_path / "helper").read_text())) is None


def test_a_child_is_stopped_with_its_group_where_its_owner_fails(tmp_path: Path) -> None:
    pids: list[int] = []

    def started(pid: int) -> None:
        pids.append(pid)
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        run(python(tmp_path, "import time; time.sleep(60)", log=None, stop=GROUP), started)
    assert PROCESSES.mark_of(pids[0]) is None


def test_a_command_that_the_system_refuses_to_start_says_why(tmp_path: Path) -> None:
    command = python(tmp_path, "")
    with pytest.raises(StartError) as caught:
        run(replace(command, argv=[str(tmp_path / "none")]))
    assert isinstance(caught.value.cause, FileNotFoundError)
