"""Formats the health of services and the last pass for people. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from rich.markup import escape

from ronron.core.conditions import age
from ronron.core.health import HealthState
from ronron.core.model import Pass
from ronron.core.status import EnvironmentStatus, ServiceStatus

COLOURS = {
    HealthState.HEALTHY: "green",
    HealthState.UNHEALTHY: "bold red",
    HealthState.FAILING: "yellow",
    HealthState.UNKNOWN: "yellow",
    HealthState.NOT_PROBED: "default",
}

LATELY = timedelta(hours=12)
"""A time without its date is understood from now back to this long ago."""


def service_lines(environment: EnvironmentStatus) -> list[str]:
    """The services with their health now, as markup; what is not healthy has a line of its own.

    A hint that several services have is shown once, at the last of them.
    """
    lines = []
    hints = [service.hint for service in environment.services]
    for place, service in enumerate(environment.services):
        about = escape(f"{service.name}  {service.kind} {service.version}  {service.url or '-'}")
        word, rest = health_words(service, environment.at)
        said = f"[{COLOURS[service.health]}]{word}[/]{escape(rest)}"
        if service.health in {HealthState.HEALTHY, HealthState.NOT_PROBED} and not service.hint:
            lines.append(f"  service  {about}  {said}")
        else:
            lines += [f"  service  {about}", f"           {said}"]
        if service.hint and service.hint not in hints[place + 1 :]:
            lines.append(f"           [cyan]hint[/]  {escape(service.hint)}")
    return lines


def health_words(service: ServiceStatus, now: datetime) -> tuple[str, str]:
    """The health of a service in one word, and the rest of the sentence: how old, since when, and why."""
    checked = age(now - service.checked_at) if service.checked_at is not None else ""
    since = service.since if service.since is not None else now
    match service.health:
        case HealthState.HEALTHY:
            return "healthy", f" {checked} ago"
        case HealthState.UNHEALTHY:
            return "unhealthy", f" since {_clock(since, now)} ({age(now - since)}): {service.detail}"
        case HealthState.FAILING:
            return "failing", f" for {age(now - since)}: {service.detail}; the next probe decides"
        case HealthState.UNKNOWN if checked:
            why = f"; {service.detail}" if service.detail else ", no watcher probes it"
            return "unknown", f": last probed {checked} ago{why}"
        case HealthState.UNKNOWN:
            return "unknown", f": not probed yet{f'; {service.detail}' if service.detail else ''}"
        case HealthState.NOT_PROBED:
            return "not probed", f": {service.detail or 'it has no public URL'}"


def pass_line(environment: EnvironmentStatus) -> str:
    """One line for the last pass: when it ended, and how."""
    made = environment.last
    if made is None:
        return "  pass     none yet"
    if made.outcome is None or made.finished is None:
        return f"  pass     {made.id} began {age(environment.at - made.started)} ago"
    first = made.outcome.message.partition("\n")[0]
    said = f": {first}" if first and first not in environment.why else ""
    return f"  pass     {made.id} {made.outcome.kind} {age(environment.at - made.finished)} ago{said}"


def duration(made: Pass) -> str:
    """How long a pass took, such as `in 3.2 s`; empty while it runs."""
    if made.finished is None:
        return ""
    # Records of earlier releases have passes that end a moment before they begin.
    return f"in {max(0.0, (made.finished - made.started).total_seconds()):.1f} s"


def _clock(at: datetime, now: datetime) -> str:
    """A time in the time zone of this machine; with its date where that is not clear."""
    return at.astimezone().strftime("%H:%M" if now - at < LATELY else "%Y-%m-%d %H:%M")
