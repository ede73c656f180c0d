"""What every Engine keeps, the real one and the one in memory.

The real one runs Pulumi with its Python language host on programs whose resources are files.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ronron.core.errors import (
    ConfigError,
    EngineError,
    EngineInterruptedError,
    PassphraseError,
    PendingOperationsError,
    PlanViolatedError,
    ProgramError,
    StackLockedError,
    StackNotFoundError,
    UpdateFailedError,
)
from ronron.core.model import Change, Operation, ProcessMark
from ronron.core.operations import OperationEvent
from ronron.core.status import CheckResult
from ronron.testing import Thing
from tests.support.engine_worlds import RED, FakeWorld, RealWorld, World, resources_in

pytestmark = pytest.mark.timeout(180)

BLUE = Thing("shelf", {"colour": "blue"})
LAMP = Thing("lamp")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("live")


@pytest.fixture(params=["fake", "pulumi"])
def world(request: pytest.FixtureRequest, tmp_path: Path, template: Path) -> Iterator[World]:
    if request.param == "fake":
        yield FakeWorld()
        return
    real = RealWorld(tmp_path, template)
    yield real
    real.close()


@pytest.fixture
def live(world: World) -> World:
    """A world in which a red shelf and an inventory are live."""
    world.live()
    return world


def custom(changes: tuple[Change, ...]) -> list[tuple[str, str]]:
    """What happens to the resources of the program's own, without components and providers."""
    return [
        (change.operation.value, change.name)
        for change in changes
        if change.custom and not change.type.startswith("pulumi:") and change.operation is not Operation.SAME
    ]


# -- preview ---------------------------------------------------------------------------------------


def test_the_version_is_three_numbers(world: World) -> None:
    assert [number.isdigit() for number in world.engine.version().split(".")] == [True, True, True]


def test_a_stack_that_is_not_there_is_made_only_on_request(world: World) -> None:
    world.declare(RED)
    with pytest.raises(StackNotFoundError):
        world.engine.preview(world.program())
    assert world.engine.state(world.program()).exists is False
    preview = world.engine.preview(world.program(create_stack=True))
    assert custom(preview.changes) == [("create", "shelf")]
    state = world.engine.state(world.program())
    assert (state.exists, resources_in(world.engine, world.program()), state.inventory) == (True, 0, None)


def test_a_stack_that_was_updated_before_is_not_made_again(world: World) -> None:
    world.declare(RED)
    lost = world.program(create_stack=True).with_(running="c" * 40)
    with pytest.raises(StackNotFoundError):
        world.engine.preview(lost)
    assert world.engine.state(lost).exists is False


def test_what_is_as_it_should_be_is_not_touched(live: World) -> None:
    preview = live.engine.preview(live.program())
    assert preview.touching == ()
    assert ("same", "shelf") in [(change.operation.value, change.name) for change in preview.changes]


def test_a_change_names_its_property_and_no_value(live: World) -> None:
    live.declare(BLUE, inventory={"version": 1})
    preview = live.engine.preview(live.program())
    (change,) = preview.touching
    assert (change.operation, change.name, change.properties) == (Operation.UPDATE, "shelf", ("colour",))
    assert "blue" not in preview.model_dump_json()


def test_a_replacement_and_a_deletion_are_told_apart(live: World) -> None:
    live.declare(RED, Thing("lamp", {"volt": "12"}), inventory={"version": 1})
    live.update(live.engine.preview(live.program()))
    replaced = Thing("lamp", {"volt": "24"}, replace_on=frozenset({"volt"}))
    live.declare(replaced, inventory={"version": 1})
    preview = live.engine.preview(live.program())
    operations = dict(custom(preview.changes))
    assert operations["delete"] == "shelf"
    assert {word for word, name in custom(preview.changes) if name == "lamp"} == {
        "create-replacement",
        "replace",
        "delete-replaced",
    }


def test_a_change_knows_its_ancestors(live: World) -> None:
    room = Thing("room", custom=False, type="tiny:index:Room")
    live.declare(RED, room, Thing("lamp", parent="room"), inventory={"version": 1})
    preview = live.engine.preview(live.program())
    lamp = next(c for c in preview.changes if c.name == "lamp")
    above = next(c for c in preview.changes if c.name == "room")
    assert lamp.ancestors == (above.urn,)
    assert above.custom is False
    assert above.ancestors == ()


