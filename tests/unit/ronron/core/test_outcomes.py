"""How a pass ended, in words: counted, probed, waiting, failed."""

from __future__ import annotations

import pytest

from ronron.core.errors import (
    EngineInterruptedError,
    ProgramError,
    ReconcilerError,
    StackLockedError,
    UpdateFailedError,
)
from ronron.core.failed_containers import FailedContainer
from ronron.core.inventory import Held
from ronron.core.model import Change, Operation, Outcome, OutcomeKind, ProbeResult, Verdict, VerdictKind
from ronron.core.outcomes import failed, held_back, one_line, seen, summarize, waiting, with_reasons
from tests.support.values import PLAN, change, preview

ALLOWED = Verdict(kind=VerdictKind.ALLOWED, why="the policy allows it")
WAITS = Verdict(kind=VerdictKind.NEEDS_APPROVAL, why="it would delete 1 resource", causes=(change(),))
PREVIEW = preview(change(Operation.SAME, "kept"), change(Operation.UPDATE, "pad"))

HEALTHY = ProbeResult(service="pad", url="https://pad.example/", healthy=True, detail="200 in 0.04 s")
SICK = ProbeResult(service="wiki", url="https://wiki.example/", healthy=False, detail="502 instead of 200")
SICK_TOO = ProbeResult(service="team", url="https://team.example/", healthy=False, detail="no answer")


# -- counted -----------------------------------------------------------------------------------------------


def bookkeeping(operation: Operation) -> tuple[Change, ...]:
    return (
        change(operation, "picasoft-production", "pulumi:pulumi:Stack", custom=False),
        change(operation, "pad", "chatons:index:Service", custom=False),
        change(operation, "default", "pulumi:providers:docker"),
    )


def replacement(name: str) -> tuple[Change, ...]:
    operations = (Operation.CREATE_REPLACEMENT, Operation.REPLACE, Operation.DELETE_REPLACED)
    return tuple(change(operation, name) for operation in operations)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        pytest.param((), "nothing there", id="nothing"),
        pytest.param(bookkeeping(Operation.CREATE), "nothing there", id="only bookkeeping"),
        pytest.param((change(Operation.SAME),), "1 the same", id="one the same"),
        pytest.param((change(Operation.UPDATE),), "1 to update", id="one to update"),
        pytest.param((change(Operation.UNKNOWN),), "1 to unknown", id="one that nobody knows"),
        pytest.param(replacement("pad"), "1 to replace", id="one to replace"),
        pytest.param(tuple(reversed(replacement("pad"))), "1 to replace", id="the other way round"),
        pytest.param((*replacement("pad"), change(Operation.SAME)), "1 to replace", id="replaced stays so"),
        pytest.param(
            (
                *bookkeeping(Operation.SAME),
                change(Operation.SAME, "a"),
                change(Operation.CREATE, "b"),
                *replacement("c"),
                *replacement("d"),
                change(Operation.SAME, "e"),
                change(Operation.DELETE, "f"),
            ),
            "1 to create, 1 to delete, 2 to replace, 2 the same",
            id="some of each, the quiet ones last",
        ),
    ],
)
def test_a_preview_is_counted_in_one_line(changes: tuple[Change, ...], line: str) -> None:
    assert summarize(preview(*changes)) == line


# -- probed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [OutcomeKind.UNCHANGED, OutcomeKind.UPDATED])
@pytest.mark.parametrize("probes", [(), (HEALTHY,)], ids=["nothing to probe", "healthy"])
def test_what_was_seen_healthy_is_what_the_engine_said(
    kind: OutcomeKind, probes: tuple[ProbeResult, ...]
) -> None:
    outcome = seen(kind, "it is live", PREVIEW, ALLOWED, probes)
    assert (outcome.kind, outcome.message, outcome.hint) == (kind, "it is live", "")
    assert (outcome.verdict, outcome.identity, outcome.probes) == (ALLOWED, PLAN, probes)
    assert not outcome.retryable


@pytest.mark.parametrize("kind", [OutcomeKind.UNCHANGED, OutcomeKind.UPDATED])
def test_what_was_seen_sick_has_failed_whatever_the_engine_said(kind: OutcomeKind) -> None:
    outcome = seen(kind, "it is live", PREVIEW, ALLOWED, (HEALTHY, SICK, SICK_TOO))
    assert outcome.kind is OutcomeKind.FAILED
    assert outcome.message == (
        "wiki is unhealthy: 502 instead of 200; team is unhealthy: no answer (https://wiki.example/)"
    )
    assert "ronron logs ENV wiki" in outcome.hint
    assert (outcome.identity, outcome.probes) == (PLAN, (HEALTHY, SICK, SICK_TOO))
    assert [one.name for one in outcome.changes] == ["pad"]
    assert outcome.retryable


# -- waiting -----------------------------------------------------------------------------------------------


