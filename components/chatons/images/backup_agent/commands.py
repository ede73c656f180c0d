"""The commands of the agent: what each needs, what it prints, and what is remembered of it."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import IO, Any

from . import configuration as configurations
from . import export as exports
from . import postgres, retain, snapshot, status
from . import restore_database as database_restores
from . import restore_files as file_restores
from .configuration import Configuration, Places, Secrets, neighbour
from .errors import AgentError, NoRepositoryError
from .journal import Journal
from .lock import held
from .repository import Repository
from .restic import Restic

CHECK_PARTS = 10
LARGEST_RESULT = 1024 * 1024


@dataclass(frozen=True)
class Agent:
    """All that commands work with, made when it is first needed."""

    places: Places

    @cached_property
    def configuration(self) -> Configuration:
        """The document."""
        return configurations.load(self.places)

    @cached_property
    def secrets(self) -> Secrets:
        """What was given."""
        return configurations.secrets(self.places)

    @cached_property
    def journal(self) -> Journal:
        """On the agent's volume."""
        return Journal(self.places.state)

    def repository(
        self, *, lock: int | None = None, remembers: bool = True, beside: bool = False
    ) -> Repository:
        """The service's repository.

        Args:
            lock: descriptor of the agent's lock, where it is held.
            remembers: whether there is a journal.
            beside: the neighbour `reconciler` instead.
        """
        restic = Restic(
            self.configuration,
            self.secrets,
            self.places,
            keep=() if lock is None else (lock,),
            repository=neighbour(self.configuration.repository) if beside else None,
        )
        return Repository(restic, self.configuration, self.places, self.journal if remembers else None)

    @contextlib.contextmanager
    def alone(self) -> Iterator[int]:
        """Hold the agent's lock."""
        self.places.stage.mkdir(parents=True, exist_ok=True, mode=0o700)
        with held(self.places.state / "lock") as descriptor:
            yield descriptor

    @contextlib.contextmanager
    def remembered(self, kind: str) -> Iterator[dict[str, Any]]:
        """A run that the journal tells of; details may be put into what is given."""
        detail: dict[str, Any] = {}
        self.journal.begin(kind)
        try:
            yield detail
        except AgentError as error:
            self.journal.end(kind, error, detail)
            raise
        except Exception as error:
            known = AgentError(
                "failed", f"cannot finish: {error!r}", "Run it again, and report it with the log"
            )
            self.journal.end(kind, known, detail)
            raise
        self.journal.end(kind, None, detail)


def backup(agent: Agent, *, reason: str, revision: str | None, running: str | None) -> dict[str, Any]:
    """One verified snapshot."""
    what = None
    if running is not None:
        try:
            what = configurations.running(json.loads(running))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise AgentError(
                "failed",
                f"cannot read what runs: {error}",
                'Give {"version": ..., "image": ..., "image_digest": ...}',
            ) from error
    with agent.alone() as lock, agent.remembered("backup") as detail:
        detail["reason"] = reason
        repository = agent.repository(lock=lock)
        taking = snapshot.Taking(
            agent.configuration, agent.secrets, agent.places, repository, agent.journal, (lock,), told
        )
        taken = snapshot.take(taking, reason=reason, revision=revision, running=what)
        agent.journal.took(taken)
        detail["snapshot"] = taken["id"]
    if reason == "schedule":
        # A snapshot before an update is waited for, and has nothing to do with old ones.
        _retention(agent)
    return {"snapshot": taken}


def list_snapshots(agent: Agent) -> dict[str, Any]:
    """Every whole snapshot."""
    try:
        found = agent.repository().whole()
    except NoRepositoryError as error:
        if not status.not_begun(agent.journal, error):
            raise
        found = []
    agent.journal.know(list(found))
    return {"snapshots": found}


def report_status(agent: Agent) -> dict[str, Any]:
    """STATUS."""
    try:
        repository: Repository | AgentError = agent.repository()
    except AgentError as error:
        repository = error
    return status.status(agent.configuration, agent.places, agent.journal, repository)


def check(agent: Agent) -> dict[str, Any]:
    """The next tenth of what is stored is read back."""
    with agent.alone() as lock, agent.remembered("check") as detail:
        part = int(agent.journal.fact("checked") or 0) % CHECK_PARTS + 1
        detail["part"] = f"{part}/{CHECK_PARTS}"
        retain.checked(agent.repository(lock=lock), part, CHECK_PARTS)
        agent.journal.remember("checked", str(part))
    return {"checked": f"{part}/{CHECK_PARTS}"}


def prune(agent: Agent) -> dict[str, Any]:
    """What the retention does not keep goes, and its space is freed."""
    with agent.alone() as lock, agent.remembered("prune") as detail:
        removed = retain.pruned(agent.repository(lock=lock), agent.configuration)
        detail["removed"] = len(removed)
    return {"removed": removed}


def record_drill(agent: Agent, text: str) -> dict[str, Any]:
    """Remember the drill that is told of."""
    try:
        result = json.loads(text)
        started, finished = (datetime.fromisoformat(str(result[key])) for key in ("started", "finished"))
        passed = bool(result["passed"])
        detail = str(result.get("detail", ""))
    except (ValueError, KeyError, TypeError) as error:
        raise AgentError(
            "failed",
            f"cannot read the result of a drill: {error!r}",
            "Give started, finished, passed and detail",
        ) from error
    why = None
    if not passed:
        why = {
            "code": "failed",
            "message": detail or "the drill failed",
            "hint": "ronron drill, once it is mended",
        }
    agent.journal.drilled(started.isoformat(), finished.isoformat(), why, result)
    return {"remembered": True}


def restore_database(agent: Agent, *, identity: str, name: str) -> dict[str, Any]:
    """A dump becomes a database; run in a throw-away container."""
    repository = agent.repository(remembers=False)
    found = database_restores.restore(
        repository, agent.configuration, agent.secrets, agent.places, identity=identity, name=name
    )
    return {"counts": found}


def restore_files(agent: Agent, *, identity: str) -> dict[str, Any]:
    """Files take the place of the old ones; run in a throw-away container."""
    return file_restores.restore(agent.repository(remembers=False), agent.configuration, identity)


def rename_database(agent: Agent, *, name: str) -> dict[str, Any]:
    """A restored database gets the service's name; run in a throw-away container."""
    database_restores.rename(agent.configuration, agent.secrets, name)
    return {"swapped": True}


def counts(agent: Agent) -> dict[str, Any]:
    """Of the service's own database, now."""
    database = agent.configuration.database
    if database is None:
        return {"counts": {}}
    return {"counts": postgres.counts(database, agent.secrets, agent.configuration.counts)}


def export(agent: Agent, *, identity: str, sink: IO[bytes]) -> None:
    """Everything in a snapshot, as a tar."""
    exports.export(agent.repository(remembers=False), identity, sink)


def backup_bundle(agent: Agent, *, name: str, source: int) -> dict[str, Any]:
    """What the reconciler gives, in the neighbour repository."""
    agent.places.stage.mkdir(parents=True, exist_ok=True, mode=0o700)
    repository = agent.repository(beside=True)
    repository.ensure()
    return {"id": exports.backup_bundle(repository.restic, agent.configuration, name, source)}


def told(line: str) -> None:
    """A line about a step."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _retention(agent: Agent) -> None:
    """One that fails is remembered as a prune that failed: the snapshot before it is good all the same."""
    try:
        with agent.alone() as lock:
            retain.forgotten(agent.repository(lock=lock), agent.configuration)
    except AgentError as error:
        agent.journal.begin("prune")
        agent.journal.end("prune", error, {})
        told(f"retention: {error.message}")
