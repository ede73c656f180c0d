"""Refuses another repository for snapshots unless the declaration says what becomes of the existing ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from chatons.declaration.resolved import Declaration, resolve
from chatons.schema.problems import Problem

PAGE = "docs/operations.md, Move the backups to another repository"


def refused(declaration: Declaration, previous: object) -> Iterator[Problem]:
    """The change of the repository, if nothing is said about the snapshots in the one before.

    Without this every agent would look for its snapshots where none are.

    Args:
        declaration: a checked one.
        previous: the last exported inventory of the stack; anything else counts as a first update.
    """
    scope = declaration.name()
    moving: dict[str, list[str]] = {}
    for service in resolve(declaration):
        before = _repository(previous, service.name)
        if service.backup is None or before is None or before == service.backup.repository:
            continue
        moved = service.backup.declared.moved
        if moved is None or moved.repository.part(scope, service.name) != before:
            whole = before.rstrip("/").removesuffix(f"/{scope}/{service.name}")
            moving.setdefault(whole, []).append(service.name)
    for whole, names in sorted(moving.items()):
        yield Problem(
            path=("backup", "repository"),
            problem=f"the repository of {', '.join(names)} was {whole}, and nothing says what becomes of the "
            "snapshots there",
            remedy=f"copy them with restic and declare `moved: {{repository: {whole!r}, snapshots: copied}}` "
            f"in ronron:backup, or leave them there with `snapshots: left`; see {PAGE}",
        )


def _repository(previous: object, name: str) -> str | None:
    services = previous.get("services") if isinstance(previous, Mapping) else None
    service = services.get(name) if isinstance(services, Mapping) else None
    backup = service.get("backup") if isinstance(service, Mapping) else None
    repository = backup.get("repository") if isinstance(backup, Mapping) else None
    return repository if isinstance(repository, str) else None