def test_the_identity_is_of_what_would_be_done(live: World) -> None:
    live.declare(BLUE, inventory={"version": 1})
    first = live.engine.preview(live.program())
    assert live.engine.preview(live.program()).identity == first.identity
    assert live.engine.preview(live.program(commit="b" * 40)).identity != first.identity
    live.declare(BLUE, LAMP, inventory={"version": 1})
    assert live.engine.preview(live.program()).identity != first.identity


def test_a_preview_has_no_effect(live: World) -> None:
    before = live.engine.state(live.program())
    live.declare(BLUE, LAMP, inventory={"version": 2})
    live.engine.preview(live.program())
    assert live.engine.state(live.program()) == before


def test_a_program_that_raises_is_told_in_its_own_words(live: World) -> None:
    live.declare(RED, raises="services.pad.machine: there is no lapto")
    with pytest.raises(ProgramError, match=r"services\.pad\.machine: there is no lapto") as caught:
        live.engine.preview(live.program())
    assert "Traceback" not in str(caught.value)
    assert caught.value.hint


def test_a_wrong_passphrase_opens_nothing_and_changes_nothing(live: World) -> None:
    before = live.engine.state(live.program())
    with pytest.raises(PassphraseError):
        live.another_engine(passphrase="battery staple").preview(live.program())
    assert live.engine.state(live.program()) == before


# -- update ----------------------------------------------------------------------------------------


def test_an_update_does_what_was_previewed(live: World) -> None:
    live.declare(BLUE, LAMP, inventory={"version": 1, "services": {}})
    preview = live.engine.preview(live.program())
    updated = live.update(preview)
    assert sorted(custom(updated.changes)) == sorted(custom(preview.changes))
    assert sorted(custom(updated.changes)) == [("create", "lamp"), ("update", "shelf")]
    assert updated.inventory == {"version": 1, "services": {}}
    state = live.engine.state(live.program())
    assert (resources_in(live.engine, live.program()), state.inventory, state.pending) == (
        2,
        updated.inventory,
        (),
    )
    assert live.engine.preview(live.program()).touching == ()


def test_operations_are_followed_as_they_begin_and_end(live: World) -> None:
    live.declare(BLUE, Thing("sofa", fails="it does not go through the door"), inventory={"version": 1})
    preview = live.engine.preview(live.program())
    events: list[OperationEvent] = []
    with pytest.raises(UpdateFailedError):
        live.engine.update(live.program(), preview, lambda _: None, events.extend)
    told = [
        (event.phase.value, event.change.operation.value, event.change.name)
        for event in events
        if event.change.name in {"shelf", "sofa"} and event.change.custom
    ]
    assert told.index(("begun", "update", "shelf")) < told.index(("done", "update", "shelf"))
    assert told.index(("begun", "create", "sofa")) < told.index(("failed", "create", "sofa"))
    assert len(told) == 4


def test_what_is_named_is_replaced_though_nothing_differs(live: World) -> None:
    (shelf,) = (
        change.urn for change in live.engine.preview(live.program()).changes if change.name == "shelf"
    )
    program = live.program().with_(replace=(shelf,))
    preview = live.engine.preview(program)
    assert {word for word, _ in custom(preview.changes)} == {
        "create-replacement",
        "replace",
        "delete-replaced",
    }
    updated = live.engine.update(program, preview, lambda _: None)
    assert {change.name for change in updated.changes if change.custom} == {"shelf"}
    assert live.engine.preview(live.program()).touching == ()


def test_where_nothing_was_lost_nothing_is_forgotten(live: World) -> None:
    before = live.engine.state(live.program())
    assert live.engine.refresh_lost(live.program(), ("here",)) == ()
    assert live.engine.state(live.program()) == before


def test_a_new_inventory_alone_is_a_change(live: World) -> None:
    live.declare(RED, inventory={"version": 1, "services": {"pad": {}}})
    preview = live.engine.preview(live.program())
    (change,) = preview.touching
    assert (change.operation, change.properties, change.custom) == (Operation.UPDATE, ("inventory",), False)
    assert live.update(preview).inventory == {"version": 1, "services": {"pad": {}}}
    assert live.engine.preview(live.program()).touching == ()


def test_a_program_that_changed_after_its_preview_violates_the_plan(live: World) -> None:
    live.declare(BLUE, inventory={"version": 1})
    preview = live.engine.preview(live.program())
    live.declare(Thing("shelf", {"colour": "green"}), inventory={"version": 1})
    with pytest.raises(PlanViolatedError) as caught:
        live.update(preview)
    assert "green" not in f"{caught.value} {caught.value.hint}"
    live.declare(RED, inventory={"version": 1})
    assert live.engine.preview(live.program()).touching == ()


