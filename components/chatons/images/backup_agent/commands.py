"""The commands of the agent: each returns its document and records its run in the journal."""

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
from . import lineage, places_of_data, postgres, retain, snapshot, status
from . import restore_database as database_restores
from . import restore_files as file_restores
from .configuration import Configuration, Places, Running, Secrets, neighbour
from .errors import AgentError, NoRepositoryError
from .journal import Journal
from .lineage import Data
from .lock import locked
from .repository import Repository, follow_move
from .restic import Restic

CHECK_PARTS = 10
LARGEST_RESULT = 1024 * 1024


@dataclass(frozen=True)
class Agent:
    """Configuration, secrets and journal of the agent, read when first needed."""

    places: Places

    @cached_property
    def configuration(self) -> Configuration:
        """The configuration."""
        return configurations.load(self.places)

    @cached_property
    def secrets(self) -> Secrets:
        """The secrets."""
        return configurations.secrets(self.places)

    @cached_property
    def journal(self) -> Journal:
        """The journal on the agent's volume."""
        return Journal(self.places.state)

    def repository(
        self, *, lock: int | None = None, remembers: bool = True, beside: bool = False
    ) -> Repository:
        """The service's repository.

        Args:
            lock: descriptor of the agent's lock, where the command has it.
            remembers: whether to use the journal; False in a clone.
            beside: the repository `reconciler` beside the service's instead.
        """
        if remembers:
            follow_move(self.configuration, self.journal)
        restic = Restic(
            self.configuration,
            self.secrets,
            self.places,
            inherit=() if lock is None else (lock,),
            repository=neighbour(self.configuration.repository) if beside else None,
        )
        return Repository(restic, self.configuration, self.places, self.journal if remembers else None)

    def find_data(self) -> None:
        """Find out, as soon as the agent serves, whether volumes were recreated; no answer is no error."""
        with contextlib.suppress(AgentError):
            _data(self)

    @contextlib.contextmanager
    def alone(self) -> Iterator[int]:
        """Take the agent's lock."""
        self.places.stage.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(self.places.state / "lock") as descriptor:
            yield descriptor

    @contextlib.contextmanager
    def remembered(self, kind: str) -> Iterator[dict[str, Any]]:
        """Record a run in the journal; the caller adds details to the yielded dictionary."""
        detail: dict[str, Any] = {}
        self.journal.begin(kind)
        try:
            yield detail
        except AgentError as error:
            self.journal.end(kind, error, detail)
            raise
        except Exception as error:
            known = AgentError(
                "failed", f"cannot finish: {error!r}", "run this again, and report it with the log"
            )
            self.journal.end(kind, known, detail)
            raise
        self.journal.end(kind, None, detail)


def backup(
    agent: Agent, *, reason: str, revision: str | None, running: str | None, recreated: bool = False
) -> dict[str, Any]:
    """Take and verify one snapshot.

    Of volumes that were recreated, while snapshots of the data before exist, none is taken by schedule; the
    snapshot of the answer is then null. One that a person asked for needs `recreated`.
    """
    what = None
    if running is not None:
        try:
            what = configurations.running(json.loads(running))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise AgentError(
                "failed",
                f"cannot read the option --running: {error}",
                'write {"version": ..., "image": ..., "image_digest": ...}',
            ) from error
    with agent.alone() as lock:
        found: Data | AgentError
        try:
            found = _data(agent)
        except AgentError as error:
            found = error
        if isinstance(found, Data) and found.state == lineage.RECREATED:
            if reason == "schedule":
                log("no snapshot: volumes were recreated, and a person has to restore or to accept the data")
                return {"snapshot": None}
            if reason == "asked" and not recreated:
                raise _refused(found)
        taken = _taken(agent, lock, found, reason=reason, revision=revision, running=what)
    if reason == "schedule":
        # An update waits for its snapshot: the retention of old ones would delay it.
        _retention(agent)
    return {"snapshot": taken}


def _taken(
    agent: Agent,
    lock: int,
    data: Data | AgentError,
    *,
    reason: str,
    revision: str | None,
    running: Running | None,
) -> dict[str, Any]:
    with agent.remembered("backup") as detail:
        detail["reason"] = reason
        if isinstance(data, AgentError):
            # Raised only here, so that the journal records why there is no snapshot.
            raise data
        repository = agent.repository(lock=lock)
        taking = snapshot.Taking(
            agent.configuration, agent.secrets, agent.places, repository, agent.journal, (lock,), log, data
        )
        taken = snapshot.take(taking, reason=reason, revision=revision, running=running)
        agent.journal.add_snapshot(taken)
        detail["snapshot"] = taken["id"]
    return taken


def data(agent: Agent) -> dict[str, Any]:
    """Whether the data are those that the snapshots are of, and the newest snapshot of the data before."""
    found = _data(agent)
    before = None
    if found.state == lineage.RECREATED:
        repository = agent.repository()
        older = (one for one in repository.whole() if one["lineage"] != found.lineage)
        before = next(older, None)
    return {"data": found.document(), "before": before}


def accept_data(agent: Agent) -> dict[str, Any]:
    """Accept the present data, even where they are empty: the schedule takes snapshots of them."""
    known = places_of_data.stored(agent.journal) or Data(lineage.UNKNOWN)
    with contextlib.suppress(AgentError):
        known = _data(agent)
    places = places_of_data.present(agent.configuration, agent.secrets)
    accepted = lineage.accepted(known, places)
    places_of_data.remember(agent.journal, accepted)
    return {"data": accepted.document()}


