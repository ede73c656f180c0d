"""What restores and drills have in common: their subject, and the container that restores.

That container is a clone of the agent with the service's volumes, or new ones, writable.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ronron.adapters.docker_agents import clones
from ronron.adapters.docker_agents.clones import Attributes
from ronron.adapters.docker_agents.exec import hijacked
from ronron.core.backups import Snapshot
from ronron.core.errors import BackupError
from ronron.core.inventory import Backup, Service

if TYPE_CHECKING:
    import docker

DATA = "/data"
_CONFIGURATION = "/etc/ronron-agent.json"
_SECRETS = "/run/ronron-agent"
_REPOSITORY = "/repository"

_AT_WORK = "ronron.at-work"
"""A label of the containers that run only as long as the process that made them."""

_RESTORE_CAPABILITIES = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID")
"""What root needs to restore files with their owners and modes."""

_ENDS_SECONDS = 15.0
"""Until the container of a process that was killed has ended: Docker sees the closed connection at once."""


@dataclass(frozen=True)
class RestoreTarget:
    """The snapshot that a restore or a drill restores, and the service that it is of.

    Args:
        client: of the Docker that the service is on.
        name: of the service.
        service: as the inventory has it.
        backup: as the inventory has it.
        snapshot: what is restored.
        log: is called with one line for each step.
    """

    client: docker.DockerClient
    name: str
    service: Service
    backup: Backup
    snapshot: Snapshot
    log: Callable[[str], None]

    def container(self) -> str:
        """The container of the service that is neither its database nor its agent.

        Raises:
            BackupError: the inventory names none.
        """
        others = {self.backup.container, self.service.database.container if self.service.database else ""}
        for container in self.service.containers:
            if container not in others:
                return container
        raise BackupError(
            "cannot find the service's container in the inventory",
            hint="update the environment: that completes its inventory",
        )

    def remove_leftovers(self, label: str, what: str) -> None:
        """Remove what an interrupted restore or drill left, and log its names.

        Args:
            label: on everything that it made.
            what: `restore` or `drill`.

        Raises:
            BackupError: another process is restoring or drilling this service.
        """
        running: dict[str, str | list[str] | bool] = {
            "label": [label, f"{_AT_WORK}=true"],
            "status": "running",
        }
        end = time.monotonic() + _ENDS_SECONDS
        while self.client.api.containers(filters=running):
            if time.monotonic() > end:
                raise BackupError(
                    f"cannot {what} {self.name}: another {what} of it is running",
                    where=self.name,
                    hint="wait until it has ended",
                )
            time.sleep(0.2)
        removed = clones.remove_labelled(self.client, label)
        if removed:
            self.log(f"removed what an interrupted {what} left: {', '.join(removed)}")


@contextmanager
def restorer(
    client: docker.DockerClient,
    agent: Attributes,
    name: str,
    *,
    volumes: Mapping[str, str],
    labels: Mapping[str, str],
    networks: Iterable[str],
) -> Iterator[str]:
    """A clone of an agent that waits for commands, for the block.

    It has another host name than the agent, so that restic distinguishes their locks, and no state of its
    own. It reads its standard input from a connection of this process, and so ends when this process dies. A
    running one therefore proves that another process is at work; see `RestoreTarget.remove_leftovers`.

    Args:
        client: of the Docker that the agent is on.
        agent: as `clones.inspect_agent` returns it.
        name: of the clone.
        volumes: names by role; mounted writable at `/data/<role>`.
        labels: by which it is found again.
        networks: all that it is on.
    """
    first, *others = networks
    capabilities = {*(agent["HostConfig"].get("CapAdd") or ()), *_RESTORE_CAPABILITIES}
    clones.create(
        client,
        agent,
        name,
        labels={**labels, _AT_WORK: "true"},
        network=first,
        mounts=[
            *(
                {"Type": "volume", "Source": volume, "Target": f"{DATA}/{role}"}
                for role, volume in volumes.items()
            ),
            *_repositories(agent),
        ],
        Entrypoint=[],
        Cmd=["cat"],
        OpenStdin=True,
        StdinOnce=True,
        AttachStdin=True,
        Healthcheck={"Test": ["NONE"]},
        HostConfig={
            "CapAdd": sorted(capabilities),
            "Init": True,
            "ReadonlyRootfs": False,
            "ExtraHosts": agent["HostConfig"].get("ExtraHosts"),
        },
    )
    for other in others:
        client.api.connect_container_to_network(name, other)
    clones.copy_files(client, agent["Id"], name, [_CONFIGURATION, _SECRETS])
    with hijacked(client.api.attach_socket(name, params={"stdin": 1, "stream": 1})):
        clones.start(client, name)
        yield name


def networks_of(agent: Attributes, private: str) -> list[str]:
    """The networks that an agent is on, the service's private one first."""
    found = sorted(agent["NetworkSettings"]["Networks"])
    return [private, *(network for network in found if network != private)]


def _repositories(agent: Attributes) -> list[dict[str, object]]:
    """The agent's mount of a repository that is a directory of the machine; else nothing."""
    return [
        {"Type": mount["Type"], "Source": mount.get("Name") or mount["Source"], "Target": _REPOSITORY}
        for mount in agent["Mounts"]
        if mount["Destination"] == _REPOSITORY
    ]
