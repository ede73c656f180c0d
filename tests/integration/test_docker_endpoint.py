"""Questions to a Docker, asked of the real one and of places where none is."""

from __future__ import annotations

import secrets
import shutil
import socket
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from components.declaration_models import Machine
from components.docker_endpoint import Endpoint, EndpointError, SocketEndpoint, SshEndpoint, endpoint
from components.image_reference import ImageReference
from tests.declarations import HOST_KEY
from tests.end_to_end.collectives import free_port

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


def test_a_virtual_machine_has_no_docker_yet() -> None:
    image = {"url": "https://images.test.example/debian.qcow2", "checksum": "sha256:00"}
    machine = Machine.model_validate(
        {"proxmox": {
            "node": "alice", "vm_id": 101, "cores": 4, "memory_mib": 8192, "disk_gib": 64,
            "datastore": "local-lvm", "bridge": "vmbr0", "address": "192.0.2.11/24",
            "gateway": "192.0.2.1", "image": image,
        }}
    )  # fmt: skip
    with pytest.raises(EndpointError, match="cannot make a virtual machine"):
        endpoint(machine)
