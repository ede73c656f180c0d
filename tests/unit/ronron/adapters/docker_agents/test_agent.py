"""Talking to agents of both interfaces, over a Docker in memory with real sockets."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from io import BytesIO
from types import SimpleNamespace
from typing import Any, cast

import docker
import pytest

from ronron.adapters.docker_agents.agent import Agent, AgentRefusedError
from ronron.core.backups import DrillResult
from ronron.core.errors import BackupError
from ronron.testing import NOON

INTERFACE_1 = frozenset({"now", "put", "swap", "drilled", "keep", "list", "status"})
INTERFACE_2 = (
    frozenset({"backup", "restore", "rename-database", "record-drill", "backup-bundle"}) | INTERFACE_1
)

SNAPSHOT = {
    "id": "5" * 64, "run": "6" * 32, "taken": NOON.isoformat(), "reason": "update", "service": "pad",
    "kind": "etherpad", "version": "1.8.14", "image": "pad:1", "image_digest": None, "revision": None,
    "database": None, "counts": {"pads": 12}, "files": {"count": 1, "bytes": 10},
}  # fmt: skip
STATUS = {
    "version": 1, "at": NOON.isoformat(), "service": "pad", "since": NOON.isoformat(), "reachable": True,
    "trouble": None, "drill": "weekly", "check": "weekly", "forget": True, "snapshots": [SNAPSHOT],
    "runs": {"backup": None}, "locks": [],
}  # fmt: skip
DRILL = DrillResult(
    service="pad", snapshot="5" * 64, started=NOON, finished=NOON + timedelta(seconds=5), passed=True,
    detail="12 pads", counts={"pads": 12}, expected={"pads": 12},
)  # fmt: skip


@dataclass
class DockerInMemory:
    """The part of Docker's API that runs a program in a container; the program is an agent.

    Args:
        commands: what the agent understands; for anything else it exits with 2, as `argparse` does.
        answers: standard output by command; `{}` by default.
        code: exit code of the commands that it understands.
    """

    commands: frozenset[str]
    answers: dict[str, object] = field(default_factory=dict)
    code: int = 0
    calls: list[list[str]] = field(default_factory=list)
    inputs: list[bytes] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    @property
    def api(self) -> DockerInMemory:
        return self

    def exec_create(self, _container: str, words: Sequence[str], *, stdin: bool) -> dict[str, str]:
        assert words[0] == "ronron-agent"
        self.calls.append(list(words[1:]))
        return {"Id": "with input" if stdin else "without input"}

    def exec_start(self, identity: str, *, socket: bool) -> Any:
        assert socket
        ours, theirs = socket_pair()
        thread = threading.Thread(target=self._run, args=(theirs, identity == "with input"))
        thread.start()
        self.threads.append(thread)
        reader = ours.makefile("rb")
        response = SimpleNamespace(raw=SimpleNamespace(_fp=SimpleNamespace(fp=reader)), close=lambda: None)
        return SimpleNamespace(_response=response, _sock=ours)

    def exec_inspect(self, _identity: str) -> dict[str, object]:
        return {"Running": False, "ExitCode": self.code if self._understood() else 2}

    def _understood(self) -> bool:
        return self.calls[-1][0] in self.commands

    def _run(self, end: socket.socket, with_input: bool) -> None:
        with end:
            if self._understood():
                if with_input:
                    self.inputs.append(b"".join(iter(lambda: end.recv(65536), b"")))
                document = json.dumps(self.answers.get(self.calls[-1][0], {})).encode()
                end.sendall(frame(1, document))
            else:
                end.sendall(frame(2, b"usage: ronron-agent\ninvalid choice"))


def socket_pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair()


def frame(stream: int, content: bytes) -> bytes:
    """Output as Docker multiplexes it."""
    return struct.pack(">BxxxL", stream, len(content)) + content


@pytest.fixture(params=["interface 1", "interface 2"])
def engine(request: pytest.FixtureRequest) -> Iterator[DockerInMemory]:
    """A Docker with an agent of either interface."""
    made = DockerInMemory(INTERFACE_1 if request.param == "interface 1" else INTERFACE_2)
    yield made
    for thread in made.threads:
        thread.join()


def agent(engine: DockerInMemory) -> Agent:
    return Agent(cast(docker.DockerClient, engine), "x-pad-backup", "pad")


def answered(engine: DockerInMemory, new: str, former: str, answer: object) -> str:
    """Let both names of a command have this answer, and return the name that the agent understands."""
    engine.answers.update({new: answer, former: answer})
    return new if new in engine.commands else former


def test_backup(engine: DockerInMemory) -> None:
    name = answered(engine, "backup", "now", {"snapshot": SNAPSHOT})
    assert agent(engine).backup("update", "abc").counts == {"pads": 12}
    assert engine.calls[-1] == [name, "--reason", "update", "--revision", "abc"]


def test_restore_of_a_database(engine: DockerInMemory) -> None:
    name = answered(engine, "restore", "put", {"counts": {"pads": 12}})
    assert agent(engine).restore_database("5" * 64, "pad_restoring") == {"pads": 12}
    assert engine.calls[-1] == [name, "--snapshot", "5" * 64, "--into", "pad_restoring"]


def test_restore_of_files(engine: DockerInMemory) -> None:
    name = answered(engine, "restore", "put", {"files": 3, "bytes": 30})
    agent(engine).restore_files("5" * 64)
    assert engine.calls[-1] == [name, "--snapshot", "5" * 64, "--files"]


def test_rename_database(engine: DockerInMemory) -> None:
    name = answered(engine, "rename-database", "swap", {"swapped": True})
    agent(engine).rename_database("pad_restoring")
    assert engine.calls[-1] == [name, "--from", "pad_restoring"]


def test_record_drill_keeps_the_keys_of_the_document(engine: DockerInMemory) -> None:
    name = answered(engine, "record-drill", "drilled", {"remembered": True})
    agent(engine).record_drill(DRILL)
    assert engine.calls[-1] == [name]
    document = json.loads(engine.inputs[-1])
    assert document["promised"] == {"pads": 12}
    assert "expected" not in document


def test_backup_bundle_sends_all_of_it(engine: DockerInMemory) -> None:
    name = answered(engine, "backup-bundle", "keep", {"id": "7" * 64})
    bundle = bytes(range(256)) * 4000
    assert agent(engine).backup_bundle(BytesIO(bundle)) == "7" * 64
    assert engine.calls[-1] == [name, "reconciler"]
    assert engine.inputs == [bundle]


@pytest.mark.parametrize("key", ["max_age_hours", "promise_hours"])
def test_status_has_the_max_age_by_either_key(key: str) -> None:
    engine = DockerInMemory(INTERFACE_2, {"status": {**STATUS, key: 26.0}})
    assert agent(engine).status().max_age_hours == 26.0
    assert engine.calls == [["status"]]


def test_status_with_both_keys() -> None:
    engine = DockerInMemory(INTERFACE_2, {"status": {**STATUS, "max_age_hours": 26.0, "promise_hours": 26.0}})
    assert agent(engine).status().max_age_hours == 26.0


def refused(call: Callable[[], object]) -> BackupError:
    with pytest.raises(BackupError) as error:
        call()
    return error.value


def test_a_command_that_failed_is_not_repeated_by_another_name() -> None:
    failure = {"error": {"code": "full", "message": "no space left", "hint": "make room"}}
    engine = DockerInMemory(INTERFACE_2, {"backup": failure}, code=1)
    error = refused(lambda: agent(engine).backup("asked", None))
    assert isinstance(error, AgentRefusedError)
    assert (error.code, error.message, error.hint) == ("full", "no space left", "make room")
    assert engine.calls == [["backup", "--reason", "asked"]]


def test_a_command_that_no_interface_has_is_an_error() -> None:
    engine = DockerInMemory(frozenset())
    error = refused(lambda: agent(engine).backup("asked", None))
    assert error.message == "cannot talk to the backup agent x-pad-backup: invalid choice"
    assert "update the environment" in error.hint
    assert [call[0] for call in engine.calls] == ["backup", "now"]


def test_a_command_without_a_former_name_is_called_once() -> None:
    engine = DockerInMemory(frozenset())
    refused(lambda: agent(engine).snapshots())
    assert engine.calls == [["list"]]


def test_an_answer_that_is_no_document_of_the_command_is_an_error() -> None:
    engine = DockerInMemory(INTERFACE_2, {"list": {"snapshots": "many"}})
    error = refused(lambda: agent(engine).snapshots())
    assert error.message == "cannot read the answer of the backup agent x-pad-backup to `list`"
