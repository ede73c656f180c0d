"""Talks to one backup agent, or to a throw-away container of its image; see docs/backup-agent.md."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ronron.adapters.docker_agents.exec import Ended, Execution, last_line, run, running
from ronron.core.backups import AgentError, BackupStatus, DrillResult, Snapshot
from ronron.core.errors import BackupError, RecreatedError
from ronron.core.inventory import InsideProbe

if TYPE_CHECKING:
    import docker

PROGRAM = "ronron-agent"

QUESTION_SECONDS = 180.0
"""A question to the repository: restic's own retries on a slow line take a minute."""

WORK_SECONDS = 6 * 3600.0
"""A snapshot or a restore: 500 GiB over a line of 200 Mbit/s."""

_PROBE_SECONDS = 30.0

_NOT_UNDERSTOOD = 2
"""Exit code of an agent that does not know the command: it parses before it does anything."""

_RECREATED = "recreated"
"""Code of the agent's error about a snapshot of volumes that were recreated."""

_INTERFACE_1: Mapping[str, str] = {
    "backup": "now",
    "restore": "put",
    "rename-database": "swap",
    "record-drill": "drilled",
    "backup-bundle": "keep",
}
"""Commands by the names that agents of the first releases know. Options, input and answers are equal.

The snapshot before the update that replaces such an agent is taken in the old container, and so is the safety
snapshot of a restore on a stack that was not updated yet.
"""


class AgentRefusedError(BackupError):
    """An agent's own error; `code` is one of docs/backup-agent.md."""

    def __init__(self, error: AgentError, name: str) -> None:
        super().__init__(error.message, hint=error.hint, where=name)
        self.code = error.code


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Failure(_Document):
    error: AgentError


class _Taken(_Document):
    snapshot: Snapshot


class _Snapshots(_Document):
    snapshots: tuple[Snapshot, ...]


class _Counted(_Document):
    counts: dict[str, int]


class _Done(_Document):
    """The answer of a command whose end is all that matters."""


class _Stored(_Document):
    id: str


class Probed(_Document):
    """The answer of a service; `detail` is worded as the reconciler's prober does."""

    healthy: bool
    detail: str


_Answer = TypeVar("_Answer", bound=BaseModel)


