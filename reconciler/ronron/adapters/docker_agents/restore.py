"""Puts a snapshot in the place of what a service has; see ports.Backups.restore.

Until the restored database takes its name, a failure starts the service again. Each step may be done again:
what a killed restore has left is removed by the next one, or made anew by the agent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ronron.adapters.docker_agents import clones as copies
from ronron.adapters.docker_agents.agent import Agent
from ronron.adapters.docker_agents.clones import Attributes
from ronron.adapters.docker_agents.connection import translated
from ronron.adapters.docker_agents.restore_target import Placing, networks_of, refuse_company, restorer
from ronron.core.backups import Restored
from ronron.core.errors import BackupError
from ronron.core.model import SHORT
from ronron.core.restores import differences, listed, refuse_newer, refuse_stranger, remark

LABEL = "ronron.restore"
"""On what a restore makes; the value is the name of the service's container, which no two services share."""


class Restoring(Placing):
    """One restore."""

    def run(self, *, keep: bool) -> Restored:
        """Do it. Errors as in ports.Backups.restore."""
        refuse_stranger(self.snapshot, self.name, self.service)
        refuse_newer(self.snapshot, self.name, self.service)
        warning = remark(self.snapshot, self.name, self.service)
        if warning:
            self.told(warning)
        attributes = copies.inspected_agent(self.client, self.backup.container)
        container = self.container()
        original = copies.inspected(self.client, container)
        self._sweep(container)
        kept = self._keep(attributes) if keep else None
        counts = self._replace(attributes, container)
        self.told(f"starting {self.name} again")
        self._await(container, original, kept)
        return Restored(
            service=self.name,
            snapshot=self.snapshot.id,
            kept=kept,
            counts=dict(counts),
            promised=dict(self.snapshot.counts),
            healthy=None,
            detail=f"{listed(counts)}, as the snapshot promises",
        )

    def _sweep(self, container: str) -> None:
        refuse_company(self.client, f"{LABEL}={container}", "restore", self.name)
        left: list[str] = []
        copies.sweep(self.client, f"{LABEL}={container}", left)
        if left:
            self.told(f"removed what an interrupted restore has left: {', '.join(left)}")

    def _keep(self, agent: Attributes) -> str:
        self.told(f"taking a snapshot of what {self.name} holds now")
        try:
            taken = Agent(self.client, agent["Id"], self.name).now("restore", None)
        except BackupError as error:
            without = "where what is there cannot be read any more, restore --without-keeping"
            error.hint = f"{error.hint}; {without}" if error.hint else without
            raise
        self.told(f"kept it as {taken.id[:SHORT]}: {listed(taken.counts)}")
        return taken.id

    def _replace(self, agent: Attributes, container: str) -> Mapping[str, int]:
        """Put the snapshot in place while the service is stopped; it is started in any case."""
        done: list[str] = []
        try:
            with translated(self.name, self.service.machine, "restore"):
                self.told(f"stopping {self.name}")
                copies.stop(self.client, container)
                with self._restorer(agent, container) as hands:
                    return self._put(hands, done)
        except BackupError as error:
            error.message = (
                f"cannot restore snapshot {self.snapshot.id[:SHORT]}: {error.message}; {self._stands(done)}"
            )
            error.where = self.name
            raise
        finally:
            self._start(container)

    def _start(self, container: str) -> None:
        try:
            with translated(self.name, self.service.machine, "start"):
                copies.start(self.client, container)
        except BackupError as error:
            raise BackupError(
                f"cannot start {self.name} again: {error.message}",
                where=self.name,
                hint=f"start it on {self.service.machine}: docker start {container}",
            ) from error

    @contextmanager
    def _restorer(self, agent: Attributes, container: str) -> Iterator[Agent]:
        try:
            with restorer(
                self.client,
                agent,
                copies.own_name(container, "restore"),
                volumes=self.backup.volumes,
                labels={LABEL: container},
                networks=networks_of(agent, self.backup.network),
            ) as made:
                yield Agent(self.client, made, self.name)
        finally:
            copies.sweep(self.client, f"{LABEL}={container}")

    def _put(self, hands: Agent, done: list[str]) -> Mapping[str, int]:
        counts: Mapping[str, int] = {}
        database = self.service.database
        beside = f"{database.name}_restoring" if database else ""
        if database:
            self.told(f"restoring the database {database.name} beside the old one")
            counts = hands.put_database(self.snapshot.id, beside)
            differ = differences(self.snapshot.counts, counts)
            if differ:
                raise BackupError(
                    f"it gives {differ}", hint=f"restore another snapshot: ronron backup list ENV {self.name}"
                )
        if self.backup.volumes:
            self.told(f"restoring {self.snapshot.files.count} files")
            hands.put_files(self.snapshot.id)
            done.append("files")
        if database:
            self.told("putting the restored database in place")
            hands.swap(beside)
            done.append("database")
        return counts

    def _stands(self, done: list[str]) -> str:
        """What a service is started with after a failure."""
        if not done:
            return f"{self.name} is started again on what it had"
        if self.service.database and "database" not in done:
            return (
                f"{self.name} is started again with the snapshot's files and the database that it had,"
                " and another restore begins anew"
            )
        return f"everything is in place, and {self.name} is started"

    def _await(self, container: str, original: Attributes, kept: str | None) -> None:
        try:
            copies.await_healthy(self.client, container, copies.start_seconds(original))
        except BackupError as error:
            back = f"; what was there before is snapshot {kept[:SHORT]}" if kept else ""
            raise BackupError(
                f"{error.message}: snapshot {self.snapshot.id[:SHORT]} is in place{back}",
                where=self.name,
                hint=error.hint,
            ) from error
