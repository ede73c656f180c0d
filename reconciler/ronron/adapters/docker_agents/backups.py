"""Backups through the agents beside the services; see ports.Backups and docs/backup-agent.md.

Each call is a connection of its own: agents are asked seldom, and what they are asked for takes long.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ronron.adapters.docker_agents.agent import Agent
from ronron.adapters.docker_agents.connection import connected
from ronron.adapters.docker_agents.drill import Drilling
from ronron.adapters.docker_agents.export import export, refuse_filled
from ronron.adapters.docker_agents.restore import Restoring
from ronron.core.backups import BackupStatus, DrillResult, Restored, Snapshot
from ronron.core.errors import BackupError
from ronron.core.inventory import Inventory
from ronron.core.restores import backed_up


class DockerBackups:
    """See ports.Backups."""

    def status(self, inventory: Inventory, service: str) -> BackupStatus:
        """See ports.Backups."""
        declared, backup = backed_up(inventory, service)
        with connected(inventory, service, declared, "look at the backups of") as client:
            return Agent(client, backup.container, service).status()

    def snapshot(
        self, inventory: Inventory, service: str, reason: str = "asked", revision: str | None = None
    ) -> Snapshot:
        """See ports.Backups."""
        declared, backup = backed_up(inventory, service)
        with connected(inventory, service, declared, "take a snapshot of") as client:
            return Agent(client, backup.container, service).now(reason, revision)

    def snapshots(self, inventory: Inventory, service: str) -> tuple[Snapshot, ...]:
        """See ports.Backups."""
        declared, backup = backed_up(inventory, service)
        with connected(inventory, service, declared, "list the snapshots of") as client:
            return Agent(client, backup.container, service).listed()

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
        declared, backup = backed_up(inventory, service)
        with connected(inventory, service, declared, "restore") as client:
            return Restoring(client, service, declared, backup, snapshot, told).run(keep=keep)

    def export(self, inventory: Inventory, service: str, snapshot: Snapshot, place: Path) -> None:
        """See ports.Backups."""
        declared, backup = backed_up(inventory, service)
        refuse_filled(place)
        with connected(inventory, service, declared, "export") as client:
            export(client, backup.container, service, snapshot, place)

    def drill(
        self, inventory: Inventory, service: str, snapshot: Snapshot, told: Callable[[str], None]
    ) -> DrillResult:
        """See ports.Backups."""
        declared, backup = backed_up(inventory, service)
        with connected(inventory, service, declared, "drill") as client:
            return Drilling(client, service, declared, backup, snapshot, told).run()

    def keep(self, inventory: Inventory, service: str, bundle: Path) -> str:
        """See ports.Backups."""
        declared, backup = backed_up(inventory, service)
        try:
            opened = bundle.open("rb")
        except OSError as error:
            raise BackupError(
                f"cannot read the bundle {bundle}: {(error.strerror or str(error)).lower()}", where=service
            ) from error
        with opened, connected(inventory, service, declared, "keep a bundle beside") as client:
            return Agent(client, backup.container, service).keep(opened)
