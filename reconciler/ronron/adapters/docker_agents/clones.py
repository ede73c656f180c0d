"""Throw-away containers that are made like running ones; what a copy changes is its own."""

from __future__ import annotations

import io
import secrets
import tarfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import docker
from docker.errors import APIError, NotFound

from ronron.adapters.docker_agents.exec import silent
from ronron.core.errors import BackupError

LARGEST_UPLOAD = 8 * 1024 * 1024
"""Bytes of all files that are copied from one container to another; keys and settings are small."""

_UP_SECONDS = 2.0
"""A program that cannot start ends within this."""

_COPY_INTERVAL = 1_000_000_000
"""Nanoseconds between the health checks of a copy; Docker makes the first one only after as long."""

GRACE_SECONDS = 120
"""As the longest of the catalogue, PostgreSQL's: a kill costs a recovery."""

# Everything of Config and HostConfig that decides how a container runs, and nothing that binds it to a place:
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
"""What Docker's API says of a container, as `docker inspect` prints it."""


def inspected(client: docker.DockerClient, name: str) -> Attributes:
    """What Docker says of a container.

    Raises:
        BackupError: there is none.
    """
    try:
        return dict(client.api.inspect_container(name))
    except NotFound as error:
        raise BackupError(
            f"cannot find the container {name}",
            hint="update the environment, so that everything in its inventory is there",
        ) from error


def inspected_agent(client: docker.DockerClient, name: str) -> Attributes:
    """What Docker says of an agent's container.

    Raises:
        AgentUnreachableError: there is none, or it does not run.
    """
    try:
        found = dict(client.api.inspect_container(name))
    except NotFound as error:
        raise silent(name, "it does not exist") from error
    if not found["State"]["Running"]:
        raise silent(name, "it is not running")
    return found


def image_of(original: Attributes) -> str:
    """The very image that a container runs, whatever its tag means by now."""
    return str(original["Image"])


def volumes_of(original: Attributes) -> dict[str, str]:
    """Volumes of a container: the path they are mounted at, and their names."""
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
    """Make a container that runs as another one does; it is not started.

    Args:
        client: of the Docker that both are on.
        original: as `inspected` gives it.
        name: of the copy, also its host name.
        labels: of the copy; the original's are not its own.
        network: the only one that it is on.
        aliases: by which it is known there.
        mounts: as Docker's API takes them.
        changes: keys of ContainerCreate that differ; those of its HostConfig by the key `HostConfig`.

    Returns:
        The name.
    """
    config, host = original["Config"], original["HostConfig"]
    host_changes = changes.pop("HostConfig", {})
    if not isinstance(host_changes, Mapping):
        raise TypeError("HostConfig is a mapping")
    body: dict[str, object] = {
        **{key: config[key] for key in _RUNS_AS if config.get(key) is not None},
        **_asked_often(config),
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


def _asked_often(config: Attributes) -> dict[str, object]:
    """The health check of a copy: somebody waits for it, and it does not live long."""
    check = config.get("Healthcheck")
    if not check or not check.get("Interval"):
        return {}
    return {"Healthcheck": {**check, "Interval": min(check["Interval"], _COPY_INTERVAL)}}


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
    """The same archive with full paths: a parent that the image does not have is then made."""
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
    """Stop a container cleanly; one that is stopped stays so."""
    client.api.stop(container, timeout=GRACE_SECONDS)


def start_seconds(original: Attributes) -> float:
    """How long a container may take until it is healthy: as its health check says, and ten minutes at least.

    An older snapshot is migrated at the first start.
    """
    check = original["Config"].get("Healthcheck") or {}
    nanoseconds = float(check.get("StartPeriod") or 0) + float(check.get("Retries") or 3) * (
        float(check.get("Interval") or 30e9) + float(check.get("Timeout") or 30e9)
    )
    return max(600.0, nanoseconds / 1e9)


def await_healthy(client: docker.DockerClient, container: str, seconds: float) -> None:
    """Wait until Docker calls a container healthy; one without a health check has to run for two seconds.

    Raises:
        BackupError: it ended, or the time is over; the message has the last line that it said.
    """
    end = time.monotonic() + seconds
    up_since: tuple[str, float] | None = None
    while True:
        state = client.api.inspect_container(container)["State"]
        health = state.get("Health")
        if state["Status"] in {"exited", "dead"}:
            said = _last_words(client, container)
            raise BackupError(
                f"cannot start {container}: it ended with {state['ExitCode']}{said}",
                hint=f"look at what it said: docker logs {container}",
            )
        if health is not None and health["Status"] == "healthy":
            return
        if health is None and state["Status"] == "running":
            # Counted here: the clock of its machine may be another.
            if up_since is None or up_since[0] != state["StartedAt"]:
                up_since = (state["StartedAt"], time.monotonic())
            elif time.monotonic() - up_since[1] > _UP_SECONDS:
                return
        if time.monotonic() > end:
            said = _last_words(client, container)
            raise BackupError(
                f"cannot start {container}: not healthy within {seconds:g} s{said}",
                hint=f"look at what it said: docker logs {container}",
            )
        time.sleep(0.2)


def sweep(client: docker.DockerClient, label: str, told_of: list[str] | None = None) -> None:
    """Remove the containers, volumes and networks that carry a label, whatever state they are in.

    Args:
        client: of the Docker that they are on.
        label: `key=value`.
        told_of: is given the names of what was removed.
    """
    mine: dict[str, str | list[str] | bool] = {"label": label}
    removed: list[str] = []
    for container in client.api.containers(all=True, filters=mine):
        with suppress(NotFound):
            client.api.remove_container(container["Id"], force=True, v=True)
            removed.append(container["Names"][0].lstrip("/"))
    for network in client.api.networks(filters=mine):
        with suppress(NotFound):
            client.api.remove_network(network["Id"])
            removed.append(network["Name"])
    for volume in client.api.volumes(filters=mine)["Volumes"] or ():
        with suppress(NotFound):
            client.api.remove_volume(volume["Name"], force=True)
            removed.append(volume["Name"])
    if told_of is not None:
        told_of += removed


def own_name(container: str, what: str) -> str:
    """A name that nothing else has: `ronron-local-pad-drill-0f2b9c1e`."""
    return f"{container}-{what}-{secrets.token_hex(4)}"


def _last_words(client: docker.DockerClient, container: str) -> str:
    try:
        said = bytes(client.api.logs(container, tail=5)).decode(errors="replace")
    except APIError:
        return ""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return f": {lines[-1][:300]}" if lines else ""
