from __future__ import annotations

from datetime import datetime

from tests.end_to_end.collectives import Collective, free_port, web


def test_two_environments_are_updated_at_the_same_time_and_apart(collective: Collective) -> None:
    ports = {"here": collective.port, "there": free_port()}
    collective.policy(here={}, there={})
    for stack, port in ports.items():
        site = {**web(collective.images, stack, first_sleep=3), "hostname": "site.localhost"}
        collective.declare({"site": site}, stack=stack, port=port)
    collective.push()
    watched = collective.ronron("watch", "--once")
    assert watched.code == 0, watched.said
    for stack, port in ports.items():
        assert collective.ask("GET", "site.localhost", "/", port=port).text == stack
    times = {
        made["environment"]: (datetime.fromisoformat(made["begun"]), datetime.fromisoformat(made["ended"]))
        for made in collective.ronron("history", "--json").json()["passes"]
    }
    assert max(begun for begun, _ in times.values()) < min(ended for _, ended in times.values())

    # One that fails keeps nobody else from being updated.
    broken = {**web(collective.images, "x", healthy=False), "hostname": "site.localhost", "start_seconds": 10}
    collective.declare({"site": broken}, stack="here", port=ports["here"])
    better = {**web(collective.images, "better"), "hostname": "site.localhost"}
    collective.declare({"site": better}, stack="there", port=ports["there"])
    collective.push("Break one, better the other")
    assert collective.ronron("watch", "--once").code == 1
    assert collective.ask("GET", "site.localhost", "/", port=ports["there"]).text == "better"
    assert collective.ronron("status", "there").code == 0
    assert collective.ronron("status", "here").code == 1
