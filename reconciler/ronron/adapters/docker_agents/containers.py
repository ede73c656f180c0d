"""Describes the containers of machines and reads their logs; see ports.Containers.

Each call opens a connection of its own for each machine.
"""

from __future__ import annotations

import io
import queue
import tarfile
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ronron.core.container_settings import is_nameless, settings_of
from ronron.core.containers import ContainerHealth, ContainerState, Look, Observation, missing
from ronron.core.errors import BackupError
from ronron.core.failed_containers import secret_values
from ronron.core.inventory import Inventory, Machine
from ronron.core.redact import redact

if TYPE_CHECKING:
    import docker

DEADLINE_SECONDS = 30.0
"""For all machines together: ssh needs 10 s to find a dead address, and a busy Docker 15 s for one answer."""

_STOP_SECONDS = 30
"""For a clean stop, before Docker kills it."""

_NEVER = "0001-01-01T00:00:00Z"
_ENDED = frozenset({ContainerState.EXITED, ContainerState.DEAD, ContainerState.RESTARTING})


@dataclass
class _Described:
    """What there is on one machine; networks and images only where a container is missing."""

    containers: dict[str, Observation]
    volumes: frozenset[str]
    networks: frozenset[str] | None = None
    images: frozenset[str] | None = None


class DockerContainers:
    """See ports.Containers.

    Args:
        deadline: seconds for all machines together.
    """

    def __init__(self, deadline: float = DEADLINE_SECONDS) -> None:
        self._deadline = deadline

    def look(self, inventory: Inventory, wanted: Mapping[str, Collection[str]]) -> Look:
        """See ports.Containers."""
        answers: queue.SimpleQueue[tuple[str, _Described | str]] = queue.SimpleQueue()
        # Daemon threads: one that hangs must stop neither the watcher nor the end of the process.
        for machine, names in wanted.items():
            threading.Thread(
                target=lambda one, asked: answers.put((one, self._described(inventory, one, asked))),
                args=(machine, tuple(names)),
                daemon=True,
            ).start()
        found: dict[str, _Described] = {}
        unreachable = dict.fromkeys(wanted, f"no answer within {self._deadline:g} s")
        end = time.monotonic() + self._deadline
        for _ in wanted:
            try:
                machine, answer = answers.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                break
            if isinstance(answer, str):
                unreachable[machine] = answer
            else:
                found[machine] = answer
                del unreachable[machine]
        return Look(
            containers={machine: answer.containers for machine, answer in found.items()},
            volumes={machine: answer.volumes for machine, answer in found.items()},
            unreachable=unreachable,
            networks={name: one.networks for name, one in found.items() if one.networks is not None},
            images={name: one.images for name, one in found.items() if one.images is not None},
        )

    def _described(self, inventory: Inventory, name: str, asked: Collection[str]) -> _Described | str:
        """The containers and volumes of a machine, or why it is unreachable."""
        # Docker's SDK takes a while to import, and most commands ask no machine.
        from ronron.adapters.docker_agents.connection import machine_client

        machine = inventory.machines.get(name)
        if machine is None:
            return "the inventory does not say how it is reached"
        try:
            with machine_client(name, machine, name, "list the containers of", self._deadline) as client:
                found = {container: _observed(client, container) for container in asked}
                volumes = client.api.volumes().get("Volumes") or []
                described = _Described(found, frozenset(str(one["Name"]) for one in volumes))
                if any(one.state is ContainerState.MISSING for one in found.values()):
                    described.networks = frozenset(str(one["Name"]) for one in client.api.networks())
                    described.images = frozenset(str(one) for one in client.api.images(quiet=True))
                return described
        except BackupError as error:
            return error.message.removeprefix(f"cannot reach the Docker of {name}: ")
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing is known of this machine
            return f"{type(error).__name__}: {error}"

    def remove_stray(self, inventory: Inventory, machine: str, container: str, id: str) -> None:  # noqa: A002
        """See ports.Containers."""
        from docker.errors import NotFound

        from ronron.adapters.docker_agents.connection import machine_client

        described = _machine(inventory, machine, container)
        with machine_client(
            machine, described, container, "remove the container", _STOP_SECONDS * 3
        ) as client:
            try:
                if client.api.inspect_container(id)["Name"] != f"/{container}":
                    return
                client.api.stop(id, timeout=_STOP_SECONDS)
                client.api.remove_container(id, v=False, force=True)
            except NotFound:
                return

    def logs(
        self,
        inventory: Inventory,
        machine: str,
        container: str,
        *,
        lines: int = 20,
        since: datetime | None = None,
    ) -> tuple[str, ...]:
        """See ports.Containers."""
        from docker.errors import NotFound

        from ronron.adapters.docker_agents.connection import machine_client

        described = _machine(inventory, machine, container)
        with machine_client(machine, described, container, "read the log of") as client:
            try:
                text = client.api.logs(
                    container, tail=lines, since=None if since is None else since.timestamp()
                )
            except NotFound as error:
                raise BackupError(
                    f"cannot find the container {container} on {machine}",
                    where=container,
                    hint="update the environment: that makes it again",
                ) from error
        return tuple(bytes(text).decode(errors="replace").splitlines())


