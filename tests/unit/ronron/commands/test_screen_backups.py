"""What a person sees of backups."""

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
    kept_line,
    restored_lines,
    size,
    snapshot_line,
)
from ronron.core.backups import DrillResult, Dumped, Files, Restored, SeenBackup, Snapshot
from ronron.core.inventory import Service, read_inventory
from ronron.testing import NOON
from tests.support.values import HOUR, KEPT_BUNDLE, SECOND, SEEN
from tests.support.worlds import inventory

SNAPSHOT = Snapshot(
    id="5" * 64, run="6" * 32, taken=NOON - HOUR, reason="schedule", service="pad", kind="etherpad",
    version="1.8.14", image="pad:1", image_digest=None, revision=None,
    database=Dumped(major=15, server_version="15.14", name="pad", bytes=2048),
    counts={"pads": 12, "authors": 3}, files=Files(count=10, bytes=5 * 1024 * 1024),
)  # fmt: skip
RESTORED = Restored(
    service="pad", snapshot="5" * 64, kept="7" * 64, counts={"pads": 12}, promised={"pads": 12},
    healthy=True, detail="12 pads",
)  # fmt: skip
DRILL = DrillResult(
    service="pad", snapshot="5" * 64, started=NOON, finished=NOON + 5 * SECOND, passed=True,
    detail="as promised", counts={"pads": 12}, promised={"pads": 12}, probe="200 in 1 ms",
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
        "           what to do  ronron backup now",
    ]


@pytest.mark.parametrize(
    ("seen", "what"),
    [
        pytest.param(SeenBackup(service="pad"), "not looked at yet", id="never"),
        pytest.param(SeenBackup(service="pad", looked_at=NOON), "no snapshot  no drill yet", id="nothing"),
        pytest.param(SEEN.with_(drill_passed=False), "drill failed 2 h ago", id="failed"),
        pytest.param(SEEN.with_(drill_passed=None), "drill did not end 2 h ago", id="did not end"),
        pytest.param(SEEN.with_(looked_at=NOON - LONG_AGO - SECOND), "looked at 2 h ago", id="long ago"),
    ],
)
def test_what_is_known_is_said(seen: SeenBackup, what: str) -> None:
    assert what in plain(backup_lines(seen, NOON))[0]


def test_what_was_looked_at_just_now_does_not_say_so() -> None:
    assert "looked at" not in plain(backup_lines(SEEN.with_(looked_at=NOON - LONG_AGO), NOON))[0]


def test_a_message_with_brackets_is_no_markup() -> None:
    condition = SEEN.conditions[0].with_(message="cannot read [secret] [/]", hint="[bold]mend it")
    lines = plain(backup_lines(SEEN.with_(conditions=(condition,)), NOON))
    assert "cannot read [secret] [/]" in lines[1]
    assert "[bold]mend it" in lines[2]


def test_our_own_copy_is_one_line() -> None:
    assert kept_line(KEPT_BUNDLE, NOON + timedelta(hours=3)).endswith("beside pad, 3 h ago")


def test_a_snapshot_is_one_line_with_what_is_in_it() -> None:
    line = snapshot_line(SNAPSHOT, NOON)
    assert line.startswith("555555555555  pad  1.8.14  ")
    assert line.endswith("(1 h ago)  schedule  3 authors, 12 pads, database 2.0 KiB, 10 files 5.0 MiB")
    assert contents(SNAPSHOT.model_copy(update={"database": None, "counts": {}})) == "10 files 5.0 MiB"


def test_an_intent_says_what_is_kept_and_which_version_has_to_read_it() -> None:
    lines = intent_lines(pad(), SNAPSHOT, NOON, keep=True)
    assert "version 1.8.14, as it runs now" in lines[3]
    assert "becomes a snapshot first" in lines[4]
    older = SNAPSHOT.model_copy(update={"version": "1.8.0"})
    lines = intent_lines(pad(), older, NOON, keep=False)
    assert "version 1.8.0; 1.8.14 runs now and will have to read it" in lines[3]
    assert "NOT kept" in lines[4]


@pytest.mark.parametrize(("healthy", "word"), [(True, "healthy"), (False, "unhealthy"), (None, "not probed")])
def test_a_restore_says_what_came_of_it(healthy: bool | None, word: str) -> None:
    lines = restored_lines(RESTORED.with_(healthy=healthy))
    assert lines[0] == "restored: pad from snapshot 555555555555: 12 pads"
    assert "  rows     pads 12 of 12" in lines
    assert "snapshot 777777777777" in lines[2]
    assert word in lines[-1]


def test_a_restore_that_kept_nothing_names_nothing() -> None:
    assert not any("kept" in line for line in restored_lines(RESTORED.with_(kept=None)))


def test_a_drill_says_what_it_found() -> None:
    assert drill_lines(DRILL) == [
        "drill passed: pad from snapshot 555555555555 in 5 s: as promised",
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
def test_bytes_are_written_for_people(count: int, words: str) -> None:
    assert size(count) == words
