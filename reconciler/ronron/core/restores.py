"""Whether a snapshot may be restored, and whether the restored rows are complete. Decisions only."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ronron.core.backups import Snapshot
from ronron.core.errors import BackupError, SnapshotUnfitError
from ronron.core.inventory import Backup, Inventory, Service
from ronron.core.model import SHORT
from ronron.core.words import counted

_BARE = re.compile(r"\bronron (?:backup (?:now|list|status)|drill|restore)(?= *(?:$|[;,.)`]| for\b| and\b))")
"""A command that needs an environment and a service, without them."""

_VERSION = re.compile(r"v?(\d+(?:\.\d+)*)(.*)", re.ASCII)


def service_with_backup(inventory: Inventory, name: str) -> tuple[Service, Backup]:
    """A service that has a backup, and where that is.

    Raises:
        BackupError: there is no such service, or it has none.
    """
    service = inventory.services.get(name)
    if service is None:
        known = ", ".join(sorted(inventory.services)) or "none"
        raise BackupError(
            f"cannot find the service {name} in the inventory",
            where=name,
            hint=f"use one of its services: {known}",
        )
    if service.backup is None:
        raise BackupError(
            f"cannot find backups of {name}: none are declared",
            where=name,
            hint="declare `ronron:backup` in the stack file and update the environment",
        )
    return service, service.backup


def named_commands(hint: str, environment: str, service: str) -> str:
    """A hint of an agent, which knows no environment, with its name and the service's in bare commands."""
    return _BARE.sub(lambda match: f"{match[0]} {environment} {service}", hint)


def refuse_other_service(snapshot: Snapshot, name: str, service: Service) -> None:
    """Refuse a snapshot of another service.

    Raises:
        SnapshotUnfitError: name, kind or the presence of a database differ.
    """
    if (snapshot.service, snapshot.kind) != (name, service.kind):
        raise SnapshotUnfitError(
            f"cannot restore snapshot {snapshot.id[:SHORT]}: it is of {snapshot.service} ({snapshot.kind}),"
            f" not of {name} ({service.kind})",
            where=name,
            hint=f"choose a snapshot of {name}: ronron backup list ENV {name}",
        )
    if (snapshot.database is None) != (service.database is None):
        what = "a database" if snapshot.database else "no database"
        raise SnapshotUnfitError(
            f"cannot restore snapshot {snapshot.id[:SHORT]}: it has {what}, unlike {name}",
            where=name,
            hint="declare the service as it was when the snapshot was taken, and update the environment",
        )


def refuse_newer_version(snapshot: Snapshot, name: str, service: Service) -> None:
    """Refuse a snapshot that a newer version wrote: neither PostgreSQL nor the services can go back.

    Raises:
        SnapshotUnfitError: the database is of a newer major version than the one that runs, or the service
            is of a newer version.
    """
    if snapshot.database and service.database and snapshot.database.major > service.database.major:
        raise SnapshotUnfitError(
            f"cannot restore snapshot {snapshot.id[:SHORT]}: it is of PostgreSQL {snapshot.database.major},"
            f" {service.database.major} is running",
            where=name,
            hint=f"declare an image of PostgreSQL {snapshot.database.major}, update, and restore again",
        )
    if is_newer(snapshot.version, service.version):
        raise SnapshotUnfitError(
            f"cannot restore snapshot {snapshot.id[:SHORT]}: it is of {name} {snapshot.version},"
            f" {service.version} is running",
            where=name,
            hint=f"declare the image {snapshot.image} for {name}, update, and restore again",
        )


def is_newer(one: str, other: str) -> bool:
    """Whether one version is newer than another, by their numbers; False where they cannot be compared."""
    first, second = _VERSION.match(one), _VERSION.match(other)
    if first is None or second is None:
        return False
    numbers = [[int(part) for part in match[1].split(".")] for match in (first, second)]
    longest = max(map(len, numbers))
    left, right = ([*each, *[0] * (longest - len(each))] for each in numbers)
    return left > right


def version_warning(snapshot: Snapshot, name: str, service: Service) -> str | None:
    """A warning before a snapshot of another version is restored; None for the same version."""
    if snapshot.version == service.version:
        return None
    if is_newer(service.version, snapshot.version):
        return (
            f"the snapshot is of {name} {snapshot.version}; {service.version} is running and will migrate it"
        )
    return (
        f"the snapshot is of {name} {snapshot.version} and {service.version} is running:"
        " cannot determine which one is newer"
    )


def count_differences(expected: Mapping[str, int], found: Mapping[str, int]) -> str:
    """The counts that differ from the manifest, as a list for people; empty if none does.

    Args:
        expected: number of rows by what they are, of the manifest.
        found: number of rows in the restored database. Kinds of rows that the manifest lacks are ignored.
    """
    return ", ".join(
        f"{counted(found[what], what) if what in found else f'no {what}'} instead of {rows}"
        for what, rows in sorted(expected.items())
        if found.get(what) != rows
    )


def counts_text(counts: Mapping[str, int]) -> str:
    """Counts for people: `12 pads, 3 authors`; `no rows to count` where nothing is counted."""
    return ", ".join(counted(rows, what) for what, rows in sorted(counts.items())) or "no rows to count"
