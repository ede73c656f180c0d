"""The snapshot before a change, asked of agents that answer as they are told."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from chatons.backup.hook import NoSnapshotError, SnapshotBeforeChange, register
from chatons.declaration.load import DeclarationError
from chatons.docker.endpoint import EndpointError, NoContainerError, Ran
from chatons.schema.image_reference import ImageReference
from chatons.schema.models import Machine
from tests.support.declarations import declaration
from tests.support.programs import registered

ID = "0123456789abcdef" * 4
TAKEN = Ran(code=0, out=json.dumps({"snapshot": {"id": ID}}), err="one line\nanother\n")
FULL = Ran(
    code=1,
    out=json.dumps({"error": {"code": "full", "message": "there is no space left", "hint": "make some"}}),
    err="",
)
COMMIT = "c0ffee12" * 5


@dataclass
class ToldAgents:
    """A Docker whose agents answer what they are told.

    Attributes:
        answer: of the agent; an error is raised.
        alive: whether the service's own container is there.
        asked: every command, with its container.
        before: done before it answers.
    """

    answer: Ran | Exception = TAKEN
    alive: bool = True
    asked: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    before: Callable[[], object] = lambda: None

    def version(self) -> str:
        """See Endpoint."""
        raise AssertionError("nobody asks for it")

    def has(self, _image: ImageReference) -> bool:
        """See Endpoint."""
        raise AssertionError("nobody asks for it")

    def why_not_pulled(self, _image: ImageReference) -> str | None:
        """See Endpoint."""
        raise AssertionError("nobody asks for it")

    def run_inside(self, container: str, command: Sequence[str], _seconds: float) -> Ran:
        """See Endpoint."""
        self.asked.append((container, tuple(command)))
        self.before()
        if not container.endswith("-backup"):
            if not self.alive:
                raise NoContainerError(container)
            return Ran(code=0, out="", err="")
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Told:
    """A hook with what it said."""

    def __init__(self, agents: ToldAgents | None = None, **more: Any) -> None:
        self.agents = agents or ToldAgents()
        self.lines: list[str] = []
        self.warnings: list[str] = []
        usual: dict[str, Any] = {
            "machines": {"here": Machine(docker="unix:///var/run/docker.sock")},
            "machines_of_services": {"pad": "here", "team": "here"},
            "seconds": 30,
            "connect": lambda _: self.agents,
            "tell": self.lines.append,
            "warn": self.warnings.append,
        }
        self.hook = SnapshotBeforeChange(**{**usual, **more})

    def change(self, *containers: dict[str, Any]) -> list[BaseException | None]:
        """Change containers at the same time; why each of them must not."""

        async def all_at_once() -> list[BaseException | None]:
            return await asyncio.gather(
                *(self.hook.before_change(each) for each in containers), return_exceptions=True
            )

        return asyncio.run(all_at_once())

    def refusal(self, container: dict[str, Any]) -> str:
        """Why a container must not change."""
        (error,) = self.change(container)
        assert isinstance(error, NoSnapshotError)
        return str(error)


def container(service: str = "pad", role: str = "service", **labels: str | None) -> dict[str, Any]:
    """The inputs of a container as the engine hands them over."""
    usual: dict[str, str | None] = {
        "ronron.project": "ronron",
        "ronron.stack": "local",
        "ronron.service": service,
        "ronron.machine": "here",
        "ronron.role": role,
    }
    if role == "service":
        usual |= {"ronron.image": "etherpad/etherpad:2.5.0", "ronron.version": "2.5.0"}
    usual |= {f"ronron.{name}": value for name, value in labels.items()}
    return {
        "name": f"ronron-local-{service}",
        "labels": [{"label": name, "value": value} for name, value in usual.items() if value is not None],
    }


def test_a_snapshot_is_taken_of_what_ran_and_its_id_is_said() -> None:
    told = Told(revision=COMMIT)
    assert told.change(container()) == [None]
    ((asked, command),) = told.agents.asked
    assert asked == "ronron-local-pad-backup"
    assert command[:6] == ("ronron-agent", "now", "--reason", "update", "--revision", COMMIT)
    assert command[6] == "--running"
    assert json.loads(command[7]) == {
        "version": "2.5.0", "image": "etherpad/etherpad:2.5.0", "image_digest": None,
    }  # fmt: skip
    assert told.lines == [f"snapshot {ID[:12]} of pad was taken before it changes"]


def test_a_database_does_not_know_what_ran_and_leaves_it_to_the_agent() -> None:
    told = Told()
    assert told.change(container(role="database")) == [None]
    assert told.agents.asked == [("ronron-local-pad-backup", ("ronron-agent", "now", "--reason", "update"))]


def test_one_snapshot_serves_all_containers_of_a_service() -> None:
    told = Told()
    assert told.change(container(role="database"), container(), container("team")) == [None] * 3
    assert told.change(container()) == [None]
    assert sorted(asked for asked, _ in told.agents.asked) == [
        "ronron-local-pad-backup", "ronron-local-team-backup",
    ]  # fmt: skip
    assert len(told.lines) == 2


def test_services_do_not_wait_for_each_other() -> None:
    both = threading.Barrier(2)
    told = Told(ToldAgents(before=lambda: both.wait(30)))
    assert told.change(container("pad"), container("team")) == [None, None]


def test_a_failure_stops_every_container_of_the_service_and_is_asked_once() -> None:
    told = Told(ToldAgents(answer=FULL))
    errors = told.change(container(role="database"), container())
    assert [type(error) for error in errors] == [NoSnapshotError] * 2
    assert len(told.agents.asked) == 1
    assert told.lines == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (FULL, ("there is no space left", "-> make some")),
        (
            NoContainerError("x"),
            ("no container ronron-local-pad-backup on here", "only adds the backup first"),
        ),
        (EndpointError("connection refused"), ("connection refused", "docker start ronron-local-pad-backup")),
        (Ran(code=137, out="", err="Killed\n"), ("Killed", "docker logs ronron-local-pad-backup")),
        (Ran(code=0, out="", err=""), ("ended with 0 and said nothing", "docker logs")),
        (Ran(code=0, out="[]", err=""), ("[]", "docker logs")),
        (Ran(code=1, out='{"error": {}}', err="odd\n"), ("odd", "docker logs")),
        (Ran(code=1, out=TAKEN.out, err="odd\n"), ("odd", "docker logs")),
    ],
)
def test_why_there_is_no_snapshot_is_said_with_a_remedy(
    answer: Ran | Exception, words: tuple[str, ...]
) -> None:
    said = Told(ToldAgents(answer=answer)).refusal(container())
    assert said.startswith("cannot take a snapshot of pad before it changes: ")
    for word in (*words, "nothing of pad was changed", "`snapshot_before_update: false`"):
        assert word in said


def test_an_agent_that_takes_too_long_is_not_waited_for() -> None:
    forever = threading.Event()
    try:
        said = Told(ToldAgents(before=lambda: forever.wait(60)), seconds=0.1).refusal(container())
    finally:
        forever.set()
    assert "was not done within 0.1 seconds" in said
    assert "RONRON_SNAPSHOT_TIMEOUT" in said


def test_a_machine_that_is_declared_no_more_is_named() -> None:
    said = Told().refusal(container(machine="attic"))
    assert "its machine attic is no longer declared" in said
    assert "declare attic again" in said


def test_a_container_from_before_its_label_is_on_its_services_machine() -> None:
    told = Told()
    assert told.change(container(machine=None)) == [None]
    assert "no label says it" in Told(machines_of_services={}).refusal(container(machine=None))


@pytest.mark.parametrize("inputs", [{}, {"labels": None}, {"labels": []}, container(stack=None)])
def test_a_container_of_no_service_is_not_changed_blindly(inputs: dict[str, Any]) -> None:
    assert "no label says it" in Told().refusal(inputs)


def test_a_service_that_is_to_be_mended_changes_without_and_that_is_said_loudly() -> None:
    told = Told(ToldAgents(answer=FULL), without=frozenset({"pad"}))
    assert told.change(container()) == [None]
    assert told.agents.asked == []
    assert "pad changes WITHOUT a snapshot" in told.warnings[0]


def test_what_an_interrupted_removal_left_goes_without_its_agent() -> None:
    absent = NoContainerError("x")
    told = Told(ToldAgents(answer=absent, alive=False), machines_of_services={})
    assert told.change(container(role="database")) == [None]
    assert "goes without a snapshot" in told.warnings[0]
    for agents, services in (
        (ToldAgents(answer=absent, alive=True), {}),
        (ToldAgents(answer=absent, alive=False), {"pad": "here"}),
        (ToldAgents(answer=FULL, alive=False), {}),
    ):
        refused = Told(agents, machines_of_services=services)
        assert "cannot take a snapshot of pad" in refused.refusal(container(role="database"))


@pytest.mark.parametrize("text", ["0", "-1", "an hour", "1e3", "3600s"])
def test_a_time_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RONRON_SNAPSHOT_TIMEOUT", text)
    with pytest.raises(DeclarationError, match="RONRON_SNAPSHOT_TIMEOUT is no number of seconds"):
        register(declaration())


def test_the_hook_is_registered_whatever_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RONRON_SNAPSHOT_TIMEOUT", "60")
    names: list[str] = []
    registered(lambda: names.append(register(declaration({("services",): {}})).name))
    assert names == ["ronron-snapshot-before-change"]
