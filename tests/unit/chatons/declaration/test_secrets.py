"""Which secrets a declaration needs, and what may be in them; their values are never told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from chatons.catalogue.description import ADMIN_PASSWORD, DATABASE_PASSWORD
from chatons.declaration.resolved import resolve
from chatons.declaration.secrets import (
    MEMBERS_PASSWORD,
    ROLES,
    command,
    is_secret_key,
    required,
    secret_variables,
    unfit,
)
from tests.support.declarations import ABSENT, PASSWORD, SECRETS, Edits, declaration

SERVICES = {"pad": None, "wiki": None}


def keys(edits: Edits | None = None) -> list[str]:
    return [secret.key for secret in required(declaration(edits))]


# -- which -------------------------------------------------------------------------------------------------


def test_each_kind_needs_its_own_secrets() -> None:
    assert sorted(keys()) == sorted(SECRETS)


def test_a_container_without_a_database_needs_none() -> None:
    assert "wiki-database-password" not in keys({("services", "wiki", "database"): ABSENT})


def test_the_members_password_is_needed_only_where_somebody_enters_by_it() -> None:
    assert MEMBERS_PASSWORD not in keys({("services", "board", "members_only"): False})
    forward = {("members",): {"forward_auth": {"url": "https://auth.test.example"}}}
    assert MEMBERS_PASSWORD not in keys(forward)


def test_the_purpose_is_told_in_words() -> None:
    told = {secret.key: secret.purpose for secret in required(declaration())}
    assert told["pad-database-password"] == "database password of pad"
    assert told["pad-admin-password"] == "admin password of pad"
    assert told[MEMBERS_PASSWORD] == "the shared password of the members"


def test_what_the_components_ask_for_is_what_is_required() -> None:
    asked = {f"{service.name}-{role}" for service in resolve(declaration()) for role in service.roles}
    assert asked | {MEMBERS_PASSWORD} == set(keys())


def test_a_command_names_key_and_stack() -> None:
    assert command("staging", "pad-admin-password") == (
        "pulumi config set --secret ronron:pad-admin-password --stack staging"
    )


def test_secret_variables_are_found_by_the_name_of_their_service() -> None:
    given_keys = {"pad-secret-TOKEN": 1, "pad-secret-A_B": 1, "pad-2-secret-X": 1, "pad-admin-password": 1}
    assert secret_variables("pad", given_keys) == {"A_B": "pad-secret-A_B", "TOKEN": "pad-secret-TOKEN"}


@pytest.mark.parametrize(
    ("key", "is_one"),
    [
        ("members-password", True), ("pad-database-password", True), ("pad-admin-password", True),
        ("wiki-admin-password", True), ("pad-secret-TOKEN", True), ("blog-admin-password", False),
        ("pad-password", False), ("padsecret-TOKEN", False), ("services", False),
    ],
)  # fmt: skip
def test_a_key_is_that_of_a_secret_by_its_shape(key: str, is_one: bool) -> None:
    assert is_secret_key(key, SERVICES) is is_one


# -- what may be in them -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((f"pad-{role}", PASSWORD) for role in ROLES),
        (MEMBERS_PASSWORD, "quatre mots pour entrer"),
        (MEMBERS_PASSWORD, "x" * 72),
        ("pad-database-password", "Aa0._~-Aa0._~-"),
        ("pad-secret-KEY", "-----BEGIN KEY-----\nAAAA\n-----END KEY-----\n"),
        ("pad-secret-KEY", "x"),
    ],
)
def test_a_good_secret_is_taken(key: str, value: str) -> None:
    assert unfit(key, SecretStr(value), "local") is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((key, "") for key in (*(f"pad-{role}" for role in ROLES), MEMBERS_PASSWORD, "pad-secret-KEY")),
        *((key, "a long password\n") for key in (*(f"pad-{role}" for role in ROLES), MEMBERS_PASSWORD)),
        ("pad-secret-KEY", "zero\0byte"),
        ("pad-admin-password", "short"),
        ("pad-admin-password", "1234567890"),
        (MEMBERS_PASSWORD, "eleven char"),
        (MEMBERS_PASSWORD, "x" * 73),
        (MEMBERS_PASSWORD, "é" * 37),
        ("pad-database-password", "elevenchars"),
        ("pad-database-password", "with a space in it"),
        ("pad-database-password", "p@ss:word/with?marks"),
        ("pad-database-password", "123456789012345"),
        ("pad-database-password", "0x1234abcd5678ef"),
        ("pad-database-password", "x" * 129),
    ],
)  # fmt: skip
def test_a_secret_that_would_fail_later_is_refused_without_being_told(key: str, value: str) -> None:
    problem = unfit(key, SecretStr(value), "staging")
    assert problem is not None
    assert problem.key == f"ronron:{key}"
    assert f"pulumi config set --secret ronron:{key} --stack staging" in problem.remedy
    if value:
        assert value not in problem.problem
        assert value not in problem.remedy


@given(st.text(max_size=140))
def test_a_database_password_that_is_taken_needs_no_quoting_in_a_url(value: str) -> None:
    if unfit(f"pad-{DATABASE_PASSWORD}", SecretStr(value), "local") is None:
        assert set(value) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~-")
        assert len(value) >= 12


@given(st.text(alphabet="\n\r\t\0\x1b ab", min_size=1, max_size=80))
def test_a_password_that_is_typed_is_one_line(value: str) -> None:
    for key in (f"pad-{ADMIN_PASSWORD}", MEMBERS_PASSWORD):
        if unfit(key, SecretStr(value), "local") is None:
            assert value.isprintable()
