"""Containers that are stopped, removed, replaced or edited by hand, or crash-loop, come back by themselves.

The tests share one stack and break many containers at once: a watcher looks every ten seconds at the
earliest, and each update of a real stack takes seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from tests.support.collectives import Collective, Document, web
from tests.support.forwarders import Forwarder, forwarder
from tests.support.lived_in import LivedIn

pytestmark = pytest.mark.timeout(400)

EVERY: Document = {"probe_every": "10s"}
MIB = 1024 * 1024


class Broken:
    """A collective whose containers are broken by hand: services `a` to `g`, and `far` on another machine."""

    def __init__(self, collective: Collective, there: Forwarder, engine: docker.DockerClient) -> None:
        self.collective, self.there, self.engine = collective, there, engine

    def name(self, role: str) -> str:
        return f"{self.collective.name}-local-{role}"

    def container(self, role: str) -> Container:
        return self.engine.containers.get(self.name(role))

    def begin(self) -> None:
        """Bring it up for the first time."""
        image = self.collective.images
        breaks = ["sh", "-c", "[ ! -e /srv/broken ] || exit 3; exec caddy respond --listen :8000 --body ok"]
        services: Document = {role: web(image, role) for role in "abcdefg"}
        services["c"] = {**services["c"], "command": breaks}
        services["d"] = {**services["d"], "environment": {"GREETING": "hello"}}
        services["far"] = {**web(image, "far"), "machine": "there"}
        here = {"docker": "unix:///var/run/docker.sock"}
        self.policy("update")
        self.collective.declare(services, machines={"here": here, "there": {"docker": self.there.address}})
        self.collective.push()
        first = self.collective.ronron("update", "local")
        assert first.code == 0, first.said

    def policy(self, on_drift: str) -> None:
        self.collective.policy(local={**EVERY, "drift": {"every": "30s", "on_drift": on_drift}})

    def log(self) -> str:
        file = self.collective.root / "watch.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def until(self, true: Callable[[], bool], what: str, seconds: float = 150) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"never came: {what}\n{self.log()}"
            time.sleep(0.2)

    def facts(self) -> dict[str, Any]:
        """What `ronron drift` says, by the role of the container."""
        ran = self.collective.ronron("drift", "local", "--json")
        assert ran.code == 1, ran.said
        mine = self.name("")
        return {one["container"].removeprefix(mine): one for one in ran.json()["drift"]}

    def watched(self, *texts: str) -> None:
        """Watch until the log has each text."""
        with self.collective.watching():
            for text in texts:
                self.until(lambda text=text: text in self.log(), text)  # type: ignore[misc]

    def has_no_drift(self) -> None:
        looked = self.collective.ronron("drift", "local")
        assert looked.code == 0, looked.said + self.log()


@pytest.fixture(scope="module")
def broken(found_for_module: Callable[[], Collective]) -> Iterator[Broken]:
    with forwarder() as there, closing(docker.from_env()) as engine:
        made = Broken(found_for_module(), there, engine)
        made.begin()
        yield made


def test_what_broke_comes_back_by_itself_and_each_thing_is_reported_once(broken: Broken) -> None:
    """Over 60 s: the watcher looks every 10 s, and compares settings every 30 s."""
    broken.has_no_drift()
    broken.container("a").stop(timeout=1)
    broken.container("b").remove(force=True)
    broken.container("c").exec_run(["sh", "-c", "touch /srv/broken; kill 1"])
    by_hand = broken.container("d")
    image, memory = by_hand.attrs["Image"], by_hand.attrs["HostConfig"]["Memory"]
    by_hand.remove(force=True)
    broken.engine.containers.run(
        image, ["caddy", "respond", "--listen", ":8000", "--body", "by hand"], detach=True,
        name=broken.name("d"), environment={"GREETING": "bye"}, mem_limit=memory,
    )  # fmt: skip
    broken.container("e").update(mem_limit=128 * MIB, memswap_limit=128 * MIB)
    network = broken.engine.networks.get(broken.name("f"))
    network.disconnect(broken.container("f"))
    broken.container("g").remove(force=True)
    broken.engine.networks.get(broken.name("g")).remove()

    facts = broken.facts()
    assert {role: one["kind"] for role, one in facts.items()} == {
        "a": "stopped", "b": "missing", "c": "crash-looping", "d": "replaced by hand",
        "e": "edited by hand", "f": "edited by hand", "g": "missing",
    }  # fmt: skip
    assert all(one["machine"] == "here" and one["since"] for one in facts.values())
    differences = {role: [each["text"] for each in one["differences"]] for role, one in facts.items()}
    assert "memory: 128 MiB, was 512 MiB" in differences["e"]
    assert differences["f"] == [f"network {broken.name('f')}: removed, was attached"]
    assert "variable GREETING changed" in differences["d"]
    assert facts["g"]["is"] == f"missing (and so is network {broken.name('g')})"
    assert "bye" not in str(facts)
    assert "hello" not in str(facts)

    broken.watched(*(f"recovered: {broken.name(role)} on here is as it was made" for role in "abcdefg"))
    said = broken.log()
    for role in "abcdefg":
        assert said.count(f"drift: {broken.name(role)} on here ") == 1, said
        assert said.count(f"recovered: {broken.name(role)} on here ") == 1, said
    broken.has_no_drift()
    assert broken.container("e").attrs["HostConfig"]["Memory"] == 512 * MIB
    assert broken.name("f") in broken.container("f").attrs["NetworkSettings"]["Networks"]
    assert "GREETING=hello" in broken.container("d").attrs["Config"]["Env"]
    assert broken.collective.ronron("status", "local").code == 0
    (made, *_) = broken.collective.ronron("history", "local", "--json").json()["passes"]
    assert made["decision"]["reason"] == "drift"


def test_where_the_policy_says_so_drift_is_only_reported_and_an_unreachable_machine_is_unknown(
    broken: Broken,
) -> None:
    """Over 60 s: two passes on a real engine, and a watcher that looks every 10 s."""
    broken.policy("report")
    broken.collective.push("Only report drift")
    assert broken.collective.ronron("update", "local").code == 0
    broken.container("a").stop(timeout=1)
    broken.container("far").remove(force=True)
    broken.there.stop()
    stopped = f"drift: {broken.name('a')} on here is stopped"
    broken.watched(stopped, "unreachable: there: ")
    assert broken.container("a").status == "exited"
    facts = broken.collective.ronron("drift", "local", "--json")
    assert facts.code == 1
    assert list(facts.json()["unknown"]) == ["there"]
    assert [one["container"] for one in facts.json()["drift"]] == [broken.name("a")]
    status = broken.collective.ronron("status", "local")
    assert status.code == 1
    assert "unknown on there" in status.out

    # A person's request puts back what is missing, whatever the policy says.
    broken.there.start()
    asked = broken.collective.ronron("update", "local")
    assert asked.code == 0, asked.said
    names = f"{broken.name('a')} on here, {broken.name('far')} on there"
    assert f"put back {names}" in asked.out
    broken.has_no_drift()


@pytest.fixture(scope="module")
def board(found_for_module: Callable[[], Collective], doubles: Mapping[str, str]) -> LivedIn:
    made = LivedIn(found_for_module(), doubles, ("board",))
    made.begin()
    return made


def test_a_service_comes_back_with_its_data_though_its_database_and_its_agent_are_gone(
    board: LivedIn,
) -> None:
    """Over 60 s: a service with a database and an agent is brought up, and again after it was removed."""
    written = board.read()
    with closing(docker.from_env()) as engine:
        for role in ("board", "board-database", "board-backup"):
            engine.containers.get(board.container(role)).remove(force=True)
    looked = board.collective.ronron("watch", "--once", seconds=400)
    assert looked.code == 0, looked.said
    assert "it only puts back what drifted" in looked.said
    for role in ("board", "board-database", "board-backup"):
        assert looked.said.count(f"drift: {board.container(role)} on here is missing") == 1, looked.said
        assert f"recovered: {board.container(role)} on here is as it was made" in looked.said
    assert board.read() == written
    (made, *_) = board.collective.ronron("history", "local", "--json").json()["passes"]
    assert made["outcome"]["snapshots"] == []
    assert board.collective.ronron("drift", "local").code == 0
