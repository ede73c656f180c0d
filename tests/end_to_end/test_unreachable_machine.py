"""Two machines, one of which falls silent: the other is updated, and what waits is made up for by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import docker
import pytest

from tests.support.collectives import Collective, web
from tests.support.forwarders import Forwarder, forwarder
from tests.support.pulumi_project import until

pytestmark = pytest.mark.timeout(300)

THERE = "there"


@pytest.fixture
def there(collective: Collective) -> Iterator[Forwarder]:
    """The way to the second machine, which is this one by another door."""
    del collective  # It removes what is on both, and does so after the door is closed.
    with forwarder() as made:
        yield made


def declare(collective: Collective, there: Forwarder, text: str) -> None:
    """A site on `here`, which people visit, and a job on the other machine; both say the same text."""
    collective.declare(
        {
            "site": {**web(collective.images, text), "hostname": "site.localhost"},
            "job": {**web(collective.images, text), "machine": THERE},
        },
        machines={"here": {"docker": "unix:///var/run/docker.sock"}, THERE: {"docker": there.address}},
    )


def said_by_job(collective: Collective) -> list[str]:
    """What the job's container is told to say."""
    (found,) = (one for name, one in collective.containers().items() if name.endswith("-job"))
    with closing(docker.from_env()) as engine:
        return [str(word) for word in engine.containers.get(found).attrs["Config"]["Cmd"]]


def test_a_silent_machine_blocks_only_what_is_on_it(collective: Collective, there: Forwarder) -> None:
    """Over 60 s: several passes in a row, some of which wait in vain for the machine."""
    # No watcher probes between these passes.
    collective.policy(local={"probe_every": "1h"})
    declare(collective, there, "one")
    collective.push()
    first = collective.ronron("update", "local")
    assert first.code == 0, first.said
    assert collective.get("site.localhost").text == "one"

    there.stop()
    declare(collective, there, "two")
    commit = collective.push("Change both")
    looked = collective.ronron("preview", "local")
    assert "there is unreachable" in looked.said, looked.said
    updated = collective.ronron("watch", "--once")
    assert updated.code == 1, updated.said
    unreachable = "there is unreachable (no such file or directory)"
    assert f"main@{commit[:12]} is degraded: {unreachable}" in updated.said, updated.said
    assert "job waits for it" in updated.said
    assert collective.get("site.localhost").text == "two"
    assert "one" in said_by_job(collective)

    status = collective.ronron("status", "local")
    assert status.code == 1
    assert "degraded" in status.out
    explained = collective.ronron("explain", "local")
    assert "bring there back" in explained.out
    (made, *_) = collective.ronron("history", "local", "--json").json()["passes"]
    assert made["outcome"]["kind"] == "degraded"
    assert list(made["outcome"]["excluded"]["machines"]) == [THERE]
    assert made["outcome"]["excluded"]["services"] == ["job"]

    # Still silent: nothing is started again, and nothing is called whole.
    waiting = collective.ronron("watch", "--once")
    assert waiting.code == 1, waiting.said
    assert len(collective.ronron("history", "local", "--json").json()["passes"]) == 2

    # Back again: the next look makes it whole, without a commit or a request.
    there.start()
    whole = collective.ronron("watch", "--once")
    assert whole.code == 0, whole.said
    assert "two" in said_by_job(collective)
    assert collective.ronron("status", "local").code == 0
    (made, *_) = collective.ronron("history", "local", "--json").json()["passes"]
    assert made["decision"]["reason"] == "a machine is reachable again"
    assert made["outcome"]["kind"] == "updated"


def test_a_watch_goes_on_by_itself_when_the_machine_is_back(collective: Collective, there: Forwarder) -> None:
    """Over 60 s: a pass waits in vain for the machine, and the watcher makes another one later."""
    collective.policy(local={})
    declare(collective, there, "one")
    collective.push()
    assert collective.ronron("update", "local").code == 0
    there.stop()
    declare(collective, there, "two")
    collective.push("Change both")
    with collective.watching():
        until(lambda: "degraded in" in _log(collective), "the update of the other machine")
        there.start()
        until(lambda: "updated in" in _log(collective), "the update of the machine that is back")
    assert "two" in said_by_job(collective)


def _log(collective: Collective) -> str:
    return (collective.root / "watch.log").read_text(errors="replace")
