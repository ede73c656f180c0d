"""The way back from a revision that failed, by the policy and by a person's revert."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from ronron.core.errors import BackupError, EngineInterruptedError
from ronron.core.inventory import read_inventory
from ronron.core.model import Outcome, OutcomeKind, Reason, Revision
from ronron.core.policy import Guard, OnFailure
from ronron.core.record import Record
from ronron.passes.reconcile import Target, preview_only
from ronron.testing import Answer, ReconcilerKilled, Thing
from tests.support.values import CONTAINER, VOLUME
from tests.support.worlds import COMPONENT, URL, World, inventory

VM = "proxmoxve:index/vmLegacy:VmLegacy"
PAD = Thing("pad", type="ronron:components:Service", custom=False)
DATA = Thing("pad-data", type=VOLUME, parent="pad", protected=True, retained=True, machine="here")
APP = Thing("pad-app", {"image": "pad:1"}, CONTAINER, parent="pad", replace_on=frozenset({"image", "mounts"}))
EDGE = Thing("edge", {"ports": 80}, CONTAINER, replace_on=frozenset({"ports"}))
AGENT = Thing("pad-agent", {"uploads": "/srv/one"}, CONTAINER, replace_on=frozenset({"uploads"}))
HEALTHY = (PAD, DATA, APP, EDGE, AGENT)
SICK = "container failed to be in healthy state"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "passes")


def declare(world: World, text: str, *things: Thing, image: str = "pad:1", backup: bool = False) -> Revision:
    """Push a commit whose program makes these things; the same text is the same content."""
    commit = world.source.commit({"Pulumi.yaml": "name: fake\nruntime: python\n", "__main__.py": text})
    found = inventory(backup=backup)
    services = found["services"]
    assert isinstance(services, dict)
    services["pad"]["image"] = image
    services["pad"]["version"] = image.rpartition(":")[2]
    world.engine.declare(commit, *things, inventory=found)
    return Revision(reference="main", commit=commit)


def go(world: World) -> Outcome:
    made = world.go()
    assert made.outcome is not None
    return made.outcome


def policy(world: World, on_failure: OnFailure, **more: object) -> None:
    world.policy = world.policy.with_(on_failure=on_failure, **more)


def things(world: World) -> set[str]:
    return set(world.engine.stacks["production"].things)


def left(world: World) -> set[str]:
    return world.engine.stacks["production"].left


class Row(NamedTuple):
    """A revision that fails after it has added something.

    Args:
        things: that it declares.
        released: texts of what is left in the world.
    """

    things: tuple[Thing, ...]
    released: tuple[str, ...] = ()


PLUGINS = Thing("pad-plugins", type=VOLUME, parent="pad", protected=True, retained=True, machine="here")
WIKI = Thing("wiki", type="ronron:components:Service", custom=False)
WIKI_DATA = replace(PLUGINS, name="wiki-data", parent="wiki")
WIKI_APP = Thing("wiki-app", type=CONTAINER, parent="wiki", refuses="cannot take a snapshot of wiki")
WIKI_JOBS = Thing("wiki-jobs", type=CONTAINER, parent="wiki", fails=SICK)
BROKEN_APP = replace(APP, inputs={"image": "pad:1", "mounts": "plugins"}, fails=SICK)
MACHINE = Thing("pica02", type=VM, protected=True, machine="proxmox", refuses="it is protected in Proxmox VE")
SETUP = Thing("pica02-setup", parent="pica02", fails="no answer on port 22")

ROWS = {
    "new volume": Row(
        (PAD, DATA, PLUGINS, BROKEN_APP, EDGE, AGENT), ("the volume id-of-pad-plugins stays on here",)
    ),
    "two new volumes": Row(
        (PAD, DATA, PLUGINS, replace(PLUGINS, name="pad-ssl"), BROKEN_APP, EDGE, AGENT),
        ("the volume id-of-pad-plugins stays on here", "the volume id-of-pad-ssl stays on here"),
    ),
    "new service": Row(
        (*HEALTHY, WIKI, WIKI_DATA, WIKI_APP, WIKI_JOBS), ("the volume id-of-wiki-data stays on here",)
    ),
    "new database": Row(
        (*HEALTHY, replace(PLUGINS, name="pad-database"), Thing("pad-database-container", fails=SICK)),
        ("the volume id-of-pad-database stays on here",),
    ),
    "new machine": Row((*HEALTHY, MACHINE, SETUP), ("the virtual machine id-of-pica02 stays on proxmox",)),
    "a machine that may be replaced": Row(
        (*HEALTHY, replace(MACHINE, protected=False), SETUP),
        ("the virtual machine id-of-pica02 stays on proxmox",),
    ),
    "protected resource of any kind": Row(
        (*HEALTHY, Thing("bucket", type="aws:s3:Bucket", protected=True), Thing("page", fails="403")),
        ("the Bucket id-of-bucket stays",),
    ),
    "changed port of the edge": Row(
        (PAD, DATA, APP, replace(EDGE, inputs={"ports": 81}, fails="in use"), AGENT)
    ),
    "another backup repository": Row(
        (PAD, DATA, APP, EDGE, replace(AGENT, inputs={"uploads": "/srv/two"}, fails=SICK))
    ),
}


def failed_revision(world: World, row: Row, on_failure: OnFailure) -> Outcome:
    policy(world, on_failure)
    declare(world, "one", *HEALTHY)
    assert go(world).kind is OutcomeKind.UPDATED
    declare(world, "two", *row.things)
    return go(world)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_a_rollback_releases_what_the_failed_revision_added(world: World, row: Row) -> None:
    outcome = failed_revision(world, row, OnFailure.ROLLBACK)
    assert outcome.kind is OutcomeKind.ROLLED_BACK, outcome.message
    assert tuple(sorted(one.text for one in outcome.released)) == row.released
    assert all(text in outcome.message for text in row.released)
    assert things(world) == {thing.name for thing in HEALTHY}
    assert left(world) == {one.name for one in outcome.released}
    assert world.record.current == world.record.healthy


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_a_revert_releases_what_the_failed_revision_added(world: World, row: Row) -> None:
    failure = failed_revision(world, row, OnFailure.HOLD)
    assert (failure.kind, failure.released) == (OutcomeKind.FAILED, ())
    reverted = declare(world, "one", *HEALTHY)
    outcome = go(world)
    assert outcome.kind in {OutcomeKind.UPDATED, OutcomeKind.UNCHANGED}, outcome.message
    assert tuple(sorted(one.text for one in outcome.released)) == row.released
    assert things(world) == {thing.name for thing in HEALTHY}
    assert world.record.verified
    assert world.record.current == reverted


def test_no_guard_keeps_a_revert_from_deleting_what_the_failed_revision_added(world: World) -> None:
    world.policy = world.policy.with_(guard=Guard(deletes=0, replaces=0))
    failed_revision(world, ROWS["new service"], OnFailure.HOLD)
    declare(world, "one", *HEALTHY)
    assert go(world).kind is OutcomeKind.UPDATED


def test_what_a_healthy_revision_had_is_never_released(world: World) -> None:
    failed_revision(world, ROWS["new volume"], OnFailure.HOLD)
    renamed = replace(DATA, name="pad-files")
    declare(world, "three", PAD, renamed, APP, EDGE, AGENT)
    outcome = go(world)
    assert outcome.kind is OutcomeKind.FAILED
    assert "cannot delete pad-data: it is protected" in outcome.message
    assert {"pad-data", "pad-plugins"} <= things(world)
    assert not any(call.startswith("release") for call in world.engine.calls)


def test_a_renamed_volume_is_refused_before_anything_changes_and_a_revert_goes_on(world: World) -> None:
    policy(world, OnFailure.ROLLBACK)
    declare(world, "one", *HEALTHY)
    go(world)
    declare(world, "two", PAD, replace(DATA, name="pad-files"), APP, EDGE, AGENT)
    outcome = go(world)
    assert outcome.kind is OutcomeKind.FAILED
    assert "cannot delete pad-data: it is protected" in outcome.message
    declare(world, "one", *HEALTHY)
    assert go(world).kind is OutcomeKind.UNCHANGED
    assert things(world) == {thing.name for thing in HEALTHY}


def test_a_revision_that_could_not_be_previewed_does_not_make_the_last_healthy_one_releasable(
    world: World,
) -> None:
    declare(world, "one", PAD, DATA, APP)
    go(world)
    declare(world, "two", PAD, DATA, PLUGINS, APP)
    assert go(world).kind is OutcomeKind.UPDATED
    wrong = world.source.commit({"__main__.py": "wrong"})
    world.engine.declare(wrong, raises="the declaration is wrong")
    assert go(world).kind is OutcomeKind.FAILED
    declare(world, "one", PAD, DATA, APP)
    outcome = go(world)
    assert outcome.kind is OutcomeKind.FAILED
    assert "cannot delete pad-plugins: it is protected" in outcome.message


def test_the_first_revision_ever_may_be_followed_by_one_without_its_volumes(world: World) -> None:
    declare(world, "one", PAD, DATA, replace(APP, fails=SICK))
    assert go(world).kind is OutcomeKind.FAILED
    declare(world, "two", PAD, replace(DATA, name="pad-files"), APP)
    outcome = go(world)
    assert outcome.kind is OutcomeKind.UPDATED, outcome.message
    assert [one.name for one in outcome.released] == ["pad-data"]


def test_a_stack_that_others_made_is_not_released_by_the_first_update_that_fails(world: World) -> None:
    declare(world, "one", *HEALTHY)
    go(world)
    world.store.save(Record(environment="production"))
    declare(world, "two", *HEALTHY, Thing("page", fails="403"))
    assert go(world).kind is OutcomeKind.FAILED
    declare(world, "three", PAD, APP, EDGE, AGENT)
    outcome = go(world)
    assert "cannot delete pad-data: it is protected" in outcome.message


def test_a_record_of_an_earlier_version_releases_nothing_that_is_there(world: World) -> None:
    failed_revision(world, ROWS["new volume"], OnFailure.HOLD)
    world.store.save(world.record.with_(known_state=None))
    declare(world, "one", *HEALTHY)
    outcome = go(world)
    assert outcome.kind is OutcomeKind.FAILED
    assert "cannot delete pad-plugins: it is protected" in outcome.message


def test_a_preview_by_hand_releases_nothing_and_says_what_the_update_will(
    world: World, tmp_path: Path
) -> None:
    failed_revision(world, ROWS["new volume"], OnFailure.HOLD)
    reverted = declare(world, "one", *HEALTHY)
    world.source.refresh()
    world.engine.calls.clear()
    with pytest.raises(Exception, match="it is protected") as caught:
        preview_only(Target(world.policy), world.ports, reverted, tmp_path)
    hint = getattr(caught.value, "hint", "")
    assert hint.startswith("run ronron update production")
    assert "the volume id-of-pad-plugins stays on here" in hint
    assert "release production" not in world.engine.calls


def test_after_a_crash_in_the_failing_update_a_revert_still_goes_back(world: World) -> None:
    declare(world, "one", *HEALTHY)
    go(world)
    declare(world, "two", PAD, DATA, PLUGINS, replace(BROKEN_APP, fails=""), EDGE, AGENT)

    def die() -> None:
        raise ReconcilerKilled

    world.engine.at("pad-plugins", die)
    with pytest.raises(ReconcilerKilled):
        world.go()
    declare(world, "one", *HEALTHY)
    outcome = go(world)
    assert outcome.kind is OutcomeKind.UPDATED, outcome.message
    assert [one.name for one in outcome.released] == ["pad-plugins"]


def test_a_way_back_that_died_is_gone_on_with(world: World) -> None:
    policy(world, OnFailure.ROLLBACK)
    good = declare(world, "one", *HEALTHY)
    go(world)
    broken = replace(EDGE, inputs={"ports": 81})
    failing = declare(world, "two", PAD, DATA, PLUGINS, BROKEN_APP, broken, AGENT)
    with pytest.raises(ReconcilerKilled):
        _die_on_the_way_back(world)
    assert world.record.way_back is not None
    assert world.record.way_back.to == good
    made = world.go()
    assert made.decision.reason is Reason.INTERRUPTED
    assert made.revision == failing
    assert made.outcome is not None
    assert made.outcome.kind is OutcomeKind.ROLLED_BACK, made.outcome.message
    assert SICK in made.outcome.message
    assert things(world) == {thing.name for thing in HEALTHY}
    assert world.record.way_back is None
    assert world.record.current == good


def _die_on_the_way_back(world: World) -> None:
    engine, update = world.engine, world.engine.update
    calls = 0

    def dying(*args: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise ReconcilerKilled(engine_too=True)
        return update(*args)  # type: ignore[arg-type]

    engine.update = dying  # type: ignore[method-assign,assignment]
    try:
        world.go()
    finally:
        engine.update = update  # type: ignore[method-assign]


def test_another_revision_ends_a_way_back_that_died(world: World) -> None:
    policy(world, OnFailure.ROLLBACK)
    declare(world, "one", *HEALTHY)
    go(world)
    declare(world, "two", *ROWS["new volume"].things)
    with pytest.raises(ReconcilerKilled):
        _die_on_the_way_back(world)
    declare(world, "three", *HEALTHY, Thing("page"))
    outcome = go(world)
    assert outcome.kind is OutcomeKind.UPDATED
    assert world.record.way_back is None


def test_a_way_back_that_was_interrupted_is_gone_on_with(world: World) -> None:
    policy(world, OnFailure.ROLLBACK)
    declare(world, "one", *HEALTHY)
    go(world)
    declare(world, "two", *ROWS["new volume"].things)
    world.engine.fail_next(EngineInterruptedError("pulumi refresh was interrupted"), "refresh failed")
    outcome = go(world)
    assert outcome.kind is OutcomeKind.INTERRUPTED
    assert "on the way back to main@" in outcome.message
    assert go(world).kind is OutcomeKind.ROLLED_BACK
    assert left(world) == {"pad-plugins"}


# -- data ------------------------------------------------------------------------------------------

MAJOR = replace(APP, inputs={"image": "pad:2"})


def backed_up(world: World, on_failure: OnFailure, *, snapshots: bool = True) -> None:
    """A live pad with 3 rows, and a program that takes a snapshot before each change."""
    policy(world, on_failure)
    declare(world, "one", *HEALTHY, backup=True)
    assert go(world).kind is OutcomeKind.UPDATED
    world.backups.agent("pad").rows = {"pads": 3}
    if snapshots:
        _hook(world, lambda: None)


def _hook(world: World, after: Callable[[], None]) -> None:
    """Take a snapshot in the middle of each change of the pad's container, and then do something."""

    def take() -> None:
        current = read_inventory(world.record.inventory)
        assert current is not None
        running = world.engine.running[-1]
        world.backups.snapshot(current, "pad", "update", running)
        after()

    engine, update = world.engine, world.engine.update

    def updating(*args: object) -> object:
        engine.at("pad-app", take)
        return update(*args)  # type: ignore[arg-type]

    engine.update = updating  # type: ignore[method-assign,assignment]


