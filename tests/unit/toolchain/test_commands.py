"""Other programs: their deadline, their end, and what is shown of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from toolchain import commands
from toolchain.errors import ToolchainError

ROOT = Path(__file__).resolve().parents[3]


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in {"Z", "X"}


def ends(pid: int, *, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < end:
        time.sleep(0.01)  # the kernel tells nobody but the parent
    return not is_alive(pid)


def shell(
    text: str, tmp_path: Path, *, deadline: float = 20, environment: dict[str, str] | None = None
) -> None:
    log = tmp_path / "logs" / "log"
    commands.run(
        ["sh", "-c", text],
        log=log,
        deadline=deadline,
        hint="Try it again.",
        environment=environment,
        directory=tmp_path,
    )


def test_output_and_errors_of_a_program_go_into_its_log(tmp_path: Path) -> None:
    shell("echo out; echo err >&2; pwd; echo $WORD", tmp_path, environment={"WORD": "hey"})
    assert (tmp_path / "logs/log").read_text() == f"out\nerr\n{tmp_path}\nhey\n"


def test_a_program_gets_nothing_to_read(tmp_path: Path) -> None:
    shell("cat; echo done", tmp_path)
    assert (tmp_path / "logs/log").read_text() == "done\n"


def test_a_failure_shows_the_exit_code_the_end_of_the_output_and_where_the_rest_is(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError) as caught:
        shell("for i in $(seq 100); do echo line $i; done; exit 7", tmp_path)
    text = caught.value.message
    assert "failed (exit code 7)" in text
    assert "line 100" in text
    assert "line 86" in text
    assert "line 85" not in text
    assert str(tmp_path / "logs/log") in text
    assert caught.value.hint == "Try it again."


def test_output_that_is_no_text_is_shown_all_the_same(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match="�"):
        shell(r"printf '\377'; exit 1", tmp_path)


@pytest.mark.parametrize("program", ["ronron-no-such-program", "/nowhere/program"])
def test_a_program_that_is_missing_is_an_error_with_the_hint(tmp_path: Path, program: str) -> None:
    with pytest.raises(ToolchainError, match=f"cannot run {program}: it is not installed") as caught:
        commands.run([program], log=tmp_path / "log", deadline=5, hint="Install it.")
    assert caught.value.hint == "Install it."


def test_a_program_is_looked_for_where_its_own_path_says(tmp_path: Path) -> None:
    program = tmp_path / "hello"
    program.write_text("#!/bin/sh\necho hello\n")
    program.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    commands.run(["hello"], log=tmp_path / "log", deadline=10, hint="", environment={"PATH": path})
    assert (tmp_path / "log").read_text() == "hello\n"


def test_children_that_a_program_leaves_behind_are_killed(tmp_path: Path) -> None:
    shell("sleep 300 >/dev/null 2>&1 & echo $!", tmp_path)
    assert ends(int((tmp_path / "logs/log").read_text()))


PARENT = """
import sys
from pathlib import Path
from toolchain import commands
commands.run(["sh", "-c", "echo $$; exec sleep 300"], log=Path(sys.argv[1]), deadline=300, hint="")
"""


def test_a_program_ends_with_a_parent_that_is_killed_outright(tmp_path: Path) -> None:
    log = tmp_path / "log"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(log)], cwd=ROOT)
    try:
        end = time.monotonic() + 10
        while not (log.exists() and log.read_text().endswith("\n")) and time.monotonic() < end:
            time.sleep(0.01)
        child = int(log.read_text())
        assert is_alive(child)
    finally:
        parent.kill()
        parent.wait()
    assert ends(child)


STOPPED = """
import sys, threading, time
from pathlib import Path
from toolchain import commands
from toolchain.errors import ToolchainError

log = Path(sys.argv[1])
def build(words, name):
    try:
        commands.run(words, log=log / name, deadline=300, hint="")
    except ToolchainError as error:
        print(name, error.message.splitlines()[0], flush=True)

thread = threading.Thread(target=build, args=[["sh", "-c", "echo up; exec sleep 300"], "first"])
thread.start()
while not ((log / "first").exists() and (log / "first").read_text()):
    time.sleep(0.01)
commands.stop_all()
thread.join()
build(["true"], "second")
"""


def test_whoever_leaves_ends_what_other_threads_run_and_nothing_begins_again(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STOPPED, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    first, second = done.stdout.splitlines()
    assert first.startswith("first sh -c ")
    assert first.endswith(f"failed (exit code -{int(signal.SIGKILL)})")
    assert second == "second stopped"


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["sh", "-c", "echo ' 1.2 '; echo noise >&2"], "1.2"),
        (["sh", "-c", "echo 1.2; exit 3"], None),
        (["ronron-no-such-program"], None),
        (["sh", "-c", "cat"], ""),
    ],
)
def test_a_question_has_an_answer_or_none(words: list[str], answer: str | None) -> None:
    assert commands.output_of(words) == answer
