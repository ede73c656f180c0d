"""The container that puts snapshots back: a copy of an agent with the service's volumes writable."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import docker

from ronron.adapters.docker_agents import clones as copies
from ronron.adapters.docker_agents.clones import Attributes
from ronron.adapters.docker_agents.exec import hijacked
from ronron.core.backups import Snapshot
from ronron.core.errors import BackupError
from ronron.core.inventory import Backup, Service

DATA = "/data"
_CONFIGURATION = "/etc/ronron-agent.json"
_SECRETS = "/run/ronron-agent"
_REPOSITORY = "/repository"

_AT_WORK = "ronron.at-work"
"""A label of the containers that live on somebody's connection."""

_PUTS_BACK = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID")
"""What root needs to give files back to whoever they belong to, with the modes that they had."""

_ENDS_SECONDS = 15.0
"""Until the container of somebody who was killed has ended: Docker sees the closed connection at once."""


@dataclass
class Placing:
    """A snapshot of a service that is to be put somewhere.

    Args:
        client: of the Docker that the service is on.
        name: of the service.
        service: as the inventory has it.
        backup: as the inventory has it.
        snapshot: what is restored.
        told: is given a line for each step.
    """

    client: docker.DockerClient
    name: str
    service: Service
    backup: Backup
    snapshot: Snapshot
    told: Callable[[str], None]

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
            hint="update the environment, so that its inventory is whole",
        )


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
    """A copy of an agent that only waits for commands, until the block ends.

    It has another host name than the agent, so that restic tells their locks apart, and no state of its own.
    It lives on a connection of ours: when this process dies, however it dies, it ends too. So one that runs
    belongs to somebody who is at work; see `refuse_company`.

    Args:
        client: of the Docker that the agent is on.
        agent: as Docker describes it.
        name: of the copy.
        volumes: names by role; mounted writable at `/data/<role>`.
        labels: by which it is found again.
        networks: all that it is on.
    """
    first, *others = networks
    added = {*(agent["HostConfig"].get("CapAdd") or ()), *_PUTS_BACK}
    copies.create(
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
            "CapAdd": sorted(added),
            "Init": True,
            "ReadonlyRootfs": False,
            "ExtraHosts": agent["HostConfig"].get("ExtraHosts"),
        },
    )
    for other in others:
        client.api.connect_container_to_network(name, other)
    copies.copy_files(client, agent["Id"], name, [_CONFIGURATION, _SECRETS])
    with hijacked(client.api.attach_socket(name, params={"stdin": 1, "stream": 1})):
        copies.start(client, name)
        yield name


def refuse_company(client: docker.DockerClient, label: str, what: str, name: str) -> None:
    """Refuse to work where somebody else is at work.

    Args:
        client: of the Docker that the service is on.
        label: that their container carries.
        what: they do.
        name: of the service.

    Raises:
        BackupError: somebody is.
    """
    running: dict[str, str | list[str] | bool] = {"label": [label, f"{_AT_WORK}=true"], "status": "running"}
    end = time.monotonic() + _ENDS_SECONDS
    while client.api.containers(filters=running):
        if time.monotonic() > end:
            raise BackupError(
                f"cannot {what} {name}: another {what} of it is under way",
                where=name,
                hint="wait until it has ended",
            )
        time.sleep(0.2)


def networks_of(agent: Attributes, private: str) -> list[str]:
    """The networks that an agent is on, the service's private one first."""
    found = sorted(agent["NetworkSettings"]["Networks"])
    return [private, *(network for network in found if network != private)]


def _repositories(agent: Attributes) -> list[dict[str, object]]:
    """Where a repository is a directory of the machine: what the agent has there."""
    return [
        {"Type": mount["Type"], "Source": mount.get("Name") or mount["Source"], "Target": _REPOSITORY}
        for mount in agent["Mounts"]
        if mount["Destination"] == _REPOSITORY
    ]
