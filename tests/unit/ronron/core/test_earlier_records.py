"""Records and passes as a store of commit 273dcc0 has them: read, and what they say now."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import ValidationError

from ronron.core.model import Decision, Outcome, OutcomeKind, Pass, Reason
from ronron.core.record import Failure, Record
from ronron.core.status import State, status
from ronron.testing import NOON
from tests.support.values import DEGRADED, MINUTE, SYNCED, WAITING_PLAN

STORE = Path(__file__).parents[3] / "earlier" / "273dcc0.records.sql"


@pytest.fixture(scope="module")
def records() -> dict[str, Record]:
    """The records, by environment."""
    return {name: Record.model_validate_json(document) for name, document in _rows("ronron_records")}


@pytest.fixture(scope="module")
def passes() -> dict[str, tuple[Pass, ...]]:
    """The passes of each environment, newest first."""
    found: dict[str, tuple[Pass, ...]] = {}
    for name, document in _rows("ronron_passes"):
        found[name] = (Pass.model_validate_json(document), *found.get(name, ()))
    return found


def _rows(table: str) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(STORE.read_text())
        return database.execute(f"SELECT environment, document FROM {table} ORDER BY rowid").fetchall()  # noqa: S608


@pytest.mark.parametrize(
    ("environment", "state"),
    [
        ("failing", State.FAILING),
        ("rolled", State.STALLED),
        ("waiting", State.WAITING_FOR_APPROVAL),
        ("unhealthy", State.LIVE),
        ("kept", State.LIVE),
        ("suspended", State.SUSPENDED),
        ("stalled", State.STALLED),
        ("seen", State.LIVE),
        ("partly", State.LIVE),
    ],
)
def test_every_environment_is_in_the_state_that_it_was_in(
    environment: str, state: State, records: dict[str, Record], passes: dict[str, tuple[Pass, ...]]
) -> None:
    assert status(records[environment], passes[environment], {}, NOON).state is state


def test_no_environment_is_forgotten(records: dict[str, Record]) -> None:
    assert len(records) == 9


def test_what_waits_for_approval_still_does(
    records: dict[str, Record], passes: dict[str, tuple[Pass, ...]]
) -> None:
    plan = records["waiting"].waiting
    assert plan is not None
    assert (plan.identity[:12], plan.revision) == ("85683153de9a", records["waiting"].attempted)
    last = passes["waiting"][0].outcome
    assert last is not None
    assert (last.kind, last.identity) == (OutcomeKind.WAITING, plan.identity)


def test_what_backed_off_still_does(records: dict[str, Record]) -> None:
    record = records["failing"]
    assert record.decision is not None
    assert record.decision.reason is Reason.BACKING_OFF
    assert record.failed is not None
    assert (record.failed.times, str(record.failed.at)) == (1, "2026-11-25 13:00:00+00:00")
    assert record.failed.message == "cannot create-replacement pad-app: the container has no health"
    assert str(record.decision.poll_again_at) == "2026-11-25 13:00:30+00:00"


def test_a_degraded_environment_is_read() -> None:
    """The store above has none, so these are the documents that its release wrote."""
    machines = {"pica03": "no answer within 15 s", "pica02": "connection refused"}
    left_out = {"machines": machines, "services": ["pad", "team"]}
    document = SYNCED.model_dump(mode="json", exclude={"degraded", "waiting"})
    partly = {"revision": DEGRADED.revision.model_dump(), "left_out": left_out, "since": NOON.isoformat()}
    former = {**document, "partly": partly, "held": WAITING_PLAN.model_dump(mode="json")}
    assert Record.model_validate(former) == SYNCED.with_(degraded=DEGRADED, waiting=WAITING_PLAN)
    assert Outcome.model_validate(
        {"kind": "partly live", "message": "m", "left_out": left_out, "busy": True}
    ) == Outcome(kind=OutcomeKind.DEGRADED, message="m", excluded=DEGRADED.excluded, locked=True)


@pytest.mark.parametrize(
    ("word", "reason"), [("partly live", Reason.DEGRADED), ("cooling down", Reason.BACKING_OFF)]
)
def test_a_reason_under_its_former_name_is_read(word: str, reason: Reason) -> None:
    former = {"reason": word, "why": "w", "look_again": (NOON + MINUTE).isoformat()}
    assert Decision.model_validate(former) == Decision(reason=reason, why="w", poll_again_at=NOON + MINUTE)


def test_what_no_release_wrote_is_refused() -> None:
    with pytest.raises(ValidationError, match="reason"):
        Decision.model_validate({"reason": "bored", "why": "w"})
    with pytest.raises(ValidationError, match="kind"):
        Outcome.model_validate({"kind": "bored", "message": "m"})
    with pytest.raises(ValidationError, match="version"):
        Record.model_validate({"version": 2, "environment": "production"})
    with pytest.raises(ValidationError, match="bored"):
        Record.model_validate({"environment": "production", "bored": True})


def test_a_failure_without_a_time_or_a_count_is_refused() -> None:
    with pytest.raises(ValidationError, match="at"):
        Record.model_validate({"environment": "production", "failures": 1, "failure": "m"})
    with pytest.raises(ValidationError, match="times"):
        Failure(times=0, at=NOON, message="m")


def test_a_key_under_both_names_has_the_value_of_the_new_one() -> None:
    both = {"environment": "production", "held": WAITING_PLAN.model_dump(mode="json"), "waiting": None}
    assert Record.model_validate(both).waiting is None
