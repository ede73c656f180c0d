"""The commands about backups, with agents in memory: output and exit codes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from ronron.adapters.sql_store.store import SqlStore
from ronron.commands.arguments import Options
from ronron.commands.factories import PortFactories
from ronron.core.backups import AgentError, Run
from ronron.core.errors import BackupError
from ronron.core.status import ExitCode
from ronron.testing import NOON, Answer, FakeBackups, FakeClock, FakeProber
from tests.support.command_line import Records, Said, bare_environment, ran
from tests.support.values import HEALTHY, HOUR, OLD, SYNCED
from tests.support.worlds import URL, inventory

BACKED_UP = SYNCED.with_(inventory=inventory(backup=True), stack="production")


@dataclass
class Ronron(Records):
    """The command line with agents in memory, and a person who gives one answer."""

    state: Path
    answer: bool | None = None
    clock: FakeClock = field(default_factory=FakeClock)
    prober: FakeProber = field(default_factory=FakeProber)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.backups = FakeBackups(self.clock)

    def __call__(self, *arguments: str) -> Said:
        def ask(question: str) -> bool | None:
            self.asked.append(question)
            return self.answer

        factories = PortFactories(lambda: self.backups, lambda: self.prober, lambda: self.clock, ask)
        # No such repository: none of these commands may need one.
        return ran(self.state, "/nonexistent/infra.git", *arguments, options=Options(factories=factories))


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ronron:
    bare_environment(tmp_path / "home", monkeypatch)
    return Ronron(tmp_path / "state")


@pytest.fixture
def ronron(empty: Ronron) -> Ronron:
    """A command line whose records have a pad with a backup; the service has 12 pads."""
    empty.keep(BACKED_UP)
    empty.backups.agent("pad").rows = {"pads": 12}
    return empty


@pytest.fixture
def store(ronron: Ronron) -> Iterator[SqlStore]:
    with SqlStore(ronron.state) as opened:
        yield opened


ALL = [
    ("backup", "now"),
    ("backup", "list"),
    ("backup", "status"),
    ("backup", "check"),
    ("backup", "prune"),
    ("restore",),
    ("drill",),
]


# -- selection -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_an_unknown_environment_is_refused_with_the_nearest(ronron: Ronron, command: tuple[str, ...]) -> None:
    said = ronron(*command, "prodction", "pad")
    assert said.code == ExitCode.USAGE
    assert "use production" in said.err


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_an_unknown_service_is_refused_with_the_known_ones(ronron: Ronron, command: tuple[str, ...]) -> None:
    said = ronron(*command, "production", "zzzz")
    assert said.code == ExitCode.USAGE
    assert "cannot find the service `zzzz` in production" in said.err
    assert "use one of: pad" in said.err


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_a_service_without_a_backup_says_how_to_declare_one(empty: Ronron, command: tuple[str, ...]) -> None:
    empty.keep(SYNCED.with_(inventory=inventory()))
    said = empty(*command, "production", "pad")
    assert said.code == ExitCode.USAGE
    assert "cannot find backups of pad" in said.err
    assert "declare ronron:backup" in said.err
    assert "ronron update production" in said.err


def test_an_environment_without_any_backup_says_so_too(empty: Ronron) -> None:
    empty.keep(SYNCED.with_(inventory=inventory()))
    said = empty("backup", "status", "production")
    assert (said.code, "cannot find backups of production" in said.err) == (ExitCode.USAGE, True)


def test_without_a_pass_the_hint_is_to_run_one(empty: Ronron) -> None:
    said = empty("backup", "list", "production")
    assert said.code == ExitCode.USAGE
    assert "run ronron update production first" in said.err
    empty.keep(SYNCED)
    said = empty("backup", "list", "production")
    assert said.code == ExitCode.USAGE
    assert "run ronron update production first" in said.err


# -- snapshots ---------------------------------------------------------------------------------------------


def test_a_snapshot_names_the_live_revision_and_is_recorded(ronron: Ronron) -> None:
    said = ronron("backup", "now", "production", "--json")
    assert said.code == ExitCode.DONE
    (taken,) = said.facts["snapshots"]
    assert (taken["service"], taken["reason"], taken["revision"]) == ("pad", "asked", OLD.commit)
    assert taken["counts"] == {"pads": 12}
    assert ronron.record.backups["pad"].newest == taken["id"]


def test_a_snapshot_is_shown_with_its_contents(ronron: Ronron) -> None:
    said = ronron("backup", "now", "production", "pad")
    newest = ronron.backups.agent("pad").snapshots[0]
    assert said.out.startswith(f"{newest.id[:12]}  pad  1.8.14  ")
    assert "12 pads, 1 file 1.0 KiB" in said.out
    assert "taking a snapshot of pad" in said.err


def test_a_snapshot_that_fails_is_shown_with_its_hint(ronron: Ronron) -> None:
    ronron.backups.fail_next(
        BackupError("cannot dump: connection refused", where="pad", hint="ronron backup now ENV pad"),
        "snapshot",
    )
    said = ronron("backup", "now", "production")
    assert said.code == ExitCode.FAILED
    assert "error: pad: cannot dump: connection refused" in said.err
    assert "hint: ronron backup now production pad" in said.err


def test_a_failing_snapshot_is_among_the_facts(ronron: Ronron) -> None:
    ronron.backups.fail_next(BackupError("cannot dump", where="pad", hint="fix it"), "snapshot")
    facts = ronron("backup", "now", "production", "--json").facts
    assert facts["snapshots"] == []
    assert facts["errors"] == [{"service": "pad", "message": "cannot dump", "where": "pad", "hint": "fix it"}]


def test_one_service_that_fails_does_not_stop_the_others(ronron: Ronron, store: SqlStore) -> None:
    two = inventory(backup=True)
    services = two["services"]
    assert isinstance(services, dict)
    services["board"] = services["pad"]
    store.save(BACKED_UP.with_(inventory=two))
    ronron.backups.fail_next(BackupError("cannot dump"), "snapshot", "board")
    said = ronron("backup", "now", "production", "--json")
    assert said.code == ExitCode.FAILED
    assert [one["service"] for one in said.facts["snapshots"]] == ["pad"]
    assert [one["service"] for one in said.facts["errors"]] == ["board"]


def test_snapshots_are_listed_the_newest_first(ronron: Ronron) -> None:
    for _ in range(2):
        ronron("backup", "now", "production")
        ronron.clock.advance(HOUR)
    taken = [one.id for one in ronron.backups.agent("pad").snapshots]
    said = ronron("backup", "list", "production")
    assert [line[:12] for line in said.out.splitlines()] == [one[:12] for one in taken]
    assert "(1 h ago)" in said.out
    assert [one["id"] for one in ronron("backup", "list", "production", "--json").facts["snapshots"]] == taken


def test_a_service_without_a_snapshot_says_how_to_take_one(ronron: Ronron) -> None:
    said = ronron("backup", "list", "production")
    assert (said.code, said.out) == (
        ExitCode.DONE,
        "no snapshot of pad yet: take one with ronron backup now production pad\n",
    )


def test_backups_without_conditions_exit_with_0(ronron: Ronron) -> None:
    ronron("backup", "now", "production")
    said = ronron("backup", "status", "production")
    assert said.code == ExitCode.DONE
    assert said.out.startswith("backup   pad  newest 0 s ago  no drill yet")
    (service,) = ronron("backup", "status", "production", "--json").facts["services"]
    assert service["conditions"] == []


def test_backups_with_conditions_exit_with_1_and_show_the_hint(ronron: Ronron) -> None:
    ronron("backup", "now", "production")
    ronron.clock.advance(timedelta(hours=27))
    said = ronron("backup", "status", "production")
    assert said.code == ExitCode.FAILED
    assert "backup overdue: the newest snapshot is 1 d 3 h old (max age is 26 h)" in said.out
    assert "ronron backup now production pad" in said.out
    facts = ronron("backup", "status", "production", "--json").facts
    assert [one["kind"] for one in facts["services"][0]["conditions"]] == ["backup overdue"]
    (condition,) = ronron.record.backups["pad"].conditions
    assert condition.kind == "backup overdue"


def test_an_unreachable_agent_is_a_condition(ronron: Ronron) -> None:
    ronron.backups.agent("pad").unreachable = True
    said = ronron("backup", "status", "production")
    assert said.code == ExitCode.FAILED
    assert "agent unreachable: cannot reach the backup agent" in said.out
    assert "docker logs fake-production-pad-backup" in said.out


def test_the_status_of_environments_shows_conditions_and_does_not_fail_for_them(ronron: Ronron) -> None:
    ronron.backups.agent("pad").runs["prune"] = Run(
        started=NOON, finished=NOON, ok=False, error=AgentError(code="full", message="no space left")
    )
    ronron("backup", "now", "production")
    assert ronron("backup", "status", "production").code == ExitCode.FAILED
    with SqlStore(ronron.state) as store:
        store.save_health("production", HEALTHY.with_(checked_at=ronron.clock.now()))
    said = ronron("status", "production")
    assert said.code == ExitCode.DONE
    assert "prune failed: old snapshots were not removed: no space left" in said.out
    assert "ronron backup prune production pad" in said.out
    (environment,) = ronron("status", "--json").facts["environments"]
    assert environment["backups"][0]["conditions"][0]["kind"] == "prune failed"


# -- restores ----------------------------------------------------------------------------------------------


@pytest.fixture
def damaged(ronron: Ronron) -> Ronron:
    """There is a snapshot of 12 pads, and 3 of them are left."""
    ronron("backup", "now", "production")
    ronron.clock.advance(HOUR)
    ronron.backups.agent("pad").rows = {"pads": 3}
    return ronron


def test_a_restore_shows_what_it_will_do_and_asks(damaged: Ronron) -> None:
    damaged.answer = False
    said = damaged("restore", "production", "pad")
    newest = damaged.backups.agent("pad").snapshots[0]
    assert said.code == ExitCode.WAITING
    assert f"restore  pad from snapshot {newest.id[:12]}" in said.out
    assert "1 h ago" in said.out
    assert "12 pads" in said.out
    assert "version 1.8.14, which is running now" in said.out
    assert "takes a safety snapshot of the present data" in said.out
    assert said.out.endswith("nothing was restored\n")
    assert damaged.asked == ["replace the present data of pad?"]
    assert damaged.backups.agent("pad").rows == {"pads": 3}


def test_without_a_terminal_a_restore_needs_yes(damaged: Ronron) -> None:
    said = damaged("restore", "production", "pad")
    assert said.code == ExitCode.USAGE
    assert "hint: confirm with --yes" in said.err
    assert damaged.backups.agent("pad").rows == {"pads": 3}


@pytest.mark.parametrize("yes", [True, False])
def test_a_restore_takes_a_safety_snapshot_probes_and_compares(damaged: Ronron, yes: bool) -> None:
    damaged.answer = True
    said = damaged("restore", "production", "pad", *["--yes"] * yes)
    agent = damaged.backups.agent("pad")
    assert said.code == ExitCode.DONE
    assert agent.rows == {"pads": 12}
    assert damaged.asked == [] if yes else len(damaged.asked) == 1
    assert damaged.prober.asked == [URL]
    assert "restored: pad from snapshot" in said.out
    assert "rows     pads 12 of 12" in said.out
    assert f"before   safety snapshot {agent.snapshots[0].id[:12]}" in said.out
    assert "probe    healthy" in said.out
    with SqlStore(damaged.state) as store:
        assert store.health("production")["pad"].healthy


def test_facts_of_a_restore(damaged: Ronron) -> None:
    restored = damaged("restore", "production", "pad", "--yes", "--json").facts["restored"]
    assert (restored["counts"], restored["promised"], restored["healthy"]) == (
        {"pads": 12},
        {"pads": 12},
        True,
    )


def test_a_safety_snapshot_is_restored_only_by_its_id(damaged: Ronron) -> None:
    damaged("restore", "production", "pad", "--yes")
    agent = damaged.backups.agent("pad")
    safety = agent.snapshots[0]
    damaged.clock.advance(HOUR)
    damaged("restore", "production", "pad", "--yes")
    assert agent.rows == {"pads": 12}
    damaged("restore", "production", "pad", "--yes", "--snapshot", safety.id[:8])
    assert agent.rows == {"pads": 3}


def test_a_safety_snapshot_is_not_drilled(damaged: Ronron) -> None:
    (first,) = damaged.backups.agent("pad").snapshots
    damaged.clock.advance(HOUR)
    damaged("restore", "production", "pad", "--yes")
    (result,) = damaged("drill", "production", "--json").facts["drills"]
    assert result["snapshot"] == first.id


def test_a_no_is_among_the_facts(damaged: Ronron) -> None:
    damaged.answer = False
    said = damaged("restore", "production", "pad", "--json")
    assert (said.code, said.facts) == (ExitCode.WAITING, {"restored": None})


def test_a_restore_without_a_safety_snapshot_says_so_and_takes_none(damaged: Ronron) -> None:
    said = damaged("restore", "production", "pad", "--yes", "--no-safety-snapshot")
    assert "takes NO safety snapshot" in said.out
    assert [one.reason for one in damaged.backups.agent("pad").snapshots] == ["asked"]


def test_a_restore_after_which_the_service_is_unhealthy_fails(damaged: Ronron) -> None:
    damaged.prober.answer(URL, Answer(status=502))
    said = damaged("restore", "production", "pad", "--yes")
    assert said.code == ExitCode.FAILED
    assert "probe    unhealthy" in said.out
    assert sum(damaged.clock.waits) == 60


def test_a_restore_waits_for_a_service_that_starts_slowly(damaged: Ronron) -> None:
    damaged.prober.answer(URL, Answer(no_answer="connection refused"), Answer())
    assert damaged("restore", "production", "pad", "--yes").code == ExitCode.DONE


def test_a_restore_during_a_pass_is_refused(damaged: Ronron, store: SqlStore) -> None:
    with store.lock("production"):
        said = damaged("restore", "production", "pad", "--yes")
    assert said.code == ExitCode.LOCKED
    assert damaged.backups.agent("pad").rows == {"pads": 3}


def test_a_restore_locks_the_stack_that_the_record_names(damaged: Ronron, store: SqlStore) -> None:
    store.save(BACKED_UP.with_(stack="another"))
    with store.lock("another"):
        assert damaged("restore", "production", "pad", "--yes").code == ExitCode.LOCKED
    with store.lock("production"):
        assert damaged("restore", "production", "pad", "--yes").code == ExitCode.DONE


def test_a_restore_that_fails_shows_the_error_and_its_hint(damaged: Ronron) -> None:
    agent = damaged.backups.agent("pad")
    agent.damaged.add(agent.snapshots[0].id)
    said = damaged("restore", "production", "pad", "--yes")
    assert said.code == ExitCode.FAILED
    assert "the repository is damaged" in said.err
    assert "ronron backup list production pad" in said.err


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        pytest.param("abcdefg", "an id needs 8 characters or more", id="too short"),
        pytest.param("", "an id needs 8 characters or more", id="empty"),
        pytest.param("0" * 64, "no id begins with it", id="unknown"),
    ],
)
def test_an_unknown_id_is_refused_with_the_known_ones(damaged: Ronron, wanted: str, why: str) -> None:
    said = damaged("restore", "production", "pad", "--yes", "--snapshot", wanted)
    assert said.code == ExitCode.USAGE
    assert why in said.err
    assert f"use one of: {damaged.backups.agent('pad').snapshots[0].id[:12]}" in said.err


def test_an_id_that_names_two_is_refused(damaged: Ronron) -> None:
    agent = damaged.backups.agent("pad")
    (one,) = agent.snapshots
    agent.snapshots.append(one.model_copy(update={"id": one.id[:12] + "0" * 52}))
    said = damaged("restore", "production", "pad", "--yes", "--snapshot", one.id[:8])
    assert (said.code, "2 ids begin with it" in said.err) == (ExitCode.USAGE, True)
    assert damaged("restore", "production", "pad", "--yes", "--snapshot", one.id).code == ExitCode.DONE


def test_without_a_snapshot_nothing_is_restored(ronron: Ronron) -> None:
    said = ronron("restore", "production", "pad", "--yes")
    assert said.code == ExitCode.USAGE
    assert "none was taken yet" in said.err


def test_a_snapshot_of_the_future_is_never_chosen_by_default(damaged: Ronron) -> None:
    agent = damaged.backups.agent("pad")
    (one,) = agent.snapshots
    agent.snapshots.insert(0, one.model_copy(update={"id": "f" * 64, "taken": NOON + 48 * HOUR}))
    assert damaged("restore", "production", "pad", "--yes", "--json").facts["restored"]["snapshot"] == one.id


def test_an_export_does_not_touch_the_service(damaged: Ronron, tmp_path: Path) -> None:
    place = tmp_path / "out"
    said = damaged("restore", "production", "pad", "--to", str(place))
    assert said.code == ExitCode.DONE
    assert (place / "manifest.json").is_file()
    assert damaged.backups.agent("pad").rows == {"pads": 3}
    assert damaged.asked == []
    again = damaged("restore", "production", "pad", "--to", str(place))
    assert (again.code, "is not empty" in again.err) == (ExitCode.USAGE, True)


# -- drills ------------------------------------------------------------------------------------------------


def test_a_drill_that_passes_shows_counts_and_probe(damaged: Ronron) -> None:
    said = damaged("drill", "production", "pad")
    assert said.code == ExitCode.DONE
    assert said.out.startswith("drill passed: pad from snapshot ")
    assert "rows     pads 12 of 12" in said.out
    assert "probe    200" in said.out
    assert damaged.backups.agent("pad").rows == {"pads": 3}
    assert damaged.record.backups["pad"].drill_passed is True


def test_a_drill_that_fails_exits_with_1(damaged: Ronron) -> None:
    damaged.backups.agent("pad").no_probe = "no answer: connection refused"
    said = damaged("drill", "production")
    assert said.code == ExitCode.FAILED
    assert "drill failed: pad" in said.out
    assert damaged.record.backups["pad"].drill_passed is False
    assert "drill failed" in damaged("status").out
    (result,) = damaged("drill", "production", "--json").facts["drills"]
    assert result["passed"] is False


def test_without_a_snapshot_there_is_nothing_to_drill(ronron: Ronron) -> None:
    said = ronron("drill", "production")
    assert said.code == ExitCode.FAILED
    assert "ronron backup now production pad" in said.err


# -- data that were recreated ------------------------------------------------------------------------------


@pytest.fixture
def lost(ronron: Ronron) -> Ronron:
    """A pad whose volumes were recreated after a snapshot of 12 pads."""
    assert ronron("backup", "now", "production").code == ExitCode.DONE
    ronron.clock.advance(24 * HOUR)
    ronron.backups.lose("pad")
    ronron.clock.advance(24 * HOUR)
    return ronron


def test_a_snapshot_of_volumes_that_were_recreated_is_taken_only_after_a_yes(lost: Ronron) -> None:
    lost.answer = False
    refused = lost("backup", "now", "production", "pad")
    assert refused.code == ExitCode.FAILED
    assert lost.asked == ["take a snapshot of the present data of pad, which were recreated?"]
    assert "ronron restore production pad" in refused.err
    assert "ronron update production --accept-empty pad" in refused.err
    assert len(lost.backups.agent("pad").snapshots) == 1
    lost.answer = True
    assert lost("backup", "now", "production", "pad").code == ExitCode.DONE
    assert lost.backups.agent("pad").snapshots[0].recreated


def test_without_a_terminal_such_a_snapshot_needs_yes(lost: Ronron) -> None:
    refused = lost("backup", "now", "production", "pad")
    assert refused.code == ExitCode.USAGE
    assert "--yes" in refused.err
    assert lost("backup", "now", "production", "pad", "--yes").code == ExitCode.DONE


@pytest.mark.parametrize("taken", [False, True])
def test_a_restore_takes_the_newest_snapshot_of_the_data_before_and_says_why(
    lost: Ronron, taken: bool
) -> None:
    (full,) = lost.backups.agent("pad").snapshots
    if taken:
        assert lost("backup", "now", "production", "--yes").code == ExitCode.DONE
    said = lost("restore", "production", "pad", "--yes")
    assert said.code == ExitCode.DONE, said.err
    assert f"from snapshot {full.id[:12]}" in said.out
    words = " ".join(said.out.split())
    assert "the newest of the data before the volume files and the database were recreated on 2026-" in words
    assert ("snapshots of volumes that were recreated are not chosen unnamed" in words) is taken
    assert lost.backups.agent("pad").rows == {"pads": 12}
    assert not lost.backups.agent("pad").data.waits


def test_the_condition_names_both_ways_out(lost: Ronron) -> None:
    said = lost("backup", "status", "production")
    assert said.code == ExitCode.FAILED
    assert "volumes recreated" in said.out
    assert "backup overdue" not in said.out


def test_a_newest_snapshot_that_has_much_less_is_restored_only_by_its_id(ronron: Ronron) -> None:
    """An agent of an earlier version took it of an empty service."""
    agent = ronron.backups.agent("pad")
    assert ronron("backup", "now", "production").code == ExitCode.DONE
    for _ in range(2):
        ronron.clock.advance(24 * HOUR)
        agent.rows = {"pads": 0}
        assert ronron("backup", "now", "production").code == ExitCode.DONE
    empty, _, full = agent.snapshots
    refused = ronron("restore", "production", "pad", "--yes")
    assert refused.code == ExitCode.USAGE
    assert f"the newest, {empty.id[:12]}, has 0 pads instead of about 12" in refused.err
    assert f"--snapshot {full.id[:12]} has more" in refused.err
    assert ronron("restore", "production", "pad", "--yes", "--snapshot", empty.id[:12]).code == ExitCode.DONE
    assert ronron("restore", "production", "pad", "--yes", "--snapshot", full.id[:12]).code == ExitCode.DONE
    assert agent.rows == {"pads": 12}


@pytest.mark.parametrize(
    ("kind", "said"), [("check", "checked the repository of"), ("prune", "removed old snapshots of")]
)
def test_a_check_and_a_prune_run_now_and_are_recorded(ronron: Ronron, kind: str, said: str) -> None:
    done = ronron("backup", kind, "production")
    assert (done.code, done.out) == (ExitCode.DONE, f"{said} pad\n")
    newest = ronron.backups.agent("pad").runs[kind]
    assert newest is not None
    assert newest.ok
    ronron.backups.fail_next(BackupError("cannot check: the repository is damaged", where="pad"), kind)
    failed = ronron("backup", kind, "production", "pad", "--json")
    assert failed.code == ExitCode.FAILED
    assert failed.facts["errors"][0]["message"] == "cannot check: the repository is damaged"
