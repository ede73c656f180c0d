"""Where the program meets the engine: what it is handed, and how it refuses."""

from __future__ import annotations

import json
import logging

import pulumi_docker as docker
import pytest

from components import program
from components.declaration import SEALED, DeclarationError, StackConfiguration
from components.declaration_errors import Problem
from tests.declarations import EVERY_KIND, PASSWORD, SECRETS, problems
from tests.programs import VOLUME, registered

ERROR = DeclarationError([Problem(path=("edge", "tls"), problem="not a word", remedy="use `off`")])


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> StackConfiguration:
    """What the program makes of a configuration as the engine hands it over: texts, and names of secrets."""
    plain = {f"ronron:{key}": json.dumps(value) for key, value in EVERY_KIND.items()}
    sealed = {
        **{f"ronron:{key}": PASSWORD for key in SECRETS},
        "ronron:wiki-secret-TOKEN": "a token",
        "ronron:wiki-secret-BRACKET": "[not JSON",
        "ronron:edge": json.dumps({"image": "caddy:2.10.2", "tls": "hush"}),
        "ronron:backup": json.dumps({"repository": "r", "schedule": "0 3 * * *", "password": "hush"}),
        "other:key": "hush",
    }
    monkeypatch.setenv(
        "PULUMI_CONFIG",
        json.dumps({**plain, **sealed, "ronron:number": "15", "ronron:broken": "{x", "pulumi:tags": "x"}),
    )
    monkeypatch.setenv("PULUMI_CONFIG_SECRET_KEYS", json.dumps(list(sealed)))
    seen: list[StackConfiguration] = []
    registered(lambda: seen.append(program.configuration()), stack="staging")
    return seen[0]


def test_plain_values_are_read_as_they_were_written(handed: StackConfiguration) -> None:
    for key in ("collective", "machines", "services", "members"):
        assert handed.values[key] == EVERY_KIND[key]
    assert handed.values["number"] == "15", "the engine hands numbers over as texts, and so they stay"
    assert handed.values["broken"] == "{x"


def test_project_and_stack_are_those_that_run(handed: StackConfiguration) -> None:
    assert (handed.project, handed.stack) == ("ronron", "staging")


def test_keys_of_others_are_left_out(handed: StackConfiguration) -> None:
    assert not [key for key in (*handed.values, *handed.secrets) if key in {"key", "tags"} or ":" in key]


def test_secrets_are_kept_apart_and_not_shown(handed: StackConfiguration) -> None:
    assert set(handed.secrets) == {*SECRETS, "wiki-secret-TOKEN", "wiki-secret-BRACKET"}
    assert PASSWORD not in repr(handed)
    assert "a token" not in repr(handed)
    token = handed.secrets["wiki-secret-TOKEN"]
    assert token is not None
    assert token.get_secret_value() == "a token"


def test_a_value_with_a_secret_somewhere_inside_is_sealed_as_a_whole(handed: StackConfiguration) -> None:
    assert handed.values["edge"] is SEALED
    assert "hush" not in repr(handed)
    told = {problem.key: problem for problem in problems(handed)}
    assert "a secret cannot stand here" in told["ronron:edge"].problem


def test_the_password_of_backups_is_the_one_secret_that_may_stand_inside(handed: StackConfiguration) -> None:
    assert handed.values["backup"] == {"repository": "r", "schedule": "0 3 * * *", "password": SEALED}
    assert "ronron:backup" not in {problem.key for problem in problems(handed)}


def test_without_a_configuration_nothing_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PULUMI_CONFIG", raising=False)
    monkeypatch.delenv("PULUMI_CONFIG_SECRET_KEYS", raising=False)
    seen: list[StackConfiguration] = []
    registered(lambda: seen.append(program.configuration()))
    assert (dict(seen[0].values), dict(seen[0].secrets)) == ({}, {})


# -- refusing ----------------------------------------------------------------------------------------------


def refuse() -> None:
    with program.plain_refusals():
        raise ERROR


def test_a_refusal_is_a_message_and_an_exit_that_the_engine_knows(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("RONRON_DEBUG", raising=False)

    def make() -> None:
        with pytest.raises(SystemExit) as ended:
            refuse()
        assert ended.value.code == 32

    with caplog.at_level(logging.ERROR):
        registered(make)
    assert caplog.messages == [str(ERROR)]


def test_who_looks_for_a_fault_of_the_program_gets_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RONRON_DEBUG", "1")
    with pytest.raises(DeclarationError) as caught:
        refuse()
    assert caught.value is ERROR


def test_any_other_error_is_left_to_the_engine() -> None:
    with pytest.raises(ZeroDivisionError), program.plain_refusals():
        raise ZeroDivisionError


def test_a_secret_reaches_components_marked_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps({"ronron:pad-admin-password": PASSWORD}))
    made = registered(lambda: docker.Volume("any", name=program.secret("pad-admin-password")))
    (volume,) = made.of(VOLUME)
    assert volume.inputs == {"name": PASSWORD}
    assert volume.secrets == {("name",)}
