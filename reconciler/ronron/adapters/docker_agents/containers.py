"""Describes the containers of machines and reads their logs; see ports.Containers.

Each call opens a connection of its own for each machine.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ronron.core.containers import ContainerHealth, ContainerState, Look, Observation, missing
from ronron.core.errors import BackupError
from ronron.core.inventory import Inventory

if TYPE_CHECKING:
    import docker

DEADLINE_SECONDS = 30.0
"""For all machines together: ssh needs 10 s to find a dead address, and a busy Docker 15 s for one answer."""

_NEVER = "0001-01-01T00:00:00Z"
_ENDED = frozenset({ContainerState.EXITED, ContainerState.DEAD, ContainerState.RESTARTING})

_Described = tuple[dict[str, Observation], frozenset[str]]


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
            containers={machine: answer[0] for machine, answer in found.items()},
            volumes={machine: answer[1] for machine, answer in found.items()},
            unreachable=unreachable,
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
                return found, frozenset(str(one["Name"]) for one in volumes)
        except BackupError as error:
            return error.message.removeprefix(f"cannot reach the Docker of {name}: ")
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing is known of this machine
            return f"{type(error).__name__}: {error}"

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

        described = inventory.machines.get(machine)
        if described is None:
            raise BackupError(
                f"cannot find the machine {machine} of {container} in the inventory",
                where=container,
                hint="update the environment: that completes its inventory",
            )
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


def _observed(client: docker.DockerClient, name: str) -> Observation:
    from docker.errors import NotFound

    try:
        inspected = client.api.inspect_container(name)
    except NotFound:
        return missing(name)
    # Docker also takes the beginning of an id for a name.
    return observation(inspected) if inspected["Name"] == f"/{name}" else missing(name)


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
    )


def _instant(text: str | None) -> datetime | None:
    """Docker's times have nine digits of a second, of which Python reads six."""
    if not text or text == _NEVER:
        return None
    return datetime.fromisoformat(text).astimezone(UTC)
