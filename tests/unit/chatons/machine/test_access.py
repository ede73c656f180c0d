"""When a machine is contacted and set up again, and the messages of a failed setup."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from pulumi.dynamic.dynamic import serialize_provider

from chatons.machine.access import AccessProvider
from chatons.machine.remote import CommandResult, Deadline, RemoteMachine
from chatons.machine.setup import SetupProvider, failure, script_version

VM = RemoteMachine(name="vm01", address="192.0.2.11", port=22, user="ronron")
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
def test_a_changed_input_of_the_access_is_an_update_in_place(change: dict[str, Any]) -> None:
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
def test_a_changed_input_of_the_setup_is_an_update_in_place(change: dict[str, Any]) -> None:
    found = SetupProvider().diff("id", SETUP, {**SETUP, **change})
    assert found.changes
    assert not found.replaces


def test_floats_from_the_engine_and_its_own_input_are_no_change() -> None:
    assert not SetupProvider().diff("id", SETUP, {**SETUP, "port": 22, "open_ports": [80, 443]}).changes
    assert not SetupProvider().diff("id", {**SETUP, "__provider": "x"}, {**SETUP, "__provider": "y"}).changes


@pytest.mark.parametrize("provider", [AccessProvider(), SetupProvider()], ids=["access", "setup"])
def test_the_state_names_the_provider_and_contains_none_of_its_code(provider: Any) -> None:
    pickled = base64.b64decode(serialize_provider(provider))
    assert type(provider).__name__.encode() in pickled
    assert len(pickled) < 200


def test_the_version_of_the_script_is_a_hash() -> None:
    assert len(script_version()) == 16
    assert int(script_version(), 16)


def test_a_completed_setup_is_no_failure() -> None:
    output = "== ronron: packages\nchanged: packages docker.io\n== ronron: done\n"
    assert failure(VM, CommandResult(0, output)) is None


def test_a_failed_step_is_named_with_the_last_lines_of_its_own_output() -> None:
    output = "== ronron: first boot\nstatus: done\n== ronron: packages\nE: no room\n"
    found = str(failure(VM, CommandResult(100, output)))
    assert found.startswith("vm01 (192.0.2.11): cannot install Debian's packages (step `packages`):\n")
    assert "    E: no room\n  -> " in found
    assert "status: done" not in found


def test_a_long_output_of_a_step_is_cut_to_its_end() -> None:
    output = "== ronron: packages\n" + "".join(f"line {number}\n" for number in range(1000)) + "x" * 10_000
    found = str(failure(VM, CommandResult(100, output)))
    assert "line 999" in found
    assert len(found) < 3000


@pytest.mark.parametrize(
    ("code", "output", "message"),
    [
        (255, "ronron@192.0.2.11: Permission denied (publickey).", "refuses the login as ronron"),
        (255, "kex_exchange_identification: read: Connection reset", "is unreachable by ssh as ronron"),
        (1, "sudo: a password is required", "the setup did not start"),
        (255, "== ronron: packages\ntimed out after 1800 seconds", "step `packages`"),
        (0, "", "the setup did not start"),
        (1, "== ronron: an unknown step\n", "a step failed"),
    ],
)
def test_the_message_of_a_failed_setup(code: int, output: str, message: str) -> None:
    found = failure(VM, CommandResult(code, output))
    assert message in str(found)
    assert "\n  -> " in str(found)


@pytest.mark.parametrize(
    ("machine", "docker"),
    [
        (VM, "ssh://ronron@192.0.2.11"),
        (RemoteMachine(name="a", address="192.0.2.11", port=2222, user="b"), "ssh://b@192.0.2.11:2222"),
        (RemoteMachine(name="a", address="2001:db8::1", port=22, user="b"), "ssh://b@[2001:db8::1]"),
    ],
)
def test_the_address_of_docker_on_a_machine(machine: RemoteMachine, docker: str) -> None:
    assert machine.docker == docker


def test_a_deadline_shows_its_length() -> None:
    assert str(Deadline(600)) == "10 minutes"
    assert str(Deadline(5)) == "5 seconds"
    assert not Deadline(0).pause()