def test_a_program_that_leaves_out_what_it_previewed_violates_the_plan(live: World) -> None:
    live.declare(RED, LAMP, inventory={"version": 1})
    preview = live.engine.preview(live.program())
    live.declare(RED, inventory={"version": 1})
    with pytest.raises(PlanViolatedError):
        live.update(preview)
    assert live.engine.preview(live.program()).touching == ()


def test_a_preview_of_another_commit_is_not_carried_out(live: World) -> None:
    live.declare(BLUE, inventory={"version": 1})
    preview = live.engine.preview(live.program())
    with pytest.raises(PlanViolatedError):
        live.engine.update(live.program(), preview.with_(identity="0" * 64), lambda _: None)
    live.declare(RED, inventory={"version": 1})
    assert live.engine.preview(live.program()).touching == ()


def test_a_resource_that_fails_is_told_in_its_own_words_and_the_rest_is_kept(live: World) -> None:
    live.declare(RED, LAMP, Thing("sofa", fails="it does not go through the door"), inventory={"version": 1})
    preview = live.engine.preview(live.program())
    with pytest.raises(
        UpdateFailedError, match=r"cannot create (resource )?sofa.*: it does not go through the door"
    ):
        live.update(preview)
    state = live.engine.state(live.program())
    assert (resources_in(live.engine, live.program()), state.pending) == (2, ())
    assert state.inventory == {"version": 1}


def test_what_waited_for_a_resource_that_fails_is_not_told_as_the_cause(live: World) -> None:
    things = (RED, Thing("sofa", fails="it does not go through the door"), Thing("cushion", parent="sofa"))
    live.declare(*things, inventory={"version": 1})
    preview = live.engine.preview(live.program())
    with pytest.raises(
        UpdateFailedError, match=r"cannot create (resource )?sofa.*: it does not go through the door"
    ) as caught:
        live.update(preview)
    assert "cushion" not in f"{caught.value} {caught.value.hint}"
    assert resources_in(live.engine, live.program()) == 1


def test_the_owner_knows_of_the_engine_before_it_can_do_anything(live: World) -> None:
    live.declare(BLUE, inventory={"version": 1})
    preview = live.engine.preview(live.program())

    def cannot_write(mark: ProcessMark) -> None:
        assert mark.pid > 1
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        live.engine.update(live.program(), preview, cannot_write)
    live.declare(RED, inventory={"version": 1})
    assert live.engine.preview(live.program()).touching == ()


# -- without a machine -----------------------------------------------------------------------------


def on(machine: str, name: str, colour: str) -> Thing:
    """A thing that is made through the provider of a machine."""
    return Thing(name, {"colour": colour}, machine=machine)


@pytest.fixture
def two_machines(world: World) -> World:
    """A world with a red bed on `here`, and a red desk on `there`."""
    world.live(on("here", "bed", "red"), on("there", "desk", "red"))
    return world


BLUE_ROOM = (BLUE, on("here", "bed", "blue"), on("there", "desk", "blue"), on("there", "chair", "blue"))


def test_what_is_on_a_machine_that_is_left_out_is_not_touched(two_machines: World) -> None:
    two_machines.declare(*BLUE_ROOM, inventory={"version": 2})
    preview = two_machines.engine.preview(two_machines.program(excluded=("there",)))
    assert sorted(custom(preview.changes)) == [("update", "bed"), ("update", "shelf")]
    updated = two_machines.update(preview, excluded=("there",))
    assert sorted(custom(updated.changes)) == [("update", "bed"), ("update", "shelf")]
    assert updated.inventory == {"version": 2}
    # What was left out is made up for by the next update of everything.
    whole = two_machines.engine.preview(two_machines.program())
    assert sorted(custom(whole.changes)) == [("create", "chair"), ("update", "desk")]
    two_machines.update(whole)
    assert two_machines.engine.preview(two_machines.program()).touching == ()


def test_without_a_machine_nothing_is_deleted_on_any_other(two_machines: World) -> None:
    two_machines.declare(BLUE, on("there", "desk", "red"), inventory={"version": 1})
    preview = two_machines.engine.preview(two_machines.program(excluded=("there",)))
    assert custom(preview.changes) == [("update", "shelf")]
    two_machines.update(preview, excluded=("there",))
    whole = two_machines.engine.preview(two_machines.program())
    assert custom(whole.changes) == [("delete", "bed")]