def test_what_is_held_names_the_plan_and_the_command_that_says_yes() -> None:
    outcome = waiting("production", PREVIEW, WAITS)
    assert (outcome.kind, outcome.message, outcome.identity) == (OutcomeKind.WAITING, WAITS.why, PLAN)
    assert "ronron preview production" in outcome.hint
    assert "ronron approve production cccccccccccc" in outcome.hint
    assert [one.name for one in outcome.changes] == ["pad"]
    assert outcome.verdict == WAITS


def test_what_is_forbidden_offers_no_approval() -> None:
    forbidden = Verdict(kind=VerdictKind.FORBIDDEN, why="it would delete everything", causes=(change(),))
    outcome = waiting("production", PREVIEW, forbidden)
    assert outcome.kind is OutcomeKind.WAITING
    assert "approve" not in outcome.hint
    assert "push a revision that leaves some resources" in outcome.hint


# -- failed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind", "retryable", "locked"),
    [
        (ProgramError("cannot run it", hint="mend it"), OutcomeKind.FAILED, False, False),
        (UpdateFailedError("cannot update it", hint="mend it"), OutcomeKind.FAILED, True, False),
        (EngineInterruptedError("was stopped", hint="wait"), OutcomeKind.INTERRUPTED, True, False),
        (StackLockedError("is locked", hint="wait"), OutcomeKind.INTERRUPTED, True, True),
    ],
)
def test_an_error_ends_a_pass_as_its_kind_says(
    error: ReconcilerError, kind: OutcomeKind, retryable: bool, locked: bool
) -> None:
    outcome = failed(error)
    assert (outcome.kind, outcome.retryable, outcome.locked) == (kind, retryable, locked)
    assert (outcome.message, outcome.hint) == (str(error), error.hint)


def test_an_error_s_place_is_in_the_message() -> None:
    assert failed(ProgramError("cannot run it", where="__main__.py")).message == "__main__.py: cannot run it"


# -- reasons of failed containers ------------------------------------------------------------------


def reason(name: str) -> FailedContainer:
    return FailedContainer(name=f"p-{name}", why="exited with 3")


def failure(message: str) -> Outcome:
    return Outcome(kind=OutcomeKind.FAILED, message=message)


@pytest.mark.parametrize(
    ("message", "resources", "whole"),
    [
        (
            "stack dev: cannot create container pad: not healthy\ncannot create container team: not healthy",
            ["team", "pad"],
            "stack dev: cannot create container pad: not healthy; container p-pad exited with 3\n"
            "cannot create container team: not healthy; container p-team exited with 3",
        ),
        (
            "cannot create container pad-database: not healthy",
            ["pad"],
            "cannot create container pad-database: not healthy\ncontainer p-pad exited with 3",
        ),
        (
            "cannot create container pad: container failed to be in healthy state",
            ["pad"],
            "cannot create container pad: container p-pad exited with 3",
        ),
        ("pulumi up timed out", ["pad"], "pulumi up timed out\ncontainer p-pad exited with 3"),
        ("pad is unhealthy: 502 instead of 200", [], "pad is unhealthy: 502 instead of 200; "
         "container p-pad exited with 3"),
    ],
)  # fmt: skip
def test_a_reason_stands_in_the_line_that_is_about_its_container(
    message: str, resources: list[str], whole: str
) -> None:
    reasons = [reason(name) for name in resources or ["pad"]]
    outcome = with_reasons(failure(message), reasons, resources)
    assert outcome.message == whole
    assert outcome.containers == tuple(reasons)


@pytest.mark.parametrize(
    ("message", "line"),
    [("one", "one"), ("one\ntwo", "one (and 1 more line)"), ("one\n\ntwo\nthree", "one (and 2 more lines)"),
     ("", "")],
)  # fmt: skip
def test_a_message_in_one_line(message: str, line: str) -> None:
    assert one_line(message) == line


# -- held back ---------------------------------------------------------------------------------------------

LOST = {"pad": Held(volumes=("pad-var", "pad-database"))}


@pytest.mark.parametrize("kind", [OutcomeKind.UPDATED, OutcomeKind.UNCHANGED])
def test_a_service_that_is_held_back_is_named_with_both_ways_out(kind: OutcomeKind) -> None:
    good = seen(kind, "abc is live", PREVIEW, ALLOWED, (HEALTHY,))
    held = held_back(good, "ours", LOST)
    assert held.kind is kind
    assert held.message == "abc is live; pad is held back: its data (pad-var, pad-database) are lost"
    assert held.hint == (
        "restore: ronron restore ours pad; or, if empty is right: ronron update ours --accept-empty pad"
    )
    assert held.held == ("pad",)


def test_where_nothing_is_held_back_the_outcome_stays() -> None:
    good = seen(OutcomeKind.UPDATED, "abc is live", PREVIEW, ALLOWED, ())
    assert held_back(good, "ours", {}) == good
    bad = seen(OutcomeKind.UPDATED, "abc is live", PREVIEW, ALLOWED, (SICK,))
    assert held_back(bad, "ours", LOST) == bad, "a failure says more"
