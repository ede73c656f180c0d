"""When an environment may change, in the wall-clock time of a place with summer time."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ronron.core.policy import Guard, OnFailure, Policy, Retry, Window
from tests.support.values import HOUR, MINUTE, SECOND

PARIS = "Europe/Paris"
TICK = timedelta(microseconds=1)

WEEK = frozenset(range(7))
MONDAY_TO_THURSDAY = frozenset(range(4))


def window(opens: str, closes: str, days: frozenset[int] = WEEK, timezone: str = PARIS) -> Window:
    return Window(
        days=days, opens=time.fromisoformat(opens), closes=time.fromisoformat(closes), timezone=timezone
    )


def utc(text: str) -> datetime:
    """A time in UTC, as `2026-11-25 12:00`."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


EVENING = window("18:00", "23:00", MONDAY_TO_THURSDAY)
NIGHT = window("22:00", "04:00", frozenset({4}))
"""From Friday's evening into Saturday's morning."""


# -- what holds where nothing is said ----------------------------------------------------------------------


def test_a_policy_that_says_nothing_more_is_the_careful_one() -> None:
    careful = Policy(name="production", stack="production", reference="main")
    assert (careful.after, careful.window) == (None, None)
    assert careful.on_failure is OnFailure.HOLD
    assert not careful.create_stack, "an empty stack by mistake would mean everything a second time"
    assert careful.guard == Guard(deletes=None, replaces=None)
    assert careful.retry == Retry(after=30 * SECOND, ceiling=HOUR, limit=5)
    assert careful.probe_for == MINUTE


# -- open and shut -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "opens", "closes"),
    [
        pytest.param(EVENING, "2026-11-25 17:00", "2026-11-25 22:00", id="a winter's evening"),
        pytest.param(EVENING, "2026-07-01 16:00", "2026-07-01 21:00", id="a summer's evening"),
        pytest.param(NIGHT, "2026-11-27 21:00", "2026-11-28 03:00", id="over midnight"),
        pytest.param(
            window("23:00", "01:00", timezone="Pacific/Kiritimati"),
            "2026-11-25 09:00",
            "2026-11-25 11:00",
            id="where it is already tomorrow",
        ),
        pytest.param(
            window("18:00", "23:00", timezone="Pacific/Pago_Pago"),
            "2026-11-26 05:00",
            "2026-11-26 10:00",
            id="where it is still yesterday",
        ),
        pytest.param(
            window("12:00", "12:00", frozenset({2})), "2026-11-25 11:00", "2026-11-26 11:00", id="a whole day"
        ),
        # 2026-03-29: at 02:00 in Paris the clock is put to 03:00.
        pytest.param(window("01:00", "04:00"), "2026-03-29 00:00", "2026-03-29 02:00", id="an hour less"),
        pytest.param(
            window("22:00", "04:00"), "2026-03-28 21:00", "2026-03-29 02:00", id="a night less an hour"
        ),
        pytest.param(
            window("02:30", "04:00"),
            "2026-03-29 01:30",
            "2026-03-29 02:00",
            id="opens in the hour that is not",
        ),
        pytest.param(
            window("01:00", "02:30"),
            "2026-03-29 00:00",
            "2026-03-29 01:30",
            id="closes in the hour that is not",
        ),
        # 2026-10-25: at 03:00 in Paris the clock is put to 02:00.
        pytest.param(window("01:00", "04:00"), "2026-10-24 23:00", "2026-10-25 03:00", id="an hour more"),
        pytest.param(
            window("02:30", "04:00"),
            "2026-10-25 00:30",
            "2026-10-25 03:00",
            id="opens in the first of two hours",
        ),
        pytest.param(
            window("01:00", "02:30"),
            "2026-10-24 23:00",
            "2026-10-25 00:30",
            id="closes in the first of two hours",
        ),
        pytest.param(
            window("02:00", "03:00"),
            "2026-10-25 00:00",
            "2026-10-25 02:00",
            id="the hour that is there twice",
        ),
    ],
)
def test_a_window_is_open_from_its_opening_up_to_its_closing(window: Window, opens: str, closes: str) -> None:
    first, end = utc(opens), utc(closes)
    assert window.is_open(first)
    assert window.is_open(end - TICK)
    assert window.next_opening(first - TICK) == first
    if window.closes != window.opens:
        assert not window.is_open(first - TICK)
        assert not window.is_open(end)


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        ("2026-11-26 18:00", True),  # Thursday
        ("2026-11-27 18:00", False),  # Friday
        ("2026-11-29 18:00", False),  # Sunday
        ("2026-11-30 18:00", True),  # Monday
    ],
)
def test_a_window_is_open_on_its_days_only(at: str, is_open: bool) -> None:
    assert EVENING.is_open(utc(at)) is is_open