def test_a_plan_without_a_machine_is_another_plan(two_machines: World) -> None:
    two_machines.declare(BLUE, on("here", "bed", "red"), on("there", "desk", "red"), inventory={"version": 1})
    without = two_machines.engine.preview(two_machines.program(excluded=("there",)))
    whole = two_machines.engine.preview(two_machines.program())
    assert custom(without.changes) == custom(whole.changes)
    assert without.identity != whole.identity
    with pytest.raises(PlanViolatedError):
        two_machines.update(without)


def test_a_machine_whose_provider_is_not_known_cannot_be_left_out(two_machines: World) -> None:
    with pytest.raises(EngineError, match="cannot exclude nowhere"):
        two_machines.engine.preview(two_machines.program(excluded=("nowhere",)))


def test_two_updates_of_one_stack_do_not_run_at_once(live: World) -> None:
    live.declare(RED, LAMP, inventory={"version": 1})
    preview = live.engine.preview(live.program())

    def another() -> None:
        with pytest.raises(StackLockedError):
            live.engine.update(live.program(), preview, lambda _: None)

    updated = live.update(preview, during="lamp", then=another)
    assert custom(updated.changes) == [("create", "lamp")]


# -- what a program finds of its surroundings ------------------------------------------------------


def test_where_nothing_is_half_made_nothing_is_mended(live: World) -> None:
    assert live.engine.refresh_failed(live.program()) == ()
    assert live.engine.preview(live.program()).changes


def test_a_stack_that_is_not_there_has_nothing_to_mend(world: World) -> None:
    assert world.engine.refresh_failed(world.program()) == ()


def test_a_program_tells_what_it_finds_and_makes_nothing(live: World) -> None:
    found = (
        CheckResult(name="node alice", good=True, version="9.0.10", origin="online"),
        CheckResult(name="machine vm01", good=False, origin="101 is taken", remedy="choose another number"),
    )
    live.find(*found)
    assert live.engine.checks(live.program()) == found
    assert resources_in(live.engine, live.program()) == 1


def test_a_program_that_finds_nothing_is_only_previewed(live: World) -> None:
    live.declare(BLUE, inventory={"version": 1})
    assert live.engine.checks(live.program()) == ()
    assert custom(live.engine.preview(live.program()).changes) == [("update", "shelf")]


def test_a_new_stack_can_be_asked_what_it_will_find(world: World) -> None:
    found = CheckResult(name="quorum", good=True, origin="the cluster has one")
    world.find(found)
    with pytest.raises(StackNotFoundError):
        world.engine.checks(world.program())
    assert world.engine.checks(world.program(create_stack=True)) == (found,)


def test_a_program_that_breaks_off_finds_nothing(live: World) -> None:
    live.declare(RED, raises="no such file")
    with pytest.raises(ProgramError, match="no such file"):
        live.engine.checks(live.program())


# -- interruption and death ------------------------------------------------------------------------


def test_an_interrupted_update_leaves_nothing_half_done(live: World) -> None:
    live.declare(LAMP, RED, Thing("sofa", parent="lamp"), inventory={"version": 2})
    preview = live.engine.preview(live.program())
    with pytest.raises(EngineInterruptedError):
        live.update(preview, during="lamp", then=live.engine.interrupt)
    state = live.engine.state(live.program())
    assert (resources_in(live.engine, live.program()), state.pending) == (2, ())
    updated = live.update(live.engine.preview(live.program()))
    assert custom(updated.changes) == [("create", "sofa")]


def test_an_interruption_of_nothing_is_forgotten(live: World) -> None:
    live.engine.interrupt()
    assert live.engine.preview(live.program()).touching == ()


def test_a_killed_engine_leaves_an_operation_of_which_nobody_knows_the_end(live: World) -> None:
    live.declare(RED, LAMP, inventory={"version": 1})
    preview = live.engine.preview(live.program())
    with pytest.raises(PendingOperationsError, match="lamp"):
        live.update(preview, during="lamp", then=live.kill_engine)
    (pending,) = live.engine.state(live.program()).pending_creates
    assert pending.endswith("::lamp")
    with pytest.raises(PendingOperationsError, match="lamp"):
        live.another_engine().recover_from_crash(live.program(), None)
    with pytest.raises(PendingOperationsError, match="lamp"):
        live.engine.update(live.program(), live.engine.preview(live.program()), lambda _: None)


