"""Cron expressions as the agent understands them, and the maximum age of a snapshot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatons.images.backup_agent.errors import AgentError
from chatons.images.backup_agent.schedule import days_of, longest_gap, max_age_hours, next_run

# A Wednesday.
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def times(expression: str, count: int, start: datetime = NOW) -> list[datetime]:
    found, at = [], start
    for _ in range(count):
        at = next_run(expression, at)
        found.append(at)
    return found


@pytest.mark.parametrize(
    ("field", "named"),
    [
        ("*", "sun,mon,tue,wed,thu,fri,sat"),
        ("0", "sun"),
        ("7", "sun"),
        ("1-5", "mon,tue,wed,thu,fri"),
        ("5-7", "sun,fri,sat"),
        ("fri-sat,sun,mon", "sun,mon,fri,sat"),
        ("*/2", "sun,tue,thu,sat"),
        ("1,SAT", "mon,sat"),
        ("2/2", "tue,thu,sat"),
    ],
)
def test_weekdays_are_counted_from_sunday_as_in_cron(field: str, named: str) -> None:
    found = {at.strftime("%a").lower() for at in times(f"0 3 * * {field}", 7)}
    assert found == set(named.split(","))


@pytest.mark.parametrize("field", ["8", "day", "1-", "*/0", "1-2-3", ",", "fri-mon", "?"])
def test_a_wrong_weekday_is_refused(field: str) -> None:
    with pytest.raises(AgentError, match="cannot use the schedule"):
        next_run(f"0 3 * * {field}", NOW)


def test_sunday_is_sunday() -> None:
    (at,) = times("0 3 * * 0", 1)
    assert (at.isoformat(), at.strftime("%a")) == ("2026-11-29T03:00:00+00:00", "Sun")


def test_a_day_of_the_month_or_a_weekday_is_enough_where_both_are_restricted() -> None:
    assert [at.day for at in times("0 3 27 * 0", 2)] == [27, 29]


def test_a_weekday_is_enough_where_no_such_month_has_the_day() -> None:
    assert [at.day for at in times("0 3 31 6 3", 2, datetime(2027, 6, 1, tzinfo=UTC))] == [2, 9]


def test_the_next_run_is_after_the_moment_and_in_utc() -> None:
    east = NOW.astimezone(datetime.strptime("+0530", "%z").tzinfo)
    assert next_run("0 12 * * *", NOW) == NOW + timedelta(days=1)
    assert next_run("0 12 * * *", NOW - timedelta(microseconds=1)) == NOW
    assert next_run("0 13 * * *", east).isoformat() == "2026-11-25T13:00:00+00:00"


@pytest.mark.parametrize(
    "expression", ["", "* * * *", "0 3 * * * *", "61 * * * *", "0 3 32 * *", "0 3 * * 9", "@daily"]
)
def test_an_expression_that_is_not_a_schedule_is_refused_with_an_example(expression: str) -> None:
    with pytest.raises(AgentError) as caught:
        next_run(expression, NOW)
    assert caught.value.message.startswith(f"cannot use the schedule {expression!r}")
    assert "0 3 * * *" in caught.value.hint


@pytest.mark.parametrize(
    ("expression", "hours"),
    [
        ("0 3 * * *", 24),
        ("0 3,15 * * *", 12),
        ("0 3,9 * * *", 18),
        ("*/5 * * * *", 1 / 12),
        ("0 3 * * 1-5", 72),
        ("*/5 8-18 * * 1-5", 24 * 2 + 13 + 5 / 60),
        ("0 3 * * 0", 168),
        ("0 3 1 * *", 31 * 24),
        ("0 3 1 1 *", 366 * 24),
    ],
)
def test_the_longest_gap_of_a_schedule_is_found(expression: str, hours: float) -> None:
    assert longest_gap(expression, NOW) / timedelta(hours=1) == pytest.approx(hours)


def test_a_schedule_that_never_runs_is_refused() -> None:
    with pytest.raises(AgentError, match="never runs"):
        longest_gap("0 3 30 2 *", NOW)


def test_the_maximum_age_is_the_longest_gap_and_two_hours_unless_it_is_declared() -> None:
    assert max_age_hours("0 3 * * *", None, NOW) == 26
    assert max_age_hours("0 3 * * *", 3.5, NOW) == 3.5


@given(
    st.sets(st.integers(0, 23), min_size=1, max_size=4),
    st.integers(0, 59),
    st.sets(st.integers(0, 6), min_size=1),
)
def test_no_gap_of_a_month_is_longer_than_the_longest(hours: set[int], minute: int, days: set[int]) -> None:
    expression = f"{minute} {','.join(map(str, sorted(hours)))} * * {','.join(map(str, sorted(days)))}"
    found = times(expression, 40)
    gaps = [after - before for before, after in pairwise(found)]
    longest = longest_gap(expression, NOW)
    assert max(gaps) <= longest
    if len(found) > len(hours) * len(days) + 1:
        assert max(gaps) == longest


def test_periods_have_days() -> None:
    assert [days_of("daily"), days_of("weekly"), days_of("monthly")] == [1, 7, 30]
