"""The snapshots that the program's hook takes before an update: asked for afterwards, never in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from ronron.core.backups import AgentError
from ronron.core.inventory import read_inventory
from ronron.core.model import OutcomeKind, TakenSnapshot
from ronron.core.policy import OnFailure
from ronron.testing import Answer
from tests.support.values import HOUR
from tests.support.worlds import URL, World, inventory


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world in which a pad with backups is live."""
    world = World(tmp_path / "passes")
    world.push("one", backup=True)
    world.go()
    world.clock.advance(HOUR)
    return world


def hook(world: World) -> None:
    """Let the program take a snapshot while it changes the pad, as its hook does."""
    world.engine.at("pad-app", lambda: take(world, "update"))


def take(world: World, reason: str) -> None:
    found = read_inventory(inventory(backup=True))
    assert found is not None
    world.backups.snapshot(found, "pad", reason)


def taken(world: World) -> tuple[TakenSnapshot, ...]:
    (newest, *_) = world.store.history()
    assert newest.outcome is not None
    return newest.outcome.snapshots


def test_the_snapshot_of_an_update_is_in_its_outcome_and_told(world: World) -> None:
    hook(world)
    world.push("two", backup=True)
    made = world.go()
    newest = world.backups.agent("pad").snapshots[0]
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.UPDATED
    assert taken(world) == (TakenSnapshot(service="pad", id=newest.id),)
    assert f"snapshot: {newest.id[:12]} of pad was taken before the update" in world.logged()


def test_what_was_taken_earlier_or_for_another_reason_is_not_of_the_update(world: World) -> None:
    take(world, "update")
    world.clock.advance(HOUR)
    world.engine.at("pad-app", lambda: take(world, "asked"))
    world.push("two", backup=True)
    world.go()
    assert taken(world) == ()


def test_an_agent_that_does_not_answer_is_told_and_no_failure(world: World) -> None:
    world.backups.agent("pad").unreachable = True
    world.push("two", backup=True)
    made = world.go()
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.UPDATED
    assert made.outcome.snapshots == ()
    assert "snapshot: cannot ask the agent of pad: cannot reach the backup agent" in world.logged()


def test_a_repository_in_trouble_is_told_and_no_failure(world: World) -> None:
    world.push("two", backup=True)

    def lose(then: str) -> None:
        take(world, "update")
        world.backups.agent("pad").trouble = AgentError(code="unreachable", message=then)

    world.engine.at("pad-app", lambda: lose("no route to host"))
    made = world.go()
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.UPDATED
    assert "cannot ask the agent of pad: no route to host" in world.logged()


def test_an_update_that_fails_still_says_what_was_taken_before_it(world: World) -> None:
    hook(world)
    world.push("two", backup=True)
    world.prober.answer(URL, Answer(status=500))
    made = world.go()
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.FAILED
    assert [one.service for one in made.outcome.snapshots] == ["pad"]


def test_a_pass_that_touches_no_service_with_backups_asks_nobody(tmp_path: Path) -> None:
    world = World(tmp_path / "passes")
    world.push("one")
    world.go()
    world.push("two")
    world.go()
    assert world.backups.calls == []


def test_a_service_that_is_new_has_no_snapshot_yet(world: World, tmp_path: Path) -> None:
    fresh = World(tmp_path / "others")
    fresh.push("one", backup=True)
    fresh.go()
    assert fresh.backups.calls == []


def test_the_program_is_told_what_was_live_before(world: World) -> None:
    before = world.record.current
    assert before is not None
    world.engine.running.clear()
    after = world.push("two", backup=True)
    world.go()
    assert world.engine.running == [before.commit] * 2
    world.engine.running.clear()
    world.push("three", backup=True)
    world.go()
    assert world.engine.running == [after.commit] * 2


def test_nothing_was_live_before_the_first_update(tmp_path: Path) -> None:
    world = World(tmp_path / "passes")
    world.push("one")
    world.go()
    assert world.engine.running == [None, None]


def test_on_the_way_back_what_failed_is_what_was_live(world: World) -> None:
    world.policy = world.policy.with_(on_failure=OnFailure.ROLLBACK)
    before = world.record.current
    assert before is not None
    world.engine.running.clear()
    failing = world.push("two", backup=True)
    world.prober.answer(URL, *[Answer(status=500)] * 61, Answer())
    made = world.go()
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.ROLLED_BACK
    assert world.engine.running == [before.commit] * 2 + [failing.commit] * 2


def test_the_record_knows_its_stack(world: World) -> None:
    assert world.record.stack == "production"
