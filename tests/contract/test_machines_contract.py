"""The contract of ports.Machines. The real adapter asks this machine's Docker, by two addresses."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Protocol

import pytest

from ronron.adapters.docker_agents.machines import DockerMachines
from ronron.core.inventory import Inventory
from ronron.ports import Machines
from ronron.testing import FakeMachines
from tests.support.forwarders import Forwarder, forwarder
from tests.support.worlds import inventory


class Site(Protocol):
    """Two machines, `here` and `there`, with a service on each; and a third on which nothing runs."""

    machines: Machines

    def address(self) -> str: ...
    def is_gone(self) -> None: ...
    def is_back(self) -> None: ...


class FakeSite:
    def __init__(self) -> None:
        self.fake = FakeMachines()
        self.machines: Machines = self.fake

    def address(self) -> str:
        return "ssh://tech@there.example"

    def is_gone(self) -> None:
        self.fake.silence("there")

    def is_back(self) -> None:
        self.fake.bring_back("there")


class RealSite:
    def __init__(self, there: Forwarder) -> None:
        self.there = there
        self.machines: Machines = DockerMachines()

    def address(self) -> str:
        return self.there.address

    def is_gone(self) -> None:
        self.there.stop()

    def is_back(self) -> None:
        self.there.start()


@pytest.fixture(params=["fake", "docker"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    if request.param == "fake":
        yield FakeSite()
        return
    with forwarder() as there:
        yield RealSite(there)


def found(address: str, *, host_key: str | None = None, known: bool = True) -> Inventory:
    """An inventory with a pad on `here` and a team on `there`; `unused` runs nothing."""
    document = inventory()
    machines, services = document["machines"], document["services"]
    assert isinstance(machines, dict)
    assert isinstance(services, dict)
    machines["unused"] = {"docker": "unix:///nonexistent/docker.sock"}
    if known:
        machines["there"] = {"docker": address, "host_key": host_key}
    services["team"] = services["pad"] | {"machine": "there"}
    return Inventory.model_validate(document)


def test_a_machine_that_answers_is_reachable(site: Site) -> None:
    assert site.machines.unreachable(found(site.address())) == {}


def test_an_unreachable_machine_has_a_reason_and_the_others_answer(site: Site) -> None:
    site.is_gone()
    unreachable = site.machines.unreachable(found(site.address()))
    assert set(unreachable) == {"there"}
    assert unreachable["there"]


def test_a_machine_that_is_back_is_reachable(site: Site) -> None:
    site.is_gone()
    assert site.machines.unreachable(found(site.address()))
    site.is_back()
    assert site.machines.unreachable(found(site.address())) == {}


def test_a_machine_that_the_inventory_does_not_describe_is_unreachable(site: Site) -> None:
    unreachable = site.machines.unreachable(found(site.address(), known=False))
    assert unreachable == {"there": "the inventory does not say how it is reached"}


# -- the real adapter --------------------------------------------------------------------


def test_a_machine_that_accepts_connections_and_does_not_answer_is_timed_out() -> None:
    with forwarder() as there:
        there.hang()
        begun = time.monotonic()
        unreachable = DockerMachines(deadline=2).unreachable(found(there.address))
    assert unreachable["there"].endswith("no answer within 2 s")
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    ("address", "host_key", "why"),
    [
        ("unix:///nonexistent/docker.sock", None, "no such file or directory"),
        ("ssh://tech@127.0.0.1:1", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA", "cannot reach tech@127.0.0.1:1"),
        ("ssh://tech@127.0.0.1:1", None, "neither unix:///path nor ssh://user@host with a host key"),
    ],
)
def test_the_reason_names_the_cause(address: str, host_key: str | None, why: str) -> None:
    unreachable = DockerMachines().unreachable(found(address, host_key=host_key))
    assert set(unreachable) == {"there"}
    assert why in unreachable["there"]
