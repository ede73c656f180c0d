"""What the state decides about a machine that is reached by ssh, and what a failed setup says."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from pulumi.dynamic.dynamic import serialize_provider

from chatons.machine.access import AccessProvider
from chatons.machine.remote import Answer, Deadline, Reached
from chatons.machine.setup import SetupProvider, changes, failure, script_version

VM = Reached(name="vm01", address="192.0.2.11", port=22, user="ronron")
ACCESS = {
    "machine": "vm01",
    "address": "192.0.2.11",
    "port": 22.0,
    "user": "ronron",
    "declared_key": None,
    "identity": "101/a",
}
SETUP = {
    **ACCESS,
    "host_key": "ssh-ed25519 AAAA",
    "data_serial": None,
    "open_ports": [80.0, 443.0],
    "script": "a",
}


@pytest.mark.parametrize(
    "change",
    [
        {"address": "192.0.2.12"},
        {"port": 2222},
        {"user": "tech"},
        {"declared_key": "ssh-ed25519 BBBB"},
        {"identity": "101/b"},
    ],
    ids=str,
)
def test_what_changes_the_way_to_a_machine_is_looked_at_again_in_place(change: dict[str, Any]) -> None:
    found = AccessProvider().diff("id", {**ACCESS, "host_key": "ssh-ed25519 AAAA"}, {**ACCESS, **change})
    assert found.changes
    assert not found.replaces


@pytest.mark.parametrize(
    "change",
    [
        {"script": "b"},
        {"open_ports": [80]},
        {"data_serial": "ronron-data"},
        {"identity": "101/b"},
        {"host_key": "ssh-ed25519 BBBB"},
    ],
    ids=str,
)
def test_what_changes_the_setup_runs_it_again_in_place(change: dict[str, Any]) -> None:
    found = SetupProvider().diff("id", SETUP, {**SETUP, **change})
    assert found.changes
    assert not found.replaces


def test_numbers_come_back_from_the_engine_as_floats_and_are_no_change() -> None:
    assert not SetupProvider().diff("id", SETUP, {**SETUP, "port": 22, "open_ports": [80, 443]}).changes
    assert not SetupProvider().diff("id", {**SETUP, "__provider": "x"}, {**SETUP, "__provider": "y"}).changes


@pytest.mark.parametrize("provider", [AccessProvider(), SetupProvider()], ids=["access", "setup"])
def test_the_state_names_the_provider_and_holds_none_of_its_code(provider: Any) -> None:
    kept = base64.b64decode(serialize_provider(provider))
    assert type(provider).__name__.encode() in kept
    assert len(kept) < 200


def test_the_script_has_a_version() -> None:
    assert len(script_version()) == 16
    assert int(script_version(), 16)


def test_a_setup_that_came_to_its_end_is_no_failure() -> None:
    said = "== ronron: packages\nchanged: packages docker.io\n== ronron: done\n"
    assert failure(VM, Answer(0, said)) is None
    assert changes(Answer(0, said)) == ["packages docker.io"]


def test_a_failed_step_is_named_with_its_own_last_lines_only() -> None:
    said = "== ronron: first boot\nstatus: done\n== ronron: packages\nE: no room\n"
    found = str(failure(VM, Answer(100, said)))
    assert found.startswith(
        "vm01 (192.0.2.11): Debian's packages could not be installed (step `packages`):\n"
    )
    assert "    E: no room\n  -> " in found
    assert "status: done" not in found


def test_only_the_end_of_what_a_step_wrote_is_shown() -> None:
    said = "== ronron: packages\n" + "".join(f"line {number}\n" for number in range(1000)) + "x" * 10_000
    found = str(failure(VM, Answer(100, said)))
    assert "line 999" in found
    assert len(found) < 3000


@pytest.mark.parametrize(
    ("code", "said", "words"),
    [
        (255, "ronron@192.0.2.11: Permission denied (publickey).", "lets nobody in as ronron"),
        (255, "kex_exchange_identification: read: Connection reset", "cannot be reached by ssh as ronron"),
        (1, "sudo: a password is required", "the setup did not begin"),
        (255, "== ronron: packages\nno end within 1800 seconds", "step `packages`"),
        (0, "", "the setup did not begin"),
        (1, "== ronron: a step of tomorrow\n", "a step failed"),
    ],
)
def test_what_kept_the_setup_from_its_end(code: int, said: str, words: str) -> None:
    found = failure(VM, Answer(code, said))
    assert words in str(found)
    assert "\n  -> " in str(found)


@pytest.mark.parametrize(
    ("reached", "docker"),
    [
        (VM, "ssh://ronron@192.0.2.11"),
        (Reached(name="a", address="192.0.2.11", port=2222, user="b"), "ssh://b@192.0.2.11:2222"),
        (Reached(name="a", address="2001:db8::1", port=22, user="b"), "ssh://b@[2001:db8::1]"),
    ],
)
def test_a_machine_as_an_address_of_docker(reached: Reached, docker: str) -> None:
    assert reached.docker == docker


def test_a_deadline_says_how_long_it_was() -> None:
    assert str(Deadline(600)) == "10 minutes"
    assert str(Deadline(5)) == "5 seconds"
    assert not Deadline(0).pause()
