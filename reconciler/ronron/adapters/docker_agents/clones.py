"""Clones: throw-away containers that run as existing ones do, on other networks and volumes."""

from __future__ import annotations

import io
import secrets
import tarfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from docker.errors import APIError, NotFound

from ronron.adapters.docker_agents.exec import last_line, unreachable
from ronron.core.errors import BackupError

if TYPE_CHECKING:
    import docker

LARGEST_UPLOAD = 8 * 1024 * 1024
"""Bytes of all files that are copied from one container to a clone; keys and settings are small."""

_UP_SECONDS = 2.0
"""A program that cannot start ends within this time."""

_CHECK_INTERVAL = 1_000_000_000
"""Nanoseconds between the health checks of a clone, and before the first one."""

GRACE_SECONDS = 120
"""Seconds to stop a container; the longest of the catalogue, PostgreSQL's: a kill costs a crash recovery."""

# The keys of Config and HostConfig that decide how a container runs, and none that ties it to a place:
# no name, network, port, device, label, log driver or restart policy. Source: Docker's API 1.41,
# ContainerCreate.
_RUNS_AS = ("Env", "User", "Cmd", "Entrypoint", "WorkingDir", "Healthcheck", "StopSignal", "Shell")
_RUNS_WITHIN = (
    "Memory",
    "MemorySwap",
    "MemoryReservation",
    "NanoCpus",
    "CpuShares",
    "CpuPeriod",
    "CpuQuota",
    "CpusetCpus",
    "PidsLimit",
    "ShmSize",
    "CapAdd",
    "CapDrop",
    "SecurityOpt",
    "ReadonlyRootfs",
    "Tmpfs",
    "Ulimits",
    "Init",
    "Sysctls",
)

Attributes = Mapping[str, Any]
"""A container as `docker inspect` prints it."""


def inspect(client: docker.DockerClient, name: str) -> Attributes:
    """The attributes of a container.

    Raises:
        BackupError: there is none.
    """
    try:
        return dict(client.api.inspect_container(name))
    except NotFound as error:
        raise BackupError(
            f"cannot find the container {name}",
            hint="update the environment: that makes what its inventory names",
        ) from error


def exists(client: docker.DockerClient, name: str) -> bool:
    """Whether there is a container of this name."""
    try:
        client.api.inspect_container(name)
    except NotFound:
        return False
    return True


def inspect_agent(client: docker.DockerClient, name: str) -> Attributes:
    """The attributes of an agent's container.

    Raises:
        AgentUnreachableError: there is none, or it does not run.
    """
    try:
        found = dict(client.api.inspect_container(name))
    except NotFound as error:
        raise unreachable(name, "it does not exist") from error
    if not found["State"]["Running"]:
        raise unreachable(name, "it is not running")
    return found


def image_of(original: Attributes) -> str:
    """The id of the image that a container runs; its tag may have moved."""
    return str(original["Image"])


def volumes_of(original: Attributes) -> dict[str, str]:
    """The names of a container's volumes, by the path at which they are mounted."""
    return {
        str(mount["Destination"]): str(mount["Name"])
        for mount in original.get("Mounts") or ()
        if mount["Type"] == "volume"
    }


def create(
    client: docker.DockerClient,
    original: Attributes,
    name: str,
    *,
    labels: Mapping[str, str],
    network: str,
    aliases: Iterable[str] = (),
    mounts: Iterable[Mapping[str, object]] = (),
    **changes: object,
) -> str:
    """Create a container that runs as another one does; it is not started.

    Args:
        client: of the Docker that both are on.
        original: as `inspect` returns it.
        name: of the clone, also its host name.
        labels: of the clone; it has none of the original's.
        network: the only one that it is on.
        aliases: its names on that network.
        mounts: as Docker's API takes them.
        changes: keys of ContainerCreate that differ; those of its HostConfig under the key `HostConfig`.

    Returns:
        The name.
    """
    config, host = original["Config"], original["HostConfig"]
    host_changes = changes.pop("HostConfig", {})
    if not isinstance(host_changes, Mapping):
        raise TypeError("HostConfig is a mapping")
    body: dict[str, object] = {
        **{key: config[key] for key in _RUNS_AS if config.get(key) is not None},
        **_frequent_health_check(config),
        "Image": image_of(original),
        "Hostname": name[:63],
        "Labels": dict(labels),
        "HostConfig": {
            **{key: host[key] for key in _RUNS_WITHIN if host.get(key) is not None},
            "NetworkMode": network,
            "Mounts": [dict(mount) for mount in mounts],
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "1"}},
            "RestartPolicy": {"Name": "no"},
            **host_changes,
        },
        "NetworkingConfig": {"EndpointsConfig": {network: {"Aliases": sorted(set(aliases))}}},
        **changes,
    }
    client.api.create_container_from_config(body, name)  # type: ignore[no-untyped-call]
    return name


def _frequent_health_check(config: Attributes) -> dict[str, object]:
    """The health check of a clone: a restore waits for it, so it runs every second."""
    check = config.get("Healthcheck")
    if not check or not check.get("Interval"):
        return {}
    return {"Healthcheck": {**check, "Interval": min(check["Interval"], _CHECK_INTERVAL)}}


