"""Which snapshot may be restored, and whether the restored counts are the expected ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ronron.core.backups import DatabaseDump, Files, Snapshot
from ronron.core.errors import BackupError, SnapshotUnfitError
from ronron.core.inventory import Database, Inventory, Service
from ronron.core.restores import (
    count_differences,
    counts_text,
    is_newer,
    named_commands,
    refuse_newer_version,
    refuse_other_service,
    service_with_backup,
    version_warning,
)
from ronron.testing import NOON

DATABASE = Database(
    engine="postgresql", major=15, image="postgres:15", container="x-pad-database", name="pad"
)
PAD = Service(
    kind="etherpad",
    version="2.5.0",
    image="etherpad/etherpad:2.5.0",
    image_digest=None,
    machine="here",
    url=None,
    probe=None,
    containers=("x-pad", "x-pad-database"),
    database=DATABASE,
    volumes=(),
    backup=None,
)
TAKEN = Snapshot(
    id="a" * 64,
    run="b" * 32,
    taken=NOON,
    reason="schedule",
    service="pad",
    kind="etherpad",
    version="2.5.0",
    image="etherpad/etherpad:2.5.0",
    image_digest=None,
    revision=None,
    database=DatabaseDump(major=15, server_version="15.14", name="pad", bytes=1000),
    counts={"pads": 12},
    files=Files(count=1, bytes=10),
)


def taken(**changes: object) -> Snapshot:
    """A fit snapshot, changed."""
    return TAKEN.model_copy(update=changes)


@pytest.mark.parametrize(
    ("one", "other", "result"),
    [
        ("2.5.1", "2.5.0", True),
        ("2.5.0", "2.5.0", False),
        ("2.5", "2.5.0", False),
        ("2.5.0", "2.5", False),
        ("1.2.100", "1.2.53", True),
        ("v1.2.9", "1.2.53", False),
        ("11.7.3", "9.11", True),
        ("3", "2.9.9", True),
        ("nightly", "2.5.0", False),
        ("2.5.0", "nightly", False),
        ("", "", False),
    ],
)
def test_versions_are_compared_by_their_numbers(one: str, other: str, result: bool) -> None:
    assert is_newer(one, other) is result


numbers = st.lists(st.integers(0, 999), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))


@given(numbers, numbers)
def test_of_two_versions_at_most_one_is_newer(one: str, other: str) -> None:
    assert not (is_newer(one, other) and is_newer(other, one))
    assert not is_newer(one, one)
    assert not is_newer(f"{one}.0", one)
    assert is_newer(f"{one}.1", one)


def test_a_services_own_snapshot_may_be_restored() -> None:
    refuse_other_service(TAKEN, "pad", PAD)
    refuse_newer_version(TAKEN, "pad", PAD)
    assert version_warning(TAKEN, "pad", PAD) is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"service": "team"}, r"it is of team \(etherpad\), not of pad \(etherpad\)"),
        ({"kind": "kanboard"}, r"it is of pad \(kanboard\), not of pad \(etherpad\)"),
        ({"database": None}, "it has no database, unlike pad"),
    ],
)
def test_a_snapshot_of_another_service_is_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(SnapshotUnfitError, match=says) as refused:
        refuse_other_service(taken(**changes), "pad", PAD)
    assert refused.value.hint
    assert refused.value.where == "pad"


def test_a_dump_for_a_service_without_a_database_is_refused() -> None:
    with pytest.raises(SnapshotUnfitError, match="it has a database, unlike pad"):
        refuse_other_service(TAKEN, "pad", PAD.model_copy(update={"database": None}))


def test_a_dump_of_a_newer_postgresql_is_refused() -> None:
    dump = DatabaseDump(major=16, server_version="16.1", name="pad", bytes=1000)
    with pytest.raises(SnapshotUnfitError, match="it is of PostgreSQL 16, 15 is running") as refused:
        refuse_newer_version(taken(database=dump), "pad", PAD)
    assert refused.value.hint == "declare an image of PostgreSQL 16, update, and restore again"


def test_a_dump_of_an_older_postgresql_may_be_restored() -> None:
    refuse_newer_version(
        taken(database=DatabaseDump(major=13, server_version="13.1", name="pad", bytes=1000)), "pad", PAD
    )


def test_a_snapshot_of_a_newer_version_is_refused_with_the_image_to_declare() -> None:
    with pytest.raises(SnapshotUnfitError, match=r"it is of pad 2\.7\.3, 2\.5\.0 is running") as refused:
        refuse_newer_version(taken(version="2.7.3", image="etherpad/etherpad:2.7.3"), "pad", PAD)
    assert (
        refused.value.hint == "declare the image etherpad/etherpad:2.7.3 for pad, update, and restore again"
    )


@pytest.mark.parametrize(
    ("version", "says"), [("2.4.0", "will migrate it"), ("nightly", "cannot determine which one is newer")]
)
def test_a_restore_of_another_version_has_a_warning(version: str, says: str) -> None:
    refuse_newer_version(taken(version=version), "pad", PAD)
    assert says in (version_warning(taken(version=version), "pad", PAD) or "")


@pytest.mark.parametrize(
    ("expected", "found", "says"),
    [
        ({}, {}, ""),
        ({}, {"pads": 3}, ""),
        ({"pads": 3}, {"pads": 3, "authors": 1}, ""),
        ({"pads": 3}, {"pads": 2}, "2 pads instead of 3"),
        ({"pads": 3}, {"pads": 4}, "4 pads instead of 3"),
        ({"pads": 3, "authors": 1}, {}, "no authors instead of 1, no pads instead of 3"),
        ({"pads": 0}, {"pads": 0}, ""),
        ({"pads": 0}, {}, "no pads instead of 0"),
    ],
)
def test_counts_that_differ_are_named(expected: dict[str, int], found: dict[str, int], says: str) -> None:
    assert count_differences(expected, found) == says


def test_counts_are_listed_for_people() -> None:
    assert counts_text({"pads": 12, "authors": 3}) == "3 authors, 12 pads"
    assert counts_text({}) == "no rows to count"


def test_a_service_that_is_unknown_or_has_no_backup_is_refused_with_a_hint() -> None:
    inventory = Inventory.model_validate(
        {
            "version": 1,
            "collective": {"name": "T", "domain": "t.example", "contact": "a@t.example", "country": "FR"},
            "machines": {},
            "services": {"pad": PAD.model_dump(mode="json")},
        }
    )
    with pytest.raises(BackupError, match="cannot find the service wiki in the inventory") as unknown:
        service_with_backup(inventory, "wiki")
    assert unknown.value.hint == "use one of its services: pad"
    with pytest.raises(BackupError, match="cannot find backups of pad: none are declared") as without:
        service_with_backup(inventory, "pad")
    assert without.value.hint


@pytest.mark.parametrize(
    ("hint", "named"),
    [
        ("run this again: ronron backup now", "run this again: ronron backup now ours pad"),
        (
            "choose another: ronron backup list; then go on",
            "choose another: ronron backup list ours pad; then go on",
        ),
        ("fix the cause, and run: ronron drill", "fix the cause, and run: ronron drill ours pad"),
        ("take one with ronron backup now ours pad", "take one with ronron backup now ours pad"),
        ("check the disk", "check the disk"),
        ("", ""),
    ],
)
def test_the_commands_of_an_agent_s_hint_get_names(hint: str, named: str) -> None:
    assert named_commands(hint, "ours", "pad") == named
