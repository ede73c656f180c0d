"""The contract of ports.Backups, for the fake and for a real agent on a real Docker."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import pytest

from ronron.adapters.docker_agents.backups import DockerBackups
from ronron.core.errors import AgentUnreachableError, BackupError, ConfigError, SnapshotUnfitError
from ronron.core.inventory import Inventory
from ronron.core.words import counted
from ronron.ports import Backups
from ronron.testing import FakeBackups
from tests.support.backed_up import NAME, BackedUp, backed_up
from tests.support.double_images import ensure_doubles

pytestmark = pytest.mark.timeout(300)


class World(Protocol):
    """A service of the tests and the port of its backups. The tests share it, one after the other."""

    backups: Backups
    inventory: Inventory

    def write(self) -> None:
        """Add rows to the service."""
        ...

    def rows(self) -> dict[str, int]:
        """The present number of rows, by what they are."""
        ...

    def disconnect(self) -> None:
        """Make its agent unreachable."""
        ...

    def reconnect(self) -> None:
        """Make its agent answer again."""
        ...


class FakeWorld:
    """Counts in memory."""

    def __init__(self, inventory: Inventory) -> None:
        self.fake = FakeBackups()
        self.backups: Backups = self.fake
        self.inventory = inventory
        self.fake.agent(NAME).rows = {"tasks": 1, "projects": 1}

    def write(self) -> None:
        agent = self.fake.agent(NAME)
        agent.rows = {what: count + 1 for what, count in agent.rows.items()}

    def rows(self) -> dict[str, int]:
        return dict(self.fake.agent(NAME).rows)

    def disconnect(self) -> None:
        self.fake.agent(NAME).unreachable = True

    def reconnect(self) -> None:
        self.fake.agent(NAME).unreachable = False


class RealWorld:
    """Containers on a real Docker."""

    def __init__(self, board: BackedUp) -> None:
        self.board = board
        self.backups: Backups = DockerBackups()
        self.inventory = board.inventory

    def write(self) -> None:
        # A restore that was undone has started it, and waits for nothing.
        self.board.await_board()
        self.board.write()

    def rows(self) -> dict[str, int]:
        return self.board.rows()

    def disconnect(self) -> None:
        self.board.agent.stop(timeout=10)

    def reconnect(self) -> None:
        self.board.agent.start()


PLAIN = Inventory.model_validate(
    {
        "version": 1,
        "collective": {"name": "Test", "domain": "test.example", "contact": "a@b.c", "country": "FR"},
        "machines": {"here": {"docker": "unix:///var/run/docker.sock"}},
        "services": {
            NAME: {
                "kind": "kanboard",
                "version": "1.2.53",
                "image": "kanboard/kanboard:v1.2.53",
                "image_digest": None,
                "machine": "here",
                "url": "https://board.test.example",
                "probe": None,
                "containers": ["test-board", "test-board-database", "test-board-backup"],
                "database": {
                    "engine": "postgresql",
                    "major": 15,
                    "image": "postgres:15",
                    "container": "test-board-database",
                    "name": NAME,
                },
                "volumes": [],
                "backup": {
                    "container": "test-board-backup",
                    "repository": "/repository",
                    "drill": "weekly",
                    "network": "test-board",
                    "volumes": {"data": "test-board-data"},
                    "uploaded": {},
                    "probe": None,
                },
            }
        },
    }
)


@pytest.fixture(scope="module")
def real(postgres_image: str, agent_image: str) -> Iterator[RealWorld]:
    with backed_up(postgres_image, agent_image, ensure_doubles()["kanboard"]) as board:
        yield RealWorld(board)


@pytest.fixture(params=["fake", "docker"])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "fake":
        return FakeWorld(PLAIN)
    real: RealWorld = request.getfixturevalue("real")
    return real


def ignore(line: str) -> None:
    """Ignore the line."""


def test_a_snapshot_describes_its_service_and_contents(world: World) -> None:
    world.write()
    commit = "2e3" + "0" * 37
    taken = world.backups.snapshot(world.inventory, NAME, "update", commit)
    assert (taken.service, taken.kind, taken.version) == (NAME, "kanboard", "1.2.53")
    assert (taken.reason, taken.revision) == ("update", commit)
    assert taken.counts == world.rows()
    assert taken.counts["tasks"] >= 1
    assert taken.database is not None
    assert taken.database.major == 15
    assert taken.database.bytes > 0
    assert taken.taken.utcoffset() == timedelta(0)


def test_the_default_reason_of_a_snapshot_is_asked(world: World) -> None:
    taken = world.backups.snapshot(world.inventory, NAME)
    assert (taken.reason, taken.revision) == ("asked", None)


def test_snapshots_are_listed_the_newest_first(world: World) -> None:
    first = world.backups.snapshot(world.inventory, NAME)
    world.write()
    second = world.backups.snapshot(world.inventory, NAME)
    listed = world.backups.snapshots(world.inventory, NAME)
    assert listed[:2] == (second, first)
    status = world.backups.status(world.inventory, NAME)
    assert status.snapshots[:2] == (second, first)
    assert (status.service, status.reachable, status.trouble) == (NAME, True, None)
    run = status.runs["backup"]
    assert run is not None
    assert run.ok is True


def test_a_restore_replaces_the_data_and_takes_a_safety_snapshot(world: World) -> None:
    world.write()
    wanted = world.backups.snapshot(world.inventory, NAME)
    before = world.rows()
    world.write()
    world.write()
    replaced = world.rows()
    lines: list[str] = []
    restored = world.backups.restore(world.inventory, NAME, wanted, log=lines.append)
    assert world.rows() == before
    assert restored.snapshot == wanted.id
    assert dict(restored.counts) == dict(restored.expected) == before
    assert restored.healthy is None
    assert lines
    assert all("\n" not in line for line in lines)
    safety = world.backups.snapshots(world.inventory, NAME)[0]
    assert (safety.id, safety.reason) == (restored.safety_snapshot, "restore")
    back = world.backups.restore(world.inventory, NAME, safety, log=ignore)
    assert world.rows() == replaced
    assert back.safety_snapshot not in {None, safety.id}


def test_a_restore_without_a_safety_snapshot_takes_none(world: World) -> None:
    world.write()
    wanted = world.backups.snapshot(world.inventory, NAME)
    restored = world.backups.restore(world.inventory, NAME, wanted, safety_snapshot=False, log=ignore)
    assert restored.safety_snapshot is None
    assert world.backups.snapshots(world.inventory, NAME)[0] == wanted


def test_another_services_snapshot_is_refused(world: World) -> None:
    taken = world.backups.snapshot(world.inventory, NAME)
    before = world.rows()
    for stranger in (
        taken.model_copy(update={"service": "pad"}),
        taken.model_copy(update={"kind": "etherpad"}),
        taken.model_copy(update={"database": None}),
    ):
        with pytest.raises(SnapshotUnfitError, match="cannot restore snapshot"):
            world.backups.restore(world.inventory, NAME, stranger, log=ignore)
        with pytest.raises(SnapshotUnfitError, match="cannot restore snapshot"):
            world.backups.drill(world.inventory, NAME, stranger, ignore)
    assert world.rows() == before
    assert world.backups.snapshots(world.inventory, NAME)[0] == taken


def test_a_snapshot_of_a_newer_version_is_refused_with_a_hint(world: World) -> None:
    taken = world.backups.snapshot(world.inventory, NAME)
    newer = taken.model_copy(update={"version": "1.2.100", "image": "kanboard/kanboard:v1.2.100"})
    with pytest.raises(SnapshotUnfitError, match=r"1\.2\.100, 1\.2\.53 is running") as refused:
        world.backups.restore(world.inventory, NAME, newer, log=ignore)
    assert "kanboard/kanboard:v1.2.100" in refused.value.hint
    assert world.backups.snapshots(world.inventory, NAME)[0] == taken, "nothing was touched"


def test_a_snapshot_of_a_newer_database_is_refused(world: World) -> None:
    taken = world.backups.snapshot(world.inventory, NAME)
    assert taken.database is not None
    newer = taken.model_copy(update={"database": taken.database.model_copy(update={"major": 17})})
    with pytest.raises(SnapshotUnfitError, match="of PostgreSQL 17, 15 is running"):
        world.backups.restore(world.inventory, NAME, newer, log=ignore)
    assert world.backups.snapshots(world.inventory, NAME)[0] == taken, "nothing was touched"


def test_a_snapshot_of_an_older_version_is_restored_with_a_warning(world: World) -> None:
    taken = world.backups.snapshot(world.inventory, NAME)
    older = taken.model_copy(update={"version": "1.2.9"})
    lines: list[str] = []
    world.backups.restore(world.inventory, NAME, older, safety_snapshot=False, log=lines.append)
    assert any("1.2.9" in line and "will migrate" in line for line in lines)


def test_a_restore_with_other_counts_than_the_manifest_leaves_the_old_data(world: World) -> None:
    taken = world.backups.snapshot(world.inventory, NAME)
    before = world.rows()
    more = {**taken.counts, "tasks": taken.counts["tasks"] + 5}
    wrong = f"{counted(before['tasks'], 'tasks')} instead of {before['tasks'] + 5}"
    with pytest.raises(BackupError, match=wrong):
        world.backups.restore(
            world.inventory,
            NAME,
            taken.model_copy(update={"counts": more}),
            safety_snapshot=False,
            log=ignore,
        )
    assert world.rows() == before


def test_a_drill_proves_a_snapshot_and_is_recorded(world: World) -> None:
    world.write()
    taken = world.backups.snapshot(world.inventory, NAME)
    world.write()
    before = world.rows()
    lines: list[str] = []
    result = world.backups.drill(world.inventory, NAME, taken, lines.append)
    assert result.passed, result.detail
    assert (result.service, result.snapshot) == (NAME, taken.id)
    assert dict(result.counts) == dict(result.expected) == dict(taken.counts)
    assert result.probe
    assert result.started <= result.finished
    assert lines[-1] == result.detail
    assert world.rows() == before
    run = world.backups.status(world.inventory, NAME).runs["drill"]
    assert run is not None
    assert (run.ok, run.error, run.started) == (True, None, result.started)


def test_a_drill_with_other_counts_fails_and_is_recorded(world: World) -> None:
    taken = world.backups.snapshot(world.inventory, NAME)
    more = taken.model_copy(update={"counts": {**taken.counts, "tasks": taken.counts["tasks"] + 5}})
    result = world.backups.drill(world.inventory, NAME, more, ignore)
    assert not result.passed
    found = taken.counts["tasks"]
    assert result.detail == f"{counted(found, 'tasks')} instead of {found + 5}"
    run = world.backups.status(world.inventory, NAME).runs["drill"]
    assert run is not None
    assert run.ok is False
    assert run.error is not None
    assert run.error.message == result.detail


def test_a_drill_of_a_snapshot_of_a_newer_version_fails(world: World) -> None:
    taken = world.backups.snapshot(world.inventory, NAME)
    result = world.backups.drill(world.inventory, NAME, taken.model_copy(update={"version": "2.0"}), ignore)
    assert not result.passed
    assert "2.0, 1.2.53 is running" in result.detail


def test_a_drill_of_an_unknown_snapshot_fails(world: World) -> None:
    taken = world.backups.snapshot(world.inventory, NAME)
    result = world.backups.drill(
        world.inventory, NAME, taken.model_copy(update={"id": "f" * 64, "run": "f" * 32}), ignore
    )
    assert not result.passed
    assert result.detail


def test_a_restore_of_an_unknown_snapshot_changes_nothing(world: World) -> None:
    taken = world.backups.snapshot(world.inventory, NAME)
    before = world.rows()
    gone = taken.model_copy(update={"id": "f" * 64, "run": "f" * 32})
    with pytest.raises(BackupError) as failed:
        world.backups.restore(world.inventory, NAME, gone, safety_snapshot=False, log=ignore)
    assert failed.value.hint
    assert world.rows() == before


def test_an_export_is_a_new_directory_with_all_contents(world: World, tmp_path: Path) -> None:
    taken = world.backups.snapshot(world.inventory, NAME)
    place = tmp_path / "some" / "place"
    world.backups.export(world.inventory, NAME, taken, place)
    assert {each.name for each in place.iterdir()} == {"manifest.json", "database.pgdump", "data"}
    assert (place / "database.pgdump").stat().st_size > 0
    assert [each.name for each in place.parent.iterdir()] == ["place"], "nothing is left beside it"


def test_an_export_into_a_directory_that_is_not_empty_is_refused(world: World, tmp_path: Path) -> None:
    taken = world.backups.snapshot(world.inventory, NAME)
    (tmp_path / "mine").write_text("precious")
    for place in (tmp_path, tmp_path / "mine"):
        with pytest.raises(ConfigError, match="the directory is not empty"):
            world.backups.export(world.inventory, NAME, taken, place)
    assert (tmp_path / "mine").read_text() == "precious"


def test_an_export_of_an_unknown_snapshot_leaves_no_files(world: World, tmp_path: Path) -> None:
    taken = world.backups.snapshot(world.inventory, NAME)
    gone = taken.model_copy(update={"id": "f" * 64, "run": "f" * 32})
    with pytest.raises(BackupError) as failed:
        world.backups.export(world.inventory, NAME, gone, tmp_path / "place")
    assert failed.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_of_the_reconciler_is_stored_beside_the_snapshots(world: World, tmp_path: Path) -> None:
    world.backups.snapshot(world.inventory, NAME)
    before = world.backups.snapshots(world.inventory, NAME)
    (tmp_path / "records.sqlite").write_bytes(b"a record" * 100_000)
    bundle = tmp_path / "bundle.tar"
    with tarfile.open(bundle, "w") as opened:
        opened.add(tmp_path / "records.sqlite", "records.sqlite")
    stored = world.backups.back_up_bundle(world.inventory, NAME, bundle)
    assert re.fullmatch("[0-9a-f]{8,64}", stored)
    assert world.backups.snapshots(world.inventory, NAME) == before, "it is none of the service's"


def test_every_call_of_an_unreachable_agent_fails_and_may_be_retried(world: World, tmp_path: Path) -> None:
    taken = world.backups.snapshot(world.inventory, NAME)
    bundle = tmp_path / "bundle.tar"
    bundle.write_bytes(b"x")
    world.disconnect()
    try:
        for ask in (
            lambda: world.backups.status(world.inventory, NAME),
            lambda: world.backups.snapshot(world.inventory, NAME),
            lambda: world.backups.snapshots(world.inventory, NAME),
            lambda: world.backups.restore(world.inventory, NAME, taken, log=ignore),
            lambda: world.backups.drill(world.inventory, NAME, taken, ignore),
            lambda: world.backups.export(world.inventory, NAME, taken, tmp_path / "place"),
            lambda: world.backups.back_up_bundle(world.inventory, NAME, bundle),
        ):
            with pytest.raises(AgentUnreachableError) as error:
                ask()
            assert error.value.retryable
            assert error.value.hint
    finally:
        world.reconnect()


def test_a_service_without_a_backup_is_refused(world: World) -> None:
    board = world.inventory.services[NAME].model_copy(update={"backup": None})
    without = world.inventory.model_copy(update={"services": {NAME: board}})
    with pytest.raises(BackupError, match="cannot find backups of board: none are declared"):
        world.backups.status(without, NAME)
    with pytest.raises(BackupError, match="cannot find the service pad in the inventory") as unknown:
        world.backups.snapshots(world.inventory, "pad")
    assert "board" in unknown.value.hint