def test_nothing_is_settled_where_nothing_was_left(live: World) -> None:
    assert live.engine.recover_from_crash(live.program(), None)


def test_the_lock_of_a_dead_engine_is_removed(live: World) -> None:
    live.leave_lock("dead")
    assert "lock" in live.engine.recover_from_crash(live.program(), None)
    live.declare(BLUE, inventory={"version": 1})
    assert custom(live.update(live.engine.preview(live.program())).changes) == [("update", "shelf")]


@pytest.mark.parametrize("owner", ["alive", "elsewhere"])
def test_a_lock_whose_owner_is_not_proven_dead_stays(live: World, owner: str) -> None:
    live.leave_lock(owner)
    with pytest.raises(StackLockedError):
        live.engine.recover_from_crash(live.program(), None)
    live.declare(BLUE, inventory={"version": 1})
    preview = live.engine.preview(live.program())
    with pytest.raises(StackLockedError):
        live.update(preview)


# -- the way back --------------------------------------------------------------------------------------


def test_a_stack_that_is_not_there_has_no_state_to_export(world: World) -> None:
    assert world.engine.export(world.program()) is None


def test_an_exported_state_makes_another_backend_know_everything(live: World) -> None:
    exported = live.engine.export(live.program())
    assert exported is not None
    there = live.engine_elsewhere()
    there.import_state(live.program(), exported)
    state = there.state(live.program())
    assert (state.exists, resources_in(there, live.program()), state.inventory) == (True, 1, {"version": 1})
    preview = there.preview(live.program())
    assert preview.touching == ()


def test_a_state_is_put_back_once_more_without_harm(live: World) -> None:
    exported = live.engine.export(live.program())
    assert exported is not None
    there = live.engine_elsewhere()
    there.import_state(live.program(), exported)
    there.import_state(live.program(), exported)
    assert resources_in(there, live.program()) == 1


def test_a_stack_with_other_resources_is_never_written_over(live: World) -> None:
    exported = live.engine.export(live.program())
    assert exported is not None
    live.declare(RED, LAMP, inventory={"version": 1})
    live.update(live.engine.preview(live.program()))
    with pytest.raises(ConfigError, match="the stack has other resources"):
        live.engine.import_state(live.program(), exported)
    assert resources_in(live.engine, live.program()) == 2


def test_what_is_no_exported_state_is_refused(live: World) -> None:
    there = live.engine_elsewhere()
    with pytest.raises(EngineError, match="cannot read the exported state"):
        there.import_state(live.program(), '{"things": 1, "deployment": 1}')
    assert there.state(live.program()).exists is False


# -- the way back ----------------------------------------------------------------------------------

CHEST = Thing("chest", protected=True)
SAFE = Thing("safe", protected=True, retained=True)
CAT = Thing("cat", refuses="it hisses")


def test_what_is_protected_is_named_where_it_would_be_deleted(world: World) -> None:
    world.live(CHEST, SAFE)
    urns = {one.name: one.urn for one in world.engine.state(world.program()).guarded}
    world.declare(RED, inventory={"version": 1})
    with pytest.raises(EngineError, match=r"cannot delete (resource )?chest") as caught:
        world.engine.preview(world.program())
    assert set(caught.value.protected) == {urns["chest"], urns["safe"]}


def test_another_error_beside_it_is_not_only_about_what_is_protected(world: World) -> None:
    world.live(CHEST)
    world.declare(RED, raises="the declaration is wrong")
    with pytest.raises(EngineError) as caught:
        world.engine.preview(world.program())
    assert caught.value.protected == ()


def test_what_is_released_leaves_the_state_and_stays_in_the_world(world: World) -> None:
    world.live(CHEST, SAFE)
    guarded = world.engine.state(world.program()).guarded
    assert {one.name: (one.protected, one.retained) for one in guarded} == {
        "chest": (True, False),
        "safe": (True, True),
    }
    world.engine.release(world.program(), retain=[one.urn for one in guarded])
    assert all(one.retained and not one.protected for one in world.engine.state(world.program()).guarded)

    world.declare(RED, inventory={"version": 1})
    preview = world.engine.preview(world.program())
    assert sorted(custom(preview.changes)) == [("delete", "chest"), ("delete", "safe")]
    world.update(preview)
    assert world.engine.state(world.program()).guarded == ()
    assert resources_in(world.engine, world.program()) == 1
    assert world.in_the_world("chest")
    assert world.in_the_world("safe")


