"""The nouns: what they refuse, and what they derive from what they hold."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from ronron.core.model import (
    SHORT,
    STEP_OF,
    Change,
    Decision,
    Operation,
    Outcome,
    OutcomeKind,
    Pass,
    Reason,
    Request,
    Revision,
    StackState,
    Value,
)
from ronron.testing import NOON
from tests.support.values import CONTAINER, NEW, OLD, UPDATED, begun, change, preview

URN = "urn:pulumi:production::picasoft::"

# -- values ------------------------------------------------------------------------------------------------


def test_a_value_stays_as_it_is() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        NEW.reference = "other"  # type: ignore[misc]


def test_a_value_refuses_a_field_that_it_does_not_know() -> None:
    with pytest.raises(ValidationError, match="colour"):
        Revision.model_validate({"reference": "main", "commit": NEW.commit, "colour": "blue"})


def test_a_changed_copy_leaves_the_first() -> None:
    other = NEW.with_(reference="release")
    assert (other.reference, other.commit) == ("release", NEW.commit)
    assert NEW.reference == "main"


@pytest.mark.parametrize("wrong", [{"commit": "short"}, {"reference": None}, {"colour": "blue"}])
def test_a_changed_copy_is_checked_again(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        NEW.with_(**wrong)


@pytest.mark.parametrize("value", [NEW, UPDATED, begun(), change(properties=("image",)), Request(
    id=1, environment="production", by="ada", at=NOON)])  # fmt: skip
def test_a_value_comes_back_from_its_document(value: Value) -> None:
    assert type(value).model_validate_json(value.model_dump_json()) == value


def test_a_time_without_a_zone_is_refused() -> None:
    naive = NOON.replace(tzinfo=None)
    with pytest.raises(ValidationError, match="a time needs a zone"):
        begun().with_(started=naive)


def test_a_time_of_another_zone_is_the_same_time() -> None:
    there = NOON.astimezone(timezone(timedelta(hours=2)))
    assert begun().with_(started=there) == begun()
    assert datetime.fromisoformat(begun().model_dump(mode="json")["started"]) == NOON


# -- revisions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("commit", ["0" * 40, "abcdef0123" * 4, "0" * 64])
def test_a_commit_is_a_full_hash(commit: str) -> None:
    assert Revision(reference="main", commit=commit).commit == commit


@pytest.mark.parametrize(
    "commit",
    ["", "0" * 12, "0" * 39, "0" * 41, "0" * 63, "0" * 65, "g" + "0" * 39, "A" * 40, "0" * 40 + "\n", "HEAD"],
)
def test_anything_shorter_or_stranger_is_no_commit(commit: str) -> None:
    with pytest.raises(ValidationError):
        Revision(reference="main", commit=commit)


def test_a_revision_is_short_on_screens_only() -> None:
    assert OLD.short == "main@01d000000000"
    assert len(OLD.short.partition("@")[2]) == SHORT
    assert len(OLD.commit) == 40


# -- changes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("urn", "type_", "name"),
    [
        (f"{URN}{CONTAINER}::pad", CONTAINER, "pad"),
        (f"{URN}chatons:index:Service${CONTAINER}::pad", CONTAINER, "pad"),
        (f"{URN}a:b:C$d:e:F${CONTAINER}::pad-app", CONTAINER, "pad-app"),
        (f"{URN}pulumi:pulumi:Stack::picasoft-production", "pulumi:pulumi:Stack", "picasoft-production"),
        (f"{URN}{CONTAINER}::a b/c", CONTAINER, "a b/c"),
        ("nonsense", "", "nonsense"),
        ("", "", ""),
    ],
)
def test_a_change_knows_the_type_and_the_name_of_its_resource(urn: str, type_: str, name: str) -> None:
    made = Change(urn=urn, operation=Operation.UPDATE)
    assert (made.type, made.name) == (type_, name)


def test_a_preview_knows_what_it_would_touch() -> None:
    quiet = [
        change(operation, operation) for operation in (Operation.SAME, Operation.READ, Operation.REFRESH)
    ]
    loud = [
        change(operation, operation)
        for operation in Operation
        if operation not in {"same", "read", "refresh"}
    ]
    assert preview(*quiet, *loud).touching == tuple(loud)


# -- a stack's state ---------------------------------------------------------------------------------------


def test_only_pending_creations_may_or_may_not_exist() -> None:
    state = StackState(
        exists=True, pending=(f"creating {URN}x::a b", f"deleting {URN}x::c", f"reading {URN}x::d")
    )
    assert state.pending_creates == (f"{URN}x::a b",)
    assert StackState(exists=True).pending_creates == ()


# -- decisions and outcomes --------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", Reason)
def test_a_decision_s_step_follows_from_its_reason(reason: Reason) -> None:
    assert Decision(reason=reason, why="so").step is STEP_OF[reason]


def test_a_pass_that_runs_has_no_end() -> None:
    made = begun()
    assert (made.id, made.finished, made.outcome) == (0, None, None)
    assert isinstance(made, Pass)


@pytest.mark.parametrize("kind", OutcomeKind)
def test_an_outcome_needs_no_more_than_its_kind_and_a_sentence(kind: OutcomeKind) -> None:
    outcome = Outcome(kind=kind, message="so")
    assert (outcome.hint, outcome.verdict, outcome.identity, outcome.restored) == ("", None, None, None)
    assert (outcome.retryable, outcome.locked, outcome.adopted) == (False, False, False)
