"""What `drift` and `status` show of containers that drifted, and what `approve` and `resume` do about it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ronron.adapters.sql_store.store import SqlStore
from ronron.commands.drift import show_drift
from ronron.commands.screen import Screen
from ronron.core.container_settings import Difference
from ronron.core.drift import Drift, DriftKind
from ronron.core.drift_record import DriftRecord, FailedRepair, PutBack, Unknown, WaitingRepair
from ronron.core.status import ExitCode
from ronron.settings import POLICY_FILE
from ronron.testing import NOON
from tests.support.command_line import Said, bare_environment, ran
from tests.support.repositories import Repository
from tests.support.values import PLAN, SYNCED, WAITING_PLAN

EDITED = Drift(
    container="local-pad",
    machine="pica01",
    urn="urn:pad",
    kind=DriftKind.EDITED,
    since=NOON,
    service="pad",
    differences=(
        Difference(setting="memory", was="384 MiB", now="256 MiB"),
        Difference(setting="variable PASSWORD", was="#1234", now="#5678"),
    ),
)
STOPPED = Drift(
    container="local-edge", machine="pica01", urn="urn:edge", kind=DriftKind.STOPPED, since=NOON,
    detail="exit code 137",
)  # fmt: skip
WHY = "local-pad on pica01 was put back 3 times within an hour"
RECORD = DriftRecord(
    environment="production",
    open=(STOPPED, EDITED),
    unknown={"pica02": Unknown(why="connection refused", since=NOON)},
    stalled={EDITED.key: WHY},
)
WAITS = WaitingRepair(identity=PLAN, why="x", since=NOON, about=("a",))


def shown(record: DriftRecord, capsys: pytest.CaptureFixture[str], *, as_json: bool = False) -> str:
    show_drift(Screen(as_json=as_json), record, puts_back=True)
    return capsys.readouterr().out


def test_what_differs_is_shown_with_where_was_is_and_since_when(capsys: pytest.CaptureFixture[str]) -> None:
    since = NOON.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    assert shown(RECORD, capsys).splitlines() == [
        f"drift: local-edge on pica01, since {since}",
        "  was   running",
        "  is    stopped (exit code 137)",
        f"drift: local-pad on pica01, since {since}",
        "  was   as the update made it",
        "  is    edited by hand",
        "        memory: 256 MiB, was 384 MiB",
        "        variable PASSWORD changed",
        f"  stalled  {WHY}",
        "  hint  put it back with ronron update production",
        f"unknown: pica02 is unreachable since {since}: connection refused",
    ]


def test_facts_are_the_same_and_have_no_hashes(capsys: pytest.CaptureFixture[str]) -> None:
    facts = json.loads(shown(RECORD, capsys, as_json=True))
    edge, pad = facts["drift"]
    assert (edge["container"], edge["machine"], edge["was"], edge["is"]) == (
        "local-edge", "pica01", "running", "stopped (exit code 137)",
    )  # fmt: skip
    assert [one["text"] for one in pad["differences"]] == [
        "memory: 256 MiB, was 384 MiB", "variable PASSWORD changed",
    ]  # fmt: skip
    assert pad["stalled"] == WHY
    assert facts["unknown"]["pica02"]["why"] == "connection refused"
    assert "#1234" not in str(facts)


def test_where_nothing_differs_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(DriftRecord(environment="production"), capsys) == (
        "no drift: 0 containers are as the last update made them\n"
    )


# -- commands on the records -----------------------------------------------------------------------


class Ronron:
    """The command line on records that have drift, with a repository of its own."""

    def __init__(self, state: Path, repository: Repository) -> None:
        self.state, self.repository = state, repository

    def __call__(self, *arguments: str) -> Said:
        return ran(self.state, str(self.repository.path), *arguments)

    def keep(self, record: DriftRecord) -> None:
        with SqlStore(self.state) as store:
            store.save(SYNCED)
            assert store.save_drift(record)

    @property
    def drift(self) -> DriftRecord:
        with SqlStore(self.state) as store:
            return store.load_drift("production")


@pytest.fixture
def ronron(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ronron:
    bare_environment(tmp_path / "home", monkeypatch)
    repository = Repository.create(tmp_path / "infra.git")
    repository.commit(
        {
            "Pulumi.yaml": "name: x\nruntime: python\nstackConfigDir: stacks\n",
            POLICY_FILE: "environments: {production: {reference: main}}\n",
        }
    )
    return Ronron(tmp_path / "state", repository)


def test_status_shows_open_drift_and_is_not_done(ronron: Ronron) -> None:
    ronron.keep(RECORD.with_(waiting=WAITS))
    for said in (ronron("status"), ronron("explain", "production")):
        assert said.code == ExitCode.FAILED
        assert "drift    local-edge on pica01 is stopped (exit code 137), since " in said.out
        assert "drift    local-pad on pica01 was edited by hand: memory: 256 MiB, was 384 MiB; " in said.out
        assert f"drift    stalled: {WHY}" in said.out
        assert "drift    unknown on pica02: connection refused" in said.out
        assert "ronron approve production cccccccccccc" in said.out
    (facts,) = ronron("status", "--json").facts["environments"]
    assert [one["container"] for one in facts["drift"]] == ["local-edge", "local-pad"]
    assert "#1234" not in str(facts)


def test_a_plan_that_puts_back_is_approved_beside_one_of_a_revision(ronron: Ronron) -> None:
    ronron.keep(RECORD.with_(waiting=WAITS))
    said = ronron("approve", "production", PLAN[:12])
    assert said.code == ExitCode.DONE, said.err
    other = "e" * 64
    with SqlStore(ronron.state) as store:
        assert store.approvals("production") == {PLAN}
        store.save(SYNCED.with_(waiting=WAITING_PLAN.with_(identity=other)))
    assert ronron("approve", "production", other).code == ExitCode.DONE


def test_resume_lets_everything_be_put_back_again(ronron: Ronron) -> None:
    ronron.keep(
        RECORD.with_(
            failed=FailedRepair(times=3, at=NOON, message="no image"),
            put_back=(PutBack(key=EDITED.key, at=NOON, signature="x"),),
        )
    )
    assert ronron("resume", "production").code == ExitCode.DONE
    after = ronron.drift
    assert (after.stalled, after.failed, after.put_back) == ({}, None, ())
    assert after.open == RECORD.open
