"""Restores a snapshot into a throw-away place and proves it there; see ports.Backups.drill.

Everything that is made carries one label, by which it is removed, also when it is left by a drill that was
killed. Nothing of the running service is touched: it is only read how its containers are made.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

from ronron.adapters.docker_agents import clones as copies
from ronron.adapters.docker_agents.agent import Agent, AgentRefusedError, Probed
from ronron.adapters.docker_agents.clones import Attributes
from ronron.adapters.docker_agents.connection import translated
from ronron.adapters.docker_agents.restore_target import Placing, networks_of, refuse_company, restorer
from ronron.core.backups import DrillResult
from ronron.core.errors import AgentUnreachableError, BackupError, SnapshotUnfitError
from ronron.core.inventory import InsideProbe
from ronron.core.model import SHORT
from ronron.core.restores import differences, listed, refuse_newer, refuse_stranger, remark

LABEL = "ronron.drill"
"""On everything that a drill makes; the value is the name of the service's container."""

_DATABASE = "database"
"""The name by which every service knows its database on its private network."""

_SERVICE = "service"

_NOT_OF_THE_SNAPSHOT = frozenset({"wrong-password", "unreachable", "full", "locked", "busy"})
"""Codes of agents' errors that say nothing of the snapshot: the drill did not take place."""

_ANSWER_SECONDS = 20.0
"""A service that Docker calls healthy may still migrate at its first request (Kanboard does)."""


class _FailedError(Exception):
    """The drill found something wrong; the text says what."""


@dataclass
class _Found:
    """What a drill has seen so far."""

    counts: dict[str, int] = field(default_factory=dict)
    probe: str = ""


