"""What is done for backups between passes: looks, drills, and the reconciler's own copy."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from ronron.core.backups import Condition, ConditionKind, Run, SeenBackup
from ronron.core.errors import BackupError
from ronron.core.inventory import Inventory, read_inventory
from ronron.passes.reconcile import Target
from ronron.testing import NOON
from ronron.watch.backup_checks import keep_ourselves, look_after, make_drill, news
from ronron.watch.own_backup import MANIFEST, Manifest
from tests.support.values import HOUR
from tests.support.worlds import World, inventory

DAY = 24 * HOUR


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world in which a pad with backups is live."""
    world = World(tmp_path / "passes")
    world.push("one", backup=True)
    world.go()
    world.backups.agent("pad").rows = {"pads": 12}
    world.progress.told.clear()
    return world


def there() -> Inventory:
    found = read_inventory(inventory(backup=True))
    assert found is not None
    return found


def look(world: World) -> SeenBackup | None:
    look_after("production", world.ports, world.clock.now())
    return world.record.backups.get("pad")


# -- looks -------------------------------------------------------------------------------------------------


def test_a_look_is_in_the_record(world: World) -> None:
    taken = world.backups.snapshot(there(), "pad")
    seen = look(world)
    assert seen is not None
    assert (seen.newest, seen.taken, seen.conditions, seen.looked_at) == (
        taken.id,
        taken.taken,
        (),
        world.clock.now(),
    )
    assert world.told() == ""


def test_a_condition_is_told_when_it_appears_and_when_it_is_over(world: World) -> None:
    world.clock.advance(27 * HOUR)
    look(world)
    lines = world.progress.of("production")
    assert lines[0] == "backup overdue: pad: there is no snapshot after 1 d 3 h; 26 h are promised"
    assert lines[1] == "what to do: take one now: ronron backup now production pad"
    look(world)
    assert len(world.progress.of("production")) == 2
    world.backups.snapshot(there(), "pad")
    look(world)
    assert world.progress.of("production")[2:] == ["that is over: backup overdue of pad"]


def test_a_silent_agent_keeps_what_was_known_of_it(world: World) -> None:
    taken = world.backups.snapshot(there(), "pad")
    look(world)
    world.backups.agent("pad").silent = True
    seen = look(world)
    assert seen is not None
    assert seen.newest == taken.id
    assert [one.kind for one in seen.conditions] == [ConditionKind.AGENT_SILENT]


def test_a_look_changes_nothing_else_of_the_record(world: World) -> None:
    before = world.record
    look(world)
    assert world.record.with_(backups={}) == before


def test_a_service_that_lost_its_backup_is_forgotten(world: World) -> None:
    look(world)
    world.push("two")
    world.go()
    assert look(world) is None


def test_without_a_backup_nobody_is_asked(tmp_path: Path) -> None:
    world = World(tmp_path / "passes")
    look(world)
    world.push("one")
    world.go()
    saved = len(world.store.saved)
    look(world)
    assert world.backups.calls == []
    assert len(world.store.saved) == saved


def test_news_are_what_differs() -> None:
    def with_(*kinds: ConditionKind) -> dict[str, SeenBackup]:
        found = tuple(Condition(service="pad", kind=kind, message="m", hint="h") for kind in kinds)
        return {"pad": SeenBackup(service="pad", conditions=found)}

    overdue, lock = ConditionKind.OVERDUE, ConditionKind.STALE_LOCK
    assert news({}, {}) == ()
    assert news({}, with_()) == ()
    assert news({}, with_(overdue)) == ("backup overdue: pad: m", "what to do: h")
    assert news(with_(overdue), with_(overdue)) == ()
    assert news(with_(overdue), with_(lock)) == (
        "stale lock: pad: m",
        "what to do: h",
        "that is over: backup overdue of pad",
    )
    assert news(with_(overdue), {}) == ()


# -- drills ------------------------------------------------------------------------------------------------


def drill(world: World, *, stopping: bool = False) -> bool:
    return make_drill(Target(world.policy), world.ports, lambda: stopping) is not None


def test_a_drill_that_is_due_is_made_once_and_told(world: World) -> None:
    world.backups.snapshot(there(), "pad")
    assert not drill(world)
    world.clock.advance(DAY)
    assert drill(world)
    assert "drill: pad passed: 12 pads" in world.told()
    assert not drill(world)
    world.clock.advance(6 * DAY)
    assert not drill(world)
    world.clock.advance(DAY)
    assert drill(world)


