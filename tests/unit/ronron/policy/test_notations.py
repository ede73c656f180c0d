"""What people write in short, read into values."""

from __future__ import annotations

import re
from datetime import time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ronron.policy.notations import (
    DURATION,
    NotationError,
    nearest,
    quoted,
    read_choice,
    read_clock,
    read_days,
    read_directory,
    read_duration,
    read_reference,
    read_timezone,
)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("0s", timedelta()),
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("1h", timedelta(hours=1)),
        ("1h30m", timedelta(minutes=90)),
        ("2d", timedelta(days=2)),
        ("1d2h3m4s", timedelta(days=1, hours=2, minutes=3, seconds=4)),
    ],
)
def test_a_duration_is_numbers_with_units(text: str, length: timedelta) -> None:
    assert read_duration(text) == length
    assert re.search(DURATION, text)


@pytest.mark.parametrize(
    "text",
    ["", "30", "30 m", "m", "1.5h", "-1h", "30m1h", "1h1h", "30min", "1H", "\uff11h", "1h\n", 30, None, True],
)
def test_anything_else_is_no_duration(text: object) -> None:
    with pytest.raises(NotationError, match="cannot read the duration"):
        read_duration(text)


@given(st.timedeltas(min_value=timedelta(), max_value=timedelta(days=300)))
def test_every_duration_of_whole_seconds_can_be_written(length: timedelta) -> None:
    whole = timedelta(seconds=int(length.total_seconds()))
    assert read_duration(f"{whole.days}d{whole.seconds}s") == whole


@pytest.mark.parametrize("text", ["59s", "1m1s"])
def test_a_duration_outside_its_limits_is_refused_with_the_limit(text: str) -> None:
    with pytest.raises(NotationError, match=r"write `1m` or (more|less)"):
        read_duration(text, shortest=timedelta(minutes=1), longest=timedelta(minutes=1))
    assert read_duration("1m", shortest=timedelta(minutes=1), longest=timedelta(minutes=1))


def test_a_duration_that_no_calendar_holds_is_refused() -> None:
    with pytest.raises(NotationError, match="so long a duration as `9999d`"):
        read_duration("9999d")


@pytest.mark.parametrize(
    ("written", "days"),
    [
        ("daily", {0, 1, 2, 3, 4, 5, 6}),
        ("mon-thu", {0, 1, 2, 3}),
        ("sat", {5}),
        ("fri-mon", {4, 5, 6, 0}),
        ("mon-sun", {0, 1, 2, 3, 4, 5, 6}),
        ("tue-tue", {1}),
        (["mon", "tue"], {0, 1}),
        (["mon-wed", "sat"], {0, 1, 2, 5}),
    ],
)
def test_days_are_a_day_a_range_a_list_or_daily(written: object, days: set[int]) -> None:
    assert read_days(written) == days


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ([], "on no day"),
        ("", "cannot read the day ``"),
        ("monday", "cannot read the day `monday`; write `mon`"),
        ("Mon-Thu", "cannot read the day `Mon-Thu`; write `mon`"),
        ("lun-jeu", "cannot read the day `lun-jeu`"),
        (["mon", "daily"], "cannot read the day `daily`"),
        (["mon", ["tue"]], "cannot read the day"),
        (1, "cannot read the day `1`"),
    ],
)
def test_days_that_are_none_are_refused(written: object, message: str) -> None:
    with pytest.raises(NotationError, match=re.escape(message)):
        read_days(written)


def test_a_time_of_day_has_two_digits_each() -> None:
    assert read_clock("00:00") == time(0, 0)
    assert read_clock("23:59") == time(23, 59)
    assert read_clock("24:00", end=True) == time(0, 0)


@pytest.mark.parametrize(
    "written", ["24:00", "24:01", "18:60", "8:00", "18", "18:00:00", "\uff118:00", 1080, None, ""]
)
def test_anything_else_is_no_time_of_day(written: object) -> None:
    with pytest.raises(NotationError, match="time of day"):
        read_clock(written)


@pytest.mark.parametrize("name", ["Europe/Paris", "UTC", "America/Argentina/Buenos_Aires"])
def test_a_time_zone_is_a_name_of_the_database(name: str) -> None:
    assert read_timezone(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "Europe", "Paris time", "/etc/localtime", "../../etc/localtime", "Europe/../UTC", "a\0b", 1, None],
)
def test_anything_else_is_no_time_zone(name: object) -> None:
    with pytest.raises(NotationError, match="time zone"):
        read_timezone(name)


