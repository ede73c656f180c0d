"""The container that puts snapshots back: a copy of an agent with the service's volumes writable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import docker

from reconciler.adapters import docker_copies as copies
from reconciler.adapters.docker_copies import Attributes

DATA = "/data"
_CONFIGURATION = "/etc/ronron-agent.json"
_SECRETS = "/run/ronron-agent"
_REPOSITORY = "/repository"

_PUTS_BACK = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID")
"""What root needs to give files back to whoever they belong to, with the modes that they had."""

_LONGEST_SECONDS = 24 * 3600
"""After this it ends by itself, whatever became of whoever made it."""


def restorer(
    client: docker.DockerClient,
    agent: Attributes,
    name: str,
    *,
    volumes: Mapping[str, str],
    labels: Mapping[str, str],
    networks: Iterable[str],
) -> str:
    """Make and start a copy of an agent that only waits for commands.

    It has another host name than the agent, so that restic tells their locks apart, and no state of its own.

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
        labels=labels,
        network=first,
        mounts=[
            *(
                {"Type": "volume", "Source": volume, "Target": f"{DATA}/{role}"}
                for role, volume in volumes.items()
            ),
            *_repositories(agent),
        ],
        Entrypoint=[],
        Cmd=["sleep", str(_LONGEST_SECONDS)],
        Healthcheck={"Test": ["NONE"]},
        HostConfig={
            "CapAdd": sorted(added),
            "Init": True,
            "ExtraHosts": agent["HostConfig"].get("ExtraHosts"),
        },
    )
    for other in others:
        client.api.connect_container_to_network(name, other)
    copies.copy_files(client, agent["Id"], name, [_CONFIGURATION, _SECRETS])
    copies.start(client, name)
    return name


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
