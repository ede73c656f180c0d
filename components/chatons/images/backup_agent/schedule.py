"""When things are done: cron's words for APScheduler, periods, the age that is promised. Times are UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from .configuration import Period
from .errors import AgentError

if TYPE_CHECKING:
    from apscheduler.triggers.base import BaseTrigger

FIRST_BACKUP = timedelta(minutes=15)
"""After the first start ever: the service is up by then, and nobody waits a day for a first snapshot."""

AGAIN = timedelta(minutes=30)
"""A backup that failed is tried again."""

PRUNE_DAYS = 7
GRACE = timedelta(hours=2)
"""What a backup may take, and a machine that was restarted, before its promise is broken."""

_DAYS = {"daily": 1, "weekly": 7, "monthly": 30}
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_YEAR = 400


def days_of(period: Period) -> int:
    """A period in days."""
    return _DAYS[period]


def trigger(expression: str) -> BaseTrigger:
    """The trigger of a cron expression of five fields.

    APScheduler counts weekdays from Monday = 0 and cron from Sunday = 0 or 7, so they are given by name.
    Where both a day of the month and a weekday are restricted, cron takes either and APScheduler both.

    Raises:
        AgentError: `failed`: it is none.
    """
    from apscheduler.triggers.combining import OrTrigger
    from apscheduler.triggers.cron import CronTrigger

    fields = expression.split()
    if len(fields) != 5:
        raise _unusable(expression, f"it has {len(fields)} fields instead of 5")
    minute, hour, day, month, weekday = fields

    def made(day: str, weekday: str) -> BaseTrigger:
        return CronTrigger(
            minute=minute,
            hour=hour,
            day=day,
            month=month.lower(),
            day_of_week=weekdays(weekday),
            timezone=UTC,
        )

    try:
        if day != "*" and weekday != "*":
            return OrTrigger([made(day, "*"), made("*", weekday)])
        return made(day, weekday)
    except ValueError as error:
        raise _unusable(expression, str(error)) from error


def weekdays(field: str) -> str:
    """Cron's field of weekdays with names instead of numbers, every day for itself. Pure.

    Raises:
        ValueError: it is none.
    """
    if field == "*":
        return "*"
    found: set[int] = set()
    for part in field.lower().split(","):
        match = re.fullmatch(r"(?:\*|(\w+)(?:-(\w+))?)(?:/(\d+))?", part)
        if match is None:
            raise ValueError(f"{part!r} is no weekday")
        first, last, step = match.groups()
        begin = 0 if first is None else _weekday(first)
        end = 6 if first is None else _weekday(last) if last else (begin if step is None else 6)
        if end < begin:
            end += 7  # fri-mon, and 5-0
        count = int(step or 1)
        if count == 0:
            raise ValueError(f"{part!r} has no step")
        found |= {number % 7 for number in range(begin, end + 1, count)}
    return ",".join(_WEEKDAYS[number] for number in sorted(found))


def longest_gap(expression: str, start: datetime) -> timedelta:
    """The longest time between two runs of a schedule, as its next year has them.

    The hours are the same on every day that a schedule runs on, so one day is looked at run by run, and from
    then on only days are counted.
    """
    cron = trigger(expression)
    midnight = start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    first = _next(cron, midnight)
    if first is None:
        raise _unusable(expression, "it never runs")
    today, longest, last = first.date(), timedelta(0), first
    while (following := _next(cron, last + timedelta(seconds=1))) is not None and following.date() == today:
        longest, last = max(longest, following - last), following
    last_offset = last - last.replace(hour=0, minute=0)
    for _ in range(_YEAR):
        tomorrow = last.replace(hour=0, minute=0) + timedelta(days=1)
        following = _next(cron, tomorrow)
        if following is None or following - midnight > timedelta(days=366 * 5):
            break
        longest = max(longest, following - last)
        last = following.replace(hour=0, minute=0) + last_offset
    return longest


def max_age_hours(expression: str, declared: float | None, start: datetime) -> float:
    """The maximum age of the newest snapshot: as declared, or the longest gap plus `GRACE`."""
    if declared is not None:
        return declared
    return (longest_gap(expression, start) + GRACE) / timedelta(hours=1)


def _next(cron: BaseTrigger, at: datetime) -> datetime | None:
    found: datetime | None = cron.get_next_fire_time(None, at)
    return found


def _weekday(word: str) -> int:
    if word.isdigit() and int(word) <= 7:
        return int(word)
    if word in _WEEKDAYS:
        return _WEEKDAYS.index(word)
    raise ValueError(f"{word!r} is no weekday")


def _unusable(expression: str, why: str) -> AgentError:
    return AgentError(
        "failed",
        f"cannot use the schedule {expression!r}: {why}",
        'Write minute, hour, day, month and weekday, as in "0 3 * * *", and update the stack: pulumi up',
    )
