"""What the agent says of its repository and its runs; see STATUS in docs/backup-agent.md."""

from __future__ import annotations

import socket
from typing import Any

from .configuration import Configuration, Places
from .errors import AgentError, NoRepositoryError
from .journal import REMEMBERED, Journal, moment, now
from .lock import is_free
from .repository import Repository
from .schedule import max_age_hours

LOOK_SECONDS = 60.0
"""A repository that does not answer for so long is not reachable."""


def status(
    configuration: Configuration, places: Places, journal: Journal, repository: Repository | AgentError
) -> dict[str, Any]:
    """Look at the repository and the journal.

    Args:
        configuration: of the agent.
        places: of the agent.
        journal: of the agent.
        repository: or why there cannot be one.
    """
    since, _ = journal.since()
    trouble: dict[str, str] | None = None
    locks: list[dict[str, Any]] = []
    try:
        if isinstance(repository, AgentError):
            raise repository
        snapshots: list[Any] = repository.whole(newest=REMEMBERED, seconds=LOOK_SECONDS)
        # Nobody of this container works in the repository while the agent's lock is free.
        idle = is_free(places.state / "lock")
        locks = [
            {**lock, "stale": lock["stale"] or (idle and lock["host"] == socket.gethostname())}
            for lock in repository.locks(seconds=LOOK_SECONDS)
        ]
        journal.know(snapshots)
    except AgentError as error:
        snapshots = journal.snapshots()
        if not not_begun(journal, error):
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
        "snapshots": snapshots,
        "runs": journal.runs(),
        "locks": locks,
        "next": {kind: journal.fact(f"next {kind}") or None for kind in ("backup", "prune", "check")},
    }


def not_begun(journal: Journal, error: AgentError) -> bool:
    """Whether the repository is only not made yet: before the first snapshot that is no trouble."""
    return isinstance(error, NoRepositoryError) and not journal.snapshots()
