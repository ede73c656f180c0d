"""The commands that start no engine: what they print, and the code that they end with.

The repository and the store are real ones; what starts an engine is in tests/end_to_end.
"""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import pytest

from ronron.adapters.sql_store.store import SqlStore
from ronron.commands.cli import Ronron as Ronron_
from ronron.core.errors import ConfigError
from ronron.core.record import Record
from ronron.core.status import ExitCode
from ronron.settings import POLICY_FILE
from ronron.testing import NOON
from tests.support.command_line import Records, Said, bare_environment, ran
from tests.support.repositories import Repository
from tests.support.values import (
    FAILED,
    HEALTHY,
    HOUR,
    MINUTE,
    NEW,
    PLAN,
    SYNCED,
    UPDATED,
    WAITING_PLAN,
    begun,
)
from tests.support.worlds import inventory

PROJECT = {
    "Pulumi.yaml": "name: x\nruntime: python\nstackConfigDir: stacks\n",
    "stacks/Pulumi.production.yaml": "config: {}\n",
    POLICY_FILE: "environments: {production: {reference: main}}\n",
}
WAITING = SYNCED.with_(attempted=NEW, waiting=WAITING_PLAN)


@dataclass(frozen=True)
class Ronron(Records):
    """The command line, with a state directory and a repository of its own."""

    state: Path
    repository: Repository

    def __call__(self, *arguments: str) -> Said:
        return ran(self.state, str(self.repository.path), *arguments)


@pytest.fixture
def ronron(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ronron:
    bare_environment(tmp_path / "home", monkeypatch)
    repository = Repository.create(tmp_path / "infra.git")
    repository.commit(PROJECT)
    return Ronron(tmp_path / "state", repository)


@pytest.fixture
def store(ronron: Ronron) -> Iterator[SqlStore]:
    with SqlStore(ronron.state) as opened:
        yield opened


# -- how it is called --------------------------------------------------------------------------------------


def test_the_version_is_the_distribution_s(ronron: Ronron) -> None:
    assert ronron("--version").out == f"ronron {metadata.version('ronron')}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("purr",),
        ("explain",),
        ("history", "--limit", "0"),
        ("history", "--limit", "1001"),
        ("history", "--limit", "many"),
        ("approve", "production"),
        ("status", "--colour"),
    ],
)
def test_a_wrong_call_is_a_usage_error(ronron: Ronron, arguments: tuple[str, ...]) -> None:
    said = ronron(*arguments)
    assert said.code == ExitCode.USAGE
    assert said.err


def test_help_lists_every_command_under_its_heading_with_its_own_first_line(ronron: Ronron) -> None:
    """The table is written by hand: it must not drift from what the commands say of themselves."""
    listed = ronron("--help").out
    headings = [f"\n{panel}:\n" for panel in dict.fromkeys(entry.panel for entry in Ronron_.entries)]
    assert [heading for heading in headings if heading in listed] == headings
    assert [listed.index(heading) for heading in headings] == sorted(map(listed.index, headings))
    assert headings[0] == "\nEveryday:\n"
    for entry in Ronron_.entries:
        assert f"  {entry.name} " in listed
        said = ronron(entry.name, "--help")
        assert said.code == ExitCode.DONE
        assert said.out.splitlines()[2].strip() == entry.help


def test_help_fits_a_terminal_of_80_columns(ronron: Ronron) -> None:
    for words in ([], *([entry.name] for entry in Ronron_.entries)):
        assert max(map(len, ronron(*words, "--help").out.splitlines())) <= 80


def test_every_help_text_starts_with_a_verb() -> None:
    verbs = {entry.help.split()[0].strip(",") for entry in Ronron_.entries}
    assert verbs == {
        "Show", "Preview", "Run", "Update", "List", "Explain", "Approve", "Suspend", "Resume", "Take",
        "Restore", "Restart", "Recover", "Check", "Forget", "Write", "Add", "Remove", "Print",
    }  # fmt: skip


# -- how fast it starts ------------------------------------------------------------------------------------

SLOW = ("docker", "git", "httpx", "pulumi", "pydantic", "requests", "rich", "sqlalchemy", "tenacity")


def imported(*words: str, **environ: str) -> set[str]:
    """The slow packages that a command imports."""
    code = (
        "import sys, atexit\n"
        f"atexit.register(lambda: print(*[n for n in {SLOW!r} if n in sys.modules], file=sys.stderr))\n"
        f"sys.argv = ['ronron', *{words!r}]\n"
        "from ronron.commands.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": os.pathsep.join(sys.path), **environ},
        capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def test_help_imports_nothing_slow() -> None:
    assert imported("--help") == set()


