"""The commands for the containers of a service, with containers in memory: output and exit codes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ronron.adapters.sql_store.store import SqlStore
from ronron.commands.arguments import Options
from ronron.commands.cli import app
from ronron.commands.factories import PortFactories
from ronron.core.containers import ContainerHealth, ContainerState
from ronron.core.status import ExitCode
from ronron.testing import NOON, Answer, FakeClock, FakeProber, FakeServiceContainers
from tests.support.command_line import Records, Said, bare_environment, ran
from tests.support.values import SYNCED
from tests.support.worlds import URL, inventory

RECORD = SYNCED.with_(inventory=inventory(backup=True), stack="production")


@dataclass
class Ronron(Records):
    """The command line with one pad in memory, and a person who gives one answer."""

    state: Path
    answer: bool | None = None
    clock: FakeClock = field(default_factory=FakeClock)
    prober: FakeProber = field(default_factory=FakeProber)
    services: FakeServiceContainers = field(default_factory=FakeServiceContainers)

    def __call__(self, *arguments: str) -> Said:
        factories = PortFactories(
            prober=lambda: self.prober,
            clock=lambda: self.clock,
            ask=lambda _: self.answer,
            services=lambda: self.services,
        )
        # No such repository: none of these commands may need one.
        return ran(self.state, "/nonexistent/infra.git", *arguments, options=Options(factories=factories))


@pytest.fixture
def ronron(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ronron:
    bare_environment(tmp_path / "home", monkeypatch)
    made = Ronron(tmp_path / "state")
    made.keep(RECORD)
    made.services.run("pad")
    for minutes, line in ((90, "old"), (5, "new"), (0, "newest")):
        made.services.write("pad", line, NOON - timedelta(minutes=minutes))
    return made


ALL = [("logs",), ("restart", "--yes"), ("exec",)]


# -- which container -------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ALL)
def test_a_service_that_is_not_there_is_a_usage_error(ronron: Ronron, command: tuple[str, ...]) -> None:
    said = ronron(*command, "production", "pda", *(["true"] if command[0] == "exec" else []))
    assert said.code == ExitCode.USAGE
    assert "cannot find the service `pda` in production" in said.err
    assert "use pad" in said.err


def test_before_the_first_good_update_explain_is_named(ronron: Ronron) -> None:
    ronron.keep(RECORD.with_(inventory=None))
    said = ronron("logs", "production", "pad")
    assert said.code == ExitCode.USAGE
    assert "run ronron explain production" in said.err


@pytest.mark.parametrize(
    ("which", "container"), [("app", "pad"), ("agent", "fake-production-pad-backup"), ("edge", "the-edge")]
)
def test_every_container_of_a_service_has_a_log(ronron: Ronron, which: str, container: str) -> None:
    ronron.services.publish_by("the-edge")
    ronron.services.run(container)
    ronron.services.write(container, f"of {container}")
    said = ronron("logs", "production", "pad", "--container", which)
    assert said.code == ExitCode.DONE
    assert said.out.splitlines()[-1] == f"of {container}"


def test_a_container_that_the_service_does_not_have_is_a_usage_error(ronron: Ronron) -> None:
    said = ronron("logs", "production", "pad", "--container", "database")
    assert said.code == ExitCode.USAGE
    assert "cannot find a container database of pad" in said.err


# -- logs --------------------------------------------------------------------------------------------


def test_a_log_is_shown_as_it_is_and_within_limits(ronron: Ronron) -> None:
    assert ronron("logs", "production", "pad").out.splitlines() == ["old", "new", "newest"]
    assert ronron("logs", "production", "pad", "-n", "1").out.splitlines() == ["newest"]
    assert ronron("logs", "production", "pad", "--since", "10m").out.splitlines() == ["new", "newest"]
    said = ronron("logs", "production", "pad", "--since", "soon")
    assert said.code == ExitCode.USAGE
    assert "--since: cannot read the duration `soon`" in said.err


def test_markup_in_a_log_is_shown_as_it_is(ronron: Ronron) -> None:
    ronron.services.write("pad", "[bold]no[/] markup", NOON)
    assert ronron("logs", "production", "pad", "-n", "1").out == "[bold]no[/] markup\n"


# -- restart -----------------------------------------------------------------------------------------


def test_a_restart_waits_until_the_service_is_healthy(ronron: Ronron) -> None:
    said = ronron("restart", "production", "pad", "--yes")
    assert said.code == ExitCode.DONE
    assert ronron.services.calls == ["restart pad"]
    assert said.out == "restarted: pad is healthy\n"
    assert "restarted container pad" in said.err
    assert ronron.prober.asked == [URL]


def test_a_restart_asks_first(ronron: Ronron) -> None:
    ronron.answer = False
    assert ronron("restart", "production", "pad").out == "nothing was restarted\n"
    ronron.answer = None
    said = ronron("restart", "production", "pad")
    assert said.code == ExitCode.USAGE
    assert "--yes" in said.err
    assert ronron.services.calls == []
    ronron.answer = True
    assert ronron("restart", "production", "pad").code == ExitCode.DONE


def test_a_locked_stack_is_not_touched(ronron: Ronron) -> None:
    with SqlStore(ronron.state) as store, store.lock("production"):
        said = ronron("restart", "production", "pad", "--yes")
    assert said.code == ExitCode.LOCKED
    assert ronron.services.calls == []


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"state": ContainerState.EXITED, "exit_code": 3}, "exited with 3"),
        ({"health": ContainerHealth.UNHEALTHY}, "is unhealthy"),
        ({"health": ContainerHealth.STARTING}, "is running and not healthy yet"),
    ],
)
def test_a_container_that_does_not_become_healthy_is_a_failure(
    ronron: Ronron, fields: dict[str, object], why: str
) -> None:
    ronron.services.run("pad", **fields)
    said = ronron("restart", "production", "pad", "--yes")
    assert said.code == ExitCode.FAILED
    assert f"cannot restart pad: container pad {why}" in said.err
    assert "ronron logs production pad" in said.err


def test_a_service_that_stays_unhealthy_is_a_failure(ronron: Ronron) -> None:
    ronron.prober.answer(URL, Answer(status=502))
    said = ronron("restart", "production", "pad", "--yes")
    assert said.code == ExitCode.FAILED
    assert said.out.startswith("unhealthy: pad was restarted: 502 ")


# -- exec --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1, 7, 126])
def test_the_exit_code_and_the_output_of_a_program_are_passed_on(ronron: Ronron, code: int) -> None:
    ronron.services.answer("psql", code, b"one\n")
    said = ronron("exec", "production", "pad", "--", "psql", "--list", "-x")
    assert (said.code, said.out) == (code, "one\n")
    assert ronron.services.calls == ["exec pad: psql --list -x"]


def test_options_behind_two_dashes_are_the_program_s(ronron: Ronron) -> None:
    ronron.services.answer("ls", 0)
    ronron.services.run("fake-production-pad-backup")
    own = ("--container", "agent")
    assert ronron("exec", "production", "pad", *own, "--", "ls", "--help", "--container").code == 0
    assert ronron.services.calls == ["exec fake-production-pad-backup: ls --help --container"]
    assert ronron("exec", "production", "pad").code == ExitCode.USAGE


def test_a_program_in_a_container_that_does_not_run_is_an_error(ronron: Ronron) -> None:
    ronron.services.run("pad", state=ContainerState.EXITED, exit_code=3)
    said = ronron("exec", "production", "pad", "true")
    assert said.code == ExitCode.FAILED
    assert "it is not running" in said.err


# -- completion --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("logs ", ["production"]),
        ("status pro", ["production"]),
        ("restart production ", ["pad"]),
        ("exec production p", ["pad"]),
        ("logs production x", []),
        ("logs staging ", []),
    ],
)
def test_names_are_completed_from_the_records(
    ronron: Ronron, monkeypatch: pytest.MonkeyPatch, words: str, completed: list[str]
) -> None:
    monkeypatch.setenv("RONRON_STATE", str(ronron.state))
    line = f"ronron {words}"
    count = len(line.split()) - (0 if line.endswith(" ") else 1)
    asked = {"_RONRON_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(count)}
    found = CliRunner().invoke(app, [], env=asked, prog_name="ronron")
    assert found.stdout.split() == completed
