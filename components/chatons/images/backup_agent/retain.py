"""Retention and prune, as the repository's keeper: restic decides and removes, we say of what."""

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
    """Remove what the retention does not keep, and the halves left alone.

    Nothing is freed yet: see `pruned`.

    Returns:
        The runs that are gone.

    Raises:
        AgentError: `locked`, or the repository's own trouble.
    """
    if not configuration.forget:
        return []
    before = repository.halves()
    # First, so that the newest half that is kept is one of a whole snapshot.
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
    """Remove what is not kept and free its space; the runs that are gone.

    Raises:
        AgentError: `locked`, `corrupt`, `full`, ...; prune is written so that it can be broken off anywhere.
    """
    if not configuration.forget:
        return []
    repository.unlock()
    gone = forgotten(repository, configuration)
    repository.restic.output("prune", "--quiet", seconds=LONG_SECONDS, verb="free the space of old snapshots")
    return gone


def checked(repository: Repository, part: int, parts: int) -> None:
    """Check the repository's structure, and read one part of what is stored back.

    Raises:
        AgentError: `corrupt`: something is damaged; or the repository's own trouble.
    """
    repository.unlock()
    verb = "check the repository"
    ended = repository.restic.ended(
        "check", f"--read-data-subset={part}/{parts}", seconds=LONG_SECONDS, verb=verb
    )
    if ended.code == 0:
        return
    error = repository.restic.failure(verb, ended)
    # Whatever words it uses: a check that ran and does not end well has found damage.
    raise (
        error
        if error.code != "failed"
        else AgentError(
            "corrupt",
            error.message,
            "Restore the repository from its second copy, or begin a new one beside it",
        )
    )


def _gone(before: list[Half], left: list[Half]) -> list[str]:
    stay = {half.run for half in left}
    return sorted({half.run for half in before} - stay)
