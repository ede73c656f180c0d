"""Restores a snapshot into throw-away containers and checks the result; see ports.Backups.drill.

Everything that a drill makes has one label, by which it is removed, also by the next drill after one that was
killed. The running service is not touched: a drill only reads how its containers are made.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

from ronron.adapters.docker_agents import clones
from ronron.adapters.docker_agents.agent import Agent, AgentRefusedError, Probed
from ronron.adapters.docker_agents.clones import Attributes
from ronron.adapters.docker_agents.connection import translated
from ronron.adapters.docker_agents.restore_target import RestoreTarget, networks_of, restorer
from ronron.core.backups import DrillResult
from ronron.core.errors import AgentUnreachableError, BackupError, SnapshotUnfitError
from ronron.core.inventory import InsideProbe
from ronron.core.model import SHORT
from ronron.core.restores import (
    count_differences,
    counts_text,
    refuse_newer_version,
    refuse_other_service,
    version_warning,
)

LABEL = "ronron.drill"
"""On everything that a drill makes; the value is the name of the service's container."""

_DATABASE = "database"
"""The name of every service's database on its private network."""

_SERVICE = "service"

_NOT_OF_THE_SNAPSHOT = frozenset({"wrong-password", "unreachable", "full", "locked", "busy"})
"""Codes of agents' errors that prove nothing about the snapshot: the drill did not take place."""

_ANSWER_SECONDS = 20.0
"""For the first request: a service that Docker calls healthy may still migrate then (Kanboard does)."""


class _FailedError(Exception):
    """The drill found something wrong; the text says what."""


@dataclass
class _Findings:
    """What a drill has found so far."""

    counts: dict[str, int] = field(default_factory=dict)
    probe: str = ""


