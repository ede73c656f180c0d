from __future__ import annotations

import socket

from tests.support.collectives import Collective, web


def test_an_update_that_fails_its_health_check_is_said_kept_and_mended_by_the_next_commit(
    collective: Collective,
) -> None:
    hostname = "site.localhost"
    collective.policy(local={})
    collective.declare(
        {"site": {**web(collective.images, "first"), "hostname": hostname, "start_seconds": 20}}
    )
    collective.push()
    assert collective.ronron("update", "local").code == 0
    assert collective.get(hostname).text == "first"

    sick = {**web(collective.images, "second", healthy=False), "hostname": hostname, "start_seconds": 20}
    collective.declare({"site": sick})
    commit = collective.push("Break the health check")
    failed = collective.ronron("update", "local")
    assert failed.code == 1, failed.said
    assert "site" in failed.said
    assert "Traceback" not in failed.said
    status = collective.ronron("status", "--json")
    assert status.code == 1
    assert "failed" in status.out or "stalled" in status.out
    explained = collective.ronron("explain", "local")
    assert commit[:12] in explained.out
    assert "hint" in explained.out

    collective.declare(
        {"site": {**web(collective.images, "third"), "hostname": hostname, "start_seconds": 20}}
    )
    collective.push("Mend it")
    mended = collective.ronron("watch", "--once")
    assert mended.code == 0, mended.said
    assert collective.get(hostname).text == "third"
    assert collective.ronron("status").code == 0


def test_an_environment_that_rolls_back_serves_the_last_healthy_commit_again(collective: Collective) -> None:
    hostname = "site.localhost"
    collective.policy(local={"on_failure": "rollback"})
    collective.declare(
        {"site": {**web(collective.images, "first"), "hostname": hostname, "start_seconds": 20}}
    )
    good = collective.push()
    assert collective.ronron("update", "local").code == 0

    sick = {**web(collective.images, "second", healthy=False), "hostname": hostname, "start_seconds": 20}
    collective.declare({"site": sick})
    collective.push("Break the health check")
    back = collective.ronron("update", "local")
    assert back.code == 1, back.said
    assert collective.get(hostname).text == "first"
    passes = collective.ronron("history", "local", "--json").out
    assert "rolled back" in passes or "rolled_back" in passes
    assert good[:12] in collective.ronron("status").out


def test_an_update_whose_port_is_taken_says_so_and_is_live_when_it_is_free(collective: Collective) -> None:
    collective.policy(local={})
    collective.declare({"site": {**web(collective.images, "first"), "hostname": "site.localhost"}})
    collective.push()
    with socket.create_server(("127.0.0.1", collective.port)):
        failed = collective.ronron("update", "local")
    assert failed.code == 1, failed.said
    assert "address already in use" in failed.said
    assert "free the port" in failed.said
    assert "previewed" not in failed.said, "what waited for the edge is not the cause"

    mended = collective.ronron("update", "local")
    assert mended.code == 0, mended.said
    assert collective.get("site.localhost").text == "first"
