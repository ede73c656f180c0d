"""The snapshot before a change, with agents that give scripted answers."""

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
from chatons.docker.endpoint import EndpointError, Names, NoContainerError, Ran
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


def unknown_command(name: str) -> Ran:
    """What argparse in an agent answers to a command that it does not know."""
    return Ran(
        code=2,
        out="",
        err=(
            "usage: ronron-agent [-h]\n"
            "                    {serve,health,list,status,check,prune,drilled,counts,"
            "now,put,swap,export,keep,probe}\n                    ...\n"
            f"ronron-agent: error: argument command: invalid choice: '{name}' (choose from 'serve', "
            "'health', 'list', 'status', 'check', 'prune', 'drilled', 'counts', 'now', 'put', 'swap', "
            "'export', 'keep', 'probe')\n"
        ),
    )


@dataclass
class ScriptedAgents:
    """A Docker whose agents give a scripted answer.

    Attributes:
        answer: of the agent; an exception is raised.
        alive: whether the service's main container exists.
        interface: version of the agent's commands.
        asked: every command, with its container.
        before: called before each answer.
    """

    answer: Ran | Exception = TAKEN
    alive: bool = True
    interface: int = 2
    asked: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    before: Callable[[], object] = lambda: None

    def version(self) -> str:
        """See Endpoint."""
        raise AssertionError("the hook does not call it")

    def names(self) -> Names:
        """See Endpoint."""
        raise AssertionError("the hook does not call it")

    def has(self, _image: ImageReference) -> bool:
        """See Endpoint."""
        raise AssertionError("the hook does not call it")

    def why_not_pulled(self, _image: ImageReference) -> str | None:
        """See Endpoint."""
        raise AssertionError("the hook does not call it")

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
        if command[1] != ("now" if self.interface == 1 else "backup"):
            return unknown_command(command[1])
        return self.answer


class HookRun:
    """A hook and what it logged."""

    def __init__(self, agents: ScriptedAgents | None = None, **more: Any) -> None:
        self.agents = agents or ScriptedAgents()
        self.lines: list[str] = []
        self.warnings: list[str] = []
        usual: dict[str, Any] = {
            "machines": {"here": Machine(docker="unix:///var/run/docker.sock")},
            "machines_of_services": {"pad": "here", "team": "here"},
            "seconds": 30,
            "connect": lambda _: self.agents,
            "log": self.lines.append,
            "warn": self.warnings.append,
        }
        self.hook = SnapshotBeforeChange(**{**usual, **more})

    def change(self, *containers: dict[str, Any]) -> list[BaseException | None]:
        """Change containers concurrently; gives the error of each, None where it may change."""

        async def all_at_once() -> list[BaseException | None]:
            return await asyncio.gather(
                *(self.hook.before_change(each) for each in containers), return_exceptions=True
            )

        return asyncio.run(all_at_once())

    def refusal(self, container: dict[str, Any]) -> str:
        """The message of the error that stops a change."""
        (error,) = self.change(container)
        assert isinstance(error, NoSnapshotError)
        return str(error)


def container(service: str = "pad", role: str = "service", **labels: str | None) -> dict[str, Any]:
    """The inputs of a container as the engine passes them to a hook."""
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


def test_a_snapshot_records_what_ran_and_its_id_is_logged() -> None:
    run = HookRun(revision=COMMIT)
    assert run.change(container()) == [None]
    ((asked, command),) = run.agents.asked
    assert asked == "ronron-local-pad-backup"
    assert command[:6] == ("ronron-agent", "backup", "--reason", "update", "--revision", COMMIT)
    assert command[6] == "--running"
    assert json.loads(command[7]) == {
        "version": "2.5.0", "image": "etherpad/etherpad:2.5.0", "image_digest": None,
    }  # fmt: skip
    assert run.lines == [f"snapshot {ID[:12]} of pad was taken before it changes"]


def test_labels_of_a_database_leave_out_what_ran_so_the_agent_fills_it_in() -> None:
    run = HookRun()
    assert run.change(container(role="database")) == [None]
    assert run.agents.asked == [("ronron-local-pad-backup", ("ronron-agent", "backup", "--reason", "update"))]


def test_an_agent_of_interface_1_gets_the_old_name_of_the_command_with_the_same_options() -> None:
    run = HookRun(ScriptedAgents(interface=1), revision=COMMIT)
    assert run.change(container()) == [None]
    (asked, new), (again, old) = run.agents.asked
    assert asked == again == "ronron-local-pad-backup"
    assert (new[:2], old[:2]) == (("ronron-agent", "backup"), ("ronron-agent", "now"))
    assert new[2:] == old[2:]
    assert old[2:6] == ("--reason", "update", "--revision", COMMIT)
    assert run.lines == [f"snapshot {ID[:12]} of pad was taken before it changes"]


def test_an_error_of_an_agent_of_interface_1_is_reported() -> None:
    run = HookRun(ScriptedAgents(answer=FULL, interface=1))
    assert "there is no space left" in run.refusal(container())
    assert len(run.agents.asked) == 2


def test_an_agent_that_knows_neither_name_stops_the_change() -> None:
    run = HookRun(ScriptedAgents(answer=unknown_command("now")))
    assert "invalid choice: 'now'" in run.refusal(container())


