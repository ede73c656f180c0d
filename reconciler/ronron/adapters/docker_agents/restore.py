"""Restores a service from a snapshot, replacing its present data; see ports.Backups.restore.

If it fails before the restored database gets the name of the service's own, the service is started again on
its old database. Every step can be repeated: the next restore removes or overwrites what a killed one left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ronron.adapters.docker_agents import clones
from ronron.adapters.docker_agents.agent import Agent
from ronron.adapters.docker_agents.clones import Attributes
from ronron.adapters.docker_agents.connection import translated
from ronron.adapters.docker_agents.restore_target import RestoreTarget, networks_of, restorer
from ronron.core.backups import Restored
from ronron.core.errors import BackupError
from ronron.core.model import SHORT
from ronron.core.restores import (
    count_differences,
    counts_text,
    refuse_newer_version,
    refuse_other_service,
    version_warning,
)
from ronron.core.words import counted

LABEL = "ronron.restore"
"""On what a restore makes; the value is the name of the service's container, which no two services share."""


class Restore:
    """One restore.

    Args:
        target: the service and the snapshot.
    """

    def __init__(self, target: RestoreTarget) -> None:
        self._target = target
        self._client, self._name, self._log = target.client, target.name, target.log
        self._service, self._backup, self._snapshot = target.service, target.backup, target.snapshot

    def run(self, *, safety_snapshot: bool) -> Restored:
        """Restore. Errors as in ports.Backups.restore."""
        refuse_other_service(self._snapshot, self._name, self._service)
        refuse_newer_version(self._snapshot, self._name, self._service)
        warning = version_warning(self._snapshot, self._name, self._service)
        if warning:
            self._log(warning)
        agent = clones.inspect_agent(self._client, self._backup.container)
        container = self._target.container()
        # An update that holds the service back creates no container.
        held = self._service.held is not None and not clones.exists(self._client, container)
        original = None if held else clones.inspect(self._client, container)
        self._target.remove_leftovers(f"{LABEL}={container}", "restore")
        safety = self._safety_snapshot(agent) if safety_snapshot else None
        counts = self._replace(agent, container, runs=original is not None)
        Agent(self._client, agent["Id"], self._name).record_restore(self._snapshot.id)
        if original is not None:
            self._log(f"starting {self._name} again")
            self._await(container, original, safety)
        return Restored(
            service=self._name,
            snapshot=self._snapshot.id,
            safety_snapshot=safety,
            counts=dict(counts),
            expected=dict(self._snapshot.counts),
            healthy=None,
            detail=f"{counts_text(counts)}, as in the snapshot",
        )

    def _safety_snapshot(self, agent: Attributes) -> str:
        self._log(f"taking a safety snapshot of {self._name}")
        try:
            taken = Agent(self._client, agent["Id"], self._name).backup("restore", None)
        except BackupError as error:
            without = "if the present data cannot be read any more, restore with --no-safety-snapshot"
            error.hint = f"{error.hint}; {without}" if error.hint else without
            raise
        self._log(f"the safety snapshot is {taken.id[:SHORT]}: {counts_text(taken.counts)}")
        return taken.id

    def _replace(self, agent: Attributes, container: str, *, runs: bool) -> Mapping[str, int]:
        """Replace the data while the service is stopped; one that has a container is started in any case."""
        done: list[str] = []
        try:
            with translated(self._name, self._service.machine, "restore"):
                if runs:
                    self._log(f"stopping {self._name}")
                    clones.stop(self._client, container)
                with self._restorer(agent, container) as clone:
                    return self._restore(clone, done)
        except BackupError as error:
            error.message = f"cannot restore snapshot {self._snapshot.id[:SHORT]}: {error.message}; " + (
                self._stands(done) if runs else f"{self._name} is still held back"
            )
            error.where = self._name
            raise
        finally:
            if runs:
                self._start(container)

    def _start(self, container: str) -> None:
        try:
            with translated(self._name, self._service.machine, "start"):
                clones.start(self._client, container)
        except BackupError as error:
            raise BackupError(
                f"cannot start {self._name} again: {error.message}",
                where=self._name,
                hint=f"start it on {self._service.machine}: docker start {container}",
            ) from error

    @contextmanager
    def _restorer(self, agent: Attributes, container: str) -> Iterator[Agent]:
        try:
            with restorer(
                self._client,
                agent,
                clones.unique_name(container, "restore"),
                volumes=self._backup.volumes,
                labels={LABEL: container},
                networks=networks_of(agent, self._backup.network),
            ) as name:
                yield Agent(self._client, name, self._name)
        finally:
            clones.remove_labelled(self._client, f"{LABEL}={container}")

    def _restore(self, clone: Agent, done: list[str]) -> Mapping[str, int]:
        counts: Mapping[str, int] = {}
        database = self._service.database
        restored = f"{database.name}_restoring" if database else ""
        if database:
            self._log(f"restoring the database {database.name} beside the old one")
            counts = clone.restore_database(self._snapshot.id, restored)
            differences = count_differences(self._snapshot.counts, counts)
            if differences:
                raise BackupError(
                    f"it has {differences}",
                    hint=f"restore another snapshot: ronron backup list ENV {self._name}",
                )
        if self._backup.volumes:
            self._log(f"restoring {counted(self._snapshot.files.count, 'files')}")
            clone.restore_files(self._snapshot.id)
            done.append("files")
        if database:
            self._log(f"replacing the database {database.name} by the restored one")
            clone.rename_database(restored)
            done.append("database")
        return counts

    def _stands(self, done: list[str]) -> str:
        """The data on which the service is started after a failure."""
        if not done:
            return f"{self._name} is started again on its old data"
        if self._service.database and "database" not in done:
            return (
                f"{self._name} is started again on the snapshot's files and its old database:"
                " repeat the restore to complete it"
            )
        return f"everything is restored, and {self._name} is started"

    def _await(self, container: str, original: Attributes, safety: str | None) -> None:
        try:
            clones.await_healthy(self._client, container, clones.start_seconds(original))
        except BackupError as error:
            back = f"; the data before the restore is snapshot {safety[:SHORT]}" if safety else ""
            raise BackupError(
                f"{error.message}: snapshot {self._snapshot.id[:SHORT]} is restored{back}",
                where=self._name,
                hint=error.hint,
            ) from error