def test_the_nearest_time_zone_is_named() -> None:
    with pytest.raises(
        NotationError, match="cannot find the time zone `europe/pariss`; write `Europe/Paris`"
    ):
        read_timezone("europe/pariss")


@pytest.mark.parametrize(
    "name",
    [
        "HEAD",
        "main",
        "feature/pads",
        "v1.2",
        "refs/heads/main",
        "refs/tags/v*",
        "refs/tags/v1.?",
        "refs/tags/v[0-9]*",
        "übung",
        "a@b",
    ],
)
def test_branches_and_tags_can_be_followed(name: str) -> None:
    assert read_reference(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-main",
        "--upload-pack=touch /tmp/x",
        "refs/heads/-main",
        "a b",
        "a\tb",
        "a\nb",
        "a\x7f",
        "a..b",
        "a~1",
        "a^",
        "a:b",
        "a\\b",
        "a@{1}",
        "@",
        "/main",
        "main/",
        "a//b",
        "a/.b",
        ".a",
        "a.lock",
        "a.lock/b",
        "a.",
        "refs/heads/",
        "refs/tags/",
        "refs/tags/v*..",
        "refs/tags/-*/ x",
        "x" * 256,
    ],
)
def test_what_git_allows_in_no_name_cannot_be_followed(name: str) -> None:
    with pytest.raises(NotationError, match="git allows no such name"):
        read_reference(name)


@pytest.mark.parametrize(
    "name", ["refs/pull/1/head", "refs/merge-requests/1/head", "refs/remotes/origin/main"]
)
def test_a_pull_request_cannot_be_followed(name: str) -> None:
    with pytest.raises(NotationError, match="only branches and tags of the repository itself"):
        read_reference(name)


def test_a_commit_cannot_be_followed() -> None:
    for length in (40, 64):
        with pytest.raises(NotationError, match="a commit does not move"):
            read_reference("0a" * (length // 2))


def test_only_tags_take_a_pattern() -> None:
    for name in ("release-*", "refs/heads/*", "v?", "a[b"):
        with pytest.raises(NotationError, match=r"write `refs/tags/v\*`"):
            read_reference(name)


@pytest.mark.parametrize(
    ("written", "path"),
    [(".", "."), ("./", "."), ("infra", "infra"), ("infra//a/./b/", "infra/a/b"), ("a b", "a b")],
)
def test_a_directory_lies_within_the_repository(written: str, path: str) -> None:
    assert read_directory(written) == path


@pytest.mark.parametrize(
    "written",
    ["", "/etc", "..", "a/../../b", "~/x", "-x", ".git", "a/.git/hooks", "a\\b", "a\nb", "a\0", 1, None],
)
def test_what_leaves_the_repository_is_refused(written: object) -> None:
    with pytest.raises(NotationError, match="cannot use the path"):
        read_directory(written)


def test_the_nearest_word_is_found_whatever_its_case() -> None:
    assert nearest("WINDWO", ("window", "guard")) == "window"
    assert nearest("zzz", ("window", "guard")) is None


def test_an_abbreviation_is_near_while_it_means_one_word() -> None:
    assert nearest("prod", ("staging", "production")) == "production"
    assert nearest("prod", ("production", "production-archive", "staging")) is None
    assert nearest("pr", ("production",)) is None


def test_a_choice_is_one_of_its_words() -> None:
    assert read_choice("hold", ("hold", "rollback")) == "hold"
    with pytest.raises(NotationError, match="cannot use `rolback` here; write `rollback`"):
        read_choice("rolback", ("hold", "rollback"))
    with pytest.raises(NotationError, match="write one of `hold`, `rollback`"):
        read_choice(True, ("hold", "rollback"))


def test_what_is_quoted_is_short_and_harmless() -> None:
    assert quoted("a\x1b[31m\nb") == "`a b`"
    assert "hunter2" not in quoted("https://me:hunter2@forge.example/x")
    assert len(quoted("x" * 1000)) <= 62
    assert quoted(True) == "`true`"