def _migrate(world: World) -> None:
    world.backups.agent("pad").rows = {"pads": 1}


def first_snapshot(world: World) -> str:
    return next(one.id for one in reversed(world.backups.agent("pad").snapshots) if one.reason == "update")


def test_a_rollback_says_that_the_data_did_not_go_back_and_offers_the_snapshot(world: World) -> None:
    backed_up(world, OnFailure.ROLLBACK)
    declare(world, "two", PAD, DATA, MAJOR, EDGE, AGENT, image="pad:2", backup=True)
    world.prober.answer(URL, *[Answer(status=500)] * 61, Answer())
    outcome = go(world)
    assert outcome.kind is OutcomeKind.ROLLED_BACK
    first = first_snapshot(world)
    assert [(one.service, one.snapshot) for one in outcome.unrestored] == [("pad", first)]
    assert "the code of pad went back, the data did not and may have been migrated" in outcome.message
    assert f"ronron restore production pad --snapshot {first[:12]}" in outcome.hint
    assert outcome.snapshots[0].id == first


def test_a_revert_says_that_the_data_did_not_go_back_and_says_it_once(world: World) -> None:
    backed_up(world, OnFailure.HOLD)
    declare(world, "two", PAD, DATA, MAJOR, EDGE, AGENT, image="pad:2", backup=True)
    world.prober.answer(URL, *[Answer(status=500)] * 61, Answer())
    assert go(world).kind is OutcomeKind.FAILED
    declare(world, "one", *HEALTHY, backup=True)
    outcome = go(world)
    assert outcome.kind is OutcomeKind.UPDATED
    assert [one.snapshot for one in outcome.unrestored] == [first_snapshot(world)]
    declare(world, "one more", *HEALTHY, Thing("page"), backup=True)
    assert go(world).unrestored == ()


