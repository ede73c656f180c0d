"""The contract of ports.ContainerFailures. The real adapter watches this machine's Docker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Protocol

import pytest

from ronron.adapters.docker_agents.failures import DockerContainerFailures
from ronron.core.containers import ContainerHealth, ContainerState, Observation
from ronron.core.operations import ContainerPlace
from ronron.ports import ContainerFailures
from ronron.testing import FakeContainerFailures
from tests.support.containers import Containers, containers_of_a_test, until
from tests.support.forwarders import forwarder
from toolchain.image_recipes import DEBIAN
from toolchain.images import ensure_debian

pytestmark = pytest.mark.timeout(120)

SECRET = "tulips-under-the-stone"
SOCKET = "unix:///var/run/docker.sock"


def at(name: str, docker: str = SOCKET) -> ContainerPlace:
    return ContainerPlace(name=name, machine="here", docker=docker)


class Site(Protocol):
    failures: ContainerFailures

    def ends(self, code: int, *lines: str) -> str: ...
    def is_ill(self, says: str) -> str: ...
    def is_well(self) -> str: ...


class FakeSite:
    def __init__(self) -> None:
        self.fake = FakeContainerFailures()
        self.failures: ContainerFailures = self.fake

    def ends(self, code: int, *lines: str) -> str:
        seen = Observation(name="a", state=ContainerState.EXITED, exit_code=code, image=DEBIAN.tag)
        self.fake.set(seen, *lines)
        return "a"

    def is_ill(self, says: str) -> str:
        ill = ContainerHealth.UNHEALTHY
        self.fake.set(
            Observation(name="b", state=ContainerState.RUNNING, health=ill, health_output=says), "running"
        )
        return "b"

    def is_well(self) -> str:
        self.fake.set(Observation(name="c", state=ContainerState.RUNNING), "running")
        return "c"


class RealSite:
    def __init__(self, made: Containers) -> None:
        self.made = made
        self.failures: ContainerFailures = DockerContainerFailures()

    def ends(self, code: int, *lines: str) -> str:
        words = "; ".join([*(f"echo '{line}'" for line in lines), f"exit {code}"])
        container = self.made.start(DEBIAN.tag, ["sh", "-c", words])
        container.wait(timeout=60)
        return str(container.name)

    def is_ill(self, says: str) -> str:
        check = {"test": ["CMD-SHELL", f"echo {says}; exit 1"], "interval": 10**9, "retries": 1}
        container = self.made.start(DEBIAN.tag, ["sh", "-c", "echo running; sleep 300"], healthcheck=check)
        until(lambda: container.attrs["State"].get("Health", {}).get("Status") == "unhealthy", container)
        return str(container.name)

    def is_well(self) -> str:
        container = self.made.start(DEBIAN.tag, ["sh", "-c", "echo running; sleep 300"])
        until(lambda: b"running" in container.logs(), container)
        return str(container.name)


@pytest.fixture(scope="module")
def of_a_test() -> Iterator[Containers]:
    ensure_debian()
    yield from containers_of_a_test()


@pytest.fixture(params=["fake", "docker"])
def site(request: pytest.FixtureRequest) -> Site:
    return FakeSite() if request.param == "fake" else RealSite(request.getfixturevalue("of_a_test"))


def test_a_container_that_ended_has_its_exit_code_and_its_last_lines(site: Site) -> None:
    name = site.ends(3, "starting", f"cannot log in with {SECRET}")
    with site.failures.watch() as watch:
        found = watch.reason(at(name), service="pad", secrets=[SECRET])
    assert found is not None
    assert (found.name, found.service, found.machine, found.image) == (name, "pad", "here", DEBIAN.tag)
    assert found.why == "exited with 3"
    assert found.log == ("starting", "cannot log in with [secret]")
    assert not found.unknown


def test_an_unhealthy_container_has_the_output_of_its_check(site: Site) -> None:
    name = site.is_ill("no database")
    with site.failures.watch() as watch:
        found = watch.reason(at(name))
    assert found is not None
    assert (found.why, found.health, found.log) == ("is unhealthy", "no database", ("running",))


def test_a_container_that_is_well_is_described_only_where_that_is_wanted(site: Site) -> None:
    name = site.is_well()
    with site.failures.watch() as watch:
        assert watch.reason(at(name), even_if_well=False) is None
        found = watch.reason(at(name))
    assert found is not None
    assert (found.why, found.log) == ("is running", ("running",))


def test_a_container_that_is_not_there_does_not_exist(site: Site) -> None:
    with site.failures.watch() as watch:
        watch.begun(at("gone"))
        found = watch.reason(at("gone"))
    assert found is not None
    assert (found.why, found.log) == ("does not exist", ())


# -- the real adapter --------------------------------------------------------------------


@pytest.fixture
def real(of_a_test: Containers) -> RealSite:
    return RealSite(of_a_test)


def test_a_container_that_is_removed_after_it_failed_leaves_its_reason(real: RealSite) -> None:
    name = f"{real.made.prefix}-removed"
    with real.failures.watch() as watch:
        watch.begun(at(name))
        container = real.made.create(DEBIAN.tag, ["sh", "-c", "echo bye; exit 3"], name=name)
        container.start()
        container.wait(timeout=60)
        # As the provider does: it looks ten times a second.
        time.sleep(0.1)
        container.remove()
        found = watch.reason(at(name))
    assert found is not None
    assert (found.why, found.log) == ("exited with 3, and was removed", ("bye",))


def test_a_container_that_docker_restarts_has_the_exit_code_of_its_last_run(real: RealSite) -> None:
    name = f"{real.made.prefix}-restarted"
    with real.failures.watch() as watch:
        watch.begun(at(name))
        container = real.made.create(
            DEBIAN.tag,
            ["sh", "-c", "echo again; test -e /ran && exec sleep 300; touch /ran; exit 7"],
            name=name,
            restart_policy={"Name": "unless-stopped"},
        )
        container.start()
        end = time.monotonic() + 60
        while container.logs().count(b"again") < 2:
            assert time.monotonic() < end
            time.sleep(0.05)
        found = watch.reason(at(name))
    assert found is not None
    assert found.why == "exited with 7, restarted once"


def test_a_container_that_needs_too_much_memory_says_so(real: RealSite) -> None:
    container = real.made.start(
        DEBIAN.tag,
        ["sh", "-c", "exec tail /dev/zero"],
        mem_limit="8m",
        memswap_limit="8m",
    )
    container.wait(timeout=60)
    # Docker learns of it from the kernel, apart from the end of the process.
    end = time.monotonic() + 30
    while not container.attrs["State"]["OOMKilled"] and time.monotonic() < end:
        container.reload()
    with real.failures.watch() as watch:
        found = watch.reason(at(str(container.name)))
    assert found is not None
    assert found.why == "was killed: it needs more memory than its limit (exit code 137)"


def test_a_secret_variable_of_the_container_is_masked(real: RealSite) -> None:
    container = real.made.start(
        DEBIAN.tag, ["sh", "-c", "echo $DB_PASSWORD; exit 1"], environment={"DB_PASSWORD": SECRET}
    )
    container.wait(timeout=60)
    with real.failures.watch() as watch:
        found = watch.reason(at(str(container.name)))
    assert found is not None
    assert found.log == ("[secret]",)


def test_a_docker_that_does_not_answer_is_said(real: RealSite) -> None:
    with forwarder() as there:
        there.stop()
        with real.failures.watch() as watch:
            watch.begun(at("pad", there.address))
            found = watch.reason(at("pad", there.address))
            nowhere = watch.reason(at("pad", ""))
    assert found is not None
    assert found.unknown.startswith("cannot reach the Docker of here")
    assert "cannot ask Docker why" in found.headline
    assert nowhere is not None
    assert nowhere.unknown == "nothing says how the machine is reached"
