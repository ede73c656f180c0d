"""The identities of the places where a service's data are, and the lineage that follows; see lineage.py."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from typing import Any

from . import lineage
from .configuration import Configuration, Secrets
from .errors import AgentError, NoRepositoryError
from .journal import SNAPSHOTS, Journal, moment, now
from .lineage import Data
from .postgres import connected
from .repository import Repository, whole

FACT = "data"
"""Name of the journal's fact that stores the result."""

STAT_SECONDS = 30.0


def present(configuration: Configuration, secrets: Secrets) -> dict[str, str]:
    """The identity of each place of data now.

    That of a volume is the inode of its root directory and the time at which it was created: a restore leaves
    both, and a volume that is recreated has others. That of a database is its cluster's system identifier.

    Raises:
        AgentError: `database-refused`, `source-unreadable`: a place cannot be read.
    """
    found = {root: _directory(root) for root in sorted(configuration.volumes.values())}
    database = configuration.database
    if database is not None:
        with connected(database, secrets) as connection, connection.cursor() as cursor:
            cursor.execute("select system_identifier::text from pg_control_system()")
            row = cursor.fetchone()
            found[lineage.DATABASE] = str(row[0]) if row else ""
    return found


def stored(journal: Journal) -> Data | None:
    """The earlier result; None where there is none."""
    text = journal.fact(FACT)
    return None if text is None else lineage.read(text)


def resolved(
    configuration: Configuration, secrets: Secrets, journal: Journal, repository: Repository
) -> Data:
    """What the data are now; the journal stores the result.

    Raises:
        AgentError: a place, or the repository where it has to be read, cannot be read.
    """
    before = stored(journal)
    lived = False
    if before is None:
        lived = journal.runs()["backup"] is not None
        if not lived:
            # Before anything can fail: a failed backup must not look like the life of an earlier agent.
            journal.remember(FACT, lineage.written(Data(lineage.UNKNOWN)))
    places = present(configuration, secrets)
    same = before is not None and before.state != lineage.UNKNOWN and dict(before.places) == places
    manifests = [] if same or lived else _manifests(repository, journal)
    data = lineage.judged(before, places, manifests, lived=lived, at=moment(now()))
    if data != before:
        journal.remember(FACT, lineage.written(data))
    return data


def remember(journal: Journal, data: Data) -> None:
    """Store what a person's word made of the data."""
    journal.remember(FACT, lineage.written(data))


def _manifests(repository: Repository, journal: Journal) -> list[Mapping[str, Any]]:
    try:
        halves = whole(repository.halves())[:SNAPSHOTS]
    except NoRepositoryError:
        if journal.snapshots():
            raise
        return []
    return [_manifest(repository, half.id) for half, _ in halves]


def _manifest(repository: Repository, identity: str) -> Mapping[str, Any]:
    """A manifest; empty where it is damaged: the snapshot exists nevertheless."""
    try:
        return repository.manifest(identity)
    except AgentError:
        return {}


def _directory(path: str) -> str:
    # Python 3.11 has no way to read the time of creation.
    ended = subprocess.run(
        ["stat", "--printf", "%i %w", "--", path],
        capture_output=True,
        check=False,
        text=True,
        timeout=STAT_SECONDS,
        env={"TZ": "UTC", "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
    )
    if ended.returncode != 0:
        raise AgentError(
            "source-unreadable",
            f"cannot read the volume at {path}: {ended.stderr.strip()}",
            "check the disk of this machine",
        )
    return ended.stdout
