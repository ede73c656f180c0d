"""Which Docker engine is asked, and what is said where none answers."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from toolchain import docker_engine
from toolchain.docker_engine import DEFAULT_HOST, NoAnswer
from toolchain.errors import ToolchainError

ROOT = Path(__file__).resolve().parents[3]


def with_context(home: Path, name: str, host: str | None, *, current: str | None = None) -> None:
    folder = home / ".docker"
    meta = folder / "contexts/meta" / hashlib.sha256(name.encode()).hexdigest()
    meta.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"currentContext": current or name}))
    endpoints = {"docker": {"Host": host}} if host else {}
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": endpoints}))


def test_an_address_that_somebody_chose_is_the_only_one(tmp_path: Path) -> None:
    with_context(tmp_path, "far", "ssh://far")
    environ = {"HOME": str(tmp_path), "DOCKER_HOST": "tcp://chosen:1", "XDG_RUNTIME_DIR": "/run/user/1"}
    assert docker_engine.hosts(environ) == ("tcp://chosen:1",)


def test_the_context_in_use_comes_next(tmp_path: Path) -> None:
    with_context(tmp_path, "far", "ssh://far")
    assert docker_engine.hosts({"HOME": str(tmp_path)}) == ("ssh://far",)


def test_a_context_named_in_the_environment_wins_over_the_configured_one(tmp_path: Path) -> None:
    with_context(tmp_path, "far", "ssh://far", current="other")
    assert docker_engine.hosts({"HOME": str(tmp_path), "DOCKER_CONTEXT": "far"}) == ("ssh://far",)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"currentContext": "default"}', '{"currentContext": "gone"}']
)
def test_without_a_usable_context_the_usual_sockets_are_tried(tmp_path: Path, text: str) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text(text)
    environ = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": "/run/user/1"}
    assert docker_engine.hosts(environ) == (DEFAULT_HOST, "unix:///run/user/1/docker.sock")


def test_a_context_without_an_address_is_passed_over(tmp_path: Path) -> None:
    with_context(tmp_path, "odd", None)
    assert docker_engine.hosts({"HOME": str(tmp_path)}) == (DEFAULT_HOST,)


def test_a_socket_that_is_missing_is_named(tmp_path: Path) -> None:
    answer = docker_engine.ask(f"unix://{tmp_path}/none.sock")
    assert isinstance(answer, NoAnswer)
    assert answer.reason == f"no Docker engine answers: {tmp_path}/none.sock does not exist"
    assert answer.remedy.startswith("install Docker Engine")


def test_a_socket_that_nobody_listens_on_is_named(tmp_path: Path) -> None:
    address = str(tmp_path / "dead.sock")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(address)
    answer = docker_engine.ask(f"unix://{address}")
    assert isinstance(answer, NoAnswer)
    assert address in answer.reason
    assert "\n" not in answer.reason


def test_what_is_no_engine_is_not_taken_for_one(tmp_path: Path) -> None:
    address = str(tmp_path / "web.sock")
    with socket.socket(socket.AF_UNIX) as web:
        web.bind(address)
        web.listen()

        def answer_once() -> None:
            asked = b""
            while not asked:  # whoever only knocks says nothing
                connection, _ = web.accept()
                with connection:
                    asked = connection.recv(65536)
                    if asked:
                        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

        thread = threading.Thread(target=answer_once)
        thread.start()
        answer = docker_engine.ask(f"unix://{address}")
        thread.join()
    assert isinstance(answer, NoAnswer)


def test_an_engine_that_ends_at_once_shows_the_end_of_its_log(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match="no space left") as caught:
        docker_engine.start(
            ["sh", "-c", "echo no space left; exit 3"], f"unix://{tmp_path}/a.sock", log=tmp_path / "logs/log"
        )
    assert "ended at once (exit code 3)" in caught.value.message
    assert str(tmp_path / "logs/log") in caught.value.message


REFUSED = """
import os, sys
from toolchain import docker_engine
import docker, requests
if os.geteuid() == 0:
    os.setresuid(65534, 65534, 65534)  # root may open every socket
answer = docker_engine.ask(sys.argv[1])
print(answer.reason)
print(answer.remedy)
"""


def test_a_socket_that_refuses_this_user_asks_for_membership_of_the_group() -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as made:
        Path(folder).chmod(0o755)
        address = f"{folder}/docker.sock"
        made.bind(address)
        made.listen()
        Path(address).chmod(0)
        done = subprocess.run(
            [sys.executable, "-c", REFUSED, f"unix://{address}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    reason, remedy = done.stdout.splitlines()
    assert reason == f"permission denied: the Docker engine at {address}"
    assert "usermod -aG docker" in remedy
