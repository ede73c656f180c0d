"""The toolchain on this machine: what it has set up here, and how long it waits for what takes too long."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.download_site import Site, silent
from tests.support.pulumi_project import until
from toolchain import commands, docker_engine, downloads
from toolchain.docker_engine import NoAnswer
from toolchain.errors import ToolchainError

ROOT = Path(__file__).resolve().parents[2]
VERSION = "3.274.1"


def test_on_this_machine_after_set_up_every_piece_is_there() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "toolchain", "report", "--json"],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    missing = [piece for piece in json.loads(done.stdout) if not piece["ok"]]
    assert (done.returncode, missing) == (0, [])


def test_an_engine_that_never_answers_is_left_after_some_seconds(tmp_path: Path) -> None:
    address = str(tmp_path / "mute.sock")
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(address)
        mute.listen()
        begun = time.monotonic()
        answer = docker_engine.find({"DOCKER_HOST": f"unix://{address}", "HOME": str(tmp_path)})
        assert time.monotonic() - begun < 3 * docker_engine.ANSWER_SECONDS
    assert isinstance(answer, NoAnswer)


def test_an_engine_that_does_not_answer_in_time_is_stopped(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with pytest.raises(ToolchainError, match="does not answer at"):
        docker_engine.start(
            ["sh", "-c", f"echo $$ > {pid}; exec sleep 300"],
            f"unix://{tmp_path}/a.sock",
            log=tmp_path / "log",
            seconds=1,
        )
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_places_that_hang_cost_their_time_once_for_all_together() -> None:
    with closing(Site(VERSION)) as site:
        site.answers[f"/pulumi-{VERSION}-checksums.txt"] = silent(site)
        with socket.create_server(("127.0.0.1", 0)) as mute:  # takes connections and never says a word
            mute_address = f"http://127.0.0.1:{mute.getsockname()[1]}"
            begun = time.monotonic()
            assert downloads.answering(VERSION, [site.address, mute_address, site.address], seconds=0.5) == ()
            assert 0.4 < time.monotonic() - begun < 2


def test_after_its_deadline_a_program_and_its_children_are_killed(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(ToolchainError, match="took longer than 1 s and was stopped") as caught:
        commands.run(
            ["sh", "-c", "trap '' TERM INT; sleep 300 & echo $!; wait; sleep 300"],
            log=tmp_path / "log",
            deadline=1,
            hint="Try it again.",
            directory=tmp_path,
        )
    assert time.monotonic() - begun < 10
    child = int((tmp_path / "log").read_text())
    assert str(child) in caught.value.message
    until(lambda: not _is_alive(child), "the end of the child")


def test_a_question_that_takes_too_long_has_no_answer() -> None:
    begun = time.monotonic()
    assert commands.output_of(["sleep", "60"], deadline=0.2) is None
    assert time.monotonic() - begun < 10


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in {"Z", "X"}
