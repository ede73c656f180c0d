"""Whether a web answer is the one that an inventory declares. Pure."""

from __future__ import annotations

from http import HTTPStatus

from ronron.core.inventory import Probe
from ronron.core.model import ProbeResult
from ronron.core.redact import redact, shorten

LONGEST = 200
"""Characters of a detail: one line on a screen, or two."""


def assess(
    service: str, probe: Probe, status: int, body: str, seconds: float, *, to: str = ""
) -> ProbeResult:
    """What an answer says of a service.

    A redirect is an answer as any other: the inventory says whether it is a good one.

    Args:
        service: its name in the inventory.
        probe: what was asked, and the answer that it declares.
        status: HTTP status of the answer.
        body: its text, or as much of it as was read.
        seconds: from the question to the end of what was read.
        to: where a redirect points.
    """
    if status not in probe.status:
        wanted = " or ".join(str(one) for one in sorted(set(probe.status)))
        went = f"{named(status)} to {to}" if to else named(status)
        return sick(service, probe, f"{went} instead of {wanted}").with_(status=status, seconds=seconds)
    if probe.contains is not None and probe.contains not in body:
        missing = f"{status} without the text {shorten(probe.contains, 60)!r}"
        return sick(service, probe, missing).with_(status=status, seconds=seconds)
    return ProbeResult(
        service=service,
        url=redact(probe.url),
        healthy=True,
        detail=f"{status} in {seconds:.2f} s",
        status=status,
        seconds=seconds,
    )


def named(status: int) -> str:
    """An HTTP status with its name, such as `502 Bad Gateway`."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        # Not one of the registered statuses, such as 520 of some proxies.
        return str(status)


def sick(service: str, probe: Probe, why: str) -> ProbeResult:
    """An unhealthy service, and why in one line."""
    line = " ".join(redact(why).split())
    return ProbeResult(service=service, url=redact(probe.url), healthy=False, detail=shorten(line, LONGEST))
