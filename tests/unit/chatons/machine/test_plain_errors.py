"""What people are shown of an error in a dynamic resource, by Pulumi's own way to show it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator

import pytest

from chatons.machine.plain_errors import told_plainly
from chatons.machine.remote import MachineError


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    if hasattr(sys, "tracebacklimit"):
        del sys.tracebacklimit


@told_plainly(MachineError)
def fail(error: Exception) -> None:
    try:
        int("the cause")
    except ValueError:
        raise error  # noqa: B904  # as code does that thinks of no message


def shown(error: Exception) -> str:
    """What Pulumi hands out."""
    try:
        fail(error)
    except Exception:  # noqa: BLE001
        return traceback.format_exc()
    raise AssertionError("it did not fail")


def test_an_error_of_ours_is_its_message_alone() -> None:
    text = shown(MachineError("vm01: no ssh", "look"))
    assert text == "chatons.machine.remote.MachineError: vm01: no ssh\n  -> look\n"


def test_a_bug_keeps_its_traceback_after_an_error_of_ours_too() -> None:
    shown(MachineError("vm01: no ssh", "look"))
    text = shown(ValueError("odd"))
    assert "Traceback" in text
    assert "in fail" in text


def test_for_debugging_everything_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RONRON_DEBUG", "1")
    assert "in fail" in shown(MachineError("vm01: no ssh", "look"))