class Drilling(Placing):
    """One drill."""

    def run(self) -> DrillResult:
        """Do it. Errors as in ports.Backups.drill."""
        refuse_stranger(self.snapshot, self.name, self.service)
        agent = copies.inspected_agent(self.client, self.backup.container)
        container = self.container()
        started = datetime.now(UTC)
        found, trouble = _Found(), ""
        try:
            self._prove(agent, container, found)
        except _FailedError as failure:
            trouble = str(failure)
        result = DrillResult(
            service=self.name,
            snapshot=self.snapshot.id,
            started=started,
            finished=datetime.now(UTC),
            passed=not trouble,
            detail=trouble or f"{listed(found.counts)}; {found.probe}",
            counts=found.counts,
            promised=dict(self.snapshot.counts),
            probe=found.probe,
        )
        self.told(result.detail)
        Agent(self.client, self.backup.container, self.name).drilled(result)
        return result

    def _prove(self, agent: Attributes, container: str, found: _Found) -> None:
        """Restore, start, ask.

        Raises:
            _FailedError: something is not as it should be.
        """
        try:
            refuse_newer(self.snapshot, self.name, self.service)
        except SnapshotUnfitError as error:
            raise _FailedError(error.message) from error
        warning = remark(self.snapshot, self.name, self.service)
        if warning:
            self.told(warning)
        with self._place(container) as place:
            original = copies.inspected(self.client, container)
            volumes = self._volumes(original, place)
            ways_out = self._ways_out(place, agent)
            with restorer(
                self.client,
                agent,
                f"{place}-restorer",
                volumes=self._by_role(original, volumes),
                labels={LABEL: container},
                networks=[place, *ways_out],
            ) as made:
                # Made before anything is restored: its volumes take owner and content from its image.
                self._create(place, _SERVICE, container, original, volumes)
                if self.service.database:
                    self._start_database(place, self.service.database.container)
                hands = Agent(self.client, made, self.name)
                self._restore(hands, found)
                for network in ways_out:
                    self.client.api.disconnect_container_from_network(made, network)
                self._start_service(place, original)
                found.probe = self._ask(hands)

    @contextmanager
    def _place(self, container: str) -> Iterator[str]:
        """A network without a way out, and the name that everything begins with; removed in the end."""
        label = f"{LABEL}={container}"
        refuse_company(self.client, label, "drill", self.name)
        left: list[str] = []
        copies.sweep(self.client, label, left)
        if left:
            self.told(f"removed what an interrupted drill has left: {', '.join(left)}")
        name = copies.own_name(container, "drill")
        try:
            self.client.api.create_network(name, driver="bridge", internal=True, labels={LABEL: container})
            yield name
        except BaseException:
            # What went wrong first is what people have to read, not what removing it met.
            self._remove(label, quiet=True)
            raise
        self._remove(label, quiet=False)

    def _remove(self, label: str, *, quiet: bool) -> None:
        try:
            with translated(self.name, self.service.machine, "remove the drill of"):
                copies.sweep(self.client, label)
        except BackupError as error:
            if not quiet:
                raise
            self.told(f"{error.message}; the next drill removes what is left")

    def _volumes(self, original: Attributes, prefix: str) -> dict[str, str]:
        """A new volume for each that a container has, by the path where it has it."""
        fresh = {path: f"{prefix}-{n}" for n, path in enumerate(sorted(copies.volumes_of(original)), 1)}
        for volume in fresh.values():
            self.client.api.create_volume(volume, labels={LABEL: self.container()})
        return fresh

    def _by_role(self, original: Attributes, fresh: Mapping[str, str]) -> dict[str, str]:
        """The new volumes of files, by their role in the snapshot."""
        paths = {name: path for path, name in copies.volumes_of(original).items()}
        missing = [name for name in self.backup.volumes.values() if name not in paths]
        if missing:
            raise BackupError(
                f"cannot drill {self.name}: its container has no volume {', '.join(missing)}",
                hint="update the environment, so that its inventory is whole",
            )
        return {role: fresh[paths[name]] for role, name in self.backup.volumes.items()}

    def _start_database(self, place: str, container: str) -> None:
        self.told("starting an empty database")
        original = copies.inspected(self.client, container)
        volumes = self._volumes(original, f"{place}-{_DATABASE}")
        name = self._create(place, _DATABASE, container, original, volumes)
        copies.start(self.client, name)
        copies.await_healthy(self.client, name, copies.start_seconds(original))

    def _create(
        self, place: str, what: str, container: str, original: Attributes, volumes: Mapping[str, str]
    ) -> str:
        """A container that runs as another one does, in the place; known there as both were."""
        name = copies.create(
            self.client,
            original,
            f"{place}-{what}",
            labels={LABEL: self.container()},
            network=place,
            aliases=[what, container],
            mounts=[{"Type": "volume", "Source": volume, "Target": path} for path, volume in volumes.items()],
        )
        copies.copy_files(self.client, container, name, self.backup.uploaded.get(container, ()))
        return name

    def _restore(self, hands: Agent, found: _Found) -> None:
        self.told(f"restoring snapshot {self.snapshot.id[:SHORT]} beside {self.name}")
        try:
            if self.service.database:
                beside = f"{self.service.database.name}_restoring"
                found.counts.update(hands.put_database(self.snapshot.id, beside))
                hands.swap(beside)
            if self.backup.volumes:
                hands.put_files(self.snapshot.id)
        except AgentRefusedError as error:
            if error.code in _NOT_OF_THE_SNAPSHOT:
                raise
            raise _FailedError(error.message) from error
        differ = differences(self.snapshot.counts, found.counts) if self.service.database else ""
        if differ:
            raise _FailedError(differ)

    def _ways_out(self, place: str, agent: Attributes) -> list[str]:
        """Networks on which the repository is reached: never the service's private one."""
        others = networks_of(agent, self.backup.network)[1:]
        if others:
            return others
        name = f"{place}-out"
        self.client.api.create_network(name, driver="bridge", labels={LABEL: self.container()})
        return [name]

    def _start_service(self, place: str, original: Attributes) -> None:
        self.told(f"starting {self.service.image} on what was restored")
        name = f"{place}-{_SERVICE}"
        copies.start(self.client, name)
        try:
            copies.await_healthy(self.client, name, copies.start_seconds(original))
        except AgentUnreachableError:
            raise
        except BackupError as error:
            raise _FailedError(error.message) from error

    def _ask(self, hands: Agent) -> str:
        probe = self.backup.probe
        if probe is None:
            return "it came up healthy"
        answer = self._answer(hands, probe)
        if not answer.healthy:
            raise _FailedError(f"it came up and answers wrongly: {answer.detail}")
        return answer.detail

    def _answer(self, hands: Agent, probe: InsideProbe) -> Probed:
        host = urlsplit(self.service.url).netloc if self.service.url else None
        url = f"http://{_SERVICE}:{probe.port}{probe.path}"
        end = time.monotonic() + _ANSWER_SECONDS
        while True:
            answer = hands.probe(url, host, probe)
            if answer.healthy or time.monotonic() > end:
                return answer
            time.sleep(1)