def test_a_fix_forward_says_nothing_of_data(world: World) -> None:
    backed_up(world, OnFailure.HOLD)
    declare(world, "two", PAD, DATA, MAJOR, EDGE, AGENT, image="pad:2", backup=True)
    world.prober.answer(URL, *[Answer(status=500)] * 61, Answer())
    go(world)
    declare(world, "three", PAD, DATA, replace(APP, inputs={"image": "pad:3"}), image="pad:3", backup=True)
    outcome = go(world)
    assert outcome.kind is OutcomeKind.UPDATED
    assert outcome.unrestored == ()


def test_an_update_that_failed_before_the_service_was_started_says_nothing_of_data(world: World) -> None:
    backed_up(world, OnFailure.ROLLBACK)
    pulled = Thing("pad-image", {"name": "pad:2"}, fails="no such image", parent="pad")
    declare(world, "two", PAD, DATA, pulled, MAJOR, EDGE, AGENT, image="pad:2", backup=True)
    outcome = go(world)
    assert outcome.kind is OutcomeKind.ROLLED_BACK
    assert outcome.unrestored == ()


def test_old_code_that_cannot_start_on_migrated_data_offers_the_snapshot(world: World) -> None:
    backed_up(world, OnFailure.ROLLBACK)
    declare(world, "two", PAD, DATA, MAJOR, EDGE, AGENT, image="pad:2", backup=True)
    world.prober.answer(URL, Answer(status=500))
    outcome = go(world)
    assert outcome.kind is OutcomeKind.FAILED
    assert "cannot go back to main@" in outcome.message
    assert f"ronron restore production pad --snapshot {first_snapshot(world)[:12]}" in outcome.hint


