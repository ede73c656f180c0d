"""Questions to a Docker, asked of the real one and of places where none is."""

from __future__ import annotations

import secrets
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from chatons.docker.endpoint import (
    Endpoint,
    EndpointError,
    NoContainerError,
    SocketEndpoint,
    SshEndpoint,
    endpoint,
)
from chatons.schema.image_reference import ImageReference
from chatons.schema.models import Machine
from tests.support.containers import Containers, containers_of_a_test
from tests.support.declarations import HOST_KEY, proxmox_declaration
from tests.support.ports import free_port
from tests.support.stand_ins import program

SOCKET = "unix:///var/run/docker.sock"


@pytest.fixture
def docker() -> Endpoint:
    return endpoint(Machine(docker=SOCKET))


@pytest.fixture
def absent() -> ImageReference:
    """An image that nobody has, of a registry that is not there: port 9 discards what it gets (RFC 863)."""
    return ImageReference.parse(f"localhost:9/ronron-test-{secrets.token_hex(4)}:1.0")


def test_a_docker_tells_its_version(docker: Endpoint) -> None:
    assert int(docker.version().split(".")[0]) >= 20


def test_a_docker_knows_which_images_it_has(
    docker: Endpoint, images: Mapping[str, str], absent: ImageReference
) -> None:
    assert docker.has(ImageReference.parse(images["edge"]))
    assert not docker.has(absent)


def test_a_registry_that_hands_nothing_out_is_told_in_one_line(
    docker: Endpoint, absent: ImageReference
) -> None:
    reason = docker.why_not_pulled(absent)
    assert reason
    assert "\n" not in reason
    assert "localhost:9" in reason
    assert not docker.has(absent), "asking pulls nothing"


def test_a_socket_that_is_not_there_is_told_in_words(tmp_path: Path) -> None:
    nowhere = SocketEndpoint(f"unix://{tmp_path}/docker.sock")
    with pytest.raises(EndpointError, match=r"^no such file or directory$"):
        nowhere.version()
    with pytest.raises(EndpointError, match=r"^no such file or directory$"):
        nowhere.has(ImageReference.parse("x:1"))
    with pytest.raises(EndpointError, match=r"^no such file or directory$"):
        nowhere.why_not_pulled(ImageReference.parse("x:1"))


def test_a_socket_that_nobody_listens_on_is_told_in_words(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    with closing(socket.socket(socket.AF_UNIX)) as forgotten:
        forgotten.bind(str(path))
    with pytest.raises(EndpointError, match=r"^connection refused$"):
        SocketEndpoint(f"unix://{path}").version()


def test_a_machine_that_ssh_does_not_reach_is_told_in_sshs_own_words() -> None:
    address = f"ssh://nobody@127.0.0.1:{free_port()}"
    unreached = endpoint(Machine(docker=address, host_key=HOST_KEY))
    assert isinstance(unreached, SshEndpoint)
    with pytest.raises(
        EndpointError, match=r"^ssh: connect to host 127\.0\.0\.1 port \d+: Connection refused"
    ):
        unreached.version()


def test_without_a_program_ssh_that_is_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("ssh") is None
    with pytest.raises(EndpointError, match="no program `ssh` here"):
        SshEndpoint("ssh://nobody@127.0.0.1:1", HOST_KEY).version()


def test_a_virtual_machine_is_reached_by_ssh_once_its_key_is_known() -> None:
    machine = proxmox_declaration().machines["vm01"]
    with pytest.raises(EndpointError, match="its host key is not known before first contact"):
        endpoint(machine)
    assert isinstance(endpoint(machine.model_copy(update={"host_key": HOST_KEY})), SshEndpoint)


# -- programs inside containers --------------------------------------------------------------------------


@pytest.fixture
def made() -> Iterator[Containers]:
    yield from containers_of_a_test()


@pytest.fixture(params=["socket", "ssh"])
def reached(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    """This machine's Docker, by its socket, and through an `ssh` that stays here."""
    if request.param == "socket":
        return SocketEndpoint(SOCKET)
    # The real one hands its last word to the shell of the other side, as this one does.
    program(tmp_path / "bin" / "ssh", 'for last; do :; done\nexec sh -c "$last"')
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    return SshEndpoint("ssh://tech@old.test.example", HOST_KEY)


def test_a_program_runs_inside_a_container_with_its_words_as_they_are(
    reached: Endpoint, made: Containers, images: Mapping[str, str]
) -> None:
    there = made.start(images["edge"], ["sleep", "60"])
    words = ["sh", "-c", 'printf "%s|" "$@"; echo odd >&2; exit 3', "sh", '{"a": "b c"}', "$HOME; `id`", "'"]
    ran = reached.run_inside(str(there.name), words, 30)
    assert (ran.code, ran.out) == (3, '{"a": "b c"}|$HOME; `id`|\'|')
    assert ran.last_words == "odd"


def test_more_than_anybody_reads_is_let_go(
    reached: Endpoint, made: Containers, images: Mapping[str, str]
) -> None:
    there = made.start(images["edge"], ["sleep", "60"])
    ran = reached.run_inside(str(there.name), ["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x"], 60)
    assert (ran.code, len(ran.out)) == (0, 1_048_576)


def test_a_container_that_is_not_there_is_told_from_one_that_does_not_run(
    reached: Endpoint, made: Containers, images: Mapping[str, str]
) -> None:
    with pytest.raises(NoContainerError, match=r"(?i)no such container"):
        reached.run_inside(f"{made.prefix}-absent", ["true"], 30)
    stopped = made.create(images["edge"], ["true"])
    with pytest.raises(EndpointError, match="is not running") as refused:
        reached.run_inside(str(stopped.name), ["true"], 30)
    assert not isinstance(refused.value, NoContainerError)