def record_restore(agent: Agent, *, identity: str) -> dict[str, Any]:
    """Record that a clone restored a snapshot into the service's volumes: they have its lineage again."""
    _, _, manifest = agent.repository().chosen(identity)
    places = places_of_data.present(agent.configuration, agent.secrets)
    restored = lineage.restored(manifest, places)
    places_of_data.remember(agent.journal, restored)
    return {"data": restored.document()}


def list_snapshots(agent: Agent) -> dict[str, Any]:
    """Every complete snapshot."""
    try:
        found = agent.repository().whole()
    except NoRepositoryError as error:
        if not status.not_created(agent.journal, error):
            raise
        found = []
    agent.journal.set_snapshots(list(found))
    return {"snapshots": found}


def report_status(agent: Agent) -> dict[str, Any]:
    """STATUS of docs/backup-agent.md."""
    try:
        repository: Repository | AgentError = agent.repository()
    except AgentError as error:
        repository = error
    return status.status(agent.configuration, agent.places, agent.journal, repository)


def check(agent: Agent) -> dict[str, Any]:
    """Check the repository, and read back the next tenth of the stored data."""
    with agent.alone() as lock, agent.remembered("check") as detail:
        part = int(agent.journal.fact("checked") or 0) % CHECK_PARTS + 1
        detail["part"] = f"{part}/{CHECK_PARTS}"
        retain.checked(agent.repository(lock=lock), part, CHECK_PARTS)
        agent.journal.remember("checked", str(part))
    return {"checked": f"{part}/{CHECK_PARTS}"}


def prune(agent: Agent) -> dict[str, Any]:
    """Remove snapshots that are not retained, and free their space."""
    with agent.alone() as lock, agent.remembered("prune") as detail:
        removed = retain.pruned(agent.repository(lock=lock), agent.configuration)
        detail["removed"] = len(removed)
    return {"removed": removed}


def record_drill(agent: Agent, text: str) -> dict[str, Any]:
    """Record a drill of the reconciler in the journal."""
    try:
        result = json.loads(text)
        started, finished = (datetime.fromisoformat(str(result[key])) for key in ("started", "finished"))
        passed = bool(result["passed"])
        detail = str(result.get("detail", ""))
    except (ValueError, KeyError, TypeError) as error:
        raise AgentError(
            "failed",
            f"cannot read the result of a drill: {error!r}",
            "write started, finished, passed and detail",
        ) from error
    why = None
    if not passed:
        why = {
            "code": "failed",
            "message": detail or "the drill failed",
            "hint": "fix the cause, and run: ronron drill",
        }
    agent.journal.record_drill(started.isoformat(), finished.isoformat(), why, result)
    return {"remembered": True}


def restore_database(agent: Agent, *, identity: str, name: str) -> dict[str, Any]:
    """Restore a dump into a new database; runs in a clone."""
    repository = agent.repository(remembers=False)
    found = database_restores.restore(
        repository, agent.configuration, agent.secrets, agent.places, identity=identity, name=name
    )
    return {"counts": found}


def restore_files(agent: Agent, *, identity: str) -> dict[str, Any]:
    """Restore files and replace the old ones; runs in a clone."""
    return file_restores.restore(agent.repository(remembers=False), agent.configuration, identity)


def rename_database(agent: Agent, *, name: str) -> dict[str, Any]:
    """Give a restored database the name of the service's; runs in a clone."""
    database_restores.rename(agent.configuration, agent.secrets, name)
    return {"swapped": True}


def counts(agent: Agent) -> dict[str, Any]:
    """Count the rows of the service's database now."""
    database = agent.configuration.database
    if database is None:
        return {"counts": {}}
    return {"counts": postgres.counts(database, agent.secrets, agent.configuration.counts)}


def export(agent: Agent, *, identity: str, sink: IO[bytes]) -> None:
    """Write a snapshot as a tar."""
    exports.export(agent.repository(remembers=False), identity, sink)


def backup_bundle(agent: Agent, *, name: str, source: int) -> dict[str, Any]:
    """Store a bundle of the reconciler in the repository `reconciler`."""
    agent.places.stage.mkdir(parents=True, exist_ok=True, mode=0o700)
    repository = agent.repository(beside=True)
    repository.ensure()
    return {"id": exports.backup_bundle(repository.restic, agent.configuration, name, source)}


def log(line: str) -> None:
    """Print one line about a step on standard error."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _data(agent: Agent) -> Data:
    return places_of_data.resolved(agent.configuration, agent.secrets, agent.journal, agent.repository())


def _refused(found: Data) -> AgentError:
    places = ", ".join(found.recreated)
    return AgentError(
        "recreated",
        f"cannot take a snapshot unasked: {places} was recreated, and snapshots of the data before exist",
        "restore one of them, or say that the present data are right",
    )


def _retention(agent: Agent) -> None:
    """Apply the retention; a failure is recorded as a failed prune, because the snapshot itself is good."""
    try:
        with agent.alone() as lock:
            retain.forgotten(agent.repository(lock=lock), agent.configuration)
    except AgentError as error:
        agent.journal.begin("prune")
        agent.journal.end("prune", error, {})
        log(f"retention: {error.message}")
