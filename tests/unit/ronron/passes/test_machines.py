"""Passes where a machine does not answer: what is updated, what waits, and what is remembered of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ronron.core.errors import UpdateFailedError
from ronron.core.excluded import Excluded
from ronron.core.inventory import Inventory
from ronron.core.model import Outcome, OutcomeKind, Pass, Reason, Revision
from ronron.core.policy import OnFailure, Policy, UpdateMode
from ronron.core.record import Suspension
from ronron.passes.machines import excluded_of
from ronron.passes.reconcile import Target, preview_only
from ronron.testing import NOON, Answer, EngineKilled, Thing
from tests.support.values import CONTAINER
from tests.support.worlds import URL, World, inventory, pad

TEAM_URL = "https://team.example/"
TEAM = "urn:pulumi:production::fake::ronron:components:Service::team"


def two_machines(*, backup: bool = False, machine: str = "there") -> dict[str, object]:
    """An inventory with a pad on `here` and a team on another machine."""
    found = inventory(backup=backup)
    machines, services = found["machines"], found["services"]
    assert isinstance(machines, dict)
    assert isinstance(services, dict)
    machines[machine] = {"docker": "ssh://tech@there.example", "host_key": "ssh-ed25519 AAAA"}
    services["team"] = services["pad"] | {
        "resource": TEAM,
        "machine": machine,
        "url": TEAM_URL,
        "probe": {"url": TEAM_URL, "status": [200], "contains": None},
    }
    return found


def push(world: World, title: str, *, backup: bool = False) -> Revision:
    """Push a commit that changes both services."""
    commit = world.source.commit({"__main__.py": title})
    component = Thing("team", type="ronron:components:Service", custom=False)
    container = Thing("team-app", {"envs": title}, type=CONTAINER, parent="team", machine="there")
    world.engine.declare(commit, *pad(title), component, container, inventory=two_machines(backup=backup))
    return Revision(reference="main", commit=commit)


def outcome(made: Pass) -> Outcome:
    assert made.outcome is not None
    return made.outcome


def titles(world: World) -> tuple[object, object]:
    """What runs on `here` and what runs on `there`."""
    things = world.engine.stacks["production"].things
    return things["pad-app"].inputs["envs"], things["team-app"].inputs["envs"]


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "passes")
    push(world, "one")
    assert outcome(world.go()).kind is OutcomeKind.UPDATED
    world.prober.asked.clear()
    return world


def silence(world: World, title: str = "two") -> Revision:
    world.machines.silence("there")
    return push(world, title)


# -- a machine falls silent --------------------------------------------------------------------------------


def test_what_is_on_the_others_is_updated_and_the_outcome_says_what_waits(world: World) -> None:
    wanted = silence(world)
    done = outcome(world.go())
    assert done.kind is OutcomeKind.DEGRADED
    assert done.message == (
        f"{wanted.short} is degraded: there is unreachable (connection refused); team waits for it"
    )
    assert done.hint.startswith("bring there back: once it is reachable, ronron watch updates it")
    assert done.excluded == Excluded(machines={"there": "connection refused"}, services=("team",))
    assert titles(world) == ("two", "one")
    assert world.engine.excluded[-2:] == [("there",), ("there",)]
    assert "machines: there is unreachable (connection refused); team waits for it" in world.logged()


def test_only_services_that_can_answer_are_probed(world: World) -> None:
    world.prober.answer(TEAM_URL, Answer(no_answer="no route to host"))
    silence(world)
    done = outcome(world.go())
    assert world.prober.asked == [URL]
    assert [probe.service for probe in done.probes] == ["pad"]


def test_a_degraded_revision_is_not_recorded_as_whole(world: World) -> None:
    before = world.record
    wanted = silence(world)
    world.go()
    record = world.record
    assert record.degraded is not None
    assert record.degraded.revision == wanted
    assert (record.updated, record.current, record.healthy) == (
        before.updated,
        before.current,
        before.healthy,
    )
    assert not record.verified
    assert record.failures == 0
    assert record.inventory == two_machines()


def test_while_it_stays_silent_nothing_is_started(world: World) -> None:
    wanted = silence(world)
    world.go()
    world.engine.calls.clear()
    for _ in range(3):
        made = world.go()
        assert (made.decision.reason, made.outcome) == (Reason.DEGRADED, None)
        assert made.decision.why.startswith(f"{wanted.short} is degraded: there is unreachable")
    assert world.engine.calls == []


def test_when_it_answers_again_it_is_made_whole_without_a_new_revision(world: World) -> None:
    wanted = silence(world)
    world.go()
    world.machines.bring_back("there")
    made = world.go()
    assert made.decision.reason is Reason.MACHINE_REACHABLE
    assert made.decision.why == f"{wanted.short} is wanted on there, too"
    assert outcome(made).kind is OutcomeKind.UPDATED
    assert titles(world) == ("two", "two")
    assert world.engine.excluded[-1] == ()
    assert world.record.degraded is None
    assert world.record.current == world.record.healthy == wanted
    assert world.record.verified
    assert world.go().decision.reason is Reason.UP_TO_DATE


def test_whole_means_that_every_service_was_asked(world: World) -> None:
    silence(world)
    world.go()
    world.machines.bring_back("there")
    world.prober.asked.clear()
    world.go()
    assert sorted(world.prober.asked) == [URL, TEAM_URL]


def test_what_waits_is_unchanged_in_the_end_where_nothing_was_to_be_done_there(world: World) -> None:
    world.machines.silence("there")
    world.store.ask("production", "ada", NOON)
    done = outcome(world.go())
    assert done.kind is OutcomeKind.DEGRADED
    world.machines.bring_back("there")
    assert outcome(world.go()).kind is OutcomeKind.UNCHANGED
    assert world.record.verified


def test_another_revision_is_taken_where_it_can_be(world: World) -> None:
    silence(world)
    world.go()
    push(world, "three")
    assert outcome(world.go()).kind is OutcomeKind.DEGRADED
    assert titles(world) == ("three", "one")


def test_going_back_to_what_is_live_everywhere_is_work(world: World) -> None:
    old = world.record.current
    silence(world)
    world.go()
    assert old is not None
    assert push(world, "one").commit != old.commit
    assert outcome(world.go()).kind is OutcomeKind.DEGRADED
    assert titles(world) == ("one", "one")


def test_nothing_is_deleted_anywhere_while_a_machine_is_silent(world: World) -> None:
    world.machines.silence("there")
    commit = world.source.commit({"__main__.py": "less"})
    world.engine.declare(commit, inventory=two_machines())
    world.go()
    assert "pad-app" in world.engine.stacks["production"].things


# -- who decides -------------------------------------------------------------------------------------------


def test_where_every_machine_is_silent_it_is_as_if_none_was(world: World) -> None:
    world.machines.silence("here")
    silence(world)
    world.engine.fail_next(UpdateFailedError("cannot reach Docker"), "update")
    done = outcome(world.go())
    assert (done.kind, done.excluded) == (OutcomeKind.FAILED, None)
    assert world.engine.excluded[-1] == ()


def test_a_single_machine_is_not_even_asked(tmp_path: Path) -> None:
    world = World(tmp_path / "passes")
    world.machines.silence("here")
    for title in ("one", "two"):
        world.push(title)
        assert outcome(world.go()).kind is OutcomeKind.UPDATED
    assert world.machines.asked == 0


def test_a_look_at_what_is_up_to_date_asks_no_machine(world: World) -> None:
    asked = world.machines.asked
    assert world.go().decision.reason is Reason.UP_TO_DATE
    assert world.machines.asked == asked


def test_a_suspended_environment_asks_no_machine(world: World) -> None:
    silence(world)
    world.go()
    world.store.save(world.record.with_(suspended=Suspension(by="ada", at=NOON)))
    asked = world.machines.asked
    assert world.go().decision.reason is Reason.SUSPENDED
    assert world.machines.asked == asked


def test_a_machine_that_no_inventory_knows_yet_is_not_left_out() -> None:
    known = Inventory.model_validate(two_machines())
    assert excluded_of({"new": "no route to host"}, known) is None
    assert excluded_of({}, known) is None
    found = excluded_of({"there": "no route to host", "new": "it is not there"}, known)
    assert found == Excluded(machines={"there": "no route to host"}, services=("team",))


def test_a_machine_that_is_still_being_made_is_not_left_out() -> None:
    document = two_machines()
    machines = document["machines"]
    assert isinstance(machines, dict)
    virtual = {"node": "alice", "vm_id": 101, "disk_gib": 64, "data": None}
    machines["there"] = {"docker": "ssh://ronron@192.0.2.11", "host_key": None, "proxmox": virtual}
    assert excluded_of({"there": "it has no host key yet"}, Inventory.model_validate(document)) is None
    machines["there"]["host_key"] = "ssh-ed25519 AAAA"
    assert excluded_of({"there": "no route to host"}, Inventory.model_validate(document)) is not None


# -- approval, failure, rollback ---------------------------------------------------------------------------


def test_an_approval_is_of_a_plan_without_that_machine(world: World) -> None:
    world.policy = world.policy.with_(update=UpdateMode.APPROVAL)
    silence(world)
    waiting = outcome(world.go())
    assert (waiting.kind, waiting.excluded) == (OutcomeKind.WAITING, None)
    assert waiting.identity is not None
    world.store.approve("production", waiting.identity, "ada", NOON)
    world.machines.bring_back("there")
    again = outcome(world.go())
    assert again.kind is OutcomeKind.WAITING
    assert again.identity != waiting.identity
    assert titles(world) == ("one", "one")


def test_an_approved_plan_is_carried_out_without_that_machine(world: World) -> None:
    world.policy = world.policy.with_(update=UpdateMode.APPROVAL)
    silence(world)
    world.store.approve("production", outcome(world.go()).identity or "", "ada", NOON)
    assert outcome(world.go()).kind is OutcomeKind.DEGRADED
    assert titles(world) == ("two", "one")


def test_what_fails_on_the_others_fails(world: World) -> None:
    silence(world)
    world.prober.answer(URL, Answer(status=502))
    done = outcome(world.go())
    assert done.kind is OutcomeKind.FAILED
    assert done.excluded is not None
    assert world.record.failures == 1
    assert world.record.degraded is None


def rolling_back(world: World) -> World:
    world.policy = Policy(
        name="production", stack="production", reference="main", on_failure=OnFailure.ROLLBACK
    )
    return world


def test_a_silent_machine_alone_rolls_nothing_back(world: World) -> None:
    silence(rolling_back(world))
    assert outcome(world.go()).kind is OutcomeKind.DEGRADED
    assert titles(world) == ("two", "one")


def test_a_rollback_leaves_out_the_same_machine_and_says_so(world: World) -> None:
    healthy = world.record.healthy
    silence(rolling_back(world))
    world.prober.answer(URL, *[Answer(status=502)] * 61, Answer())
    done = outcome(world.go())
    assert done.kind is OutcomeKind.ROLLED_BACK
    assert done.restored == healthy
    assert "except on unreachable machines: there is unreachable" in done.message
    assert titles(world) == ("one", "one")
    assert set(world.engine.excluded[-4:]) == {("there",)}


def test_an_engine_that_is_killed_meanwhile_leaves_nothing_degraded(world: World) -> None:
    silence(world)

    def die() -> None:
        raise EngineKilled

    world.engine.at("pad-app", die)
    assert outcome(world.go()).kind is OutcomeKind.FAILED
    assert world.record.degraded is None


# -- looking -----------------------------------------------------------------------------------------------


def test_a_preview_leaves_out_the_same_and_says_so(world: World, tmp_path: Path) -> None:
    wanted = silence(world)
    world.source.refresh()
    preview, _ = preview_only(Target(world.policy), world.ports, wanted, tmp_path / "look")
    assert {change.name for change in preview.touching} == {"pad-app"}
    assert "team waits for it" in world.logged()


def test_no_agent_is_asked_on_a_machine_that_is_left_out(world: World) -> None:
    push(world, "with backups", backup=True)
    world.go()
    silence(world, "two")
    commit = world.source.commit({"__main__.py": "the edge"})
    # Below no service, so it touches all of them.
    edge = Thing("edge", {"routes": "new"}, type=CONTAINER)
    component = Thing("team", type="ronron:components:Service", custom=False)
    container = Thing("team-app", {"envs": "x"}, type=CONTAINER, parent="team", machine="there")
    world.engine.declare(commit, *pad("two"), edge, component, container, inventory=two_machines(backup=True))
    assert outcome(world.go()).kind is OutcomeKind.DEGRADED
    assert "cannot ask the agent of team" not in world.logged()
