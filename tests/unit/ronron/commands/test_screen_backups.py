"""How snapshots, conditions, drills and restores are formatted."""

from __future__ import annotations

from datetime import timedelta

import pytest
from rich.text import Text

from ronron.commands.screen_backups import (
    LONG_AGO,
    backup_lines,
    contents,
    drill_lines,
    intent_lines,
    own_backup_line,
    restored_lines,
    size,
    snapshot_line,
)
from ronron.core.backups import BackupSummary, DatabaseDump, DrillResult, Files, Restored, Snapshot
from ronron.core.inventory import Service, read_inventory
from ronron.testing import NOON
from tests.support.values import HOUR, OWN_BACKUP, SECOND, SEEN
from tests.support.worlds import inventory

SNAPSHOT = Snapshot(
    id="5" * 64, run="6" * 32, taken=NOON - HOUR, reason="schedule", service="pad", kind="etherpad",
    version="1.8.14", image="pad:1", image_digest=None, revision=None,
    database=DatabaseDump(major=15, server_version="15.14", name="pad", bytes=2048),
    counts={"pads": 12, "authors": 3}, files=Files(count=10, bytes=5 * 1024 * 1024),
)  # fmt: skip
RESTORED = Restored(
    service="pad", snapshot="5" * 64, safety_snapshot="7" * 64, counts={"pads": 12}, expected={"pads": 12},
    healthy=True, detail="12 pads",
)  # fmt: skip
DRILL = DrillResult(
    service="pad", snapshot="5" * 64, started=NOON, finished=NOON + 5 * SECOND, passed=True,
    detail="as expected", counts={"pads": 12}, expected={"pads": 12}, probe="200 in 1 ms",
)  # fmt: skip


def pad() -> Service:
    found = read_inventory(inventory())
    assert found is not None
    return found.services["pad"]


def plain(lines: list[str]) -> list[str]:
    return [Text.from_markup(line).plain for line in lines]


def test_a_service_is_one_line_and_each_condition_two_more() -> None:
    assert plain(backup_lines(SEEN, NOON)) == [
        "  backup   pad  newest 1 h ago  drill passed 2 h ago  555555555555",
        "           stale lock: a lock was left",
        "           hint  ronron backup now",
    ]


@pytest.mark.parametrize(
    ("seen", "what"),
    [
        pytest.param(BackupSummary(service="pad"), "not checked yet", id="never"),
        pytest.param(BackupSummary(service="pad", looked_at=NOON), "no snapshot  no drill yet", id="nothing"),
        pytest.param(SEEN.with_(drill_passed=False), "drill failed 2 h ago", id="failed"),
        pytest.param(SEEN.with_(drill_passed=None), "drill did not end 2 h ago", id="did not end"),
        pytest.param(SEEN.with_(looked_at=NOON - LONG_AGO - SECOND), "checked 2 h ago", id="long ago"),
    ],
)
def test_the_line_of_a_service(seen: BackupSummary, what: str) -> None:
    assert what in plain(backup_lines(seen, NOON))[0]


def test_a_recent_check_is_not_mentioned() -> None:
    assert "checked" not in plain(backup_lines(SEEN.with_(looked_at=NOON - LONG_AGO), NOON))[0]


def test_a_message_with_brackets_is_no_markup() -> None:
    condition = SEEN.conditions[0].with_(message="cannot read [secret] [/]", hint="[bold]fix it")
    lines = plain(backup_lines(SEEN.with_(conditions=(condition,)), NOON))
    assert "cannot read [secret] [/]" in lines[1]
    assert "[bold]fix it" in lines[2]


def test_our_own_backup_is_one_line() -> None:
    assert own_backup_line(OWN_BACKUP, NOON + timedelta(hours=3)).endswith("beside pad, 3 h ago")


def test_a_snapshot_is_one_line_with_its_contents() -> None:
    line = snapshot_line(SNAPSHOT, NOON)
    assert line.startswith("555555555555  pad  1.8.14  ")
    assert line.endswith("(1 h ago)  schedule  3 authors, 12 pads, database 2.0 KiB, 10 files 5.0 MiB")
    assert contents(SNAPSHOT.model_copy(update={"database": None, "counts": {}})) == "10 files 5.0 MiB"


def test_an_intent_names_the_safety_snapshot_and_the_version_that_must_read_it() -> None:
    lines = intent_lines(pad(), SNAPSHOT, NOON, safety_snapshot=True)
    assert "version 1.8.14, which is running now" in lines[3]
    assert "takes a safety snapshot" in lines[4]
    older = SNAPSHOT.model_copy(update={"version": "1.8.0"})
    lines = intent_lines(pad(), older, NOON, safety_snapshot=False)
    assert "version 1.8.0; 1.8.14 is running and must be able to read it" in lines[3]
    assert "takes NO safety snapshot" in lines[4]


@pytest.mark.parametrize(("healthy", "word"), [(True, "healthy"), (False, "unhealthy"), (None, "not probed")])
def test_the_lines_of_a_restore(healthy: bool | None, word: str) -> None:
    lines = restored_lines(RESTORED.with_(healthy=healthy))
    assert lines[0] == "restored: pad from snapshot 555555555555: 12 pads"
    assert "  rows     pads 12 of 12" in lines
    assert "snapshot 777777777777" in lines[2]
    assert word in lines[-1]


def test_a_restore_without_a_safety_snapshot_names_none() -> None:
    assert not any("safety" in line for line in restored_lines(RESTORED.with_(safety_snapshot=None)))


def test_the_lines_of_a_drill() -> None:
    assert drill_lines(DRILL) == [
        "drill passed: pad from snapshot 555555555555 in 5 s: as expected",
        "  rows     pads 12 of 12",
        "  probe    200 in 1 ms",
    ]
    failed = DRILL.with_(passed=False, probe="", counts={})
    assert drill_lines(failed)[0].startswith("drill failed: pad")
    assert drill_lines(failed)[1:] == ["  rows     pads 0 of 12"]


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024**2, "1.0 MiB"),
        (1024**3, "1.0 GiB"),
        (1024**4, "1.0 TiB"),
        (5000 * 1024**4, "5000.0 TiB"),
    ],
)
def test_bytes_for_people(count: int, words: str) -> None:
    assert size(count) == words