def test_a_service_without_a_snapshot_is_told_without_an_offer(world: World) -> None:
    backed_up(world, OnFailure.ROLLBACK, snapshots=False)
    declare(world, "two", PAD, DATA, MAJOR, EDGE, AGENT, image="pad:2", backup=True)
    world.prober.answer(URL, *[Answer(status=500)] * 61, Answer())
    outcome = go(world)
    assert [one.snapshot for one in outcome.unrestored] == [None]
    assert "ronron restore" not in outcome.hint


def migrating(world: World) -> None:
    """Push a major version of the pad that migrates its data."""
    _hook(world, lambda: _migrate(world))
    declare(world, "two", PAD, DATA, MAJOR, EDGE, AGENT, image="pad:2", backup=True)


def test_a_restore_brings_code_and_data_back(world: World) -> None:
    backed_up(world, OnFailure.RESTORE, snapshots=False)
    migrating(world)
    # Unhealthy as the new version, and as the old one on the migrated data.
    world.prober.answer(URL, *[Answer(status=500)] * 122, Answer())
    outcome = go(world)
    assert outcome.kind is OutcomeKind.ROLLED_BACK, outcome.message
    agent = world.backups.agent("pad")
    assert agent.rows == {"pads": 3}
    (restored,) = outcome.restored_data
    assert restored.snapshot == first_snapshot(world)
    assert agent.contents[restored.safety_snapshot or ""] == {"pads": 1}
    assert f"restored pad from snapshot {restored.snapshot[:12]}" in outcome.message
    assert outcome.unrestored == ()
    assert world.record.stalled is not None


