from __future__ import annotations

from collections.abc import Callable

import pytest

from chatons.declaration.load import DeclarationError
from chatons.program import encrypted_backup, excluded, exported_inventory, going_back
from chatons.schema.values import ENCRYPTED


def answers(*given: object) -> Callable[[], object]:
    """Gives one answer after the other; an exception is raised."""
    left = list(given)

    def read() -> object:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return read


@pytest.mark.parametrize("failures", [0, 1, 14])
def test_a_state_that_is_being_written_is_read_again(failures: int) -> None:
    read = answers(*[OSError("EOF")] * failures, {"outputs": {"inventory": {"version": 1}}})
    assert exported_inventory(read, pause=0) == {"version": 1}


def test_a_state_that_stays_unreadable_is_said_and_not_taken_for_an_empty_one() -> None:
    with pytest.raises(DeclarationError) as refused:
        exported_inventory(answers(*[OSError("EOF")] * 15), pause=0)
    (problem,) = refused.value.problems
    assert "which versions run" in problem.problem
    assert "EOF" in problem.problem
    assert "try again" in problem.remedy


@pytest.mark.parametrize(
    "answer", [None, {}, {"outputs": None}, {"outputs": {}}, {"outputs": {"other": 1}}, "x"]
)
def test_a_stack_that_exported_nothing_has_no_inventory(answer: object) -> None:
    assert exported_inventory(answers(answer), pause=0) is None


def test_only_the_secrets_of_the_backups_are_marked_as_encrypted() -> None:
    declared = {"repository": "/srv", "password": "a", "login": "b:c", "ssh_key": "d", "keep": {"daily": 7}}
    backup, secrets = encrypted_backup(declared)
    assert backup == {
        "repository": "/srv", "keep": {"daily": 7},
        "password": ENCRYPTED, "login": ENCRYPTED, "ssh_key": ENCRYPTED,
    }  # fmt: skip
    assert {role: secret.get_secret_value() for role, secret in secrets.items()} == {
        "password": "a", "login": "b:c", "ssh_key": "d",
    }  # fmt: skip


@pytest.mark.parametrize("value", [None, "x", [], {}, {"password": 3}])
def test_backups_that_are_no_mapping_are_left_to_who_checks_them(value: object) -> None:
    assert encrypted_backup(value) == (value, {})


@pytest.mark.parametrize(
    ("value", "names"),
    [(None, set()), ("", set()), ("pica02", {"pica02"}), ("pica02, pica03,", {"pica02", "pica03"})],
)
def test_machines_that_are_left_out_are_named_with_commas(value: str | None, names: set[str]) -> None:
    assert excluded({} if value is None else {"RONRON_EXCLUDE": value}) == names


def test_services_that_go_back_are_named_with_commas() -> None:
    assert going_back({}) == set()
    assert going_back({"RONRON_GOING_BACK": "pad, board,"}) == {"pad", "board"}
