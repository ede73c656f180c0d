"""The contract of ports.Containers. The real adapter describes containers of this machine's Docker."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Protocol

import docker
import pytest

from ronron.adapters.docker_agents.containers import DockerContainers
from ronron.core.container_settings import differences
from ronron.core.containers import ContainerHealth, ContainerState, Observation
from ronron.core.errors import AgentUnreachableError, BackupError
from ronron.core.inventory import Inventory
from ronron.ports import Containers
from ronron.testing import FakeContainers
from tests.support.containers import Containers as OfATest
from tests.support.containers import containers_of_a_test, until
from tests.support.forwarders import Forwarder, forwarder
from tests.support.worlds import inventory
from toolchain.image_recipes import DEBIAN
from toolchain.images import ensure_debian

NAMELESS = [docker.types.Mount(target="/data", source=None, type="volume")]

pytestmark = pytest.mark.timeout(120)


class Site(Protocol):
    """A machine `here`, on which a test runs containers that write one line and wait."""

    containers: Containers
    address: str

    def run(self, line: str) -> str: ...
    def ends(self, code: int) -> str: ...
    def is_ill(self, says: str) -> str: ...
    def remove(self, name: str) -> None: ...
    def volume(self) -> str: ...
    def is_gone(self) -> None: ...


class FakeSite:
    address = "unix:///var/run/docker.sock"

    def __init__(self) -> None:
        self.fake = FakeContainers()
        self.containers: Containers = self.fake
        self._names = iter("abcdefgh")

    def run(self, line: str) -> str:
        name = next(self._names)
        self.fake.make_network("here", "private")
        self.fake.make_image("here", "sha256:0")
        self.fake.run(
            "here", name, image=DEBIAN.tag, image_id="sha256:0", networks=("private",),
            started_at=datetime.now(UTC), labels={"ronron.test": "fake"},
        )  # fmt: skip
        self.fake.write("here", name, "first", datetime.now(UTC) - timedelta(days=1))
        self.fake.write("here", name, line, datetime.now(UTC))
        return name

    def ends(self, code: int) -> str:
        name = self.run("bye")
        self.fake.stop("here", name, code)
        self.fake.change("here", name, finished_at=datetime.now(UTC))
        return name

    def is_ill(self, says: str) -> str:
        name = self.run("ill")
        self.fake.change("here", name, health=ContainerHealth.UNHEALTHY, health_output=says)
        return name

    def remove(self, name: str) -> None:
        self.fake.remove("here", name)

    def volume(self) -> str:
        self.fake.make_volume("here", "data")
        return "data"

    def is_gone(self) -> None:
        self.fake.silence("here")


class RealSite:
    def __init__(self, made: OfATest, there: Forwarder) -> None:
        self.made, self.there = made, there
        self.address = there.address
        self.containers: Containers = DockerContainers()

    def run(self, line: str) -> str:
        return self._started(f"echo first; echo {line}; exec sleep 300")

    def ends(self, code: int) -> str:
        container = self.made.start(DEBIAN.tag, ["sh", "-c", f"exit {code}"])
        container.wait(timeout=60)
        return str(container.name)

    def is_ill(self, says: str) -> str:
        check = {"test": ["CMD-SHELL", f"echo {says}; exit 1"], "interval": 10**9, "retries": 1}
        container = self.made.start(DEBIAN.tag, ["sleep", "300"], healthcheck=check)
        until(lambda: container.attrs["State"].get("Health", {}).get("Status") == "unhealthy", container)
        return str(container.name)

    def _started(self, words: str) -> str:
        container = self.made.start(DEBIAN.tag, ["sh", "-c", words], network=self.made.network())
        until(lambda: len(container.logs().splitlines()) == 2, container)
        return str(container.name)

    def remove(self, name: str) -> None:
        self.made.client.containers.get(name).remove(force=True)

    def volume(self) -> str:
        return self.made.volume()

    def is_gone(self) -> None:
        self.there.stop()


@pytest.fixture(scope="module")
def of_a_test() -> Iterator[OfATest]:
    ensure_debian()
    yield from containers_of_a_test()


@pytest.fixture(params=["fake", "docker"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    if request.param == "fake":
        yield FakeSite()
        return
    made = request.getfixturevalue("of_a_test")
    with forwarder() as there:
        yield RealSite(made, there)


def described(address: str) -> Inventory:
    return Inventory.model_validate(inventory() | {"machines": {"here": {"docker": address}}})


def seen(site: Site, name: str) -> Observation:
    found = site.containers.look(described(site.address), {"here": [name]}).of("here", name)
    assert found is not None
    return found


def test_a_running_container_is_described(site: Site) -> None:
    name = site.run("hello")
    found = seen(site, name)
    assert (found.name, found.state) == (name, ContainerState.RUNNING)
    assert len(found.id) == 64
    assert found.image == DEBIAN.tag
    assert found.image_id.startswith("sha256:")
    assert (found.exit_code, found.restarts, found.finished_at) == (None, 0, None)
    assert found.health is ContainerHealth.NONE
    assert found.started_at is not None
    assert abs(found.started_at - datetime.now(UTC)) < timedelta(minutes=2)
    assert "ronron.test" in found.labels
    assert len(found.networks) == 1


def test_an_ended_container_has_its_exit_code(site: Site) -> None:
    found = seen(site, site.ends(3))
    assert (found.state, found.exit_code) == (ContainerState.EXITED, 3)
    assert found.finished_at is not None


def test_an_unhealthy_container_has_the_output_of_its_check(site: Site) -> None:
    found = seen(site, site.is_ill("no database"))
    assert (found.state, found.health) == (ContainerState.RUNNING, ContainerHealth.UNHEALTHY)
    assert found.health_output == "no database"


def test_a_removed_container_is_missing_and_the_others_are_described(site: Site) -> None:
    gone, there = site.run("gone"), site.run("there")
    site.remove(gone)
    found = site.containers.look(described(site.address), {"here": [gone, there]}).containers["here"]
    assert found[gone] == Observation(name=gone, state=ContainerState.MISSING)
    assert found[there].state is ContainerState.RUNNING


def test_the_volumes_of_a_machine_are_listed(site: Site) -> None:
    volume = site.volume()
    assert volume in site.containers.look(described(site.address), {"here": []}).volumes["here"]


def test_networks_and_images_are_listed_where_a_container_is_missing(site: Site) -> None:
    name, machines = site.run("hello"), described(site.address)
    there = site.containers.look(machines, {"here": [name]})
    assert (there.networks, there.images) == ({}, {})
    image = seen(site, name).image_id
    network = seen(site, name).networks[0]
    missing = site.containers.look(machines, {"here": [name, "no-such-container"]})
    assert network in missing.networks["here"]
    assert image in missing.images["here"]


def test_an_unreachable_machine_has_a_reason_and_no_containers(site: Site) -> None:
    name = site.run("hello")
    site.is_gone()
    look = site.containers.look(described(site.address), {"here": [name], "nowhere": ["x"]})
    assert not look.containers
    assert not look.volumes
    assert look.of("here", name) is None
    assert set(look.unreachable) == {"here", "nowhere"}
    assert look.unreachable["nowhere"] == "the inventory does not say how it is reached"


def test_the_log_gives_its_last_lines(site: Site) -> None:
    name = site.run("second")
    machines = described(site.address)
    assert site.containers.logs(machines, "here", name) == ("first", "second")
    assert site.containers.logs(machines, "here", name, lines=1) == ("second",)
    later = datetime.now(UTC) + timedelta(minutes=5)
    assert site.containers.logs(machines, "here", name, since=later) == ()


def test_the_log_of_a_missing_container_is_an_error(site: Site) -> None:
    name = site.run("hello")
    site.remove(name)
    with pytest.raises(BackupError, match=f"cannot find the container {name} on here"):
        site.containers.logs(described(site.address), "here", name)


def test_the_log_of_an_unreachable_machine_is_an_error(site: Site) -> None:
    name = site.run("hello")
    site.is_gone()
    with pytest.raises(AgentUnreachableError, match="cannot reach the Docker of here"):
        site.containers.logs(described(site.address), "here", name)
    with pytest.raises(BackupError, match="cannot find the machine nowhere"):
        site.containers.logs(described(site.address), "nowhere", name)


def test_exactly_the_named_stray_container_is_removed(site: Site) -> None:
    name, machines = site.run("hello"), described(site.address)
    site.containers.remove_stray(machines, "here", name, "0" * 64)
    there = seen(site, name)
    assert there.state is ContainerState.RUNNING
    site.containers.remove_stray(machines, "here", "another-name", there.id)
    assert seen(site, name).id == there.id
    site.containers.remove_stray(machines, "here", name, there.id)
    assert seen(site, name).state is ContainerState.MISSING
    site.containers.remove_stray(machines, "here", name, there.id)


# -- the real adapter --------------------------------------------------------------------


def test_the_beginning_of_an_id_is_no_name(of_a_test: OfATest) -> None:
    started = of_a_test.start(DEBIAN.tag, ["sleep", "300"])
    name = str(started.id)[:12]
    look = DockerContainers().look(described("unix:///var/run/docker.sock"), {"here": [name]})
    assert look.containers["here"][name].state is ContainerState.MISSING


def test_files_in_a_volume_without_a_name_go_with_the_container(of_a_test: OfATest) -> None:
    """An image may declare volumes that nothing ever writes to: those have nothing that goes."""
    named = of_a_test.volume()
    volumes = {named: {"bind": "/named", "mode": "rw"}}

    def own(command: str) -> tuple[str, ...]:
        made = of_a_test.create(
            DEBIAN.tag, ["sh", "-c", f"{command}; exec sleep 300"], mounts=NAMELESS, volumes=volumes
        )
        made.start()
        until(lambda: made.exec_run(["test", "-e", "/named/done"]).exit_code == 0, made)
        machines = described("unix:///var/run/docker.sock")
        found = DockerContainers().look(machines, {"here": [str(made.name)]}).of("here", str(made.name))
        assert found is not None
        made.remove(force=True, v=True)
        return found.own_volumes

    assert own("mkdir /data/empty; touch /named/done") == ()
    assert own("rm /named/done; touch /data/file; touch /named/done") == ("/data",)


def test_the_settings_of_a_container_name_what_an_edit_changes(of_a_test: OfATest) -> None:
    made = of_a_test.start(
        DEBIAN.tag,
        ["sleep", "300"],
        network=of_a_test.network(),
        environment={"GREETING": "hello"},
        mem_limit="64m",
        memswap_limit="64m",
    )
    machines = described("unix:///var/run/docker.sock")

    def settings() -> Mapping[str, str]:
        found = DockerContainers().look(machines, {"here": [str(made.name)]}).of("here", str(made.name))
        assert found is not None
        return found.settings

    before = settings()
    made.restart(timeout=0)
    assert settings() == before, "a restart changes addresses, and no setting"
    made.stop(timeout=0)
    assert settings() == before
    made.start()
    made.update(mem_limit="32m", memswap_limit="32m")
    other = of_a_test.network()
    of_a_test.client.networks.get(other).connect(made, aliases=["pad"])
    assert [str(one) for one in differences(before, settings())] == [
        "memory: 32 MiB, was 64 MiB",
        "memory and swap: 32 MiB, was 64 MiB",
        f"network {other}: attached, pad, was not set",
    ]


def test_a_machine_that_does_not_answer_is_unreachable_after_the_deadline() -> None:
    with forwarder() as there:
        there.hang()
        begun = time.monotonic()
        look = DockerContainers(deadline=2).look(described(there.address), {"here": ["pad"]})
    assert look.unreachable["here"].endswith("no answer within 2 s")
    assert time.monotonic() - begun < 10
