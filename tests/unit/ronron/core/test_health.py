"""What probes say of a service over time: a table of probes, with the health and the events that follow."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from ronron.core.health import (
    CONFIRM_AFTER,
    Health,
    HealthEvent,
    HealthState,
    after_pass,
    after_probe,
    state_of,
)
from ronron.core.model import ProbeResult
from ronron.testing import NOON
from tests.support.values import HOUR, MINUTE, SECOND

URL = "https://pad.example/"
GOOD = ProbeResult(service="pad", url=URL, healthy=True, detail="200 in 0.04 s", status=200, seconds=0.04)
BAD = ProbeResult(
    service="pad", url=URL, healthy=False, detail="502 Bad Gateway instead of 200", status=502, seconds=0.01
)
REFUSED = ProbeResult(service="pad", url=URL, healthy=False, detail="connection refused")


def at(seconds: float) -> datetime:
    return NOON + seconds * SECOND


def probed(
    *probes: tuple[float, ProbeResult], former: Health | None = None, updating: bool = False
) -> tuple[Health | None, list[tuple[float, HealthEvent]]]:
    """Probe at these seconds after noon; the health at the end, and the events with their times."""
    events = []
    for seconds, probe in probes:
        former, event = after_probe(former, probe, at(seconds), MINUTE, updating=updating)
        if event is not None:
            events.append((seconds, event))
    return former, events


def healthy(since: float = 0) -> Health:
    health, _ = after_probe(None, GOOD, at(since), MINUTE)
    return health


def unhealthy(since: float = 0) -> Health:
    health, _ = after_pass(None, BAD, at(since), MINUTE)
    return health


def test_a_first_good_probe_is_healthy_and_no_news() -> None:
    health, events = probed((0, GOOD), (60, GOOD))
    assert events == []
    assert health == Health(
        service="pad", healthy=True, since=at(0), checked_at=at(60), every=MINUTE, url=URL,
        detail="200 in 0.04 s", status=200, seconds=0.04,
    )  # fmt: skip


@pytest.mark.parametrize("former", [None, healthy(-60)], ids=["never probed", "healthy"])
def test_one_failing_probe_is_confirmed_quickly_before_it_is_reported(former: Health | None) -> None:
    suspected, events = probed((0, BAD), former=former)
    assert events == []
    assert suspected is not None
    assert suspected.healthy is (former.healthy if former else None)
    assert suspected.next_probe() == CONFIRM_AFTER

    health, events = probed((5, REFUSED), former=suspected)
    assert health is not None
    assert (health.healthy, health.since, health.failing_since) == (False, at(0), None)
    assert health.next_probe() is None
    assert [event.lines("local") for _, event in events] == [
        (
            "pad unhealthy: connection refused (https://pad.example/)",
            "hint: read its log with ronron logs local pad",
        )
    ]


def test_a_blip_is_no_news() -> None:
    health, events = probed((0, BAD), (5, GOOD), (60, BAD), (65, GOOD), former=healthy(-60))
    assert events == []
    assert health is not None
    assert (health.healthy, health.since, health.failing_since) == (True, at(-60), None)


def test_an_outage_and_its_recovery_are_reported_once_each_with_how_long_it_was() -> None:
    probes = [(0, BAD), (5, BAD), (60, BAD), (120, REFUSED), (480, GOOD), (540, GOOD)]
    health, events = probed(*probes, former=healthy(-60))
    assert [(seconds, event.lines("local")[0]) for seconds, event in events] == [
        (5, "pad unhealthy: 502 Bad Gateway instead of 200 (https://pad.example/)"),
        (480, "recovered: pad is healthy again after 8 min"),
    ]
    assert health is not None
    assert health.since == at(480)


def test_an_outage_that_goes_on_keeps_its_beginning_and_takes_over_the_newest_reason() -> None:
    health, _ = probed((60, REFUSED), former=unhealthy(0))
    assert health is not None
    assert (health.since, health.checked_at, health.detail) == (at(0), at(60), "connection refused")
    assert (health.status, health.seconds) == (None, None)


def test_two_failing_probes_at_the_same_time_do_not_confirm_each_other() -> None:
    assert probed((0, BAD), (0.1, BAD), former=healthy(-60))[1] == []


def test_a_failure_during_an_update_waits_for_the_end_of_the_pass() -> None:
    suspected, events = probed((0, BAD), (60, BAD), (120, BAD), former=healthy(-60), updating=True)
    assert events == []
    assert suspected is not None
    assert suspected.healthy is True
    _, events = probed((121, BAD), former=suspected)
    assert [event.health.since for _, event in events] == [at(0)]
    assert probed((121, GOOD), former=suspected)[1] == []


def test_a_recovery_during_an_update_is_reported() -> None:
    assert len(probed((60, GOOD), former=unhealthy(0), updating=True)[1]) == 1


def test_a_failing_probe_of_long_ago_confirms_nothing() -> None:
    suspected, _ = probed((0, BAD), former=healthy(-60))
    assert probed((3600, BAD), former=suspected)[1] == []


@pytest.mark.parametrize(
    ("former", "probe", "since", "event"),
    [
        pytest.param(None, GOOD, 60, None, id="first, good"),
        pytest.param(None, BAD, 60, "unhealthy", id="first, bad"),
        pytest.param(healthy(), GOOD, 0, None, id="healthy as before"),
        pytest.param(healthy(), BAD, 60, "unhealthy", id="unhealthy at once"),
        pytest.param(unhealthy(), BAD, 0, None, id="unhealthy as before"),
        pytest.param(unhealthy(), GOOD, 60, "recovered", id="recovered"),
        pytest.param(
            healthy().with_(failing_since=at(30)), BAD, 30, "unhealthy", id="unhealthy since it was suspected"
        ),
        pytest.param(
            healthy().with_(healthy=None, failing_since=at(30)), GOOD, 60, None, id="known for the first time"
        ),
    ],
)
def test_a_probe_of_a_pass_needs_no_confirmation(
    former: Health | None, probe: ProbeResult, since: float, event: str | None
) -> None:
    health, found = after_pass(former, probe, at(60), MINUTE)
    assert (health.healthy, health.since, health.checked_at) == (probe.healthy, at(since), at(60))
    assert health.failing_since is None
    assert (found is None) is (event is None)
    assert (event or "") in (found.lines("local")[0] if found is not None else "")


@pytest.mark.parametrize(
    ("health", "now", "state"),
    [
        pytest.param(None, 0, HealthState.UNKNOWN, id="never probed"),
        pytest.param(healthy(), 12, HealthState.HEALTHY, id="healthy"),
        pytest.param(healthy(), 180, HealthState.HEALTHY, id="three intervals ago"),
        pytest.param(healthy(), 181, HealthState.UNKNOWN, id="longer ago"),
        pytest.param(unhealthy(), 12, HealthState.UNHEALTHY, id="unhealthy"),
        pytest.param(unhealthy(), 3600, HealthState.UNKNOWN, id="unhealthy long ago"),
        pytest.param(healthy().with_(failing_since=at(2)), 4, HealthState.FAILING, id="not confirmed"),
    ],
)
def test_what_probes_say_is_old_after_three_intervals(
    health: Health | None, now: float, state: HealthState
) -> None:
    assert state_of(health, at(now)) is state


def test_a_longer_interval_makes_a_probe_old_later() -> None:
    health, _ = after_probe(None, GOOD, NOON, HOUR)
    assert state_of(health, NOON + 3 * HOUR) is HealthState.HEALTHY
    assert state_of(health, NOON + 3 * HOUR + timedelta(seconds=1)) is HealthState.UNKNOWN


def test_a_confirmation_is_never_later_than_the_interval() -> None:
    health, _ = after_probe(None, BAD, NOON, 2 * SECOND)
    assert health.next_probe() == 2 * SECOND