class Agent:
    """One container with the agent's program in it.

    Args:
        client: of the Docker that the container is on.
        container: its name.
        name: of the service, for errors.

    Every method raises AgentUnreachableError if the container does not answer, and BackupError with the
    agent's own message if the command failed.
    """

    def __init__(self, client: docker.DockerClient, container: str, name: str) -> None:
        self._client, self._container = client, container
        self.name = name

    def status(self) -> BackupStatus:
        """The state of its repository and its runs."""
        return self._ask(BackupStatus, ["status"], QUESTION_SECONDS)

    def backup(self, reason: str, revision: str | None, *, recreated: bool = False) -> Snapshot:
        """Take a snapshot; `recreated`: also of volumes that were recreated."""
        words = ["backup", "--reason", reason, *(["--revision", revision] if revision else [])]
        return self._ask(_Taken, [*words, *(["--recreated"] if recreated else [])], WORK_SECONDS).snapshot

    def check(self) -> None:
        """Check the repository, and read back a part of the stored data."""
        self._ask(_Done, ["check"], WORK_SECONDS)

    def prune(self) -> None:
        """Remove snapshots that are not retained, and free their space."""
        self._ask(_Done, ["prune"], WORK_SECONDS)

    def accept_data(self) -> None:
        """Accept the present data."""
        self._tell(["accept-data"])

    def record_restore(self, snapshot: str) -> None:
        """Record that a clone has restored a snapshot into the service's volumes."""
        self._tell(["record-restore", "--snapshot", snapshot])

    def snapshots(self) -> tuple[Snapshot, ...]:
        """Every complete snapshot, the newest first."""
        return self._ask(_Snapshots, ["list"], QUESTION_SECONDS).snapshots

    def restore_database(self, snapshot: str, database: str) -> Mapping[str, int]:
        """Restore the dump into a database that is created for it; returns its number of rows."""
        words = ["restore", "--snapshot", snapshot, "--into", database]
        return self._ask(_Counted, words, WORK_SECONDS).counts

    def restore_files(self, snapshot: str) -> None:
        """Restore the files, replacing the present ones."""
        self._ask(_Done, ["restore", "--snapshot", snapshot, "--files"], WORK_SECONDS)

    def rename_database(self, database: str) -> None:
        """Give a restored database the name of the service's own, which is removed."""
        self._ask(_Done, ["rename-database", "--from", database], WORK_SECONDS)

    def record_drill(self, result: DrillResult) -> None:
        """Record the result of a drill."""
        source = BytesIO(result.model_dump_json().encode())
        self._ask(_Done, ["record-drill"], QUESTION_SECONDS, source)

    def backup_bundle(self, bundle: BinaryIO) -> str:
        """Store a tar in the neighbour `reconciler` of its repository; returns the snapshot's id.

        Args:
            bundle: open for reading, and seekable.
        """
        return self._ask(_Stored, ["backup-bundle", "reconciler"], WORK_SECONDS, bundle).id

    def probe(self, url: str, host: str | None, probe: InsideProbe) -> Probed:
        """Request a URL of a service on the container's networks once."""
        words = ["probe", url, *(["--host", host] if host else [])]
        for status in probe.status:
            words += ["--status", str(status)]
        if probe.contains:
            words += ["--contains", probe.contains]
        return self._ask(Probed, words, _PROBE_SECONDS)

    @contextmanager
    def exporting(self, snapshot: str) -> Iterator[Execution]:
        """Run `export`, whose standard output is a tar, for the block."""
        words = [PROGRAM, "export", "--snapshot", snapshot]
        with running(self._client, self._container, words, seconds=WORK_SECONDS) as execution:
            yield execution

    def failure(self, ended: Ended) -> BackupError:
        """The error of a command that did not end with 0."""
        try:
            error = _Failure.model_validate_json(ended.output).error
        except ValidationError:
            pass
        else:
            if error.code == _RECREATED:
                return RecreatedError(error.message, hint=error.hint, where=self.name)
            return AgentRefusedError(error, self.name)
        why = last_line(ended.errors) or f"exit code {ended.code}"
        if ended.code in {126, 127}:
            why = f"it has no program {PROGRAM}"
        return BackupError(
            f"cannot talk to the backup agent {self._container}: {why}",
            where=self.name,
            hint="update the environment, so that its agent is of this release",
        )

    def _ask(
        self, answer: type[_Answer], words: Sequence[str], seconds: float, source: BinaryIO | None = None
    ) -> _Answer:
        ended = self._run(words, seconds, source)
        if ended.code != 0:
            raise self.failure(ended)
        try:
            return answer.model_validate(json.loads(ended.output))
        except ValueError as error:
            raise BackupError(
                f"cannot read the answer of the backup agent {self._container} to `{words[0]}`",
                where=self.name,
                hint="update the environment, so that its agent is of this release",
            ) from error

    def _tell(self, words: Sequence[str]) -> None:
        """Run a command of interface 3; an agent of an earlier interface has nothing to record."""
        ended = self._run(words, QUESTION_SECONDS, None)
        if ended.code not in {0, _NOT_UNDERSTOOD}:
            raise self.failure(ended)

    def _run(self, words: Sequence[str], seconds: float, source: BinaryIO | None) -> Ended:
        command, *arguments = words
        ended = self._execute(command, arguments, seconds, source)
        earlier = _INTERFACE_1.get(command)
        if ended.code != _NOT_UNDERSTOOD or earlier is None:
            return ended
        if source is not None:
            source.seek(0)
        return self._execute(earlier, arguments, seconds, source)

    def _execute(
        self, command: str, arguments: Sequence[str], seconds: float, source: BinaryIO | None
    ) -> Ended:
        words = [PROGRAM, command, *arguments]
        return run(self._client, self._container, words, seconds=seconds, source=source)