def test_all_containers_of_a_service_share_one_snapshot() -> None:
    run = HookRun()
    assert run.change(container(role="database"), container(), container("team")) == [None] * 3
    assert run.change(container()) == [None]
    assert sorted(asked for asked, _ in run.agents.asked) == [
        "ronron-local-pad-backup", "ronron-local-team-backup",
    ]  # fmt: skip
    assert len(run.lines) == 2


def test_a_container_that_is_put_back_changes_without_a_snapshot_and_others_with_one() -> None:
    run = HookRun(ScriptedAgents(answer=NoContainerError("gone")), repaired=frozenset({"ronron-local-pad"}))
    assert run.change(container("pad")) == [None]
    assert run.agents.asked == []
    assert run.lines == ["ronron-local-pad is put back as it was, without a snapshot; its volumes stay"]
    assert isinstance(run.change(container("team"))[0], NoSnapshotError)


def test_services_do_not_wait_for_each_other() -> None:
    both = threading.Barrier(2)
    run = HookRun(ScriptedAgents(before=lambda: both.wait(30)))
    assert run.change(container("pad"), container("team")) == [None, None]


def test_a_failed_snapshot_stops_every_container_of_the_service_and_is_not_repeated() -> None:
    run = HookRun(ScriptedAgents(answer=FULL))
    errors = run.change(container(role="database"), container())
    assert [type(error) for error in errors] == [NoSnapshotError] * 2
    assert len(run.agents.asked) == 1
    assert run.lines == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (FULL, ("there is no space left", "-> make some")),
        (
            NoContainerError("x"),
            (
                "no container ronron-local-pad-backup on here",
                "first make an update that only adds the backup",
            ),
        ),
        (EndpointError("connection refused"), ("connection refused", "docker start ronron-local-pad-backup")),
        (Ran(code=137, out="", err="Killed\n"), ("Killed", "docker logs ronron-local-pad-backup")),
        (Ran(code=0, out="", err=""), ("exited with 0 and printed nothing", "docker logs")),
        (Ran(code=0, out="[]", err=""), ("[]", "docker logs")),
        (Ran(code=1, out='{"error": {}}', err="odd\n"), ("odd", "docker logs")),
        (Ran(code=1, out=TAKEN.out, err="odd\n"), ("odd", "docker logs")),
    ],
)
def test_the_error_gives_the_cause_and_a_hint(answer: Ran | Exception, words: tuple[str, ...]) -> None:
    said = HookRun(ScriptedAgents(answer=answer)).refusal(container())
    assert said.startswith("cannot take a snapshot of pad before it changes: ")
    for word in (*words, "nothing of pad was changed", "`snapshot_before_update: false`"):
        assert word in said


def test_a_snapshot_times_out() -> None:
    forever = threading.Event()
    try:
        said = HookRun(ScriptedAgents(before=lambda: forever.wait(60)), seconds=0.1).refusal(container())
    finally:
        forever.set()
    assert "did not finish within 0.1 seconds" in said
    assert "RONRON_SNAPSHOT_TIMEOUT" in said


def test_the_error_names_a_machine_that_is_no_longer_declared() -> None:
    said = HookRun().refusal(container(machine="attic"))
    assert "its machine attic is no longer declared" in said
    assert "declare attic again" in said


def test_a_container_without_a_machine_label_is_on_the_machine_of_its_service() -> None:
    run = HookRun()
    assert run.change(container(machine=None)) == [None]
    assert "no label names it" in HookRun(machines_of_services={}).refusal(container(machine=None))


@pytest.mark.parametrize("inputs", [{}, {"labels": None}, {"labels": []}, container(stack=None)])
def test_a_container_without_a_service_label_does_not_change(inputs: dict[str, Any]) -> None:
    assert "no label names it" in HookRun().refusal(inputs)


def test_a_service_with_snapshot_before_update_false_changes_with_a_warning() -> None:
    run = HookRun(ScriptedAgents(answer=FULL), without=frozenset({"pad"}))
    assert run.change(container()) == [None]
    assert run.agents.asked == []
    assert "pad changes WITHOUT a snapshot" in run.warnings[0]


def test_containers_left_by_an_interrupted_deletion_are_deleted_without_their_agent() -> None:
    absent = NoContainerError("x")
    run = HookRun(ScriptedAgents(answer=absent, alive=False), machines_of_services={})
    assert run.change(container(role="database")) == [None]
    assert "without a snapshot: an earlier update deleted its backup agent" in run.warnings[0]
    for agents, services in (
        (ScriptedAgents(answer=absent, alive=True), {}),
        (ScriptedAgents(answer=absent, alive=False), {"pad": "here"}),
        (ScriptedAgents(answer=FULL, alive=False), {}),
    ):
        refused = HookRun(agents, machines_of_services=services)
        assert "cannot take a snapshot of pad" in refused.refusal(container(role="database"))


@pytest.mark.parametrize("text", ["0", "-1", "an hour", "1e3", "3600s"])
def test_a_timeout_that_is_not_a_number_of_seconds_is_refused(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RONRON_SNAPSHOT_TIMEOUT", text)
    with pytest.raises(DeclarationError, match="RONRON_SNAPSHOT_TIMEOUT is not a number of seconds"):
        register(declaration())


def test_the_hook_is_registered_whatever_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RONRON_SNAPSHOT_TIMEOUT", "60")
    names: list[str] = []
    registered(lambda: names.append(register(declaration({("services",): {}})).name))
    assert names == ["ronron-snapshot-before-change"]
