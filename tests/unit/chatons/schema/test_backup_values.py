"""Repositories, schedules and ages: which are accepted, and which are refused with a remedy."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from chatons.images.backup_agent.errors import AgentError
from chatons.images.backup_agent.schedule import next_run
from chatons.schema import backup_values as values
from chatons.schema.backup_values import Repository, hours, schedule
from chatons.schema.values import REFUSED


@pytest.mark.parametrize(
    ("text", "way", "part"),
    [
        ("/var/lib/ronron/backups/", "local", "/var/lib/ronron/backups/p-s/pad"),
        ("/srv", "local", "/srv/p-s/pad"),
        ("sftp:me@vault.example:/srv/b", "sftp", "sftp:me@vault.example:/srv/b/p-s/pad"),
        ("sftp://me@192.0.2.1:2222//srv/b", "sftp", "sftp://me@192.0.2.1:2222//srv/b/p-s/pad"),
        ("sftp://me@vault.example//srv/b/", "sftp", "sftp://me@vault.example//srv/b/p-s/pad"),
        ("rest:https://vault.example", "rest", "rest:https://vault.example/p-s/pad/"),
        ("rest:https://vault.example:8000/me/", "rest", "rest:https://vault.example:8000/me/p-s/pad/"),
        ("s3:https://garage.example/bucket", "s3", "s3:https://garage.example/bucket/p-s/pad"),
        (
            "s3:https://garage.example:3900/bucket/a/b/",
            "s3",
            "s3:https://garage.example:3900/bucket/a/b/p-s/pad",
        ),
    ],
)
def test_a_repository_has_a_part_for_each_service(text: str, way: str, part: str) -> None:
    repository = Repository.parse(text)
    assert repository.way == way
    assert repository.part("p-s", "pad") == part
    assert repository.inside("p-s", "pad") == ("/repository" if way == "local" else part)


def test_the_host_of_a_repository_is_read() -> None:
    found = Repository.parse("sftp://me@vault.example:2222//srv").sftp
    assert found == values.Sftp(user="me", host="vault.example", port=2222)
    assert Repository.parse("sftp:me@vault.example:/srv").sftp == values.Sftp(
        user="me", host="vault.example", port=22
    )
    assert Repository.parse("/srv").sftp is None


@pytest.mark.parametrize(
    ("text", "problem", "remedy"),
    [
        ("", "is not a repository", "write an absolute path"),
        ("backups", "is not a repository", "write an absolute path"),
        ("/", "is not a directory", "write the whole path"),
        ("/srv/../etc", "is not a directory", "without `..`"),
        ("/srv/a:b", "is not a directory", "colon"),
        ("//srv", "is not a directory", "whole path"),
        ("sftp:vault.example:/srv", "is not a repository", "sftp:user@host:/path"),
        ("sftp:me@vault.example:srv", "is not a repository", "sftp:user@host:/path"),
        ("sftp://me@vault.example:2222/srv", "is not a repository", "port//path"),
        ("sftp://me@vault.example:70000//srv", "is not a repository", "port//path"),
        ("sftp:me@vault.example:/srv/../x", "is not a repository", "sftp:user@host:/path"),
        ("sftp:-oProxyCommand=x@vault.example:/srv", "is not a repository", "sftp:user@host:/path"),
        ("sftp:me@-oProxyCommand=x:/srv", "is not a repository", "sftp:user@host:/path"),
        ("rest:http://vault.example/", "plain HTTP", "write rest:https://vault.example/"),
        ("rest:https://me:word@vault.example/", "contains a login", "ronron:backup.login"),
        ("s3:https://key:word@garage.example/b", "contains a login", "ronron:backup.login"),
        ("s3:https://garage.example", "is not a repository", "s3:https://host/bucket"),
        ("b2:bucket", "is not a repository", "write an absolute path"),
        ("s3:https://garage.example/b\n", "is not a repository", "s3:https://host/bucket"),
    ],
)
def test_what_is_no_repository_is_refused(text: str, problem: str, remedy: str) -> None:
    with pytest.raises(PydanticCustomError) as refused:
        Repository.parse(text)
    context = refused.value.context
    assert refused.value.type == REFUSED
    assert context is not None
    assert problem in context["problem"]
    assert remedy in context["remedy"]


def test_a_login_is_not_repeated() -> None:
    with pytest.raises(PydanticCustomError) as refused:
        Repository.parse("rest:https://me:hunter2@vault.example/")
    assert "hunter2" not in str(refused.value.context)


@pytest.mark.parametrize(
    "text",
    [
        "0 3 * * *", "*/5 1-3,9 * jan-mar sun", "0 0 29 2 *", "0 3 * * 0", "0 3 * * 7", "0 3 * * 1-5",
        "0 3 30 2 mon", "5/10 */2 1,15 * *", "59 23 31 12 sat", "0 3 * * MON",
    ],
)  # fmt: skip
def test_a_schedule_is_taken(text: str) -> None:
    assert schedule(text) == text
    assert schedule(f"  {text.replace(' ', '   ')} ") == text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not a schedule"), ("daily", "not a schedule"), ("0 3 * *", "not a schedule"),
        ("0 3 * * * *", "not a schedule"), ("60 3 * * *", "no minute"), ("0 24 * * *", "no hour"),
        ("0 3 0 * *", "no day"), ("0 3 32 * *", "no day"), ("0 3 * 13 *", "no month"),
        ("0 3 * * 8", "no day of the week"), ("0 3 * * 5-1", "no day of the week"),
        ("0 3 * foo *", "no month"), ("0 3 * * monday", "no day of the week"), ("*/0 3 * * *", "no minute"),
        ("*/60 3 * * *", "no minute"), ("0 3 1-2/5 * *", "no day"), ("0 0-0/1 * * *", "no hour"),
        ("a 3 * * *", "no minute"), ("1,, 3 * * *", "no minute"), ("-1 3 * * *", "no minute"),
        ("0 3 30 2 *", "never runs"), ("0 3 31 4,6,9,11 *", "never runs"), ("@daily * * * *", "no minute"),
    ],
)  # fmt: skip
def test_what_is_no_schedule_is_refused(text: str, problem: str) -> None:
    with pytest.raises(PydanticCustomError) as refused:
        schedule(text)
    context = refused.value.context
    assert context is not None
    assert problem in context["problem"]
    assert context["remedy"]


NUMBERS = [(0, 59), (0, 23), (1, 31), (1, 12)]


def parts(lowest: int, highest: int) -> st.SearchStrategy[str]:
    number = st.integers(lowest, highest)
    ranges = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    stepped = st.tuples(st.one_of(st.just("*"), ranges), st.integers(1, highest - lowest)).map(
        lambda pair: f"{pair[0]}/{pair[1]}"
    )
    return st.lists(st.one_of(st.just("*"), number.map(str), ranges, stepped), min_size=1, max_size=3).map(
        ",".join
    )


def has_a_step_out_of_its_range(fields: tuple[str, ...]) -> bool:
    ranges = re.findall(r"(\d+)-(\d+)/(\d+)", " ".join(fields))
    return any(int(step) > int(last) - int(first) for first, last, step in ranges)


@given(st.tuples(*(parts(*bounds) for bounds in NUMBERS)))
def test_the_agent_runs_every_schedule_that_is_accepted_and_one_that_never_runs_is_refused(
    fields: tuple[str, ...],
) -> None:
    text = " ".join((*fields, "*"))
    try:
        next_run(text, datetime(2026, 1, 1, tzinfo=UTC))
        comes = not has_a_step_out_of_its_range(fields)
    except AgentError:
        comes = False
    try:
        assert schedule(text) == text
        taken = True
    except PydanticCustomError:
        taken = False
    assert taken == comes


@pytest.mark.parametrize(("text", "expected"), [("1h", 1), ("26h", 26), ("2d", 48)])
def test_an_age_is_a_number_of_hours(text: str, expected: float) -> None:
    assert hours(TypeAdapter(values.MaxAge).validate_python(text)) == expected


@pytest.mark.parametrize("text", ["", "0h", "26", "2 d", "1w", "-1h", "1.5h", "26H"])
def test_a_text_that_is_no_age_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="is not an age"):
        TypeAdapter(values.MaxAge).validate_python(text)


@pytest.mark.parametrize("text", ["app.sqlite", "db/app.sqlite", "a b/c.db", ".hidden"])
def test_a_path_inside_a_volume_is_taken(text: str) -> None:
    assert TypeAdapter(values.RelativePath).validate_python(text) == text


@pytest.mark.parametrize("text", ["", ".", "..", "/app.sqlite", "../x", "a/../../x", "a//b", "a/", "a\nb"])
def test_a_path_out_of_a_volume_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="not a path inside the volume"):
        TypeAdapter(values.RelativePath).validate_python(text)
