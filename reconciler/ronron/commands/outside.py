"""How the commands reach what is outside: the agents, the public URLs, the clock and the person."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import typer

from ronron.adapters.http_prober import HttpProber
from ronron.adapters.system_clock import SystemClock
from ronron.core.backups import BackupStatus, DrillResult, Restored, Snapshot
from ronron.core.inventory import Inventory
from ronron.ports import Backups, Clock, Machines, Prober


class DockerBackupsOnDemand:
    """See ports.Backups: the agents, reached through their machines' Docker.

    Docker's SDK takes a while to import, and most passes and commands ask no agent.
    """

    @cached_property
    def _agents(self) -> Backups:
        from ronron.adapters.docker_agents.backups import DockerBackups

        return DockerBackups()

    def status(self, inventory: Inventory, service: str) -> BackupStatus:
        """See ports.Backups."""
        return self._agents.status(inventory, service)

    def snapshot(
        self, inventory: Inventory, service: str, reason: str = "asked", revision: str | None = None
    ) -> Snapshot:
        """See ports.Backups."""
        return self._agents.snapshot(inventory, service, reason, revision)

    def snapshots(self, inventory: Inventory, service: str) -> tuple[Snapshot, ...]:
        """See ports.Backups."""
        return self._agents.snapshots(inventory, service)

    def restore(
        self,
        inventory: Inventory,
        service: str,
        snapshot: Snapshot,
        *,
        keep: bool = True,
        told: Callable[[str], None],
    ) -> Restored:
        """See ports.Backups."""
        return self._agents.restore(inventory, service, snapshot, keep=keep, told=told)

    def export(self, inventory: Inventory, service: str, snapshot: Snapshot, place: Path) -> None:
        """See ports.Backups."""
        self._agents.export(inventory, service, snapshot, place)

    def drill(
        self, inventory: Inventory, service: str, snapshot: Snapshot, told: Callable[[str], None]
    ) -> DrillResult:
        """See ports.Backups."""
        return self._agents.drill(inventory, service, snapshot, told)

    def keep(self, inventory: Inventory, service: str, bundle: Path) -> str:
        """See ports.Backups."""
        return self._agents.keep(inventory, service, bundle)


class DockerMachinesOnDemand:
    """See ports.Machines; Docker's SDK is imported only where there are machines to ask."""

    def unreachable(self, inventory: Inventory) -> Mapping[str, str]:
        """See ports.Machines."""
        from ronron.adapters.docker_agents.machines import DockerMachines

        return DockerMachines().unreachable(inventory)


def ask(question: str) -> bool | None:
    """A person's answer; None where no terminal is there to ask on."""
    return typer.confirm(question, err=True) if sys.stdin.isatty() else None


@dataclass(frozen=True)
class Outside:
    """What the commands meet outside; tests put the public fakes here.

    Args:
        backups: makes the port of the agents.
        prober: makes the one that asks public URLs.
        clock: makes the one that says what time it is.
        ask: puts a question to the person; None for nobody there.
        machines: makes the one that asks machines whether they answer.
    """

    backups: Callable[[], Backups] = DockerBackupsOnDemand
    prober: Callable[[], Prober] = HttpProber
    clock: Callable[[], Clock] = SystemClock
    ask: Callable[[str], bool | None] = ask
    machines: Callable[[], Machines] = DockerMachinesOnDemand
