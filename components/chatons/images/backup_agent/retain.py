"""Retention, prune and check of the repository."""

from __future__ import annotations

from .configuration import Configuration
from .errors import AgentError
from .journal import now
from .repository import Repository
from .restic import LONG_SECONDS
from .retention import Half, alone, policy, worth_asking


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
    before = repository.halves()
    # First, so that the newest half that restic retains is one of a complete snapshot.
    lonely = alone(before, in_progress=in_progress)
    repository.forget([half.id for half in lonely])
    left = [half for half in before if half not in lonely]
    if worth_asking(left, now()):
        repository.restic.output(
            "forget", "--quiet", *policy(configuration.keep, configuration.host),
            seconds=LONG_SECONDS, verb="remove old snapshots",
        )  # fmt: skip
        left = repository.halves()
        widowed = alone(left, in_progress=in_progress)
        repository.forget([half.id for half in widowed])
        left = [half for half in left if half not in widowed]
    return _gone(before, left)


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


def _gone(before: list[Half], left: list[Half]) -> list[str]:
    stay = {half.run for half in left}
    return sorted({half.run for half in before} - stay)
