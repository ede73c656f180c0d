"""Locks of stacks: their files and their notes."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ronron.adapters.sql_store.stack_lock import stack_lock
from ronron.core.errors import StackLockedError


def test_the_note_says_who_has_the_stack_and_since_when(tmp_path: Path) -> None:
    with stack_lock(tmp_path, "production", "ronron watch"):
        note = json.loads((tmp_path / "stack-production.lock").read_text())
    since = datetime.fromisoformat(note.pop("since"))
    assert timedelta() <= datetime.now(UTC) - since < timedelta(minutes=1)
    assert note == {
        "stack": "production",
        "what": "ronron watch",
        "pid": os.getpid(),
        "thread": "MainThread",
        "host": socket.gethostname(),
    }


def test_nothing_is_said_of_an_owner_that_has_ended(tmp_path: Path) -> None:
    with stack_lock(tmp_path, "production", "ronron watch"):
        pass
    assert (tmp_path / "stack-production.lock").read_text() == ""


def test_the_note_of_a_killed_owner_keeps_nobody_out(tmp_path: Path) -> None:
    left = {"what": "ronron watch", "pid": 1, "host": "here", "since": "2026-11-25T12:00:00+00:00"}
    (tmp_path / "stack-production.lock").write_text(json.dumps(left) * 3)
    with stack_lock(tmp_path, "production", "ronron update"):
        assert json.loads((tmp_path / "stack-production.lock").read_text())["what"] == "ronron update"


STACKS = (
    "production",
    "Production",
    "org/production",
    "org%2Fproduction",
    "org production",
    ".",
    "..",
    "../production",
    "/",
    "é" * 60,
    "é" * 61,
    "a" * 5000,
    "a" * 5001,
)


def test_every_stack_has_a_lock_of_its_own_in_the_directory(tmp_path: Path) -> None:
    locks = tmp_path / "locks"
    with ExitStack() as held:
        for stack in STACKS:
            held.enter_context(stack_lock(locks, stack, "ronron"))
        assert len(list(locks.iterdir())) == len(STACKS)
        for stack in STACKS:
            with pytest.raises(StackLockedError), stack_lock(locks, stack, "ronron"):
                pass
    assert [path.name for path in tmp_path.iterdir()] == ["locks"]


@pytest.mark.parametrize(
    "note",
    [
        pytest.param(b"", id="nothing yet"),
        pytest.param(b'{"what": "ron', id="half"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(b"[1]", id="something else"),
        pytest.param(b'{"what": "x", "pid": "x", "host": "x", "since": "x"}', id="no number"),
        pytest.param(b'{"what": "x", "pid": 1, "host": "x", "since": 5}', id="no time"),
    ],
)
def test_an_owner_that_has_not_signed_yet_is_an_owner(tmp_path: Path, note: bytes) -> None:
    path = tmp_path / "stack-production.lock"
    path.write_bytes(note)
    with path.open("rb+") as owner:
        fcntl.flock(owner, fcntl.LOCK_EX)
        with pytest.raises(StackLockedError) as found, stack_lock(tmp_path, "production", "ronron"):
            pass
    assert found.value.message == "the stack production is locked by another process that has just started"
    assert path.read_bytes() == note


def test_an_owner_on_another_machine_is_not_looked_for_here(tmp_path: Path) -> None:
    path = tmp_path / "stack-production.lock"
    note = {"what": "\x1b[31mwatch", "pid": 12, "host": "pica02", "since": "2026-11-25T12:00:00+00:00"}
    path.write_text(json.dumps(note))
    with path.open("rb+") as owner:
        fcntl.flock(owner, fcntl.LOCK_EX)
        with pytest.raises(StackLockedError) as found, stack_lock(tmp_path, "production", "ronron"):
            pass
    assert found.value.message == (
        "the stack production is locked by watch (process 12 on pica02) since 2026-11-25 12:00:00 UTC"
    )
    assert found.value.hint == "wait until it ends"
