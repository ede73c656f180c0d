"""Whether a snapshot may be restored, and whether what came of it is what it promised. Decisions only."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ronron.core.backups import Snapshot
from ronron.core.errors import BackupError, SnapshotUnfitError
from ronron.core.inventory import Backup, Inventory, Service
from ronron.core.model import SHORT

_VERSION = re.compile(r"v?(\d+(?:\.\d+)*)(.*)", re.ASCII)


def backed_up(inventory: Inventory, name: str) -> tuple[Service, Backup]:
    """A service that has backups, and where they are.

    Raises:
        BackupError: there is no such service, or it has none.
    """
    service = inventory.services.get(name)
    if service is None:
        known = ", ".join(sorted(inventory.services)) or "none"
        raise BackupError(
            f"cannot find the service {name} in the inventory",
            where=name,
            hint=f"name one of its services: {known}",
        )
    if service.backup is None:
        raise BackupError(
            f"cannot find backups of {name}: none are declared",
            where=name,
            hint="declare `ronron:backup` in the stack file and update the environment",
        )
    return service, service.backup


def refuse_stranger(snapshot: Snapshot, name: str, service: Service) -> None:
    """Refuse what was taken of another service.

    Raises:
        SnapshotUnfitError: it was.
    """
    if (snapshot.service, snapshot.kind) != (name, service.kind):
        raise SnapshotUnfitError(
            f"cannot restore snapshot {snapshot.id[:SHORT]}: it is of {snapshot.service} ({snapshot.kind}),"
            f" not of {name} ({service.kind})",
            where=name,
            hint="choose one of its own: ronron backup list",
        )
    if (snapshot.database is None) != (service.database is None):
        has = "no database" if snapshot.database is None else "a database"
        raise SnapshotUnfitError(
            f"cannot restore snapshot {snapshot.id[:SHORT]}: it holds {has}, and {name} differs",
            where=name,
            hint="declare the service as it was when the snapshot was taken, and update the environment",
        )


def refuse_newer(snapshot: Snapshot, name: str, service: Service) -> None:
    """Refuse what a newer version has written: neither PostgreSQL nor the services can go back.

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
    if newer(snapshot.version, service.version):
        raise SnapshotUnfitError(
            f"cannot restore snapshot {snapshot.id[:SHORT]}: it is of {name} {snapshot.version},"
            f" {service.version} is running",
            where=name,
            hint=f"declare the image {snapshot.image} for {name}, update, and restore again",
        )


def newer(one: str, other: str) -> bool:
    """Whether one version is newer than another, by their numbers; False where they cannot be compared."""
    first, second = _VERSION.match(one), _VERSION.match(other)
    if first is None or second is None:
        return False
    numbers = [[int(part) for part in match[1].split(".")] for match in (first, second)]
    longest = max(map(len, numbers))
    left, right = ([*each, *[0] * (longest - len(each))] for each in numbers)
    return left > right


def remark(snapshot: Snapshot, name: str, service: Service) -> str | None:
    """What a person should know before a fit snapshot of another version is restored; None for the same."""
    if snapshot.version == service.version:
        return None
    if newer(service.version, snapshot.version):
        return (
            f"the snapshot is of {name} {snapshot.version}; {service.version} is running and will migrate it"
        )
    return (
        f"the snapshot is of {name} {snapshot.version} and {service.version} is running:"
        " which one is newer cannot be told"
    )


def differences(promised: Mapping[str, int], found: Mapping[str, int]) -> str:
    """Where restored rows are not as many as the manifest says, as a list for people; empty when they are.

    Args:
        promised: rows by what they are, of the manifest. Whatever else was found does not matter.
        found: rows in the restored database.
    """
    return ", ".join(
        f"{found.get(what, 'no')} {what} instead of {rows}"
        for what, rows in sorted(promised.items())
        if found.get(what) != rows
    )


def listed(counts: Mapping[str, int]) -> str:
    """Rows for people: `12 pads, 3 authors`; `no rows to count` where nothing is counted."""
    return ", ".join(f"{rows} {what}" for what, rows in sorted(counts.items())) or "no rows to count"
