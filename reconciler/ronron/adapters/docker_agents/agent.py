"""Talks to one backup agent, or to a throw-away container of its image; see docs/backup-agent.md."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import BinaryIO, TypeVar

import docker
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ronron.adapters.docker_agents.exec import Ended, run
from ronron.core.backups import BackupStatus, DrillResult, Snapshot, Trouble
from ronron.core.errors import BackupError
from ronron.core.inventory import InsideProbe

PROGRAM = "ronron-agent"

QUESTION_SECONDS = 180.0
"""A question to the repository: restic's own tries on a slow line take a minute."""

WORK_SECONDS = 6 * 3600.0
"""A snapshot or a restore: 500 GiB over a line of 200 Mbit/s."""

_PROBE_SECONDS = 30.0


class AgentRefusedError(BackupError):
    """An agent's own error; `code` is one of docs/backup-agent.md."""

    def __init__(self, trouble: Trouble, name: str) -> None:
        super().__init__(trouble.message, hint=trouble.hint, where=name)
        self.code = trouble.code


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Failure(_Document):
    error: Trouble


class _Taken(_Document):
    snapshot: Snapshot


class _Listed(_Document):
    snapshots: tuple[Snapshot, ...]


class _Counted(_Document):
    counts: dict[str, int]


class _Put(_Document):
    files: int = Field(ge=0)
    bytes: int = Field(ge=0)


class _Swapped(_Document):
    swapped: bool


class _Remembered(_Document):
    remembered: bool


class _Kept(_Document):
    id: str


class Probed(_Document):
    """What a service answered; `detail` as the reconciler's prober says it."""

    healthy: bool
    detail: str


_Read = TypeVar("_Read", bound=BaseModel)


class Agent:
    """One container with the agent's program in it.

    Args:
        client: of the Docker that it is on.
        container: its name.
        name: of the service, for errors.

    Every method raises AgentUnreachableError where the container does not answer, and BackupError for what
    the agent says is wrong.
    """

    def __init__(self, client: docker.DockerClient, container: str, name: str) -> None:
        self._client, self._container, self._name = client, container, name

    def status(self) -> BackupStatus:
        """What it knows of its repository and its runs."""
        return self._ask(BackupStatus, ["status"], QUESTION_SECONDS)

    def now(self, reason: str, revision: str | None) -> Snapshot:
        """Take a snapshot."""
        words = ["now", "--reason", reason, *(["--revision", revision] if revision else [])]
        return self._ask(_Taken, words, WORK_SECONDS).snapshot

    def listed(self) -> tuple[Snapshot, ...]:
        """Every whole snapshot, the newest first."""
        return self._ask(_Listed, ["list"], QUESTION_SECONDS).snapshots

    def put_database(self, snapshot: str, database: str) -> Mapping[str, int]:
        """Restore the dump into a database that is made for it; returns its rows."""
        return self._ask(_Counted, ["put", "--snapshot", snapshot, "--into", database], WORK_SECONDS).counts

    def put_files(self, snapshot: str) -> int:
        """Restore the files in their places; returns how many."""
        return self._ask(_Put, ["put", "--snapshot", snapshot, "--files"], WORK_SECONDS).files

    def swap(self, database: str) -> None:
        """Give a restored database the name of the service's own."""
        self._ask(_Swapped, ["swap", "--from", database], WORK_SECONDS)

    def drilled(self, result: DrillResult) -> None:
        """Let it remember a drill."""
        source = BytesIO(result.model_dump_json().encode())
        self._ask(_Remembered, ["drilled"], QUESTION_SECONDS, source)

    def keep(self, bundle: BinaryIO) -> str:
        """Put a tar into the neighbour `reconciler` of its repository; returns the snapshot's id."""
        return self._ask(_Kept, ["keep", "reconciler"], WORK_SECONDS, bundle).id

    def probe(self, url: str, host: str | None, probe: InsideProbe) -> Probed:
        """Ask a service on the container's networks once."""
        words = ["probe", url, *(["--host", host] if host else [])]
        for status in probe.status:
            words += ["--status", str(status)]
        if probe.contains:
            words += ["--contains", probe.contains]
        return self._ask(Probed, words, _PROBE_SECONDS)

    def words(self, *arguments: str) -> list[str]:
        """The command that `arguments` are for, to run it elsewhere."""
        return [PROGRAM, *arguments]

    def failure(self, ended: Ended) -> BackupError:
        """The error of a command that did not end with 0."""
        try:
            return AgentRefusedError(_Failure.model_validate_json(ended.output).error, self._name)
        except ValidationError:
            pass
        said = [line.strip() for line in ended.said.splitlines() if line.strip()]
        why = said[-1][:300] if said else f"exit code {ended.code}"
        if ended.code in {126, 127}:
            why = f"there is no {PROGRAM} in it"
        return BackupError(
            f"cannot talk to the backup agent {self._container}: {why}",
            where=self._name,
            hint="update the environment, so that its agent is of this release",
        )

    def _ask(
        self, answer: type[_Read], words: Sequence[str], seconds: float, source: BinaryIO | None = None
    ) -> _Read:
        ended = run(self._client, self._container, [PROGRAM, *words], seconds=seconds, source=source)
        if ended.code != 0:
            raise self.failure(ended)
        try:
            return answer.model_validate(json.loads(ended.output))
        except ValueError as error:
            raise BackupError(
                f"cannot read what the backup agent {self._container} answers to `{words[0]}`",
                where=self._name,
                hint="update the environment, so that its agent is of this release",
            ) from error
