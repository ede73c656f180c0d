"""Backups through the agents beside the services; see ports.Backups and docs/backup-agent.md.

Each call opens a connection of its own: agents are asked seldom, and what they do takes long.

Docker's SDK takes a while to import and most commands ask no agent: modules that need it are imported by the
first call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ronron.core.backups import BackupStatus, DrillResult, Restored, Snapshot
from ronron.core.errors import BackupError
from ronron.core.inventory import Inventory
from ronron.core.restores import service_with_backup

if TYPE_CHECKING:
    from ronron.adapters.docker_agents.agent import Agent
    from ronron.adapters.docker_agents.restore_target import RestoreTarget


class DockerBackups:
    """See ports.Backups."""

    def status(self, inventory: Inventory, service: str) -> BackupStatus:
        """See ports.Backups."""
        with _agent(inventory, service, "check the backups of") as agent:
            return agent.status()

    def snapshot(
        self,
        inventory: Inventory,
        service: str,
        reason: str = "asked",
        revision: str | None = None,
        *,
        recreated: bool = False,
    ) -> Snapshot:
        """See ports.Backups."""
        with _agent(inventory, service, "take a snapshot of") as agent:
            return agent.backup(reason, revision, recreated=recreated)

    def check(self, inventory: Inventory, service: str) -> None:
        """See ports.Backups."""
        with _agent(inventory, service, "check the repository of") as agent:
            agent.check()

    def prune(self, inventory: Inventory, service: str) -> None:
        """See ports.Backups."""
        with _agent(inventory, service, "remove old snapshots of") as agent:
            agent.prune()

    def accept_data(self, inventory: Inventory, service: str) -> None:
        """See ports.Backups."""
        with _agent(inventory, service, "accept the data of") as agent:
            agent.accept_data()

    def snapshots(self, inventory: Inventory, service: str) -> tuple[Snapshot, ...]:
        """See ports.Backups."""
        with _agent(inventory, service, "list the snapshots of") as agent:
            return agent.snapshots()

    def restore(
        self,
        inventory: Inventory,
        service: str,
        snapshot: Snapshot,
        *,
        safety_snapshot: bool = True,
        log: Callable[[str], None],
    ) -> Restored:
        """See ports.Backups."""
        from ronron.adapters.docker_agents.restore import Restore

        with _target(inventory, service, snapshot, log, "restore") as target:
            return Restore(target).run(safety_snapshot=safety_snapshot)

    def export(self, inventory: Inventory, service: str, snapshot: Snapshot, directory: Path) -> None:
        """See ports.Backups."""
        from ronron.adapters.docker_agents.export import export

        with _agent(inventory, service, "export") as agent:
            export(agent, snapshot, directory)

    def drill(
        self, inventory: Inventory, service: str, snapshot: Snapshot, log: Callable[[str], None]
    ) -> DrillResult:
        """See ports.Backups."""
        from ronron.adapters.docker_agents.drill import Drill

        with _target(inventory, service, snapshot, log, "drill") as target:
            return Drill(target).run()

    def back_up_bundle(self, inventory: Inventory, service: str, bundle: Path) -> str:
        """See ports.Backups."""
        try:
            opened = bundle.open("rb")
        except OSError as error:
            raise BackupError(
                f"cannot read the bundle {bundle}: {(error.strerror or str(error)).lower()}", where=service
            ) from error
        with opened, _agent(inventory, service, "store a bundle beside") as agent:
            return agent.backup_bundle(opened)


@contextmanager
def _agent(inventory: Inventory, service: str, doing: str) -> Iterator[Agent]:
    """The agent of a service, for the block; `doing` as in `connected`."""
    from ronron.adapters.docker_agents.agent import Agent
    from ronron.adapters.docker_agents.connection import connected

    declared, backup = service_with_backup(inventory, service)
    with connected(inventory, service, declared, doing) as client:
        yield Agent(client, backup.container, service)


@contextmanager
def _target(
    inventory: Inventory, service: str, snapshot: Snapshot, log: Callable[[str], None], doing: str
) -> Iterator[RestoreTarget]:
    """What a restore or a drill is about, for the block; `doing` as in `connected`."""
    from ronron.adapters.docker_agents.connection import connected
    from ronron.adapters.docker_agents.restore_target import RestoreTarget

    declared, backup = service_with_backup(inventory, service)
    with connected(inventory, service, declared, doing) as client:
        yield RestoreTarget(client, service, declared, backup, snapshot, log)
