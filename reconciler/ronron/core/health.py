"""The health of services: what the newest probes say, how old that is, and what is reported. Pure.

Health is apart from passes: a pass that went well says nothing about the minutes after it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from ronron.core.conditions import age
from ronron.core.model import Instant, ProbeResult, Value

CONFIRM_AFTER = timedelta(seconds=5)
"""The time from a first failing probe to the one that confirms it: a short hiccup is not reported."""

STALE_AFTER = 3
"""Intervals without a probe after which the health of a service is unknown."""


class Health(Value):
    """What probes say of one service.

    Args:
        service: its name in the inventory.
        healthy: None before anybody knows: the first probe has failed, and is not confirmed.
        since: the first of the probes that say so.
        checked_at: the newest probe.
        every: how often the service is probed.
        url, detail, status, seconds: of the newest probe; the status is None where there was no answer.
        failing_since: the first of the failing probes that are not confirmed; None where there is none.
    """

    service: str
    healthy: bool | None
    since: Instant
    checked_at: Instant
    every: timedelta
    url: str
    detail: str
    status: int | None = None
    seconds: float | None = None
    failing_since: Instant | None = None

    def is_stale(self, now: datetime) -> bool:
        """Whether the newest probe is so old that it says nothing about now."""
        return now - self.checked_at > STALE_AFTER * self.every

    def next_probe(self) -> timedelta | None:
        """After how long the service is probed again; None for the interval."""
        return min(CONFIRM_AFTER, self.every) if self.failing_since is not None else None


class HealthEvent(Value):
    """A change of the health of a service, which is reported once.

    Args:
        health: after the change.
        after: how long the service was unhealthy, where it has recovered; otherwise None.
    """

    health: Health
    after: timedelta | None = None

    def lines(self, environment: str) -> tuple[str, ...]:
        """The lines for the log."""
        service = self.health.service
        if self.after is not None:
            return (f"recovered: {service} is healthy again after {age(self.after)}",)
        return (
            f"{service} unhealthy: {self.health.detail} ({self.health.url})",
            f"hint: {log_hint(environment, service)}",
        )


class HealthState(StrEnum):
    """The health of a service, in one word."""

    HEALTHY = "healthy"
    FAILING = "failing"
    """The newest probe has failed, and is not confirmed yet."""
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"
    """Not probed yet, or not for a while."""
    NOT_PROBED = "not probed"
    """The service has no probe."""


def after_probe(
    former: Health | None, probe: ProbeResult, now: datetime, every: timedelta, *, updating: bool = False
) -> tuple[Health, HealthEvent | None]:
    """The health of a service after the watcher has probed it, and what to report.

    Args:
        former: before; None for a service that nobody has probed.
        probe: the newest one.
        now: when it ended.
        every: how often the service is probed.
        updating: a pass updates the service now. Then a failure is not confirmed: the pass itself reports
            what came of it.
    """
    if probe.healthy or (former is not None and former.healthy is False):
        return after_pass(former, probe, now, every)
    first = former.failing_since if former is not None and not former.is_stale(now) else None
    # Half of the time is enough: the clock of the machine and the one that waits may differ a little.
    if first is not None and not updating and now - first >= CONFIRM_AFTER / 2:
        health = _health(probe, now, every, since=first)
        return health, HealthEvent(health=health)
    healthy, since = (former.healthy, former.since) if former is not None else (None, now)
    return _health(probe, now, every, since).with_(healthy=healthy, failing_since=first or now), None


def after_pass(
    former: Health | None, probe: ProbeResult, now: datetime, every: timedelta
) -> tuple[Health, HealthEvent | None]:
    """The health of a service after a pass has probed it, and what to report.

    A pass probes until the service is healthy or its time is over, so its result needs no confirmation.
    """
    if former is not None and former.healthy is probe.healthy:
        return _health(probe, now, every, former.since), None
    if probe.healthy:
        health = _health(probe, now, every, since=now)
        if former is None or former.healthy is None:
            return health, None
        return health, HealthEvent(health=health, after=now - former.since)
    first = former.failing_since if former is not None else None
    health = _health(probe, now, every, since=first or now)
    return health, HealthEvent(health=health)


def state_of(health: Health | None, now: datetime) -> HealthState:
    """The health of a service that has a probe."""
    if health is None or health.is_stale(now):
        return HealthState.UNKNOWN
    if health.failing_since is not None:
        return HealthState.FAILING
    return HealthState.HEALTHY if health.healthy else HealthState.UNHEALTHY


def log_hint(environment: str, service: str) -> str:
    """What a person does about an unhealthy service."""
    return f"read its log with ronron logs {environment} {service}"


def _health(probe: ProbeResult, now: datetime, every: timedelta, since: datetime) -> Health:
    return Health(
        service=probe.service,
        healthy=probe.healthy,
        since=since,
        checked_at=now,
        every=every,
        url=probe.url,
        detail=probe.detail,
        status=probe.status,
        seconds=probe.seconds,
    )
