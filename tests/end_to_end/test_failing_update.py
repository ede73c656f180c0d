from __future__ import annotations

import re
import socket

import pytest

from tests.support.collectives import Collective, web

pytestmark = pytest.mark.timeout(300)


def test_an_update_that_fails_its_health_check_is_said_kept_and_mended_by_the_next_commit(
    collective: Collective,
) -> None:
    """Over 60 s: two containers wait until they are given up, and the next commit replaces both."""
    hostname, more = "site.localhost", {"hostname": "other.localhost", "start_seconds": 20}
    collective.policy(local={})
    collective.declare(
        {"site": {**web(collective.images, "first"), "hostname": hostname, "start_seconds": 20}}
    )
    collective.push()
    assert collective.ronron("update", "local").code == 0
    assert collective.get(hostname).text == "first"

    sick = {
        **web(collective.images, "second"),
        "hostname": hostname,
        "start_seconds": 20,
        "command": ["sh", "-c", "echo cannot log in with $GREETING; exit 3"],
    }
    collective.declare(
        {"site": sick, "other": {**web(collective.images, "other", healthy=False), **more}},
        "site-secret-GREETING",
    )
    commit = collective.push("Break the command and the health check")
    failed = collective.ronron("update", "local")
    assert failed.code == 1, failed.said
    assert "Traceback" not in failed.said
    # A busy machine may not have checked the other one often enough to call it unhealthy.
    ill = "(is unhealthy|is running and not healthy yet)"
    for container, why in (("site", "exited with 3"), ("other", ill)):
        name = f"{collective.name}-local-{container}"
        image = re.escape(collective.images["edge"])
        assert re.search(rf"container {container}: container {name} \(image {image}\) {why}", failed.err), (
            failed.err
        )
    assert "cannot log in with [secret]" in failed.err
    assert "creating new container site" in failed.err
    status = collective.ronron("status", "--json")
    assert status.code == 1
    assert "failed" in status.out or "stalled" in status.out
    explained = collective.ronron("explain", "local")
    assert commit[:12] in explained.out
    assert "verdict   allowed" in explained.out
    assert "failed    ± replace site Container" in explained.out
    assert "change    ± replace site Container" not in explained.out
    assert "cannot log in with [secret]" in explained.out
    assert "hint" in explained.out
    store = (collective.state / "store.db").read_bytes()
    assert collective.sealed.clear not in failed.said + explained.said
    assert collective.sealed.clear.encode() not in store

    collective.declare(
        {"site": {**web(collective.images, "third"), "hostname": hostname, "start_seconds": 20}}
    )
    collective.push("Mend it")
    mended = collective.ronron("watch", "--once")
    assert mended.code == 0, mended.said
    assert collective.get(hostname).text == "third"
    assert collective.ronron("status").code == 0

    log = collective.ronron("logs", "local", "site", "--lines", "5")
    assert log.code == 0, log.said
    ran = collective.ronron("exec", "local", "site", "--", "sh", "-c", "echo inside; exit 7")
    assert (ran.code, ran.out) == (7, "inside\n")
    assert collective.ronron("logs", "local", "site", "--container", "edge").code == 0
    restarted = collective.ronron("restart", "local", "site", "--yes")
    assert restarted.code == 0, restarted.said
    assert "restarted: site is healthy" in restarted.out
    assert collective.get(hostname).text == "third"


def test_an_environment_that_rolls_back_serves_the_last_healthy_commit_again(collective: Collective) -> None:
    """Over 60 s on a busy machine: three updates, one of which waits for a container in vain."""
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
    assert f"container {collective.name}-local-site" in back.err
    assert re.search("is unhealthy|not healthy yet", back.err)
    assert collective.get(hostname).text == "first"
    assert re.search("is unhealthy|not healthy yet", collective.ronron("explain", "local").out)
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
