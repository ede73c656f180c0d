from __future__ import annotations

from datetime import datetime

from tests.support.collectives import Collective, web
from tests.support.ports import free_port


def test_two_environments_are_updated_at_the_same_time_and_apart(collective: Collective) -> None:
    """Over 60 s: two slow sites start, then one of them fails its health check until it is given up."""
    ports = {"local-here": collective.port, "local-there": free_port()}
    collective.policy(**{name: {} for name in ports})
    for stack, port in ports.items():
        site = {**web(collective.images, stack, first_sleep=3), "hostname": "site.localhost"}
        collective.declare({"site": site}, stack=stack, port=port)
    collective.push()
    watched = collective.ronron("watch", "--once")
    assert watched.code == 0, watched.said
    for stack, port in ports.items():
        assert collective.ask("GET", "site.localhost", "/", port=port).text == stack
    times = {
        made["environment"]: (
            datetime.fromisoformat(made["started"]),
            datetime.fromisoformat(made["finished"]),
        )
        for made in collective.ronron("history", "--json").json()["passes"]
    }
    assert max(begun for begun, _ in times.values()) < min(ended for _, ended in times.values())

    # One that fails keeps nobody else from being updated.
    broken = {**web(collective.images, "x", healthy=False), "hostname": "site.localhost", "start_seconds": 10}
    collective.declare({"site": broken}, stack="local-here", port=ports["local-here"])
    better = {**web(collective.images, "better"), "hostname": "site.localhost"}
    collective.declare({"site": better}, stack="local-there", port=ports["local-there"])
    collective.push("Break one, better the other")
    assert collective.ronron("watch", "--once").code == 1
    assert collective.ask("GET", "site.localhost", "/", port=ports["local-there"]).text == "better"
    assert collective.ronron("status", "local-there").code == 0
    assert collective.ronron("status", "local-here").code == 1
