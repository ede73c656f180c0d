"""What a pass logs while it updates, and what it keeps of containers that failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ronron.core.containers import ContainerHealth, ContainerState, Observation
from ronron.core.errors import EngineError, UpdateFailedError
from ronron.core.model import Outcome, OutcomeKind, VerdictKind
from ronron.core.policy import OnFailure
from ronron.testing import Answer
from tests.support.worlds import URL, World

SECRET = "tulips-under-the-stone"
ENDED = Observation(name="pad-app", state=ContainerState.RESTARTING, exit_code=3, restarts=7, image="pad:2")


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path / "passes")
    made.push("one")
    assert outcome_of(made).kind is OutcomeKind.UPDATED
    made.engine.set_secrets(SECRET)
    made.progress.lines.clear()
    return made


def outcome_of(world: World) -> Outcome:
    outcome = world.go().outcome
    assert outcome is not None
    return outcome


def test_an_update_logs_its_operations_with_their_types(world: World) -> None:
    world.push("two")
    outcome_of(world)
    assert "update: created new container pad-app in 0 s" in world.logged()
    assert "pad-app" in world.failures.begun


def test_a_container_that_fails_in_an_update_leaves_its_reason(world: World) -> None:
    world.failures.set(ENDED, "starting", f"cannot log in with {SECRET}")
    world.push("two", fails="container failed to be in healthy state")
    outcome = outcome_of(world)
    assert outcome.kind is OutcomeKind.FAILED
    (found,) = outcome.containers
    assert found.headline == "container pad-app (image pad:2) exited with 3, restarted 7 times"
    assert found.service == "pad"
    assert found.log == ("starting", "cannot log in with [secret]")
    assert found.headline in outcome.message
    (kept, *_) = world.store.history("production")
    assert kept.outcome is not None
    assert kept.outcome.containers == outcome.containers


def test_a_failed_update_keeps_its_verdict_and_its_changes(world: World) -> None:
    world.push("two", fails="no")
    outcome = outcome_of(world)
    assert outcome.verdict is not None
    assert outcome.verdict.kind is VerdictKind.ALLOWED
    assert outcome.identity
    assert [change.name for change in outcome.failed_changes] == ["pad-app"]


def test_the_log_has_the_whole_failure_once(world: World) -> None:
    world.failures.set(ENDED, *(f"line {number}" for number in range(20)))
    world.push("two", fails="no")
    outcome_of(world)
    logged = world.logged()
    assert logged.count("exited with 3") == 1
    assert logged.count("log: line") == 5
    assert "  log: line 19" in logged


def test_a_rollback_keeps_the_reason_of_what_failed(world: World) -> None:
    world.policy = world.policy.with_(on_failure=OnFailure.ROLLBACK)
    world.failures.set(ENDED, "bye")
    world.push("two", fails="no")
    outcome = outcome_of(world)
    assert outcome.kind is OutcomeKind.ROLLED_BACK
    assert [one.name for one in outcome.containers] == ["pad-app"]
    assert "exited with 3" in outcome.cause
    assert outcome.failed_changes
    # It was asked for before the way back replaced the container.
    assert world.logged().index("log: bye") < world.logged().index("rollback: going back")
    assert world.logged().count("log: bye") == 1


def test_a_docker_that_cannot_be_asked_is_said_and_the_pass_goes_on(world: World) -> None:
    world.failures.silence("here", "connection refused")
    world.push("two", fails="no")
    outcome = outcome_of(world)
    assert outcome.kind is OutcomeKind.FAILED
    assert "cannot ask Docker why: connection refused" in outcome.message


def test_without_the_secrets_no_log_is_kept(world: World) -> None:
    world.failures.set(ENDED, f"cannot log in with {SECRET}")
    world.engine.fail_next(EngineError("cannot decrypt"), "secrets")
    world.push("two", fails="no")
    (found,) = outcome_of(world).containers
    assert found.why.startswith("exited with 3")
    assert found.log == ()
    assert "cannot read the secrets to redact: cannot decrypt" in world.logged()


def test_an_unhealthy_service_says_which_container_is_at_fault(world: World) -> None:
    world.prober.answer(URL, Answer(status=502))
    ill = ENDED.with_(name="pad")
    world.failures.set(ill, "bye")
    world.push("two")
    outcome = outcome_of(world)
    assert outcome.kind is OutcomeKind.FAILED
    assert [one.name for one in outcome.containers] == ["pad"]
    assert "502" in outcome.message
    assert "exited with 3" in outcome.message
    assert outcome.hint == "read its log with ronron logs production pad, then push a fix"


def test_an_unhealthy_service_whose_containers_are_well_shows_its_log(world: World) -> None:
    world.prober.answer(URL, Answer(status=502))
    well = Observation(name="pad", state=ContainerState.RUNNING, health=ContainerHealth.HEALTHY)
    world.failures.set(well, "listening on 9002")
    world.push("two")
    (found,) = outcome_of(world).containers
    assert (found.why, found.log) == ("is running", ("listening on 9002",))


def test_an_update_that_fails_before_it_touches_a_container_asks_no_docker(world: World) -> None:
    world.engine.fail_next(UpdateFailedError("cannot create volume x: no room"), "update")
    world.push("two")
    assert outcome_of(world).containers == ()
    assert not any(call.startswith("secrets") for call in world.engine.calls)