def test_the_day_of_a_window_is_the_day_on_which_it_opens() -> None:
    assert NIGHT.is_open(utc("2026-11-28 02:00"))  # Saturday's morning, opened on Friday
    assert not NIGHT.is_open(utc("2026-11-27 02:00"))  # Friday's morning, opened on Thursday
    assert not NIGHT.is_open(utc("2026-11-28 22:00"))  # Saturday's evening


def test_the_day_of_a_window_is_the_day_there_and_not_here() -> None:
    monday = window("00:30", "05:00", frozenset({0}))
    assert monday.is_open(utc("2026-11-29 23:30"))  # Sunday in UTC
    assert not monday.is_open(utc("2026-11-30 23:30"))


def test_a_window_that_is_the_whole_week_is_never_shut() -> None:
    always = window("00:00", "00:00")
    for hours in range(24 * 9):
        assert always.is_open(utc("2026-03-25 00:00") + hours * HOUR)
        assert always.is_open(utc("2026-10-21 00:00") + hours * HOUR)


def test_a_window_that_summer_time_swallows_does_not_open_that_day() -> None:
    swallowed = window("02:00", "03:00", frozenset({6}))
    assert not any(swallowed.is_open(utc("2026-03-29 00:00") + minutes * MINUTE) for minutes in range(240))
    assert swallowed.next_opening(utc("2026-03-28 12:00")) == utc("2026-04-05 00:00")


# -- the next opening --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "at", "opening"),
    [
        pytest.param(EVENING, "2026-11-25 12:00", "2026-11-25 17:00", id="later today"),
        pytest.param(EVENING, "2026-11-25 17:00", "2026-11-26 17:00", id="as it opens, the one after"),
        pytest.param(EVENING, "2026-11-25 18:00", "2026-11-26 17:00", id="while it is open, the one after"),
        pytest.param(EVENING, "2026-11-26 22:00", "2026-11-30 17:00", id="over the weekend"),
        pytest.param(EVENING, "2026-03-26 22:00", "2026-03-30 16:00", id="into summer time"),
        pytest.param(EVENING, "2026-10-22 22:00", "2026-10-26 17:00", id="out of summer time"),
        pytest.param(NIGHT, "2026-11-28 02:00", "2026-12-04 21:00", id="a week later"),
        pytest.param(
            window("18:00", "23:00", frozenset({0})), "2026-12-28 17:00", "2027-01-04 17:00", id="next year"
        ),
    ],
)
def test_the_next_opening_lies_ahead(window: Window, at: str, opening: str) -> None:
    found = window.next_opening(utc(at))
    assert found == utc(opening)
    assert found.tzinfo is UTC


def test_a_window_may_be_asked_in_any_zone() -> None:
    there = datetime(2026, 11, 25, 18, tzinfo=ZoneInfo(PARIS))
    assert EVENING.is_open(there)
    assert EVENING.next_opening(there) == utc("2026-11-26 17:00")


windows = st.builds(
    Window,
    days=st.frozensets(st.integers(0, 6), min_size=1),
    opens=st.times().map(lambda at: at.replace(second=0, microsecond=0)),
    closes=st.times().map(lambda at: at.replace(second=0, microsecond=0)),
    timezone=st.sampled_from([PARIS, "UTC", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kathmandu"]),
)
times = st.integers(0, 3 * 365 * 24 * 60).map(lambda minutes: utc("2025-01-01 00:00") + minutes * MINUTE)


@given(window=windows, at=times)
def test_a_window_opens_at_its_next_opening_and_not_before(window: Window, at: datetime) -> None:
    opening = window.next_opening(at)
    assert opening > at
    assert window.is_open(opening)
    if not window.is_open(at):
        assert not window.is_open(opening - TICK)
        middle = at + (opening - at) / 2
        assert not window.is_open(middle)


@given(window=windows, at=times)
def test_a_window_is_open_by_the_clock_on_the_wall(window: Window, at: datetime) -> None:
    """Written a second time, from the wall; near a change of the clock the wall is no guide."""
    zone = ZoneInfo(window.timezone)
    wall = at.astimezone(zone)
    around = [(at + days * 24 * HOUR).astimezone(zone).utcoffset() for days in (-2, -1, 0, 1, 2)]
    if len(set(around)) > 1:
        return
    clock, today, yesterday = wall.time(), wall.weekday(), (wall.weekday() - 1) % 7
    if window.opens < window.closes:
        expected = today in window.days and window.opens <= clock < window.closes
    else:
        expected = (today in window.days and clock >= window.opens) or (
            yesterday in window.days and clock < window.closes
        )
    assert window.is_open(at) is expected


def test_a_window_has_no_gap_of_a_second() -> None:
    opened = [EVENING.is_open(utc("2026-11-25 16:59:58") + seconds * SECOND) for seconds in range(5)]
    assert opened == [False, False, True, True, True]