def _machine(inventory: Inventory, machine: str, container: str) -> Machine:
    described = inventory.machines.get(machine)
    if described is None:
        raise BackupError(
            f"cannot find the machine {machine} of {container} in the inventory",
            where=container,
            hint="update the environment: that completes its inventory",
        )
    return described


def _observed(client: docker.DockerClient, name: str) -> Observation:
    from docker.errors import NotFound

    try:
        inspected = client.api.inspect_container(name)
    except NotFound:
        return missing(name)
    # Docker also takes the beginning of an id for a name.
    if inspected["Name"] != f"/{name}":
        return missing(name)
    own = sorted(
        str(mount.get("Destination"))
        for mount in inspected.get("Mounts") or ()
        if mount.get("Type") == "volume" and is_nameless(str(mount.get("Name") or ""))
    )
    has_files = tuple(path for path in own if _has_files(client, inspected["Id"], path))
    found, secrets = observation(inspected), secret_values(inspected["Config"].get("Env") or ())
    # These are stored and logged: checks like to print the address of a database, password and all.
    return found.with_(
        own_volumes=has_files,
        health_output=redact(found.health_output, secrets),
        error=redact(found.error, secrets),
    )


def _has_files(client: docker.DockerClient, container: str, path: str) -> bool:
    """Whether there is a file below a path; of one that cannot be read, yes.

    Images declare volumes that nothing ever writes to.
    """
    from docker.errors import APIError

    try:
        stream, _ = client.api.get_archive(container, path)
        with closing(stream), tarfile.open(fileobj=_Stream(stream), mode="r|") as archive:
            return any(not member.isdir() for member in archive)
    except (APIError, tarfile.TarError):
        return True


class _Stream(io.RawIOBase):
    """The chunks of an answer as a file that is read once."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        target = memoryview(buffer).cast("B")
        while not self._left:
            try:
                self._left = next(self._chunks)
            except StopIteration:
                return 0
        size = min(len(target), len(self._left))
        target[:size] = self._left[:size]
        self._left = self._left[size:]
        return size


def observation(inspected: Mapping[str, Any]) -> Observation:
    """What an inspection by Docker's API says. Versions 1.41 to 1.51 of it have these keys."""
    state, config = inspected["State"], inspected["Config"]
    what = ContainerState(state["Status"])
    health = state.get("Health") or {}
    log = health.get("Log") or []
    ended = what in _ENDED or state.get("Error")
    return Observation(
        name=inspected["Name"].removeprefix("/"),
        state=what,
        id=inspected["Id"],
        image=config.get("Image") or "",
        image_id=inspected.get("Image") or "",
        exit_code=int(state.get("ExitCode") or 0) if ended else None,
        error=state.get("Error") or "",
        restarts=int(inspected.get("RestartCount") or 0),
        health=ContainerHealth(health.get("Status") or "none"),
        health_output=str(log[-1].get("Output") or "").strip() if log else "",
        started_at=_instant(state.get("StartedAt")),
        finished_at=_instant(state.get("FinishedAt")),
        oom_killed=bool(state.get("OOMKilled")),
        labels=dict(config.get("Labels") or {}),
        networks=tuple(sorted((inspected.get("NetworkSettings") or {}).get("Networks") or {})),
        settings=settings_of(inspected),
    )


def _instant(text: str | None) -> datetime | None:
    """Docker's times have nine digits of a second, of which Python reads six."""
    if not text or text == _NEVER:
        return None
    return datetime.fromisoformat(text).astimezone(UTC)
