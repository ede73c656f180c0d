"""Maintenance of backups between passes: checks, drills, and the reconciler's own backup."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from ronron.core.backups import BackupSummary, Condition, ConditionKind, Run
from ronron.core.errors import BackupError
from ronron.core.inventory import Inventory, read_inventory
from ronron.passes.reconcile import Target
from ronron.testing import NOON, RecordingProgress
from ronron.watch.backup_checks import back_up_own_state, changes, check_backups, run_due_drill
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
    world.progress.lines.clear()
    return world


def there() -> Inventory:
    found = read_inventory(inventory(backup=True))
    assert found is not None
    return found


def check(world: World) -> BackupSummary | None:
    check_backups("production", world.ports, world.clock.now())
    return world.record.backups.get("pad")


# -- checks -------------------------------------------------------------------------------------------------


def test_a_check_is_recorded(world: World) -> None:
    taken = world.backups.snapshot(there(), "pad")
    found = check(world)
    assert found is not None
    assert (found.newest, found.taken, found.conditions, found.looked_at) == (
        taken.id,
        taken.taken,
        (),
        world.clock.now(),
    )
    assert world.logged() == ""


def test_a_condition_is_logged_when_it_appears_and_when_the_service_has_recovered(world: World) -> None:
    world.clock.advance(27 * HOUR)
    check(world)
    lines = world.progress.of("production")
    assert lines[0] == "backup overdue: pad: no snapshot for 1 d 3 h (max age is 26 h)"
    assert lines[1] == "hint: take one now: ronron backup now production pad"
    check(world)
    assert len(world.progress.of("production")) == 2
    world.backups.snapshot(there(), "pad")
    check(world)
    assert world.progress.of("production")[2:] == ["pad recovered from: backup overdue"]


def test_the_earlier_facts_of_an_unreachable_agent_stay(world: World) -> None:
    taken = world.backups.snapshot(there(), "pad")
    check(world)
    world.backups.agent("pad").unreachable = True
    found = check(world)
    assert found is not None
    assert found.newest == taken.id
    assert [one.kind for one in found.conditions] == [ConditionKind.AGENT_UNREACHABLE]


def test_a_check_changes_nothing_else_in_the_record(world: World) -> None:
    before = world.record
    check(world)
    assert world.record.with_(backups={}) == before


def test_a_service_without_a_backup_any_more_leaves_the_record(world: World) -> None:
    check(world)
    world.push("two")
    world.go()
    assert check(world) is None


def test_without_a_backup_no_agent_is_asked(tmp_path: Path) -> None:
    world = World(tmp_path / "passes")
    check(world)
    world.push("one")
    world.go()
    saved = len(world.store.saved)
    check(world)
    assert world.backups.calls == []
    assert len(world.store.saved) == saved


def test_changes_are_new_conditions_and_recoveries() -> None:
    def with_(*kinds: ConditionKind) -> dict[str, BackupSummary]:
        found = tuple(Condition(service="pad", kind=kind, message="m", hint="h") for kind in kinds)
        return {"pad": BackupSummary(service="pad", conditions=found)}

    overdue, lock = ConditionKind.OVERDUE, ConditionKind.STALE_LOCK
    assert changes({}, {}) == ()
    assert changes({}, with_()) == ()
    assert changes({}, with_(overdue)) == ("backup overdue: pad: m", "hint: h")
    assert changes(with_(overdue), with_(overdue)) == ()
    assert changes(with_(overdue), with_(lock)) == (
        "stale lock: pad: m",
        "hint: h",
        "pad recovered from: backup overdue",
    )
    assert changes(with_(overdue), {}) == ()
    unreachable = ConditionKind.AGENT_UNREACHABLE
    # Nobody knows whether the backup is still overdue.
    assert changes(with_(overdue), with_(unreachable)) == ("agent unreachable: pad: m", "hint: h")
    assert changes(with_(unreachable), with_()) == ("pad recovered from: agent unreachable",)


# -- drills ------------------------------------------------------------------------------------------------


def drill(world: World, *, stopping: bool = False) -> bool:
    return run_due_drill(Target(world.policy), world.ports, lambda: stopping) is not None


def test_a_drill_that_is_due_is_run_once_and_logged(world: World) -> None:
    world.backups.snapshot(there(), "pad")
    assert not drill(world)
    world.clock.advance(DAY)
    assert drill(world)
    assert "drill: pad passed: 12 pads" in world.logged()
    assert not drill(world)
    world.clock.advance(6 * DAY)
    assert not drill(world)
    world.clock.advance(DAY)
    assert drill(world)


def test_a_drill_that_fails_is_logged_and_repeated_the_next_day(world: World) -> None:
    world.backups.snapshot(there(), "pad")
    world.clock.advance(DAY)
    world.backups.agent("pad").no_probe = "no answer"
    assert drill(world)
    assert "drill: pad failed: no answer" in world.logged()
    found = check(world)
    assert found is not None
    assert ConditionKind.DRILL_FAILED in [one.kind for one in found.conditions]
    world.clock.advance(DAY)
    assert drill(world)


def test_a_drill_that_cannot_be_run_is_logged_and_no_error(world: World) -> None:
    world.backups.snapshot(there(), "pad")
    world.clock.advance(DAY)
    world.backups.fail_next(BackupError("no room for it", where="pad"), "drill")
    assert not drill(world)
    assert "drill: cannot run the drill of pad: pad: no room for it" in world.logged()


@pytest.mark.parametrize(
    "why", ["a pass has locked the stack", "stopping", "unreachable", "nothing to restore"]
)
def test_no_drill_is_run_while(world: World, why: str) -> None:
    if why != "nothing to restore":
        world.backups.snapshot(there(), "pad")
    world.clock.advance(DAY)
    world.backups.agent("pad").unreachable = why == "unreachable"
    if why == "a pass has locked the stack":
        with world.store.lock("production"):
            assert not drill(world)
    else:
        assert not drill(world, stopping=why == "stopping")
    assert not any(call.startswith("drill") for call in world.backups.calls)


def test_a_drill_does_not_lock_the_stack(world: World) -> None:
    world.backups.snapshot(there(), "pad")
    world.clock.advance(DAY)
    held: list[str] = []

    class LockingProgress(RecordingProgress):
        def log(self, environment: str, line: str) -> None:
            with world.store.lock("production"):
                held.append(f"{environment}: {line}")

    assert run_due_drill(
        Target(world.policy), replace(world.ports, progress=LockingProgress()), lambda: False
    )
    assert held


def test_one_drill_is_run_at_a_time(world: World, tmp_path: Path) -> None:
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


# -- our own backup ------------------------------------------------------------------------------------------


def back_up(world: World, *, updated: bool = False) -> bool:
    target = Target(world.policy)
    made = back_up_own_state(
        target, {"production": target}, world.ports, "https://git.example/infra.git", updated=updated
    )
    return made is not None


def test_our_own_records_and_states_are_backed_up_daily_and_after_updates(world: World) -> None:
    assert back_up(world)
    own = world.record.kept
    assert own is not None
    assert (own.service, own.at) == ("pad", world.clock.now())
    assert list(world.backups.agent("pad").bundles) == [own.id]
    assert not back_up(world)
    assert back_up(world, updated=True)
    world.clock.advance(DAY - HOUR)
    assert not back_up(world)
    world.clock.advance(HOUR)
    assert back_up(world)


def test_the_manifest_of_a_bundle_describes_it(world: World) -> None:
    back_up(world)
    (content,) = world.backups.agent("pad").bundles.values()
    with tarfile.open(fileobj=BytesIO(content)) as tar:
        assert tar.getnames() == [MANIFEST, "store.db", "states/production.json"]
        file = tar.extractfile(MANIFEST)
        assert file is not None
        manifest = Manifest.model_validate_json(file.read())
    assert manifest.repository == "https://git.example/infra.git"
    assert manifest.environments["production"].revision == world.record.current
    assert manifest.made == world.clock.now()


def test_no_bundle_stays_on_the_disk(world: World) -> None:
    before = {path for path in world.work.rglob("*") if path.is_file()}
    back_up(world)
    assert {path for path in world.work.rglob("*") if path.is_file()} == before


def test_without_an_agent_there_is_no_own_backup(tmp_path: Path) -> None:
    world = World(tmp_path / "passes")
    assert not back_up(world)
    world.push("one")
    world.go()
    assert not back_up(world, updated=True)
    assert world.record.kept is None


def test_an_agent_that_cannot_store_it_is_an_error_and_nothing_is_recorded(world: World) -> None:
    world.backups.agent("pad").unreachable = True
    with pytest.raises(BackupError):
        back_up(world)
    assert world.record.kept is None


def test_a_run_that_failed_long_ago_is_still_a_condition(world: World) -> None:
    world.backups.agent("pad").runs["prune"] = Run(started=NOON, finished=NOON, ok=False, error=None)
    found = check(world)
    assert found is not None
    assert [one.kind for one in found.conditions] == [ConditionKind.PRUNE_FAILED]
