"""The contract of ports.ServiceContainers. The real adapter works on containers of this machine's Docker."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest

from ronron.adapters.docker_agents.services import DockerServiceContainers
from ronron.core.containers import ContainerState
from ronron.core.errors import AgentUnreachableError, BackupError
from ronron.core.inventory import Inventory
from ronron.ports.services import ServiceContainers, Streams
from ronron.testing import FakeServiceContainers
from tests.support.containers import Containers, containers_of_a_test, until
from tests.support.forwarders import forwarder
from tests.support.worlds import inventory
from toolchain.image_recipes import DEBIAN
from toolchain.images import ensure_debian

pytestmark = pytest.mark.timeout(120)

SECRET = "tulips-under-the-stone"


def described(address: str = "unix:///var/run/docker.sock") -> Inventory:
    return Inventory.model_validate(inventory() | {"machines": {"here": {"docker": address}}})


class Site(Protocol):
    """A machine `here`; a test runs containers on it that write `first` and another line, and wait."""

    services: ServiceContainers

    def run(self, line: str) -> str: ...
    def ended(self) -> str: ...


class FakeSite:
    def __init__(self) -> None:
        self.fake = FakeServiceContainers()
        self.services: ServiceContainers = self.fake
        self.fake.answer("sh", 5, b"out\n")

    def run(self, line: str) -> str:
        self.fake.run("a")
        self.fake.write("a", "first", datetime.now(UTC) - timedelta(days=1))
        self.fake.write("a", line, datetime.now(UTC))
        return "a"

    def ended(self) -> str:
        self.fake.run("b", state=ContainerState.EXITED, exit_code=3)
        return "b"


class RealSite:
    def __init__(self, made: Containers) -> None:
        self.made = made
        self.services: ServiceContainers = DockerServiceContainers()

    def run(self, line: str) -> str:
        # The shell stays the first process, and ends at once when it is asked to.
        words = f"trap 'exit 0' TERM; echo first; echo '{line}'; while :; do sleep 0.1; done"
        container = self.made.start(
            DEBIAN.tag, ["bash", "-c", words], environment={"API_TOKEN": SECRET, "PLAIN": "second"}
        )
        until(lambda: len(container.logs().splitlines()) == 2, container)
        return str(container.name)

    def ended(self) -> str:
        container = self.made.start(DEBIAN.tag, ["sh", "-c", "exit 3"])
        container.wait(timeout=60)
        return str(container.name)


@pytest.fixture(scope="module")
def of_a_test() -> Iterator[Containers]:
    ensure_debian()
    yield from containers_of_a_test()


@pytest.fixture(params=["fake", "docker"])
def site(request: pytest.FixtureRequest) -> Site:
    return FakeSite() if request.param == "fake" else RealSite(request.getfixturevalue("of_a_test"))


def lines_of(site: Site, name: str, lines: int = 10, since: datetime | None = None) -> list[str]:
    found: list[str] = []
    site.services.log(described(), "here", name, found.append, lines=lines, since=since)
    return found


def run_in(
    services: ServiceContainers, name: str, *words: str, stdin: int | None = None, tty: bool = False
) -> tuple[int, str, str]:
    out, err = io.BytesIO(), io.BytesIO()
    code = services.execute(described(), "here", name, words, Streams(stdin, out, err, tty))
    return code, out.getvalue().decode(), err.getvalue().decode()


def test_a_log_gives_its_last_lines(site: Site) -> None:
    name = site.run("second")
    assert lines_of(site, name) == ["first", "second"]
    assert lines_of(site, name, lines=1) == ["second"]
    assert lines_of(site, name, since=datetime.now(UTC) + timedelta(minutes=5)) == []


def test_a_program_has_its_output_and_its_exit_code(site: Site) -> None:
    name = site.run("second")
    assert run_in(site.services, name, "sh", "-c", "echo out; exit 5")[:2] == (5, "out\n")
    assert run_in(site.services, name, "no-such-program")[0] in {126, 127}


def test_a_container_is_restarted(site: Site) -> None:
    name = site.run("second")
    site.services.restart(described(), "here", name)
    assert site.services.look(described(), "here", name).state is ContainerState.RUNNING


def test_a_program_in_a_container_that_ended_is_an_error(site: Site) -> None:
    with pytest.raises(BackupError, match="it is not running"):
        run_in(site.services, site.ended(), "true")


def test_a_missing_container_is_an_error(site: Site) -> None:
    with pytest.raises(BackupError, match="cannot find the container gone on here"):
        lines_of(site, "gone")
    with pytest.raises(BackupError, match="cannot find the container gone on here"):
        site.services.restart(described(), "here", "gone")
    with pytest.raises(BackupError, match="cannot find the machine nowhere"):
        site.services.look(described(), "nowhere", "gone")
    assert site.services.look(described(), "here", "gone").state is ContainerState.MISSING
    assert site.services.edge(described(), "here", "gone") is None


# -- the real adapter --------------------------------------------------------------------


@pytest.fixture
def real(of_a_test: Containers) -> RealSite:
    return RealSite(of_a_test)


def test_a_secret_variable_is_masked_in_a_log(real: RealSite) -> None:
    name = real.run(f"\x1b[31mtoken={SECRET}")
    assert lines_of(real, name) == ["first", "token=[secret]"]


def test_a_followed_log_goes_on_until_the_container_ends(real: RealSite) -> None:
    container = real.made.start(
        DEBIAN.tag, ["bash", "-c", "echo one; read line; echo $line"], stdin_open=True
    )
    found: list[str] = []
    has_begun = threading.Event()

    def write(line: str) -> None:
        found.append(line)
        has_begun.set()

    def follow() -> None:
        real.services.log(described(), "here", str(container.name), write, lines=5, follow=True)

    thread = threading.Thread(target=follow)
    thread.start()
    assert has_begun.wait(60)
    assert found == ["one"]
    socket: Any = container.attach_socket(params={"stdin": 1, "stream": 1})
    socket._sock.sendall(b"two\n")
    thread.join(60)
    socket._sock.close()
    socket.close()
    assert found == ["one", "two"]


def test_the_edge_is_found_by_the_labels_of_the_program(real: RealSite) -> None:
    project = {"ronron.project": real.made.prefix, "ronron.stack": "local"}
    client = real.made.client
    names = [f"{real.made.prefix}-{what}" for what in ("app", "edge")]
    for name, role in zip(names, ("service", "edge"), strict=True):
        labels = {**project, "ronron.role": role, "ronron.test": real.made.prefix}
        client.containers.create(DEBIAN.tag, ["true"], name=name, labels=labels)
    assert real.services.edge(described(), "here", names[0]) == names[1]


def test_standard_input_and_both_outputs_are_passed_on(real: RealSite) -> None:
    name = real.run("second")
    ours, theirs = os.pipe()
    os.write(theirs, b"hello\n" * 1000)
    os.close(theirs)
    code, out, err = run_in(real.services, name, "sh", "-c", "cat; echo why >&2; exit 3", stdin=ours)
    os.close(ours)
    assert (code, out, err) == (3, "hello\n" * 1000, "why\n")


def test_a_terminal_is_passed_on(real: RealSite, tmp_path: Path) -> None:
    name = real.run("second")
    person, ours = os.openpty()
    # The terminal keeps it until the program reads.
    os.write(person, b"hello\r")
    with (tmp_path / "out").open("w+b") as out:
        words = ["bash", "-c", "test -t 0 && test -t 1 && echo a terminal; read line; echo got $line; exit 4"]
        code = real.services.execute(described(), "here", name, words, Streams(ours, out, out, tty=True))
        out.seek(0)
        said = out.read().decode()
    os.close(person)
    assert code == 4
    assert "a terminal\r\n" in said
    assert "got hello\r\n" in said


def test_a_docker_that_does_not_answer_is_an_error(real: RealSite) -> None:
    with forwarder() as there:
        there.stop()
        with pytest.raises(AgentUnreachableError, match="cannot reach the Docker of here"):
            real.services.restart(described(there.address), "here", "a")
