"""What Docker says of a container."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from ronron.core.value import Instant, Value


class ContainerState(StrEnum):
    """Docker's own states, and one for a container that does not exist."""

    CREATED = "created"
    RUNNING = "running"
    RESTARTING = "restarting"
    PAUSED = "paused"
    EXITED = "exited"
    REMOVING = "removing"
    DEAD = "dead"
    MISSING = "missing"


class ContainerHealth(StrEnum):
    """What the container's own health check says; `none` for a container without one."""

    NONE = "none"
    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


class Observation(Value):
    """One container as Docker describes it now.

    Args:
        name: without a slash.
        id: 64 hexadecimal digits; empty for a missing one, like every field but name and state.
        image: the reference that it was created from.
        image_id: `sha256:...` of the image.
        exit_code: of its last run; None while it runs, and for one that was never started.
        error: why Docker could not start it, in Docker's words.
        restarts: how often Docker's restart policy has started it again.
        health_output: of its last health check, as `Containers.look` gives it: without its secrets.
        started_at: when its last run began; None for one that never ran.
        finished_at: when its last run that ended did so; None while none has.
        labels: its own and those of its image; values may be secret.
        networks: names, sorted.
        settings: its settings as texts, by name; see `container_settings.settings_of`.
        own_volumes: paths at which it has files in volumes without a name: those go with the container.
    """

    name: str
    state: ContainerState
    id: str = ""
    image: str = ""
    image_id: str = ""
    exit_code: int | None = None
    error: str = ""
    restarts: int = 0
    health: ContainerHealth = ContainerHealth.NONE
    health_output: str = ""
    started_at: Instant | None = None
    finished_at: Instant | None = None
    oom_killed: bool = False
    labels: Mapping[str, str] = {}
    networks: tuple[str, ...] = ()
    settings: Mapping[str, str] = {}
    own_volumes: tuple[str, ...] = ()


class MadeContainer(Value):
    """A container that an update made, as the state of its stack has it.

    Args:
        urn: of the resource.
        name: the physical one.
        id: the one that Docker gave.
        machine: name of the provider that it was made through.
        modified: when an update last changed the resource, in the engine's notation; empty if unknown.
        must_run: false for one that is expected to end.
        volumes: names of the volumes of the same stack that it mounts.
        networks: names of the networks of the same stack that it is on.
        image: its image as the stack names it: `sha256:...`, or a reference.
    """

    urn: str
    name: str
    id: str
    machine: str
    modified: str = ""
    must_run: bool = True
    volumes: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    image: str = ""

    @property
    def key(self) -> str:
        """What it is called among all containers of a stack: `pad on here`."""
        return f"{self.name} on {self.machine}"


class Look(Value):
    """What one look at the machines of an environment found.

    Args:
        containers: by machine and name: one for each name that was asked for on a reachable machine.
        volumes: by reachable machine: the names of all volumes that it has.
        unreachable: by machine: why nothing is known of it.
        networks: by machine: the names of all networks; only for a machine on which a container is missing.
        images: by machine: the ids of all images; as `networks`.
    """

    containers: Mapping[str, Mapping[str, Observation]] = {}
    volumes: Mapping[str, frozenset[str]] = {}
    unreachable: Mapping[str, str] = {}
    networks: Mapping[str, frozenset[str]] = {}
    images: Mapping[str, frozenset[str]] = {}

    def of(self, machine: str, name: str) -> Observation | None:
        """One container; None where its machine is unreachable or it was not asked for."""
        return self.containers.get(machine, {}).get(name)


def missing(name: str) -> Observation:
    """A container that does not exist."""
    return Observation(name=name, state=ContainerState.MISSING)