class Drill:
    """One drill.

    Args:
        target: the service and the snapshot.
    """

    def __init__(self, target: RestoreTarget) -> None:
        self._target = target
        self._client, self._name, self._log = target.client, target.name, target.log
        self._service, self._backup, self._snapshot = target.service, target.backup, target.snapshot

    def run(self) -> DrillResult:
        """Run the drill. Errors as in ports.Backups.drill."""
        refuse_other_service(self._snapshot, self._name, self._service)
        agent = clones.inspect_agent(self._client, self._backup.container)
        container = self._target.container()
        started = datetime.now(UTC)
        findings, failure = _Findings(), ""
        try:
            self._prove(agent, container, findings)
        except _FailedError as error:
            failure = str(error)
        result = DrillResult(
            service=self._name,
            snapshot=self._snapshot.id,
            started=started,
            finished=datetime.now(UTC),
            passed=not failure,
            detail=failure or f"{counts_text(findings.counts)}; {findings.probe}",
            counts=findings.counts,
            expected=dict(self._snapshot.counts),
            probe=findings.probe,
        )
        self._log(result.detail)
        Agent(self._client, self._backup.container, self._name).record_drill(result)
        return result

    def _prove(self, agent: Attributes, container: str, findings: _Findings) -> None:
        """Restore, start and probe.

        Raises:
            _FailedError: something is wrong.
        """
        try:
            refuse_newer_version(self._snapshot, self._name, self._service)
        except SnapshotUnfitError as error:
            raise _FailedError(error.message) from error
        warning = version_warning(self._snapshot, self._name, self._service)
        if warning:
            self._log(warning)
        with self._network(container) as network:
            original = clones.inspect(self._client, container)
            volumes = self._create_volumes(original, network)
            outer = self._outer_networks(network, agent)
            with restorer(
                self._client,
                agent,
                f"{network}-restorer",
                volumes=self._by_role(original, volumes),
                labels={LABEL: container},
                networks=[network, *outer],
            ) as name:
                # Created before anything is restored: new volumes take owner and content from its image.
                self._create(network, _SERVICE, container, original, volumes)
                if self._service.database:
                    self._start_database(network, self._service.database.container)
                clone = Agent(self._client, name, self._name)
                self._restore(clone, findings)
                for each in outer:
                    self._client.api.disconnect_container_from_network(name, each)
                self._start_service(network, original)
                findings.probe = self._probe(clone)

    @contextmanager
    def _network(self, container: str) -> Iterator[str]:
        """A network without a way out, for the block; all names in the drill begin with its name."""
        label = f"{LABEL}={container}"
        self._target.remove_leftovers(label, "drill")
        name = clones.unique_name(container, "drill")
        try:
            self._client.api.create_network(name, driver="bridge", internal=True, labels={LABEL: container})
            yield name
        except BaseException:
            # People have to read the first error, not the one of the removal.
            self._remove(label, quiet=True)
            raise
        self._remove(label, quiet=False)

    def _remove(self, label: str, *, quiet: bool) -> None:
        try:
            with translated(self._name, self._service.machine, "remove the drill of"):
                clones.remove_labelled(self._client, label)
        except BackupError as error:
            if not quiet:
                raise
            self._log(f"{error.message}; the next drill removes the rest")

    def _create_volumes(self, original: Attributes, prefix: str) -> dict[str, str]:
        """A new volume for each volume of a container, by the path at which it is mounted."""
        new = {path: f"{prefix}-{n}" for n, path in enumerate(sorted(clones.volumes_of(original)), 1)}
        for volume in new.values():
            self._client.api.create_volume(volume, labels={LABEL: self._target.container()})
        return new

    def _by_role(self, original: Attributes, new: Mapping[str, str]) -> dict[str, str]:
        """The new volumes of files, by their role in the snapshot."""
        paths = {name: path for path, name in clones.volumes_of(original).items()}
        missing = [name for name in self._backup.volumes.values() if name not in paths]
        if missing:
            raise BackupError(
                f"cannot drill {self._name}: its container has no volume {', '.join(missing)}",
                hint="update the environment: that completes its inventory",
            )
        return {role: new[paths[name]] for role, name in self._backup.volumes.items()}

    def _start_database(self, network: str, container: str) -> None:
        self._log("starting an empty database")
        original = clones.inspect(self._client, container)
        volumes = self._create_volumes(original, f"{network}-{_DATABASE}")
        name = self._create(network, _DATABASE, container, original, volumes)
        clones.start(self._client, name)
        clones.await_healthy(self._client, name, clones.start_seconds(original))

    def _create(
        self, network: str, what: str, container: str, original: Attributes, volumes: Mapping[str, str]
    ) -> str:
        """A clone on the drill's network, where it has the names of the original too."""
        name = clones.create(
            self._client,
            original,
            f"{network}-{what}",
            labels={LABEL: self._target.container()},
            network=network,
            aliases=[what, container],
            mounts=[{"Type": "volume", "Source": volume, "Target": path} for path, volume in volumes.items()],
        )
        clones.copy_files(self._client, container, name, self._backup.uploaded.get(container, ()))
        return name

    def _restore(self, clone: Agent, findings: _Findings) -> None:
        self._log(f"restoring snapshot {self._snapshot.id[:SHORT]} beside {self._name}")
        try:
            if self._service.database:
                restored = f"{self._service.database.name}_restoring"
                findings.counts.update(clone.restore_database(self._snapshot.id, restored))
                clone.rename_database(restored)
            if self._backup.volumes:
                clone.restore_files(self._snapshot.id)
        except AgentRefusedError as error:
            if error.code in _NOT_OF_THE_SNAPSHOT:
                raise
            raise _FailedError(error.message) from error
        if self._service.database:
            differences = count_differences(self._snapshot.counts, findings.counts)
            if differences:
                raise _FailedError(differences)

    def _outer_networks(self, network: str, agent: Attributes) -> list[str]:
        """Networks on which the repository is reachable: never the service's private one."""
        others = networks_of(agent, self._backup.network)[1:]
        if others:
            return others
        name = f"{network}-out"
        self._client.api.create_network(name, driver="bridge", labels={LABEL: self._target.container()})
        return [name]

    def _start_service(self, network: str, original: Attributes) -> None:
        self._log(f"starting {self._service.image} on the restored data")
        name = f"{network}-{_SERVICE}"
        clones.start(self._client, name)
        try:
            clones.await_healthy(self._client, name, clones.start_seconds(original))
        except AgentUnreachableError:
            raise
        except BackupError as error:
            raise _FailedError(error.message) from error

    def _probe(self, clone: Agent) -> str:
        probe = self._backup.probe
        if probe is None:
            return "it started and is healthy"
        answer = self._answer(clone, probe)
        if not answer.healthy:
            raise _FailedError(f"it started, and its answer is wrong: {answer.detail}")
        return answer.detail

    def _answer(self, clone: Agent, probe: InsideProbe) -> Probed:
        host = urlsplit(self._service.url).netloc if self._service.url else None
        url = f"http://{_SERVICE}:{probe.port}{probe.path}"
        end = time.monotonic() + _ANSWER_SECONDS
        while True:
            answer = clone.probe(url, host, probe)
            if answer.healthy or time.monotonic() > end:
                return answer
            time.sleep(1)