def copy_files(client: docker.DockerClient, origin: str, target: str, paths: Iterable[str]) -> None:
    """Copy files or whole directories from one container to another, where they are there.

    Owner and mode stay as they are, and nothing is written to a disk on the way: they may be secrets.

    Raises:
        BackupError: they have more than 8 MiB.
    """
    for path in paths:
        try:
            stream, _ = client.api.get_archive(origin, path)
        except NotFound:
            continue
        packed = io.BytesIO()
        for chunk in stream:
            packed.write(chunk)
            if packed.tell() > LARGEST_UPLOAD:
                raise BackupError(
                    f"cannot copy {path} of {origin}: it has more than {LARGEST_UPLOAD // 1024**2} MiB",
                    hint="keep large files in a volume of the service",
                )
        packed.seek(0)
        if not client.api.put_archive(target, "/", rooted(packed, path.rpartition("/")[0])):
            raise BackupError(f"cannot copy {path} into {target}: Docker refuses it")


def rooted(packed: io.BytesIO, parent: str) -> bytes:
    """The archive with full paths: Docker then makes the parents that the image does not have."""
    rooted = io.BytesIO()
    with tarfile.open(fileobj=packed) as old, tarfile.open(fileobj=rooted, mode="w") as new:
        for member in old:
            member.name = f"{parent}/{member.name}".lstrip("/")
            new.addfile(member, old.extractfile(member) if member.isfile() else None)
    return rooted.getvalue()


def start(client: docker.DockerClient, container: str) -> None:
    """Start a container."""
    client.api.start(container)


def stop(client: docker.DockerClient, container: str) -> None:
    """Stop a container with SIGTERM; nothing happens to one that is stopped."""
    client.api.stop(container, timeout=GRACE_SECONDS)


def start_seconds(original: Attributes) -> float:
    """How long a container may take to become healthy: as its health check allows, and at least ten minutes.

    The first start on an older snapshot migrates it.
    """
    check = original["Config"].get("Healthcheck") or {}
    nanoseconds = float(check.get("StartPeriod") or 0) + float(check.get("Retries") or 3) * (
        float(check.get("Interval") or 30e9) + float(check.get("Timeout") or 30e9)
    )
    return max(600.0, nanoseconds / 1e9)


def await_healthy(client: docker.DockerClient, container: str, seconds: float) -> None:
    """Wait until a container is healthy; one without a health check must run for two seconds.

    Raises:
        BackupError: it ended, or the time has run out; the message has the last line of its output.
    """
    end = time.monotonic() + seconds
    up_since: tuple[str, float] | None = None
    while True:
        state = client.api.inspect_container(container)["State"]
        health = state.get("Health")
        if state["Status"] in {"exited", "dead"}:
            raise BackupError(
                f"cannot start {container}: it ended with {state['ExitCode']}"
                f"{_last_output(client, container)}",
                hint=f"read its output: docker logs {container}",
            )
        if health is not None and health["Status"] == "healthy":
            return
        if health is None and state["Status"] == "running":
            # By our own clock: that of its machine may differ.
            if up_since is None or up_since[0] != state["StartedAt"]:
                up_since = (state["StartedAt"], time.monotonic())
            elif time.monotonic() - up_since[1] > _UP_SECONDS:
                return
        if time.monotonic() > end:
            raise BackupError(
                f"cannot start {container}: not healthy within {seconds:g} s"
                f"{_last_output(client, container)}",
                hint=f"read its output: docker logs {container}",
            )
        time.sleep(0.2)


def remove_labelled(client: docker.DockerClient, label: str) -> list[str]:
    """Remove the containers, networks and volumes that have a label, whatever their state.

    Args:
        client: of the Docker that they are on.
        label: `key=value`.

    Returns:
        The names of what was removed.
    """
    labelled: dict[str, str | list[str] | bool] = {"label": label}
    removed: list[str] = []
    for container in client.api.containers(all=True, filters=labelled):
        with suppress(NotFound):
            client.api.remove_container(container["Id"], force=True, v=True)
            removed.append(container["Names"][0].lstrip("/"))
    for network in client.api.networks(filters=labelled):
        with suppress(NotFound):
            client.api.remove_network(network["Id"])
            removed.append(network["Name"])
    for volume in client.api.volumes(filters=labelled)["Volumes"] or ():
        with suppress(NotFound):
            client.api.remove_volume(volume["Name"], force=True)
            removed.append(volume["Name"])
    return removed


def unique_name(container: str, what: str) -> str:
    """A name that nothing else has: `ronron-local-pad-drill-0f2b9c1e`."""
    return f"{container}-{what}-{secrets.token_hex(4)}"


def _last_output(client: docker.DockerClient, container: str) -> str:
    try:
        output = bytes(client.api.logs(container, tail=5)).decode(errors="replace")
    except APIError:
        return ""
    line = last_line(output)
    return f": {line}" if line else ""
