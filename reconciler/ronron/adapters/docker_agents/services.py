"""Log, restart and programs of a service's containers; see ports.ServiceContainers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ronron.adapters.docker_agents.containers import observation
from ronron.core.containers import Observation, missing
from ronron.core.errors import BackupError
from ronron.core.failed_containers import secret_values
from ronron.core.inventory import Inventory
from ronron.core.redact import redact
from ronron.ports.services import Streams

if TYPE_CHECKING:
    import docker

GRACE_SECONDS = 120
"""For a clean stop: the longest grace period that the program gives a container."""

_LONG_SECONDS = 24 * 3600.0
"""For one answer of Docker where it is a stream: a log may be quiet for hours."""

_EDGE = "ronron.role=edge"


class DockerServiceContainers:
    """See ports.ServiceContainers. Each call opens a connection of its own."""

    def look(self, inventory: Inventory, machine: str, container: str) -> Observation:
        """See ports.ServiceContainers."""
        with _connected(inventory, machine, container, "look at") as client:
            inspected = _inspected(client, container)
            return missing(container) if inspected is None else observation(inspected)

    def edge(self, inventory: Inventory, machine: str, container: str) -> str | None:
        """See ports.ServiceContainers; found by the labels that the program gives its containers."""
        with _connected(inventory, machine, container, "find the edge of") as client:
            inspected = _inspected(client, container)
            labels = (inspected or {}).get("Config", {}).get("Labels") or {}
            same = [f"{key}={labels[key]}" for key in ("ronron.project", "ronron.stack") if key in labels]
            if len(same) < 2:
                return None
            found: Any = client.api.containers(all=True, filters={"label": [*same, _EDGE]})
            names = [name.removeprefix("/") for one in found for name in one.get("Names") or ()]
            return min(names, default=None)

    def log(
        self,
        inventory: Inventory,
        machine: str,
        container: str,
        write: Callable[[str], None],
        *,
        lines: int,
        since: datetime | None = None,
        follow: bool = False,
    ) -> None:
        """See ports.ServiceContainers."""
        with _connected(inventory, machine, container, "read the log of", _LONG_SECONDS) as client:
            inspected = _existing(client, machine, container)
            secrets = secret_values(inspected["Config"].get("Env") or ())
            chunks: Any = client.api.logs(
                inspected["Id"],
                tail=lines,
                since=None if since is None else since.timestamp(),
                follow=follow,
                stream=True,
            )
            try:
                for line in _lines(chunks):
                    write(redact(line, secrets))
            finally:
                chunks.close()

    def restart(self, inventory: Inventory, machine: str, container: str) -> None:
        """See ports.ServiceContainers."""
        with _connected(inventory, machine, container, "restart", GRACE_SECONDS + 60.0) as client:
            _existing(client, machine, container)
            client.api.restart(container, timeout=GRACE_SECONDS)

    def execute(
        self, inventory: Inventory, machine: str, container: str, words: Sequence[str], streams: Streams
    ) -> int:
        """See ports.ServiceContainers."""
        from ronron.adapters.docker_agents.interactive import execute

        with _connected(inventory, machine, container, "run a program in", _LONG_SECONDS) as client:
            inspected = _existing(client, machine, container)
            if not inspected["State"]["Running"] or inspected["State"].get("Restarting"):
                raise BackupError(
                    f"cannot run a program in {container}: it is not running",
                    where=machine,
                    hint="look at its log first",
                )
            return execute(client, container, words, streams)


@contextmanager
def _connected(
    inventory: Inventory, machine: str, container: str, doing: str, seconds: float = 60.0
) -> Iterator[docker.DockerClient]:
    from ronron.adapters.docker_agents.connection import machine_client

    described = inventory.machines.get(machine)
    if described is None:
        raise BackupError(
            f"cannot find the machine {machine} of {container} in the inventory",
            where=container,
            hint="run ronron update ENV: that completes the inventory",
        )
    with machine_client(machine, described, container, doing, seconds) as client:
        yield client


def _inspected(client: docker.DockerClient, container: str) -> dict[str, Any] | None:
    from docker.errors import NotFound

    try:
        inspected: dict[str, Any] = client.api.inspect_container(container)
    except NotFound:
        return None
    # Docker also takes the beginning of an id for a name.
    return inspected if inspected["Name"] == f"/{container}" else None


def _existing(client: docker.DockerClient, machine: str, container: str) -> dict[str, Any]:
    inspected = _inspected(client, container)
    if inspected is None:
        raise BackupError(
            f"cannot find the container {container} on {machine}",
            hint="run ronron update ENV: that makes it again",
        )
    return inspected


def _lines(chunks: Any) -> Iterator[str]:
    """Whole lines; the chunks of a log end anywhere, also within a character."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace")
    if rest:
        yield rest.decode(errors="replace")
