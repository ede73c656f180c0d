"""The schedule as in crontab(5), periods, and the maximum age of a snapshot. Times are UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from .configuration import Period
from .errors import AgentError

FIRST_BACKUP = timedelta(minutes=15)
"""From an agent's very first start to its first backup: the service is up by then."""

RETRY_AFTER = timedelta(minutes=30)
"""From a failed backup to the next attempt."""

PRUNE_DAYS = 7
GRACE = timedelta(hours=2)
"""Added to the longest gap of a schedule: a backup takes time, and a machine may restart."""

_DAYS = {"daily": 1, "weekly": 7, "monthly": 30}
_FIELDS = 5
_WEEK, _YEAR = 8, 400
"""Days with runs that are compared: more than a week, or more than a year, after which a schedule repeats."""


def days_of(period: Period) -> int:
    """A period in days."""
    return _DAYS[period]


def next_run(expression: str, after: datetime) -> datetime:
    """The first run of a schedule after a moment.

    Weekdays count from Sunday = 0 or 7. Where neither the day of the month nor the weekday is `*`, a day that
    matches either is enough, as in cron.

    Raises:
        AgentError: `failed`: the expression is not a schedule, or never runs.
    """
    fields = expression.split()
    if len(fields) != _FIELDS:
        raise _unusable(expression, f"it needs {_FIELDS} fields and has {len(fields)}")
    minute, hour, day, month, weekday = fields
    alternatives = [(day, weekday)]
    if "*" not in alternatives[0]:
        # Each alone: croniter finds no run of both where no such month has the day.
        alternatives = [(day, "*"), ("*", weekday)]
    moment = after.astimezone(UTC)
    try:
        times = [_next(f"{minute} {hour} {day} {month} {weekday}", moment) for day, weekday in alternatives]
    except ValueError as error:
        raise _unusable(expression, str(error)) from error
    found = min((at for at in times if at is not None), default=None)
    if found is None:
        raise _unusable(expression, "it never runs")
    return found


def _next(expression: str, after: datetime) -> datetime | None:
    from croniter import CroniterBadDateError, croniter

    try:
        found: datetime = croniter(expression, after).get_next(datetime)
    except CroniterBadDateError:
        return None
    return found


def longest_gap(expression: str, start: datetime) -> timedelta:
    """The longest time between two runs in the year from `start` on.

    A schedule has the same hours on every day that it runs on: so this compares the runs of one day, and then
    only the days.

    Raises:
        AgentError: `failed`: the expression is not a schedule, or never runs.
    """
    midnight = start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    moment = timedelta(seconds=1)
    first = next_run(expression, midnight - moment)
    longest, last = timedelta(0), first
    while (following := next_run(expression, last)).date() == first.date():
        longest, last = max(longest, following - last), following
    last_of_day = last - last.replace(hour=0, minute=0)
    _, _, day, month, _ = expression.split()
    for _ in range(_WEEK if day == month == "*" else _YEAR):
        tomorrow = last.replace(hour=0, minute=0) + timedelta(days=1)
        following = next_run(expression, tomorrow - moment)
        if following - midnight > timedelta(days=366 * 5):
            break
        longest = max(longest, following - last)
        last = following.replace(hour=0, minute=0) + last_of_day
    return longest


def max_age_hours(expression: str, declared: float | None, start: datetime) -> float:
    """The maximum age of the newest snapshot: as declared, or the longest gap plus `GRACE`."""
    if declared is not None:
        return declared
    return (longest_gap(expression, start) + GRACE) / timedelta(hours=1)


def _unusable(expression: str, why: str) -> AgentError:
    return AgentError(
        "failed",
        f"cannot use the schedule {expression!r}: {why}",
        'write minute, hour, day, month and weekday, as in "0 3 * * *", and update',
    )
