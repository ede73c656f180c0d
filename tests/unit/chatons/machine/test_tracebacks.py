"""How Pulumi shows an error of a dynamic resource to people."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator

import pytest

from chatons.machine.remote import MachineError
from chatons.machine.tracebacks import without_traceback


@pytest.fixture(autouse=True)
def original_limit() -> Iterator[None]:
    yield
    if hasattr(sys, "tracebacklimit"):
        del sys.tracebacklimit


@without_traceback(MachineError)
def fail(error: Exception) -> None:
    try:
        int("the cause")
    except ValueError:
        raise error  # noqa: B904  # an error with a context, as most code raises it


def shown(error: Exception) -> str:
    """The text that Pulumi prints."""
    try:
        fail(error)
    except Exception:  # noqa: BLE001
        return traceback.format_exc()
    raise AssertionError("it did not fail")


def test_an_expected_error_is_shown_as_its_message_only() -> None:
    text = shown(MachineError("vm01: no ssh", "look"))
    assert text == "chatons.machine.remote.MachineError: vm01: no ssh\n  -> look\n"


def test_a_defect_keeps_its_traceback_even_after_an_expected_error() -> None:
    shown(MachineError("vm01: no ssh", "look"))
    text = shown(ValueError("odd"))
    assert "Traceback" in text
    assert "in fail" in text


def test_ronron_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RONRON_DEBUG", "1")
    assert "in fail" in shown(MachineError("vm01: no ssh", "look"))
