"""Containers of services that a test fills, and that note what is done to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from ronron.core.containers import ContainerState, Observation, missing
from ronron.core.errors import BackupError
from ronron.core.inventory import Inventory
from ronron.ports.services import Streams


class FakeServiceContainers:
    """See ports.ServiceContainers."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        """What was done, in order: `restart pad`, `exec pad: ls /`."""
        self._seen: dict[str, Observation] = {}
        self._logs: dict[str, list[tuple[datetime | None, str]]] = {}
        self._edge: str | None = None
        self._answers: dict[str, tuple[int, bytes]] = {}

    def run(self, name: str, **fields: object) -> None:
        """Make a container that runs; fields as in `Observation`."""
        self._seen[name] = Observation.model_validate(
            {"name": name, "state": ContainerState.RUNNING} | fields
        )

    def write(self, name: str, line: str, at: datetime | None = None) -> None:
        """Let a container write one line to its log."""
        self._logs.setdefault(name, []).append((at, line))

    def publish_by(self, edge: str) -> None:
        """Set the name of the edge's container."""
        self._edge = edge

    def answer(self, program: str, code: int, output: bytes = b"") -> None:
        """Set what a program does: its exit code and its output."""
        self._answers[program] = (code, output)

    def look(self, inventory: Inventory, machine: str, container: str) -> Observation:
        """See ports.ServiceContainers."""
        self._check(inventory, machine, container)
        return self._seen.get(container, missing(container))

    def edge(self, inventory: Inventory, machine: str, container: str) -> str | None:
        """See ports.ServiceContainers."""
        self._check(inventory, machine, container)
        return self._edge

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
        """See ports.ServiceContainers; a followed log ends at once."""
        del follow
        self._existing(inventory, machine, container)
        told = [
            line
            for at, line in self._logs.get(container, ())
            if since is None or (at is not None and at >= since)
        ]
        for line in told[max(0, len(told) - lines) :]:
            write(line)

    def restart(self, inventory: Inventory, machine: str, container: str) -> None:
        """See ports.ServiceContainers."""
        self._existing(inventory, machine, container)
        self.calls.append(f"restart {container}")

    def execute(
        self, inventory: Inventory, machine: str, container: str, words: Sequence[str], streams: Streams
    ) -> int:
        """See ports.ServiceContainers."""
        if self._existing(inventory, machine, container).state is not ContainerState.RUNNING:
            raise BackupError(f"cannot run a program in {container}: it is not running")
        self.calls.append(f"exec {container}: {' '.join(words)}")
        code, output = self._answers.get(words[0], (127, b""))
        streams.stdout.write(output)
        streams.stdout.flush()
        return code

    def _check(self, inventory: Inventory, machine: str, container: str) -> None:
        if machine not in inventory.machines:
            raise BackupError(f"cannot find the machine {machine} of {container} in the inventory")

    def _existing(self, inventory: Inventory, machine: str, container: str) -> Observation:
        self._check(inventory, machine, container)
        if container not in self._seen:
            raise BackupError(f"cannot find the container {container} on {machine}")
        return self._seen[container]