def test_a_restore_that_fails_is_told_with_what_is_left(world: World) -> None:
    backed_up(world, OnFailure.RESTORE, snapshots=False)
    migrating(world)
    world.prober.answer(URL, *[Answer(status=500)] * 61, Answer())
    world.backups.fail_next(BackupError("the repository is locked"), "restore")
    outcome = go(world)
    assert outcome.kind is OutcomeKind.ROLLED_BACK
    assert outcome.restored_data == ()
    assert "cannot restore pad: the repository is locked" in outcome.message
    assert f"ronron restore production pad --snapshot {first_snapshot(world)[:12]}" in outcome.hint
    assert [one.service for one in outcome.unrestored] == ["pad"]


def test_a_restore_that_died_is_repeated_by_the_next_process(world: World) -> None:
    backed_up(world, OnFailure.RESTORE, snapshots=False)
    migrating(world)
    world.prober.answer(URL, *[Answer(status=500)] * 61, Answer())
    _die_in_the_restore(world)
    way = world.record.way_back
    assert way is not None
    assert [one.id for one in way.restores] == [first_snapshot(world)]

    outcome = go(world)
    assert outcome.kind is OutcomeKind.ROLLED_BACK, outcome.message
    agent = world.backups.agent("pad")
    assert agent.rows == {"pads": 3}
    (restored,) = outcome.restored_data
    assert agent.contents[restored.safety_snapshot or ""] == {"pads": 1}, "that of the restore that died"
    assert world.record.way_back is None


