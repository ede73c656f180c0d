from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from tests.support.collectives import Collective, web


def until(what: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.1)


def state(collective: Collective) -> str:
    (environment,) = collective.ronron("status", "local", "--json").json()["environments"]
    return str(environment["state"])


@pytest.mark.timeout(240)
def test_a_watch_killed_in_the_middle_of_an_update_is_started_again_and_finishes_it(
    collective: Collective,
) -> None:
    """Over 60 s: two watchers, and a site that is slow to start, so that there is time to kill the first."""
    collective.policy(local={})
    site = {**web(collective.images, "live", first_sleep=6), "hostname": "site.localhost"}
    collective.declare({"site": site})
    commit = collective.push()
    with collective.watching() as first:
        # The container is made and not yet healthy: the engine is at work.
        until(lambda: "local-site" in collective.containers(), 60)
        os.kill(first.pid, signal.SIGKILL)
    assert state(collective) == "updating"
    with collective.watching():
        until(lambda: state(collective) == "live", 120)
    assert collective.get("site.localhost").text == "live"
    assert set(collective.containers()) == {"local-edge", "local-site"}
    status = collective.ronron("status", "local")
    assert commit[:12] in status.out
    # What is live is what the state says: nothing is left to do, and nothing was made twice.
    assert collective.ronron("preview", "local").code == 0
    assert "unchanged" in collective.ronron("update", "local").out


def test_a_watch_that_is_told_to_stop_lets_its_pass_end(collective: Collective) -> None:
    collective.policy(local={})
    site = {**web(collective.images, "live", first_sleep=3), "hostname": "site.localhost"}
    collective.declare({"site": site})
    collective.push()
    with collective.watching() as watch:
        until(lambda: "local-site" in collective.containers(), 60)
        watch.send_signal(signal.SIGTERM)
        assert watch.wait(60) == 0
    assert collective.ronron("status", "local").code == 0
    assert collective.get("site.localhost").text == "live"
