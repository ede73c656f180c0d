"""Makes the adapters behind the ports that a command needs, and asks the person at the terminal.

An adapter is imported when it is made: HTTPX and Docker's SDK each cost more start-up time than most commands
need in all.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
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
    """See ports.Machines; imports Docker's SDK only where there are machines to ask."""

    def silent(self, inventory: Inventory) -> Mapping[str, str]:
        """See ports.Machines."""
        from ronron.adapters.docker_agents.machines import DockerMachines

        return DockerMachines().silent(inventory)


def ask(question: str) -> bool | None:
    """Ask the person at the terminal; None where standard input is not a terminal."""
    return typer.confirm(question, err=True) if sys.stdin.isatty() else None


def http_prober() -> Prober:
    """The adapter that requests the public URLs of services."""
    from ronron.adapters.http_prober import HttpProber

    return HttpProber()


def system_clock() -> Clock:
    """The adapter that reads the time of this machine."""
    from ronron.adapters.system_clock import SystemClock

    return SystemClock()


@dataclass(frozen=True)
class PortFactories:
    """One factory for each port; tests put the public fakes here.

    Args:
        backups: makes the port that talks to the backup agents.
        prober: makes the port that requests public URLs.
        clock: makes the port that reads the time.
        ask: asks the person a question; None where nobody is at the terminal.
        machines: makes the port that checks whether machines are reachable.
    """

    backups: Callable[[], Backups] = DockerBackupsOnDemand
    prober: Callable[[], Prober] = http_prober
    clock: Callable[[], Clock] = system_clock
    ask: Callable[[str], bool | None] = ask
    machines: Callable[[], Machines] = DockerMachinesOnDemand
