"""Machines full of containers that a test starts, stops, removes and edits."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from hashlib import sha256

from ronron.core.containers import ContainerState, Look, Observation, missing
from ronron.core.errors import AgentUnreachableError, BackupError
from ronron.core.inventory import Inventory
from ronron.testing.machines import NOWHERE


class FakeContainers:
    """See ports.Containers. Every machine that the inventory describes answers until it is silenced."""

    def __init__(self) -> None:
        self.looks = 0
        """How often it was asked."""
        self._there: dict[tuple[str, str], Observation] = {}
        self._lines: dict[tuple[str, str], list[tuple[datetime | None, str]]] = {}
        self._volumes: dict[str, set[str]] = {}
        self._networks: dict[str, set[str]] = {}
        self._images: dict[str, set[str]] = {}
        self._silent: dict[str, str] = {}
        self._made = 0

    def run(self, machine: str, name: str, **fields: object) -> Observation:
        """Make a container that runs; fields as in `Observation`. Replaces one of the same name."""
        self._made += 1
        made = Observation.model_validate(
            {"name": name, "state": ContainerState.RUNNING, "id": _id(f"{name} {self._made}")} | fields
        )
        self._there[machine, name] = made
        return made

    def change(self, machine: str, name: str, **fields: object) -> None:
        """Change a container; fields as in `Observation`."""
        self._there[machine, name] = self._there[machine, name].with_(**fields)

    def stop(self, machine: str, name: str, exit_code: int = 137) -> None:
        """Let a container end."""
        self.change(machine, name, state=ContainerState.EXITED, exit_code=exit_code)

    def remove(self, machine: str, name: str) -> None:
        """Remove a container."""
        del self._there[machine, name]

    def write(self, machine: str, name: str, line: str, at: datetime | None = None) -> None:
        """Let a container write one line to its log."""
        self._lines.setdefault((machine, name), []).append((at, line))

    def make_volume(self, machine: str, name: str) -> None:
        """Make a volume."""
        self._volumes.setdefault(machine, set()).add(name)

    def remove_volume(self, machine: str, name: str) -> None:
        """Remove a volume."""
        self._volumes[machine].remove(name)

    def make_network(self, machine: str, name: str) -> None:
        """Make a network."""
        self._networks.setdefault(machine, set()).add(name)

    def remove_network(self, machine: str, name: str) -> None:
        """Remove a network."""
        self._networks[machine].remove(name)

    def make_image(self, machine: str, id: str) -> None:  # noqa: A002
        """Make an image."""
        self._images.setdefault(machine, set()).add(id)

    def silence(self, machine: str, why: str = "connection refused") -> None:
        """Let the Docker of a machine answer no more."""
        self._silent[machine] = why

    def bring_back(self, machine: str) -> None:
        """Let it answer again."""
        self._silent.pop(machine, None)

    def look(self, inventory: Inventory, wanted: Mapping[str, Collection[str]]) -> Look:
        """See ports.Containers."""
        self.looks += 1
        reachable = [one for one in wanted if one in inventory.machines and one not in self._silent]
        lists = [
            machine
            for machine in reachable
            if any((machine, name) not in self._there for name in wanted[machine])
        ]
        return Look(
            networks={machine: frozenset(self._networks.get(machine, ())) for machine in lists},
            images={machine: frozenset(self._images.get(machine, ())) for machine in lists},
            containers={
                machine: {name: self._there.get((machine, name), missing(name)) for name in wanted[machine]}
                for machine in reachable
            },
            volumes={machine: frozenset(self._volumes.get(machine, ())) for machine in reachable},
            unreachable={one: self._silent.get(one, NOWHERE) for one in wanted if one not in reachable},
        )

    def remove_stray(self, inventory: Inventory, machine: str, container: str, id: str) -> None:  # noqa: A002
        """See ports.Containers."""
        self._answers(inventory, machine, container)
        there = self._there.get((machine, container))
        if there is not None and there.id == id:
            del self._there[machine, container]

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
        self._answers(inventory, machine, container)
        if (machine, container) not in self._there:
            raise BackupError(f"cannot find the container {container} on {machine}")
        written = self._lines.get((machine, container), [])
        told = [line for at, line in written if since is None or (at is not None and at >= since)]
        return tuple(told[len(told) - min(lines, len(told)) :])

    def _answers(self, inventory: Inventory, machine: str, container: str) -> None:
        if machine not in inventory.machines:
            raise BackupError(f"cannot find the machine {machine} of {container} in the inventory")
        if machine in self._silent:
            raise AgentUnreachableError(f"cannot reach the Docker of {machine}: {self._silent[machine]}")


def _id(text: str) -> str:
    return sha256(text.encode()).hexdigest()
