"""What passes do about containers that drifted, and what the watcher's looks find, on fakes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import time, timedelta
from pathlib import Path

import pytest

from ronron.core.containers import ContainerHealth
from ronron.core.drift import DriftKind
from ronron.core.drift_record import DriftRecord
from ronron.core.errors import UpdateFailedError
from ronron.core.inventory import Inventory
from ronron.core.model import Outcome, OutcomeKind, Reason, Revision
from ronron.core.policy import DriftPolicy, Guard, OnDrift, OnFailure, UpdateMode, Window
from ronron.core.record import Suspension
from ronron.core.repairs import LIMIT
from ronron.passes.reconcile import Target, preview_only
from ronron.testing import NOON, ReconcilerKilled, Thing
from ronron.watch.drift_checks import look_everywhere, look_for_drift
from tests.support.values import CONTAINER, MINUTE, SECOND
from tests.support.worlds import PROJECT, World, inventory

SETTINGS = {"memory": "384 MiB"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "passes")


def push(world: World, title: str = "one", *, fails: str = "", **declared: object) -> Revision:
    """Push a commit whose program runs the container `pad` on `here`."""
    commit = world.source.commit({**PROJECT, "__main__.py": f"{title} {len(world.source.checked_out)}"})
    pad = Thing("pad", SETTINGS | {"title": title}, type=CONTAINER, machine="here", fails=fails, **declared)  # type: ignore[arg-type]
    world.engine.declare(commit, pad, inventory=inventory())
    return Revision(reference="main", commit=commit)


def live(world: World, **policy: object) -> Revision:
    """The pad is live, and was looked at."""
    world.policy = world.policy.with_(**policy)
    revision = push(world)
    done(world)
    assert not look(world)
    return revision


def done(world: World) -> Outcome:
    made = world.go()
    assert made.outcome is not None, made.decision
    return made.outcome


def look(world: World) -> bool:
    return look_for_drift(Target(world.policy), world.ports)


def drift(world: World) -> DriftRecord:
    return world.store.load_drift("production")


def runs(world: World) -> bool:
    seen = world.containers.look(read(world), {"here": ["pad"]}).of("here", "pad")
    assert seen is not None
    return seen.state == "running" and seen.settings == SETTINGS | {"title": "one"}


def read(world: World) -> Inventory:
    return Inventory.model_validate(world.record.inventory)


def stop(world: World) -> None:
    world.containers.stop("here", "pad")


def remove(world: World) -> None:
    world.containers.remove("here", "pad")


def sicken(world: World) -> None:
    world.containers.change("here", "pad", health=ContainerHealth.UNHEALTHY, health_output="no database")


def edit(world: World) -> None:
    world.containers.change("here", "pad", settings={**SETTINGS, "title": "one", "memory": "256 MiB"})


def run_by_hand(world: World) -> None:
    world.containers.run("here", "pad", settings={"title": "by hand"})


# -- put back --------------------------------------------------------------------------------------


@pytest.mark.parametrize("harm", [stop, remove, sicken, edit, run_by_hand])
def test_what_drifted_is_put_back_at_the_live_revision_and_reported_once(
    world: World, harm: Callable[[World], None]
) -> None:
    revision = live(world)
    before = world.record
    harm(world)
    world.clock.advance(timedelta(minutes=10))
    assert look(world)
    made = world.go()
    assert made.decision.reason is Reason.DRIFT
    assert made.outcome is not None
    assert (made.outcome.kind, made.revision) == (OutcomeKind.UPDATED, revision)
    assert "put back pad on here" in made.outcome.message
    assert runs(world)
    assert drift(world).open == ()
    lines = world.logged()
    assert lines.count("drift: pad on here ") == 1
    assert lines.count("recovered: pad on here is as it was made") == 1
    # Nothing else has changed: the same revision is live since the same time.
    assert world.record.with_(decision=before.decision) == before
    assert not look(world)
    assert world.go().outcome is None


def test_a_look_changes_neither_the_stack_nor_a_container(world: World) -> None:
    live(world)
    stop(world)
    world.clock.advance(timedelta(minutes=10))
    called, there = list(world.engine.calls), world.containers.look(read(world), {"here": ["pad"]})
    look(world)
    assert set(world.engine.calls[len(called) :]) <= {"state production"}
    assert world.containers.look(read(world), {"here": ["pad"]}) == there


def test_nothing_is_put_back_outside_of_what_drifted(world: World) -> None:
    live(world)
    stop(world)
    look(world)
    done(world)
    ((urn,),) = world.engine.replaced[1:]
    assert urn.endswith("::pad")


def test_a_repair_ignores_the_window_and_the_guard(world: World) -> None:
    evening = Window(days=frozenset(range(7)), opens=time(20), closes=time(21), timezone="UTC")
    live(world, guard=Guard(deletes=0, replaces=0), update=UpdateMode.AUTOMATIC)
    world.policy = world.policy.with_(window=evening)
    stop(world)
    assert look(world)
    assert done(world).kind is OutcomeKind.UPDATED
    assert runs(world)


def test_a_newer_revision_that_waits_goes_on_waiting_and_the_live_one_is_put_back(world: World) -> None:
    revision = live(world)
    world.policy = world.policy.with_(update=UpdateMode.APPROVAL)
    push(world, "two")
    assert done(world).kind is OutcomeKind.WAITING
    waiting = world.record.waiting
    assert waiting is not None
    stop(world)
    assert look(world)
    made = world.go()
    assert made.revision == revision
    assert runs(world)
    assert world.record.waiting == waiting
    assert world.go().decision.reason is Reason.WAITING_FOR_APPROVAL


def test_nothing_is_put_back_while_suspended_and_it_is_reported(world: World) -> None:
    live(world)
    world.store.save(world.record.with_(suspended=Suspension(by="ada", at=NOON)))
    stop(world)
    assert not look(world)
    assert "hint: put it back with ronron update production" in world.logged()
    assert world.go().decision.reason is Reason.SUSPENDED


def test_nothing_is_put_back_where_nobody_knows_what_is_live(world: World) -> None:
    live(world)
    push(world, "two", fails="no")
    done(world)
    remove(world)
    assert not look(world)
    assert "drift: pad on here is missing" in world.logged()
    assert world.go().decision.reason is not Reason.DRIFT


def test_an_unreachable_machine_is_unknown_and_nothing_is_put_back(world: World) -> None:
    live(world)
    remove(world)
    world.containers.silence("here")
    assert not look(world)
    assert drift(world).open == ()
    assert world.logged().count("unreachable: here: connection refused") == 1
    world.containers.bring_back("here")
    assert look(world)
    assert "recovered: here is reachable" in world.logged()


def test_a_look_that_a_pass_overtakes_reports_nothing(world: World) -> None:
    live(world)
    before = drift(world)
    assert world.store.save_drift(before)
    stop(world)
    assert not world.store.save_drift(before), "an older copy must not replace a newer one"


def test_what_stops_containers_and_has_locked_the_stack_is_no_drift(world: World) -> None:
    live(world)
    with world.store.lock("production"):
        # As a restore does.
        stop(world)
        assert not look(world)
    assert drift(world).open == ()
    assert look(world)


def test_after_a_rollback_what_is_live_again_is_put_back(world: World) -> None:
    revision = live(world, on_failure=OnFailure.ROLLBACK)
    push(world, "two", fails="no")
    assert done(world).kind is OutcomeKind.ROLLED_BACK
    look(world)
    stop(world)
    assert look(world)
    made = world.go()
    assert (made.decision.reason, made.revision) == (Reason.DRIFT, revision)
    assert runs(world)
    assert world.record.failed is not None, "the newer revision is still the one that failed"


def test_a_container_that_another_hand_made_by_an_update_is_no_drift(world: World) -> None:
    live(world)
    # As `pulumi up` by hand: another container, which the state names.
    made = world.containers.run("here", "pad", settings=SETTINGS)
    world.engine.made_containers.ids["production", "pad"] = made.id
    assert not look(world)
    assert drift(world).open == ()
    assert drift(world).made[0].id == made.id


def test_edits_are_compared_as_often_as_the_policy_says(world: World) -> None:
    live(world)
    edit(world)
    world.clock.advance(9 * MINUTE)
    assert not look(world)
    world.clock.advance(MINUTE)
    assert look(world)


def test_a_lost_volume_is_never_made_empty(world: World) -> None:
    world.containers.make_volume("here", "files")
    push(world, volumes=("files",))
    done(world)
    look(world)
    world.containers.remove_volume("here", "files")
    remove(world)
    assert not look(world)
    (found,) = drift(world).open
    assert found.kind is DriftKind.VOLUME_MISSING
    world.store.ask("production", "ada", world.clock.now())
    done(world)
    assert world.engine.replaced[-1:] == [()]
    assert not runs(world)


# -- a person asks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("on_drift", list(OnDrift))
def test_a_request_looks_first_and_puts_back_what_is_missing(world: World, on_drift: OnDrift) -> None:
    live(world, drift=DriftPolicy(on_drift=on_drift))
    remove(world)
    world.store.ask("production", "ada", world.clock.now())
    made = world.go()
    assert made.decision.reason is Reason.REQUESTED
    assert made.outcome is not None
    assert made.outcome.message.endswith("is live; put back pad on here")
    assert runs(world)
    assert drift(world).open == ()


def test_a_request_puts_back_what_was_never_looked_at_before(world: World) -> None:
    live(world)
    world.store._drift.clear()
    remove(world)
    world.store.ask("production", "ada", world.clock.now())
    done(world)
    assert runs(world)


def test_an_update_to_another_revision_puts_back_what_is_missing_too(world: World) -> None:
    live(world)
    remove(world)
    push(world, "two")
    done(world)
    seen = world.containers.look(read(world), {"here": ["pad"]}).of("here", "pad")
    assert seen is not None
    assert seen.settings["title"] == "two"


def test_a_preview_shows_what_would_be_put_back(world: World) -> None:
    revision = live(world)
    remove(world)
    found, verdict = preview_only(Target(world.policy), world.ports, revision, world.work / "preview")
    assert {change.name for change in found.touching} == {"pad"}
    assert verdict.why == "it only puts back what drifted"
    assert "drift: pad on here is missing" in world.logged()
    assert drift(world).open == (), "a preview remembers nothing"


# -- report and propose ----------------------------------------------------------------------------


def test_report_only_reports(world: World) -> None:
    live(world, drift=DriftPolicy(on_drift=OnDrift.REPORT))
    stop(world)
    assert not look(world)
    assert world.logged().count("drift: pad on here is stopped (exit code 137)") == 1
    assert "hint: put it back with ronron update production" in world.logged()
    assert world.go().decision.reason is Reason.UP_TO_DATE


def test_propose_waits_for_an_approval(world: World) -> None:
    live(world, drift=DriftPolicy(on_drift=OnDrift.PROPOSE))
    stop(world)
    assert look(world)
    proposed = done(world)
    assert proposed.kind is OutcomeKind.WAITING
    assert proposed.message.startswith("would put back pad on here: ")
    assert proposed.identity is not None
    assert proposed.hint == f"approve it with ronron approve production {proposed.identity[:12]}"
    assert not runs(world)
    # It is proposed once.
    assert not look(world)
    assert world.go().decision.reason is Reason.WAITING_FOR_APPROVAL
    world.store.approve("production", proposed.identity, "ada", world.clock.now())
    assert done(world).kind is OutcomeKind.UPDATED
    assert runs(world)
    assert drift(world).waiting is None


# -- failures and the breaker ----------------------------------------------------------------------


def test_a_failed_repair_is_tried_again_and_then_given_up(world: World) -> None:
    live(world)
    remove(world)
    look(world)
    for number in range(LIMIT):
        world.engine.fail_next(UpdateFailedError("no space left"), "update")
        assert done(world).kind is OutcomeKind.FAILED
        backing_off = world.go()
        if number < LIMIT - 1:
            assert backing_off.decision.reason is Reason.BACKING_OFF
            assert backing_off.decision.poll_again_at is not None
            world.clock.advance(backing_off.decision.poll_again_at - world.clock.now())
    assert world.go().decision.reason is Reason.UP_TO_DATE
    assert world.record.live is not None
    assert drift(world).failed is not None
    world.store.save_drift(drift(world).resumed())
    assert look(world)
    done(world)
    assert runs(world)


def test_the_same_thing_put_back_three_times_in_a_row_stalls_and_nothing_else_does(world: World) -> None:
    live(world)
    for _ in range(LIMIT):
        stop(world)
        world.clock.advance(MINUTE)
        assert look(world)
        assert done(world).kind is OutcomeKind.UPDATED
    stop(world)
    world.clock.advance(MINUTE)
    assert not look(world)
    said = world.logged()
    assert "stalled: pad on here was put back 3 times within an hour" in said
    assert "Ronron makes it running, and something makes it stopped (exit code 137)" in said
    assert said.endswith("hint: find out what changes it, then run ronron resume production")
    push(world, "two")
    assert done(world).kind is OutcomeKind.UPDATED
    world.store.save_drift(drift(world).resumed())
    assert drift(world).stalled == {}


def test_a_repair_whose_process_dies_is_done_again(world: World) -> None:
    revision = live(world)
    stop(world)
    look(world)

    def die() -> None:
        raise ReconcilerKilled(engine_too=True)

    world.engine.at("pad", die)
    with pytest.raises(ReconcilerKilled):
        world.go()
    assert world.record.running is not None
    world.engine.stacks["production"].pending.clear()
    # The next process closes the pass, waits as after any failure, and puts it back.
    assert world.go().decision.reason is Reason.BACKING_OFF
    world.clock.advance(30 * SECOND)
    done(world)
    assert runs(world)
    assert world.record.live == revision


# -- once ------------------------------------------------------------------------------------------


def test_a_watcher_that_polls_once_looks_first(world: World) -> None:
    live(world)
    stop(world)
    look_everywhere(world.ports, lambda: {"production": Target(world.policy)}, ())
    assert world.go().decision.reason is Reason.DRIFT
