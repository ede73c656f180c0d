"""Retention, prune and check of the repository."""

from __future__ import annotations

from .configuration import Configuration
from .errors import AgentError
from .manifest import is_empty
from .repository import Repository
from .restic import LONG_SECONDS
from .retention import Half, alone, expired


def forgotten(
    repository: Repository, configuration: Configuration, *, in_progress: str | None = None
) -> list[str]:
    """Remove snapshots that are not retained, and halves without their other half.

    This frees no space: see `pruned`.

    Returns:
        The removed runs.

    Raises:
        AgentError: `locked`, or another error of the repository.
    """
    if not configuration.forget:
        return []
    halves = repository.halves()
    going = alone(halves, in_progress=in_progress)
    old = expired(halves, configuration.keep, in_progress=in_progress)
    if old:
        # Only now are manifests read: most runs remove nothing.
        empty = {half.id for half in halves if half.files and half.run and _is_empty(repository, half)}
        going += expired(halves, configuration.keep, empty, in_progress=in_progress)
    repository.forget([half.id for half in going], "remove old snapshots")
    return sorted({half.run for half in going})


def pruned(repository: Repository, configuration: Configuration) -> list[str]:
    """Remove snapshots that are not retained, and free their space; returns the removed runs.

    Raises:
        AgentError: `locked`, `corrupt`, `full`, ...; an interrupted prune damages nothing.
    """
    if not configuration.forget:
        return []
    repository.unlock()
    gone = forgotten(repository, configuration)
    repository.restic.output("prune", "--quiet", seconds=LONG_SECONDS, verb="free the space of old snapshots")
    return gone


def checked(repository: Repository, part: int, parts: int) -> None:
    """Check the repository's structure, and read back one part of the stored data.

    Raises:
        AgentError: `corrupt`: something is damaged; or another error of the repository.
    """
    repository.unlock()
    verb = "check the repository"
    ended = repository.restic.ended(
        "check", f"--read-data-subset={part}/{parts}", seconds=LONG_SECONDS, verb=verb
    )
    if ended.code == 0:
        return
    error = repository.restic.failure(verb, ended)
    # A check that ran and failed for an unknown reason has found damage.
    raise (
        error
        if error.code != "failed"
        else AgentError(
            "corrupt",
            error.message,
            "restore the repository from its second copy, or declare a new one",
        )
    )


def _is_empty(repository: Repository, half: Half) -> bool:
    try:
        return is_empty(repository.manifest(half.id))
    except AgentError:
        return False  # nothing is known of it