def test_a_drill_that_finds_something_is_told_and_tried_again_the_next_day(world: World) -> None:
    world.backups.snapshot(there(), "pad")
    world.clock.advance(DAY)
    world.backups.agent("pad").no_probe = "no answer"
    assert drill(world)
    assert "drill: pad failed: no answer" in world.told()
    seen = look(world)
    assert seen is not None
    assert ConditionKind.DRILL_FAILED in [one.kind for one in seen.conditions]
    world.clock.advance(DAY)
    assert drill(world)


def test_a_drill_that_cannot_be_made_is_told_and_no_error(world: World) -> None:
    world.backups.snapshot(there(), "pad")
    world.clock.advance(DAY)
    world.backups.fail_next(BackupError("no room for it", where="pad"), "drill")
    assert not drill(world)
    assert "drill: cannot make the one of pad: pad: no room for it" in world.told()


@pytest.mark.parametrize("why", ["a pass holds the stack", "told to stop", "silent", "nothing to restore"])
def test_no_drill_is_made_while(world: World, why: str) -> None:
    if why != "nothing to restore":
        world.backups.snapshot(there(), "pad")
    world.clock.advance(DAY)
    world.backups.agent("pad").silent = why == "silent"
    if why == "a pass holds the stack":
        with world.store.lock("production"):
            assert not drill(world)
    else:
        assert not drill(world, stopping=why == "told to stop")
    assert not any(call.startswith("drill") for call in world.backups.calls)


def test_a_drill_leaves_the_stack_to_passes(world: World) -> None:
    world.backups.snapshot(there(), "pad")
    world.clock.advance(DAY)
    held: list[str] = []

    class Telling:
        def log(self, environment: str, line: str) -> None:
            with world.store.lock("production"):
                held.append(f"{environment}: {line}")

    assert make_drill(Target(world.policy), replace(world.ports, progress=Telling()), lambda: False)
    assert held


def test_one_drill_is_made_at_a_time(world: World, tmp_path: Path) -> None:
    two = inventory(backup=True)
    services = two["services"]
    assert isinstance(services, dict)
    services["board"] = services["pad"]
    world.store.save(world.record.with_(inventory=two))
    both = read_inventory(two)
    assert both is not None
    for name in ("pad", "board"):
        world.backups.snapshot(both, name)
    world.clock.advance(DAY)
    world.backups.calls.clear()
    for _ in range(3):
        drill(world)
    assert [call for call in world.backups.calls if call.startswith("drill")] == ["drill board", "drill pad"]


# -- our own copy ------------------------------------------------------------------------------------------


def keep(world: World, *, updated: bool = False) -> bool:
    target = Target(world.policy)
    kept = keep_ourselves(
        target, {"production": target}, world.ports, "https://git.example/infra.git", updated=updated
    )
    return kept is not None


def test_our_own_records_and_states_are_kept_daily_and_after_updates(world: World) -> None:
    assert keep(world)
    kept = world.record.kept
    assert kept is not None
    assert (kept.service, kept.at) == ("pad", world.clock.now())
    assert list(world.backups.agent("pad").kept) == [kept.id]
    assert not keep(world)
    assert keep(world, updated=True)
    world.clock.advance(DAY - HOUR)
    assert not keep(world)
    world.clock.advance(HOUR)
    assert keep(world)


def test_a_kept_bundle_says_what_is_in_it(world: World) -> None:
    keep(world)
    (content,) = world.backups.agent("pad").kept.values()
    with tarfile.open(fileobj=BytesIO(content)) as tar:
        assert tar.getnames() == [MANIFEST, "store.db", "states/production.json"]
        file = tar.extractfile(MANIFEST)
        assert file is not None
        manifest = Manifest.model_validate_json(file.read())
    assert manifest.repository == "https://git.example/infra.git"
    assert manifest.environments["production"].revision == world.record.current
    assert manifest.made == world.clock.now()


def test_nothing_of_a_bundle_stays_on_the_disk(world: World) -> None:
    before = {path for path in world.work.rglob("*") if path.is_file()}
    keep(world)
    assert {path for path in world.work.rglob("*") if path.is_file()} == before


def test_without_an_agent_there_is_no_place_for_it(tmp_path: Path) -> None:
    world = World(tmp_path / "passes")
    assert not keep(world)
    world.push("one")
    world.go()
    assert not keep(world, updated=True)
    assert world.record.kept is None


def test_an_agent_that_does_not_take_it_is_an_error_and_nothing_is_noted(world: World) -> None:
    world.backups.agent("pad").silent = True
    with pytest.raises(BackupError):
        keep(world)
    assert world.record.kept is None


def test_a_run_that_failed_long_ago_is_still_seen(world: World) -> None:
    world.backups.agent("pad").runs["prune"] = Run(started=NOON, finished=NOON, ok=False, error=None)
    seen = look(world)
    assert seen is not None
    assert [one.kind for one in seen.conditions] == [ConditionKind.PRUNE_FAILED]
