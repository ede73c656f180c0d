"""Containers, volumes and networks of one test on a real Docker engine; all of them go when the test ends."""

from __future__ import annotations

import contextlib
import io
import secrets
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import docker
from docker.models.containers import Container

from toolchain import docker_engine

Check = Callable[[], bool]

PATIENCE = 240
"""Seconds after which nothing more is waited for: many times what it takes on a machine that is not busy."""


class Containers:
    """What one test makes, with names of its own: `ronron-test-<8 hexadecimal digits>-...`."""

    def __init__(self, client: docker.DockerClient) -> None:
        self.client = client
        self.prefix = f"ronron-test-{secrets.token_hex(4)}"
        self._made = 0

    def _name(self, what: str) -> str:
        self._made += 1
        return f"{self.prefix}-{what}-{self._made}"

    def volume(self, **options: Any) -> str:
        """The name of a new volume."""
        labels = {"ronron.test": self.prefix}
        return str(self.client.volumes.create(self._name("volume"), labels=labels, **options).name)

    def network(self) -> str:
        """The name of a new network, from which nothing outside is reached."""
        name = self._name("network")
        self.client.networks.create(name, internal=True, labels={"ronron.test": self.prefix})
        return name

    def start(self, image: str, command: list[str] | None = None, **options: Any) -> Container:
        """Start a container in the background."""
        name = self._name("container")
        made = self.create(image, command, name=name, **options)
        made.start()
        return made

    def create(
        self, image: str, command: list[str] | None = None, name: str | None = None, **options: Any
    ) -> Container:
        """Make a container that is started later."""
        return self.client.containers.create(
            image,
            command,
            name=name or self._name("container"),
            labels={"ronron.test": self.prefix},
            **options,
        )

    def output(self, image: str, command: list[str], **options: Any) -> tuple[int, str]:
        """Run a container to its end: exit code and everything that it said."""
        made = self.start(image, command, **options)
        code = int(made.wait(timeout=PATIENCE)["StatusCode"])
        return code, said(made)

    def remove_all(self) -> None:
        """Remove what this test made, whatever state it is in."""
        mine: dict[str, str | list[str] | bool] = {"label": f"ronron.test={self.prefix}"}
        for container in self.client.containers.list(all=True, ignore_removed=True, filters=mine):
            with contextlib.suppress(docker.errors.NotFound):
                container.remove(force=True, v=True)
        for volume in self.client.volumes.list(filters=mine):
            volume.remove(force=True)
        for network in self.client.networks.list(filters=mine):
            network.remove()


def containers_of_a_test() -> Iterator[Containers]:
    """For a fixture: gives a test its containers, and removes them."""
    found = docker_engine.find()
    assert isinstance(found, docker_engine.Answer), found
    client = docker.DockerClient(base_url=found.host, timeout=PATIENCE)
    mine = Containers(client)
    try:
        yield mine
    finally:
        mine.remove_all()
        client.close()


def until(check: Check, container: Container, *, seconds: float = PATIENCE) -> None:
    """Wait until something holds; fails with the container's log when it ends first, or the time is over."""
    end = time.monotonic() + seconds
    while not check():
        container.reload()
        assert container.status in {"created", "running"}, said(container)
        assert time.monotonic() < end, said(container)
        time.sleep(0.1)


def said(container: Container) -> str:
    """What a container has written."""
    return bytes(container.logs()).decode(errors="replace")


def runs(container: Container, *words: str, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run a program inside a running container: exit code and output."""
    done = container.exec_run(list(words), environment=dict(environment or {}))
    assert isinstance(done.output, bytes)
    return int(done.exit_code or 0), done.output.decode(errors="replace")


def put(container: Container, path: str, content: str) -> None:
    """Write a file into a container, readable for everybody; the folder has to be there."""
    folder, _, name = path.rpartition("/")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as opened:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(content.encode()), 0o644
        opened.addfile(member, io.BytesIO(content.encode()))
    assert container.put_archive(folder or "/", packed.getvalue())
