"""State in, state out: what one pass does to the record, the engine and the history."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from ronron.core.errors import (
    EngineError,
    EngineInterruptedError,
    EngineTimeoutError,
    PendingOperationsError,
    SourceUnavailableError,
    StackLockedError,
    StoreError,
    UpdateFailedError,
)
from ronron.core.inventory import Probe
from ronron.core.model import OutcomeKind, ProbeResult, Reason, VerdictKind
from ronron.core.policy import Guard, OnFailure, UpdateMode
from ronron.core.record import Suspension
from ronron.passes.reconcile import RETAINED_WORK, Target, preview_only
from ronron.passes.target import prepared
from ronron.testing import NOON, Answer, EngineKilled, FakeProber, FakeSource, ReconcilerKilled, Thing
from tests.support.values import CONTAINER, FAILURE, MINUTE
from tests.support.worlds import PROJECT, URL, World, inventory, pad


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "passes")


def brought_up(world: World) -> World:
    world.push("one")
    assert world.go().outcome.kind is OutcomeKind.UPDATED  # type: ignore[union-attr]
    return world


BOARD_URL = "https://board.example/"


def push_board(world: World, title: str, *, beside: str) -> None:
    """Push a commit that makes or changes a second service beside the pad of a title."""
    commit = world.source.commit({"__main__.py": f"a board {title}"})
    component = Thing("board", type="ronron:components:Service", custom=False)
    container = Thing("board-app", {"envs": title}, type=CONTAINER, parent="board")
    found = inventory()
    services = found["services"]
    assert isinstance(services, dict)
    services["board"] = services["pad"] | {
        "resource": "urn:pulumi:production::fake::ronron:components:Service::board",
        "url": BOARD_URL,
        "probe": {"url": BOARD_URL, "status": [200], "contains": None},
    }
    world.engine.declare(commit, *pad(beside), component, container, inventory=found)


# -- the way it should go --------------------------------------------------------------------------


def test_the_first_pass_brings_the_revision_up_and_remembers_it(world: World) -> None:
    wanted = world.push("one")
    made = world.go()

    assert made.decision.reason is Reason.NEVER_UPDATED
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.UPDATED
    assert [probe.healthy for probe in made.outcome.probes] == [True]
    assert world.record.updated == world.record.current == world.record.healthy == wanted
    assert world.record.running is None
    assert world.store.history()[0].outcome == made.outcome
    assert world.engine.calls == ["refresh failed production", "preview production", "update production"]


def test_the_probes_of_a_pass_are_the_health_of_its_services(world: World) -> None:
    brought_up(world)
    health = world.store.health("production")["pad"]
    assert (health.healthy, health.checked_at, health.every) == (True, world.clock.now(), MINUTE)
    world.prober.answer(URL, Answer(status=502))
    world.push("two")
    assert world.go().outcome.kind is OutcomeKind.FAILED  # type: ignore[union-attr]
    health = world.store.health("production")["pad"]
    assert (health.healthy, health.failing_since, health.status) == (False, None, 502)


def test_services_that_leave_the_inventory_leave_health(world: World) -> None:
    push_board(world, "one", beside="one")
    world.go()
    assert set(world.store.health("production")) == {"pad", "board"}
    world.push("one")
    world.store.ask("production", "ada", world.clock.now())
    world.go()
    assert set(world.store.health("production")) == {"pad"}


def test_while_an_update_runs_the_record_names_the_services_that_it_touches(world: World) -> None:
    push_board(world, "one", beside="one")
    world.go()
    push_board(world, "two", beside="one")
    seen: list[tuple[str, ...]] = []
    world.engine.at("board-app", lambda: seen.append(world.record.running.services))  # type: ignore[union-attr]
    world.go()
    assert seen == [("board",)]
    assert world.record.running is None


def test_health_that_cannot_be_saved_does_not_make_a_good_update_a_failure(world: World) -> None:
    world.push("one")
    world.engine.at("pad-app", lambda: None)

    class Full(FakeProber):
        def probe(self, service: str, probe: Probe) -> ProbeResult:
            world.store.fail_next(StoreError("no room on the disk"))
            return super().probe(service, probe)

    world.prober = Full()
    assert world.go().outcome.kind is OutcomeKind.UPDATED  # type: ignore[union-attr]
    assert "cannot save the health of its services: no room on the disk" in world.logged()


def test_the_second_look_does_nothing_at_all(world: World) -> None:
    brought_up(world).engine.calls.clear()
    made = world.go()
    assert made.decision.reason is Reason.UP_TO_DATE
    assert made.outcome is None
    assert world.engine.calls == []
    assert len(world.store.history()) == 1


def test_a_commit_that_changes_nothing_relevant_never_starts_the_engine(world: World) -> None:
    brought_up(world).engine.calls.clear()
    commit = world.source.commit({"README.md": "words"})
    made = world.go()
    assert made.decision.reason is Reason.NOTHING_RELEVANT
    assert made.outcome is not None
    assert made.outcome.adopted
    assert world.engine.calls == []
    assert world.record.current is not None
    assert world.record.current.commit == commit
    assert world.record.verified


def test_a_new_revision_is_updated_by_the_plan_that_was_previewed(world: World) -> None:
    brought_up(world)
    wanted = world.push("two")
    made = world.go()
    assert made.decision.reason is Reason.NEW_REVISION
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.UPDATED
    assert {change.name for change in made.outcome.changes if change.custom} >= {"pad-app"}
    assert world.record.updated == wanted
    assert world.source.checked_out[-1] == wanted


def test_an_update_of_another_service_does_not_probe_this_one(world: World) -> None:
    brought_up(world)
    push_board(world, "x", beside="one")
    world.prober.asked.clear()
    assert world.go().outcome.kind is OutcomeKind.UPDATED  # type: ignore[union-attr]
    assert world.prober.asked == [BOARD_URL]


def test_a_service_whose_probe_alone_is_another_one_is_asked_with_it(world: World) -> None:
    brought_up(world)
    commit = world.source.commit({"__main__.py": "another probe"})
    world.engine.declare(commit, *pad("one"), inventory=inventory(url=f"{URL}health"))
    world.prober.asked.clear()
    world.prober.answer(f"{URL}health", Answer(status=404))
    made = world.go()
    assert set(world.prober.asked) == {f"{URL}health"}
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.FAILED
    assert "404" in made.outcome.message


def test_an_inventory_that_is_no_longer_exported_is_forgotten(world: World) -> None:
    brought_up(world)
    commit = world.source.commit({"__main__.py": "without one"})
    world.engine.declare(commit, *pad("two"))
    assert world.go().outcome.kind is OutcomeKind.UPDATED  # type: ignore[union-attr]
    assert world.record.inventory is None


def test_an_inventory_that_cannot_be_read_stalls_with_the_reason(world: World) -> None:
    commit = world.source.commit({"__main__.py": "from the future"})
    world.engine.declare(commit, *pad("one"), inventory=inventory() | {"version": 2})
    made = world.go()
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.FAILED
    assert "version 2" in made.outcome.message
    assert world.record.healthy is None
    assert world.go().decision.reason is Reason.STALLED


def test_intent_is_written_before_the_engine_has_any_effect(world: World) -> None:
    wanted = world.push("one")
    seen = []
    world.engine.at("pad-app", lambda: seen.append(world.record))
    world.go()
    assert seen[0].attempted == wanted
    assert seen[0].updated is None
    assert seen[0].running is not None
    assert seen[0].running.engine is not None
    assert seen[0].running.pass_id == world.store.history()[0].id


def test_look_shows_a_verdict_and_changes_nothing(world: World, tmp_path: Path) -> None:
    brought_up(world)
    before = world.record
    wanted = world.push("two")
    world.source.refresh()
    preview, verdict = preview_only(Target(world.policy), world.ports, wanted, tmp_path / "look")
    assert verdict.kind is VerdictKind.ALLOWED
    assert preview.touching
    assert world.record == before
    assert len(world.store.history()) == 1


# -- what waits for a person -----------------------------------------------------------------------


def test_a_waiting_plan_is_carried_out_once_it_is_approved(world: World) -> None:
    brought_up(world)
    world.policy = world.policy.with_(update=UpdateMode.APPROVAL)
    wanted = world.push("two")
    waiting = world.go()
    assert waiting.outcome is not None
    assert waiting.outcome.kind is OutcomeKind.WAITING
    assert world.record.waiting is not None
    assert world.record.updated != wanted
    assert world.go().decision.reason is Reason.WAITING_FOR_APPROVAL

    world.store.approve("production", world.record.waiting.identity, "ada", NOON)
    done = world.go()
    assert done.decision.reason is Reason.APPROVED
    assert done.outcome is not None
    assert done.outcome.kind is OutcomeKind.UPDATED
    assert world.record.waiting is None


def test_an_approval_of_one_plan_is_none_of_another(world: World) -> None:
    brought_up(world)
    world.policy = world.policy.with_(update=UpdateMode.APPROVAL)
    world.push("two")
    world.go()
    assert world.record.waiting is not None
    world.store.approve("production", world.record.waiting.identity, "ada", NOON)
    world.push("three")
    assert world.go().outcome.kind is OutcomeKind.WAITING  # type: ignore[union-attr]


def test_a_plan_that_replaces_more_than_the_guard_allows_waits(world: World) -> None:
    brought_up(world)
    world.policy = world.policy.with_(guard=Guard(replaces=0))
    world.push("two")
    made = world.go()
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.WAITING
    assert "replace 1" in made.outcome.message
    assert "ronron approve production" in made.outcome.hint
    causes = [line for line in world.progress.of("production") if line.startswith("cause: ")]
    assert causes == ["cause: delete-replaced pad-app"]


@pytest.mark.parametrize(
    ("things", "more"), [(10, []), (11, ["cause: and 1 more"]), (12, ["cause: and 2 more"])]
)
def test_no_more_than_ten_causes_are_logged_by_name(world: World, things: int, more: list[str]) -> None:
    world.policy = world.policy.with_(update=UpdateMode.APPROVAL)
    made = tuple(Thing(f"thing-{number:02}") for number in range(things))
    world.engine.declare(world.push("one").commit, *made)
    assert world.go().outcome.kind is OutcomeKind.WAITING  # type: ignore[union-attr]
    causes = [line for line in world.progress.of("production") if line.startswith("cause: ")]
    assert causes == [f"cause: create thing-{number:02}" for number in range(10)] + more


def test_going_back_to_what_is_live_ends_the_holding(world: World) -> None:
    brought_up(world)
    live = world.record.current
    assert live is not None
    world.policy = world.policy.with_(update=UpdateMode.APPROVAL)
    world.push("two")
    world.go()
    world.source.move("refs/heads/main", live.commit)
    assert world.go().decision.reason is Reason.UP_TO_DATE


def test_a_suspended_environment_is_left_alone(world: World) -> None:
    brought_up(world)
    world.store.save(world.record.with_(suspended=Suspension(by="ada", at=NOON, why="moving")))
    world.push("two")
    world.engine.calls.clear()
    assert world.go().decision.reason is Reason.SUSPENDED
    assert world.engine.calls == []


def test_a_request_is_served_once(world: World) -> None:
    brought_up(world)
    world.store.ask("production", "ada", NOON)
    assert world.go().decision.reason is Reason.REQUESTED
    assert world.go().decision.reason is Reason.UP_TO_DATE


# -- what goes wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "stalls"),
    [
        pytest.param(EngineTimeoutError("slow"), False, id="a deadline"),
        pytest.param(UpdateFailedError("cannot pull"), False, id="a failed resource"),
        pytest.param(EngineError("who knows"), True, id="nobody recognised it"),
        pytest.param(PendingOperationsError("half-made"), True, id="something half-made"),
    ],
)
def test_a_failure_is_never_recorded_as_live(world: World, error: EngineError, stalls: bool) -> None:
    brought_up(world)
    live = world.record.updated
    wanted = world.push("two")
    world.engine.fail_next(error, "update")
    made = world.go()
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.FAILED
    assert world.record.updated == live
    assert world.record.attempted == wanted
    assert world.record.failures == 1
    assert (world.record.stalled is not None) is stalls


def test_a_failure_is_tried_again_after_cooling_down_and_given_up_in_the_end(world: World) -> None:
    world.push("one", fails="no space left")
    reasons = []
    for _ in range(40):
        made = world.go()
        reasons.append(made.decision.reason)
        if made.decision.reason is Reason.GAVE_UP:
            break
        if made.decision.poll_again_at is not None:
            world.clock.advance(made.decision.poll_again_at - world.clock.now())
    tried = [reason for reason in reasons if reason is not Reason.BACKING_OFF]
    assert tried == [Reason.NEVER_UPDATED, *[Reason.RETRY] * 4, Reason.GAVE_UP]


def test_a_new_revision_ends_giving_up(world: World) -> None:
    world.push("one", fails="no space left")
    world.go()
    world.store.save(world.record.with_(failed=FAILURE.with_(times=world.policy.retry.limit)))
    assert world.go().decision.reason is Reason.GAVE_UP
    world.push("two")
    assert world.go().outcome.kind is OutcomeKind.UPDATED  # type: ignore[union-attr]
    assert world.record.failures == 0


def test_going_back_after_a_failed_update_looks_at_the_stack_again(world: World) -> None:
    brought_up(world)
    live = world.record.current
    assert live is not None
    world.push("two", fails="no space left")
    world.go()
    world.source.move("refs/heads/main", live.commit)
    world.engine.calls.clear()
    made = world.go()
    assert made.outcome is not None
    assert made.outcome.kind in {OutcomeKind.UPDATED, OutcomeKind.UNCHANGED}
    assert world.engine.calls[:2] == ["refresh failed production", "preview production"]


def test_a_resource_whose_update_failed_is_refreshed_before_the_next_preview(world: World) -> None:
    """Pulumi alone takes it for done."""
    brought_up(world)
    world.push("two", fails="no space left")
    world.go()
    world.engine.stacks["production"].half_made.add("pad-app")
    world.engine.calls.clear()
    world.push("two, with room")
    made = world.go()
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.UPDATED
    assert world.engine.calls == ["refresh failed production", "preview production", "update production"]
    assert "refresh: refreshed pad-app, whose last update failed" in world.logged()
    world.engine.calls.clear()
    world.push("three")
    world.go()
    assert world.engine.calls == ["preview production", "update production"]


def test_a_refresh_that_fails_is_logged_and_the_update_goes_on(world: World) -> None:
    brought_up(world)
    world.push("two", fails="no space left")
    world.go()
    world.engine.fail_next(UpdateFailedError("cannot work on pad-app: no answer"), "refresh failed")
    world.push("two, with room")
    made = world.go()
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.UPDATED
    assert (
        "cannot refresh the resources whose last update failed: cannot work on pad-app: no answer"
        in world.logged()
    )


def test_going_back_looks_again_at_what_failed_half_way(world: World) -> None:
    world.policy = world.policy.with_(on_failure=OnFailure.ROLLBACK)
    brought_up(world)
    world.push("two", fails="no space left")
    world.engine.calls.clear()
    made = world.go()
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.ROLLED_BACK
    assert world.engine.calls[:5] == [
        "preview production",
        "update production",
        "secrets production",
        "refresh failed production",
        "preview production",
    ]


def test_a_program_that_raises_stalls_until_another_revision(world: World) -> None:
    world.push("one", raises="hostname is missing")
    assert world.go().outcome.kind is OutcomeKind.FAILED  # type: ignore[union-attr]
    assert world.go().decision.reason is Reason.STALLED
    world.push("two")
    assert world.go().outcome.kind is OutcomeKind.UPDATED  # type: ignore[union-attr]


def test_a_service_that_needs_a_moment_is_waited_for(world: World) -> None:
    world.push("one")
    world.prober.answer(URL, Answer(status=502), Answer(status=502), Answer())
    assert world.go().outcome.kind is OutcomeKind.UPDATED  # type: ignore[union-attr]
    assert len(world.prober.asked) == 3


def test_a_service_that_stays_unhealthy_is_a_failure_whatever_the_engine_said(world: World) -> None:
    brought_up(world)
    healthy = world.record.healthy
    world.push("two")
    world.prober.answer(URL, Answer(status=502))
    made = world.go()
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.FAILED
    assert "pad" in made.outcome.message
    assert "502" in made.outcome.message
    assert world.record.healthy == healthy
    assert world.clock.now() - NOON <= world.policy.probe_for + timedelta(seconds=2)


def test_a_service_that_recovers_is_seen_healthy_without_a_change(world: World) -> None:
    wanted = world.push("one")
    world.prober.answer(URL, Answer(status=502))
    world.go()
    world.prober.answer(URL, Answer())
    world.clock.advance(timedelta(hours=1))
    made = world.go()
    assert made.decision.reason is Reason.RETRY
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.UNCHANGED
    assert world.record.healthy == wanted


def test_a_sick_service_is_not_forgotten_for_the_update_of_another(world: World) -> None:
    brought_up(world)
    healthy = world.record.healthy
    world.prober.answer(URL, Answer(status=502))
    world.push("two")
    world.go()
    push_board(world, "x", beside="two")
    made = world.go()
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.FAILED
    assert "pad is unhealthy" in made.outcome.message
    assert world.record.healthy == healthy


def test_rollback_returns_to_the_last_healthy_revision_and_says_so(world: World) -> None:
    brought_up(world)
    world.policy = world.policy.with_(on_failure=OnFailure.ROLLBACK)
    healthy = world.record.healthy
    assert healthy is not None
    bad = world.push("two")
    world.prober.answer(URL, *[Answer(status=502)] * 61, Answer())
    made = world.go()
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.ROLLED_BACK
    assert made.outcome.restored == healthy
    assert healthy.short in made.outcome.message
    assert world.record.current == healthy
    assert world.record.attempted == bad
    assert world.engine.stacks["production"].things["pad-app"].inputs == {"envs": "one"}
    assert world.go().decision.reason is Reason.STALLED


def test_a_rollback_that_fails_too_says_both(world: World) -> None:
    brought_up(world)
    world.policy = world.policy.with_(on_failure=OnFailure.ROLLBACK)
    world.push("two", fails="no space left")
    world.engine.at("pad-app", lambda: None)
    healthy = world.record.healthy
    assert healthy is not None
    world.engine.declare(healthy.commit, raises="gone")
    made = world.go()
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.FAILED
    assert "no space left" in made.outcome.message
    assert "gone" in made.outcome.message


def test_nothing_is_rolled_back_when_the_preview_failed(world: World) -> None:
    brought_up(world)
    world.policy = world.policy.with_(on_failure=OnFailure.ROLLBACK)
    world.push("two", raises="hostname is missing")
    made = world.go()
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.FAILED
    assert "went back" not in made.outcome.message


def test_a_lock_of_somebody_else_is_no_failure(world: World) -> None:
    brought_up(world)
    world.push("two")
    world.engine.fail_next(StackLockedError("locked by ada"), "update")
    made = world.go()
    assert made.outcome is not None
    assert made.outcome.locked
    assert world.record.failures == 0
    assert world.go().outcome.kind is OutcomeKind.UPDATED  # type: ignore[union-attr]


def test_two_passes_over_one_stack_never_run_at_once(world: World) -> None:
    world.push("one")
    with world.store.lock("production"), pytest.raises(StackLockedError):
        world.go()
    assert world.engine.calls == []


def test_an_interrupted_pass_goes_on_at_the_next_look(world: World) -> None:
    brought_up(world)
    world.push("two")
    world.engine.fail_next(EngineInterruptedError("stopped"), "update")
    assert world.go().outcome.kind is OutcomeKind.INTERRUPTED  # type: ignore[union-attr]
    made = world.go()
    assert made.decision.reason is Reason.INTERRUPTED
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.UPDATED


def test_a_repository_that_does_not_answer_changes_nothing(world: World) -> None:
    brought_up(world)
    before = world.record
    world.source.fail("resolve", SourceUnavailableError("no route"))
    with pytest.raises(SourceUnavailableError):
        world.go()
    assert world.record == before


# -- a crash, anywhere -----------------------------------------------------------------------------


def crash(world: World, death: BaseException) -> None:
    def die() -> None:
        raise death

    world.engine.at("pad-app", die)
    with pytest.raises(type(death)):
        world.go()
    assert world.record.running is not None


def test_after_a_crash_the_engine_that_went_on_is_found_and_nothing_is_done_twice(world: World) -> None:
    wanted = world.push("one")
    crash(world, ReconcilerKilled())
    made = world.go()
    assert made.decision.reason is Reason.INTERRUPTED
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.UNCHANGED
    assert world.record.current == wanted
    assert [old.outcome.kind for old in world.store.history() if old.outcome] == [
        OutcomeKind.UNCHANGED,
        OutcomeKind.INTERRUPTED,
    ]
    assert world.prober.asked == [URL]


def test_after_a_crash_what_the_engine_went_on_to_export_is_remembered(world: World) -> None:
    brought_up(world)
    commit = world.source.commit({"__main__.py": "elsewhere"})
    moved = inventory(url="https://elsewhere.example/")
    world.engine.declare(commit, *pad("two"), inventory=moved)
    world.prober.asked.clear()
    crash(world, ReconcilerKilled())
    made = world.go()
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.UNCHANGED
    assert world.record.inventory == moved
    assert world.prober.asked == ["https://elsewhere.example/"]


def test_a_crash_is_got_over_where_its_revision_was_taken_away(world: World) -> None:
    world.push("one")
    crash(world, ReconcilerKilled())
    world.source = FakeSource()
    wanted = world.push("two")
    made = world.go()
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.UPDATED
    assert world.record.current == wanted
    closed = world.store.history()[1].outcome
    assert closed is not None
    assert closed.kind is OutcomeKind.INTERRUPTED
    assert "cannot find commit" in closed.message


def test_after_a_power_cut_in_a_creation_nothing_is_updated_before_a_person_looked(world: World) -> None:
    world.push("one")
    crash(world, ReconcilerKilled(engine_too=True))
    made = world.go()
    assert made.decision.reason is Reason.STALLED
    assert world.record.stalled is not None
    assert "creating" in world.record.stalled
    assert world.engine.calls.count("update production") == 1


def test_an_engine_that_was_killed_alone_stalls_with_the_reason(world: World) -> None:
    world.push("one")

    def die() -> None:
        raise EngineKilled

    world.engine.at("pad-app", die)
    made = world.go()
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.FAILED
    assert world.record.stalled is not None


def test_a_program_that_kills_its_process_is_not_tried_for_ever(world: World) -> None:
    world.push("one")
    for _ in range(world.policy.retry.limit):
        crash(world, ReconcilerKilled())
        world.engine.stacks.clear()
    assert world.go().decision.reason is Reason.GAVE_UP


def test_what_is_left_alive_and_cannot_be_stopped_makes_the_stack_busy(world: World) -> None:
    world.push("one")
    crash(world, ReconcilerKilled())
    running = world.record.running
    world.engine.fail_next(StackLockedError("still alive"), "recover")
    with pytest.raises(StackLockedError):
        world.go()
    assert world.record.running == running


# -- what is left on disk --------------------------------------------------------------------------


def test_only_the_work_of_the_newest_passes_is_kept_and_no_plan(world: World) -> None:
    world.push("one")
    for number in range(RETAINED_WORK + 3):
        world.store.ask("production", "ada", NOON)
        (world.work / str(number + 1)).mkdir(parents=True, exist_ok=True)
        (world.work / str(number + 1) / "plan.json").write_text("{}")
        world.go()
    left = sorted(int(entry.name) for entry in world.work.iterdir())
    assert left == list(range(4, RETAINED_WORK + 4))
    assert not list(world.work.glob("*/plan.json"))


# -- lost data ---------------------------------------------------------------------------------------------


def test_a_service_that_is_held_back_is_not_probed_and_the_outcome_says_so(world: World) -> None:
    commit = world.source.commit({**PROJECT, "__main__.py": "held"})
    world.engine.declare(commit, *pad("held"), inventory=inventory(backup=True, held=True))
    made = world.go()
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.UPDATED
    assert made.outcome.held == ("pad",)
    assert "pad is held back: its data (fake-production-pad-var) are lost" in made.outcome.message
    assert world.prober.asked == []
    assert "hint: restore: ronron restore production pad" in world.logged()


def test_the_program_is_told_whose_data_a_person_accepted(world: World) -> None:
    revision = world.push("one")
    world.source.refresh()
    target = Target(world.policy, accept_empty=("pad",))
    with prepared(target, world.ports, revision, "digest", world.work / "1") as program:
        assert program.accept_empty == ("pad",)