def test_completion_imports_no_command() -> None:
    """Typer parses what is typed with pydantic; it is the only slow package then."""
    wanted = {"_RONRON_COMPLETE": "complete_bash", "COMP_WORDS": "ronron st", "COMP_CWORD": "1"}
    assert imported(**wanted) <= {"pydantic"}


def test_status_imports_no_engine_no_docker_no_git_and_no_http(tmp_path: Path) -> None:
    assert imported("--state", str(tmp_path), "status") <= {"pydantic", "rich", "sqlalchemy", "tenacity"}


def test_a_wrong_setting_is_told_with_its_option(ronron: Ronron) -> None:
    said = ronron("--repository", "ext::sh", "status")
    assert said.code == ExitCode.USAGE
    assert said.err.startswith("error: --repository: ")
    assert "hint: " in said.err


def test_an_error_is_json_where_facts_are(ronron: Ronron) -> None:
    said = ronron("--repository", "ext::sh", "status", "--json")
    assert said.code == ExitCode.USAGE
    assert said.facts["error"]["where"] == "--repository"
    assert said.facts["error"]["hint"]
    assert said.err == ""


def test_debug_shows_where_an_error_came_from(ronron: Ronron) -> None:
    with pytest.raises(ConfigError):
        ronron("--debug", "approve", "production", PLAN)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--version"], ExitCode.DONE),
        (["purr"], ExitCode.USAGE),
        (["approve", "production", PLAN], ExitCode.USAGE),
    ],
    ids=["version", "no command", "no approval"],
)
def test_the_process_ends_with_the_code_of_the_command(
    ronron: Ronron, arguments: list[str], code: ExitCode
) -> None:
    """As the shell sees it, through the console script's own entry."""
    done = subprocess.run(
        [sys.executable, "-m", "ronron.commands.cli", "--state", str(ronron.state), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


# -- looking -----------------------------------------------------------------------------------------------


def test_status_says_how_to_begin(ronron: Ronron) -> None:
    said = ronron("status")
    assert said.code == ExitCode.DONE
    assert "ronron watch" in said.out


@pytest.mark.parametrize(
    ("record", "state", "code"),
    [
        (SYNCED, "live", ExitCode.DONE),
        (WAITING, "waiting for approval", ExitCode.WAITING),
        (FAILED, "failing", ExitCode.FAILED),
        (FAILED.with_(stalled="no"), "stalled", ExitCode.FAILED),
    ],
)
def test_status_ends_as_the_environments_are(
    ronron: Ronron, record: Record, state: str, code: ExitCode
) -> None:
    ronron.keep(record)
    for said in (ronron("status"), ronron("status", "production"), ronron("explain", "production")):
        assert said.code == code
        assert f"production  {state}" in said.out
    (environment,) = ronron("status", "--json").facts["environments"]
    assert (environment["name"], environment["state"]) == ("production", state)


def test_the_worst_environment_decides(ronron: Ronron) -> None:
    ronron.keep(WAITING)
    ronron.keep(FAILED.with_(environment="staging"))
    assert ronron("status").code == ExitCode.FAILED
    assert ronron("status", "production").code == ExitCode.WAITING


def test_status_fails_where_a_service_is_unhealthy_or_nobody_knows(ronron: Ronron, store: SqlStore) -> None:
    ronron.keep(SYNCED.with_(inventory=inventory()))
    at = datetime.now(UTC) - 10 * MINUTE
    known = HEALTHY.with_(since=at, checked_at=at, every=HOUR)
    for health, state, word, code in (
        (known, "live", "healthy", ExitCode.DONE),
        (known.with_(healthy=False), "unhealthy", "unhealthy", ExitCode.FAILED),
        (known.with_(every=MINUTE), "live", "unknown", ExitCode.FAILED),
    ):
        store.save_health("production", health)
        assert ronron("status").code == code
        (environment,) = ronron("status", "--json").facts["environments"]
        (service,) = environment["services"]
        assert (environment["state"], service["health"]) == (state, word)
        assert datetime.fromisoformat(service["checked_at"]) == health.checked_at


def test_a_removed_environment_comes_last_until_it_is_forgotten(ronron: Ronron, store: SqlStore) -> None:
    ronron.keep(SYNCED)
    ronron.keep(FAILED.with_(environment="old", stack="old", removed=NOON))
    said = ronron("status")
    assert said.code == ExitCode.DONE
    assert said.out.splitlines()[-2:] == [
        "old  removed  no longer in the policy; its stack stays as it is",
        "  hint     to destroy its stack, run ronron pulumi old -- destroy in a clone at 01d000000000,"
        " which still has it; then run ronron forget old",
    ]
    assert ronron("forget", "old").out == "forgot the records of old; its stack stays as it is\n"
    assert store.environments() == ("production",)


def test_what_is_in_the_policy_or_unknown_is_not_forgotten(ronron: Ronron, store: SqlStore) -> None:
    ronron.keep(SYNCED)
    kept, unknown = ronron("forget", "production"), ronron("forget", "prodction")
    assert (kept.code, unknown.code) == (ExitCode.USAGE, ExitCode.USAGE)
    assert "cannot forget production: it is in the policy" in kept.err
    assert "hint: remove production there first, and push" in kept.err
    assert "hint: use production" in unknown.err
    assert store.environments() == ("production",)


def test_an_environment_is_not_forgotten_during_a_pass(ronron: Ronron, store: SqlStore) -> None:
    ronron.keep(FAILED.with_(environment="old", stack="prod-old"))
    with store.lock("prod-old"):
        assert ronron("forget", "old").code == ExitCode.LOCKED
    assert store.environments() == ("old",)


def test_looking_needs_no_repository(ronron: Ronron) -> None:
    ronron.keep(SYNCED)
    gone = Ronron(ronron.state, Repository(ronron.state / "none.git"))
    for command in (("status",), ("history",), ("explain", "production")):
        assert gone(*command).code == ExitCode.DONE


def test_history_shows_the_newest_passes_first(ronron: Ronron, store: SqlStore) -> None:
    for environment in ("staging", "production", "production"):
        number = store.begin(begun(environment))
        store.finish(number, UPDATED, NOON, SYNCED.with_(environment=environment))
    assert [made["id"] for made in ronron("history", "--json").facts["passes"]] == [3, 2, 1]
    assert [made["id"] for made in ronron("history", "production", "--json").facts["passes"]] == [3, 2]
    assert [made["id"] for made in ronron("history", "--limit", "1", "--json").facts["passes"]] == [3]
    assert "updated" in ronron("history").out


def test_explain_says_why_from_the_records_alone(ronron: Ronron, store: SqlStore) -> None:
    store.finish(store.begin(begun()), UPDATED, NOON, SYNCED.with_(inventory=inventory()))
    said = ronron("explain", "production")
    assert "because   new revision: it is new" in said.out
    assert "verdict   allowed: the policy allows it" in said.out
    assert "snapshot  555555555555 of pad, taken before the update" in said.out
    assert ronron("explain", "production", "--json").facts["passes"][0]["id"] == 1


# -- saying yes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plan", [PLAN, PLAN[:12], PLAN[:8]])
def test_the_plan_that_waits_is_approved_in_full(ronron: Ronron, store: SqlStore, plan: str) -> None:
    ronron.keep(WAITING)
    said = ronron("approve", "production", plan)
    assert (said.code, said.out) == (
        ExitCode.DONE,
        "approved: plan cccccccccccc; the next pass applies it\n",
    )
    assert store.approvals("production") == {PLAN}


@pytest.mark.parametrize(
    ("record", "plan", "what"),
    [
        pytest.param(SYNCED, PLAN, "production has no plan to approve", id="nothing waits"),
        pytest.param(
            WAITING.with_(waiting=WAITING_PLAN.with_(forbidden=True)),
            PLAN,
            "needs another revision",
            id="forbidden",
        ),
        pytest.param(WAITING, PLAN[:7], "approval of another plan: cccccccccccc", id="too short"),
        pytest.param(WAITING, "", "approval of another plan: cccccccccccc", id="empty"),
        pytest.param(WAITING, "d" * 64, "approval of another plan: cccccccccccc", id="another plan"),
        pytest.param(WAITING, PLAN + "c", "approval of another plan: cccccccccccc", id="too long"),
    ],
)
def test_nothing_else_is_approved(
    ronron: Ronron, store: SqlStore, record: Record, plan: str, what: str
) -> None:
    ronron.keep(record)
    said = ronron("approve", "production", plan)
    assert said.code == ExitCode.USAGE
    assert what in said.err
    assert "hint: run ronron " in said.err
    assert store.approvals("production") == frozenset()


# -- leaving alone, and going on ---------------------------------------------------------------------------


def test_a_suspended_environment_says_by_whom_and_why(ronron: Ronron) -> None:
    ronron.keep(SYNCED)
    said = ronron("suspend", "production", "--why", "moving house")
    assert (said.code, said.out) == (
        ExitCode.DONE,
        "suspended: production; resume it with ronron resume production\n",
    )
    suspended = ronron.record.suspended
    assert suspended is not None
    assert (suspended.by, suspended.why) == (getpass.getuser(), "moving house")
    assert "moving house" in ronron("status").out


def test_an_environment_is_resumed_from_all_its_trouble(ronron: Ronron) -> None:
    ronron.keep(FAILED.with_(stalled="no"))
    ronron("suspend", "production")
    assert ronron("resume", "production").code == ExitCode.DONE
    record = ronron.record
    assert (record.suspended, record.stalled, record.failures) == (None, None, 0)


@pytest.mark.parametrize("command", ["suspend", "resume"])
def test_a_stack_that_another_works_on_is_busy(ronron: Ronron, store: SqlStore, command: str) -> None:
    ronron.keep(SYNCED)
    with store.lock("production"):
        said = ronron(command, "production")
    assert said.code == ExitCode.LOCKED
    assert "is locked by" in said.err
    assert ronron.record == SYNCED


@pytest.mark.parametrize("command", ["suspend", "resume", "preview", "update"])
def test_an_unknown_environment_is_named_with_the_nearest(ronron: Ronron, command: str) -> None:
    said = ronron(command, "prodction")
    assert said.code == ExitCode.USAGE
    assert said.err.startswith(f"error: {POLICY_FILE}: cannot find the environment ")
    assert "production" in said.err.splitlines()[1]


def test_an_environment_like_no_other_is_told_all_names(ronron: Ronron) -> None:
    assert "use one of: production" in ronron("preview", "zzz").err


def test_a_repository_that_is_not_there_is_told(ronron: Ronron) -> None:
    gone = Ronron(ronron.state, Repository(ronron.state / "none.git"))
    said = gone("suspend", "production")
    assert said.code == ExitCode.FAILED
    assert "none.git" in said.err
    assert "hint: " in said.err


def test_a_policy_that_cannot_be_used_is_told_with_its_line(ronron: Ronron) -> None:
    ronron.repository.commit({POLICY_FILE: "environments:\n  production: {reference: main, update: maybe}\n"})
    said = ronron("suspend", "production")
    assert said.code == ExitCode.USAGE
    assert f"{POLICY_FILE}:2" in said.err


def test_a_secret_reaches_neither_the_screen_nor_the_store(
    ronron: Ronron, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "hunter22hunter22")
    ronron.keep(SYNCED)
    ronron("suspend", "production", "--why", "the passphrase is hunter22hunter22")
    assert ronron.record.suspended is not None
    assert ronron.record.suspended.why == "the passphrase is [secret]"
    kept = b"".join(file.read_bytes() for file in ronron.state.rglob("*") if file.is_file())
    assert b"hunter22" not in kept
    assert "hunter22" not in ronron("status").out


# -- checking ----------------------------------------------------------------------------------------------


def test_a_sound_working_tree_is_said_to_be_one(ronron: Ronron, tmp_path: Path) -> None:
    tree = ronron.repository.clone(tmp_path / "tree")
    said = ronron("validate", "--directory", str(tree))
    assert (said.code, said.out) == (ExitCode.DONE, "no problems\n")


def test_problems_of_a_working_tree_are_listed_and_counted(ronron: Ronron, tmp_path: Path) -> None:
    tree = ronron.repository.clone(tmp_path / "tree")
    (tree / "stacks/Pulumi.production.yaml").unlink()
    said = ronron("validate", "--directory", str(tree))
    assert said.code == ExitCode.USAGE
    assert said.out.splitlines()[0] == "stacks/Pulumi.production.yaml cannot find it"
    assert said.out.splitlines()[-1] == "1 problem"
    (problem,) = ronron("validate", "--directory", str(tree), "--json").facts["problems"]
    assert (problem["where"], problem["what"]) == ("stacks/Pulumi.production.yaml", "cannot find it")


def test_a_working_tree_that_is_not_there_is_a_usage_error(ronron: Ronron, tmp_path: Path) -> None:
    assert ronron("validate", "--directory", str(tmp_path / "none")).code == ExitCode.USAGE


@pytest.mark.parametrize("command", ["status", "explain"])
def test_an_environment_without_a_record_is_refused_with_the_nearest_known_one(
    ronron: Ronron, command: str
) -> None:
    said = ronron(command, "production")
    assert said.code == ExitCode.USAGE
    assert "run ronron update production first" in said.err
    ronron.keep(SYNCED)
    said = ronron(command, "prodction")
    assert said.code == ExitCode.USAGE
    assert "use production" in said.err
    assert ronron(command, "production").code == ExitCode.DONE