def test_what_is_released_is_protected_again_by_the_program_that_declares_it(world: World) -> None:
    world.live(CHEST)
    (chest,) = world.engine.state(world.program()).guarded
    world.engine.release(world.program(), retain=[chest.urn])
    world.declare(RED, CHEST, LAMP, inventory={"version": 1})
    world.update(world.engine.preview(world.program()))
    (chest,) = world.engine.state(world.program()).guarded
    assert (chest.protected, chest.retained) == (True, False)


def test_a_hook_cannot_keep_what_is_released(world: World) -> None:
    world.live(CAT)
    (cat,) = world.engine.state(world.program()).guarded
    assert (cat.name, cat.hooked) == ("cat", True)
    world.declare(RED, inventory={"version": 1})
    with pytest.raises(UpdateFailedError, match="it hisses"):
        world.update(world.engine.preview(world.program()))

    world.engine.release(world.program(), retain=(), remove=[cat.urn])
    world.update(world.engine.preview(world.program()))
    assert resources_in(world.engine, world.program()) == 1
    assert not world.in_the_world("cat")


def test_nothing_is_released_of_what_is_not_there(live: World) -> None:
    before = live.engine.export(live.program())
    live.engine.release(live.program(), retain=["urn:pulumi:dev::tiny::t::nobody"])
    assert live.engine.export(live.program()) == before


def test_nothing_is_released_while_nobody_knows_how_an_operation_ended(live: World) -> None:
    live.declare(RED, LAMP, inventory={"version": 1})
    with pytest.raises(PendingOperationsError):
        live.update(live.engine.preview(live.program()), during="lamp", then=live.kill_engine)
    with pytest.raises(PendingOperationsError, match="lamp"):
        live.engine.release(live.program(), retain=["urn:pulumi:dev::tiny::t::nobody"])
    assert live.engine.state(live.program()).pending_creates


def test_an_update_that_fails_tells_what_it_had_begun(live: World) -> None:
    live.declare(
        BLUE, Thing("sofa", fails="it does not go through the door"), Thing("cushion", parent="sofa"),
        inventory={"version": 1},
    )  # fmt: skip
    preview = live.engine.preview(live.program())
    with pytest.raises(UpdateFailedError) as caught:
        live.update(preview)
    assert caught.value.begun is not None
    assert {change.name for change in caught.value.begun if change.custom} == {"shelf", "sofa"}


# -- removal of a service -------------------------------------------------------------------------

ROOM = Thing("room", type="tiny:index:Room", custom=False)
CORNER = Thing("corner", type="tiny:index:Corner", custom=False, parent="room")
TRUNK = Thing("trunk", parent="corner", protected=True, retained=True)
TRAP = Thing("trap", parent="room", protected=True)


def test_what_stays_in_the_world_is_unprotected_below_one_component_alone(world: World) -> None:
    world.live(ROOM, CORNER, TRUNK, TRAP, SAFE)
    changes = world.engine.preview(world.program()).changes
    (room,) = (change.urn for change in changes if change.name == "room")
    assert world.engine.unprotect(world.program(), [room]) == ("trunk",)
    assert world.engine.unprotect(world.program(), [room]) == ()
    guarded = {one.name: one.protected for one in world.engine.state(world.program()).guarded}
    assert guarded == {"trunk": False, "trap": True, "safe": True}

    world.declare(RED, ROOM, CORNER, TRAP, SAFE, inventory={"version": 1})
    preview = world.engine.preview(world.program())
    (gone,) = (change for change in preview.touching if change.custom)
    assert (gone.name, gone.operation, gone.retained) == ("trunk", Operation.DELETE, True)
    world.update(preview)
    assert "trunk" not in {one.name for one in world.engine.state(world.program()).guarded}
    assert world.in_the_world("trunk")


def test_a_program_that_declares_it_still_protects_it_again(world: World) -> None:
    world.live(ROOM, CORNER, TRUNK)
    changes = world.engine.preview(world.program()).changes
    (room,) = (change.urn for change in changes if change.name == "room")
    world.engine.unprotect(world.program(), [room])
    world.declare(RED, ROOM, CORNER, TRUNK, LAMP, inventory={"version": 1})
    world.update(world.engine.preview(world.program()))
    (trunk,) = world.engine.state(world.program()).guarded
    assert trunk.protected


def test_nothing_is_unprotected_where_there_is_no_stack(world: World) -> None:
    assert world.engine.unprotect(world.program(), ["urn:pulumi:dev::tiny::t::nobody"]) == ()
