"""Removal of a service: what a person's request lets go, what it does not, and what stays."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from ronron.core.errors import EngineError
from ronron.core.model import OutcomeKind, Reason, VerdictKind
from ronron.core.policy import Guard, UpdateMode
from ronron.core.removals import VALID, VOLUME, Removal
from ronron.passes.reconcile import Target, preview_only
from ronron.testing import NOON, Thing
from tests.support.values import CONTAINER
from tests.support.worlds import BACKUP, COMPONENT, PROJECT, World, inventory

BOARD = "urn:pulumi:production::fake::ronron:components:Service::board"


def service(name: str, *, retained: bool = True) -> tuple[Thing, ...]:
    """A service with a database below a component of its own, a container and two protected volumes."""
    return (
        Thing(name, type="ronron:components:Service", custom=False),
        Thing(f"{name}-database", type="ronron:components:Database", custom=False, parent=name),
        Thing(f"{name}-files", type=VOLUME, parent=name, protected=True, retained=retained),
        Thing(f"{name}-rows", type=VOLUME, parent=f"{name}-database", protected=True, retained=retained),
        Thing(f"{name}-app", type=CONTAINER, parent=name),
    )


def live(*names: str) -> dict[str, object]:
    """An inventory of some services."""
    found = inventory(backup=True)
    services = found["services"]
    assert isinstance(services, dict)
    one = services.pop("pad")
    for name in names:
        services[name] = one | {
            "resource": f"urn:pulumi:production::fake::ronron:components:Service::{name}",
            "probe": None,
            "url": None,
            "volumes": [{"name": f"id-of-{name}-files", "path": "/data", "holds": "files"}],
            "backup": {**BACKUP, "container": f"x-{name}-backup"},
        }
    return found


def push(world: World, *names: str, retained: bool = True) -> None:
    commit = world.source.commit({**PROJECT, "__main__.py": f"{names} {len(world.source.checked_out)}"})
    things = [thing for name in names for thing in service(name, retained=retained)]
    world.engine.declare(commit, *things, Thing("edge"), inventory=live(*names))


def ask(world: World, name: str = "pad", resource: str = COMPONENT) -> None:
    record = world.record
    removal = Removal(by="ada", at=world.clock.now(), resource=resource)
    world.store.save(record.with_(removals={**record.removals, name: removal}))


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path / "passes")
    push(made, "pad", "board")
    assert made.go().outcome.kind is OutcomeKind.UPDATED  # type: ignore[union-attr]
    return made


def things(world: World) -> set[str]:
    return set(world.engine.stacks["production"].things)


def test_an_edit_alone_lets_no_volume_go(world: World) -> None:
    push(world, "board")
    made = world.go()
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.FAILED
    assert "cannot delete pad-rows: it is protected" in made.outcome.message
    assert made.outcome.hint == (
        "put pad back into the stack file; or, to remove it while its data stays, run ronron remove service "
        "production pad"
    )
    assert "pad-app" in things(world)


def test_what_a_person_asked_for_goes_and_its_volumes_stay(world: World) -> None:
    ask(world)
    push(world, "board")
    made = world.go()
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.UPDATED
    assert not any(name.startswith("pad") for name in things(world))
    assert {"board-app", "board-files", "board-rows"} <= things(world)
    assert world.record.removals == {}
    log = world.logged()
    assert (
        "remove: pad-files, pad-rows may leave the state and stay where they are, for pad (asked by ada)"
        in log
    )
    assert "removed: pad; volume id-of-pad-files (files) on here stays" in log
    assert "volume x-pad-backup (state of the backup agent) on here stays" in log


def test_a_request_before_the_commit_changes_nothing(world: World) -> None:
    ask(world)
    push(world, "pad", "board")
    world.go()
    assert world.record.removals.keys() == {"pad"}
    assert world.engine.stacks["production"].things["pad-files"].protected
    push(world, "board")
    assert world.go().outcome.kind is OutcomeKind.UPDATED  # type: ignore[union-attr]
    assert world.record.removals == {}


def test_a_request_for_one_service_lets_no_other_go(world: World) -> None:
    ask(world)
    push(world, "pad")
    made = world.go()
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.FAILED
    assert "board" in made.outcome.message
    assert "ronron remove service production board" in made.outcome.hint
    assert "production pad" not in made.outcome.hint
    assert world.engine.stacks["production"].things["board-files"].protected


PROXY = (
    Thing("proxy", type="ronron:components:Edge", custom=False),
    Thing(
        "proxy-keys", type=f"ronron:components:Edge${VOLUME}", parent="proxy", machine="here",
        protected=True, retained=True,
    ),
)  # fmt: skip


@pytest.mark.parametrize(("machine", "kind"), [("here", OutcomeKind.UPDATED), ("there", OutcomeKind.FAILED)])
def test_what_served_the_last_service_of_a_machine_goes_with_it(
    machine: str, kind: OutcomeKind, tmp_path: Path
) -> None:
    world = World(tmp_path / "passes")
    proxy = (PROXY[0], replace(PROXY[1], machine=machine))
    commit = world.source.commit({**PROJECT, "__main__.py": "with a proxy"})
    world.engine.declare(commit, *service("pad"), *proxy, Thing("edge"), inventory=live("pad"))
    world.go()
    ask(world)
    push(world)
    made = world.go()
    assert made.outcome is not None
    assert made.outcome.kind is kind
    assert ("proxy-keys" in things(world)) is (kind is OutcomeKind.FAILED)


def test_two_services_at_once(world: World) -> None:
    ask(world)
    ask(world, "board", BOARD)
    push(world)
    made = world.go()
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.UPDATED
    assert things(world) == {"edge"}


def test_what_would_be_deleted_from_the_world_stays_protected(tmp_path: Path) -> None:
    world = World(tmp_path / "passes")
    push(world, "pad", retained=False)
    world.go()
    ask(world)
    push(world)
    made = world.go()
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.FAILED
    assert "pad-files" in things(world)


def test_an_old_request_does_not_count(world: World) -> None:
    ask(world)
    world.clock.advance(VALID + timedelta(days=1))
    push(world, "board")
    made = world.go()
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.FAILED


@pytest.mark.parametrize(("deletes", "kind"), [(1, OutcomeKind.UPDATED), (0, OutcomeKind.WAITING)])
def test_the_guard_counts_what_is_deleted_and_not_what_stays(
    deletes: int, kind: OutcomeKind, world: World
) -> None:
    world.policy = world.policy.with_(guard=Guard(deletes=deletes))
    ask(world)
    push(world, "board")
    made = world.go()
    assert made.outcome is not None
    assert made.outcome.kind is kind


def test_where_every_update_needs_an_approval_this_one_does(world: World) -> None:
    world.policy = world.policy.with_(update=UpdateMode.APPROVAL)
    ask(world)
    push(world, "board")
    made = world.go()
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.WAITING
    assert "pad-app" in things(world)
    waiting = world.record.waiting
    assert waiting is not None
    world.store.approve("production", waiting.identity, "ada", NOON)
    made = world.go()
    assert made.decision.reason is Reason.APPROVED
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.UPDATED
    assert world.record.removals == {}


def test_a_preview_by_a_person_sees_the_service_go(world: World, tmp_path: Path) -> None:
    ask(world)
    push(world, "board")
    world.source.refresh()
    revision = world.source.resolve("main")
    preview, verdict = preview_only(Target(world.policy), world.ports, revision, tmp_path / "work")
    assert verdict.kind is VerdictKind.ALLOWED
    assert {change.name for change in preview.touching if change.custom} == {
        "pad-files",
        "pad-rows",
        "pad-app",
    }
    assert "pad-app" in things(world)


def test_another_failure_is_reported_as_it_is(world: World) -> None:
    ask(world)
    push(world, "pad", "board")
    world.engine.fail_next(EngineError("cannot reach the backend"), "preview")
    world.engine.fail_next(EngineError("cannot reach the backend"), "preview")
    made = world.go()
    assert made.outcome is not None
    assert "cannot reach the backend" in made.outcome.message


def test_a_service_that_comes_back_has_its_volumes_protected(world: World) -> None:
    ask(world)
    push(world, "board")
    world.go()
    push(world, "pad", "board")
    assert world.go().outcome.kind is OutcomeKind.UPDATED  # type: ignore[union-attr]
    assert world.engine.stacks["production"].things["pad-files"].protected