def _die_in_the_restore(world: World) -> None:
    restore = world.backups.restore

    def dying(*args: object, **more: object) -> object:
        current, service = args[0], str(args[1])
        world.backups.snapshot(current, service, "restore")  # type: ignore[arg-type]
        world.backups.agent("pad").rows = {"pads": 2}
        raise ReconcilerKilled

    world.backups.restore = dying  # type: ignore[method-assign,assignment]
    try:
        with pytest.raises(ReconcilerKilled):
            world.go()
    finally:
        world.backups.restore = restore  # type: ignore[method-assign]


def test_another_revision_says_which_restore_was_left(world: World) -> None:
    backed_up(world, OnFailure.RESTORE, snapshots=False)
    migrating(world)
    world.prober.answer(URL, *[Answer(status=500)] * 61, Answer())
    _die_in_the_restore(world)
    declare(world, "three", PAD, DATA, replace(APP, inputs={"image": "pad:3"}), image="pad:3", backup=True)
    outcome = go(world)
    assert outcome.kind is OutcomeKind.UPDATED
    assert "an earlier pass died before it had restored pad" in outcome.message
    assert f"ronron restore production pad --snapshot {first_snapshot(world)[:12]}" in outcome.hint


def test_what_no_update_touched_is_not_restored(world: World) -> None:
    backed_up(world, OnFailure.RESTORE, snapshots=False)
    declare(world, "two", *HEALTHY, Thing("page", fails="403"), backup=True)
    outcome = go(world)
    assert outcome.kind is OutcomeKind.ROLLED_BACK
    assert outcome.restored_data == ()
    assert "restore pad" not in world.backups.calls


def test_the_component_of_the_pad_is_the_one_of_its_inventory() -> None:
    assert COMPONENT.endswith(f"{PAD.type}::{PAD.name}")
