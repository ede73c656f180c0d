"""The status of the repository and of the agent's runs; see STATUS in docs/backup-agent.md."""

from __future__ import annotations

import socket
from typing import Any

from .configuration import Configuration, Places
from .errors import AgentError, NoRepositoryError
from .journal import SNAPSHOTS, Journal, moment, now
from .lineage import UNKNOWN, Data
from .lock import is_free
from .places_of_data import stored
from .repository import Repository, expects_copies
from .schedule import max_age_hours

TIMEOUT_SECONDS = 60.0
"""A repository that gives no answer in this time is unreachable."""


def status(
    configuration: Configuration, places: Places, journal: Journal, repository: Repository | AgentError
) -> dict[str, Any]:
    """Read the repository and the journal.

    Args:
        configuration: of the agent.
        places: of the agent.
        journal: of the agent.
        repository: of the service, or the error of opening it.
    """
    since, _ = journal.since()
    trouble: dict[str, str] | None = None
    locks: list[dict[str, Any]] = []
    try:
        if isinstance(repository, AgentError):
            raise repository
        snapshots: list[Any] = repository.whole(newest=SNAPSHOTS, seconds=TIMEOUT_SECONDS)
        # While the agent's lock is free, no process of this container uses the repository.
        idle = is_free(places.state / "lock")
        locks = [
            {**lock, "stale": lock["stale"] or (idle and lock["host"] == socket.gethostname())}
            for lock in repository.locks(seconds=TIMEOUT_SECONDS)
        ]
        journal.set_snapshots(snapshots)
    except AgentError as error:
        snapshots = journal.snapshots()
        if expects_copies(configuration) or not not_created(journal, error):
            trouble = error.document()
    max_age = round(max_age_hours(configuration.schedule, configuration.max_age_hours, now()), 2)
    return {
        "version": 1,
        "at": moment(now()),
        "service": configuration.service,
        "since": moment(since),
        "reachable": trouble is None,
        "trouble": trouble,
        "max_age_hours": max_age,
        # For reconcilers of interface 1.
        "promise_hours": max_age,
        "drill": configuration.drill,
        "check": configuration.check,
        "forget": configuration.forget,
        "data": (stored(journal) or Data(UNKNOWN)).document(),
        "snapshots": snapshots,
        "runs": journal.runs(),
        "locks": locks,
        "next": {kind: journal.fact(f"next {kind}") or None for kind in ("backup", "prune", "check")},
    }


def not_created(journal: Journal, error: AgentError) -> bool:
    """Whether the repository does not exist only because there was no snapshot yet."""
    return isinstance(error, NoRepositoryError) and not journal.snapshots()
