"""The manifest of a snapshot: what ran, what it contains, what a restore requires. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .configuration import Configuration, Running
from .errors import AgentError

FORMAT = 1
LARGEST = 4 * 1024 * 1024
NAME = "manifest.json"
DUMP = "/database.pgdump"


@dataclass(frozen=True)
class SqliteCopy:
    """A copy of a SQLite file in a snapshot, and the attributes of the original.

    Attributes:
        path: of the original, `/data/<role>/...`.
        copy: path in the snapshot.
        uid, gid, mode: of the original.
        bytes: of the copy.
    """

    path: str
    copy: str
    uid: int
    gid: int
    mode: int
    bytes: int


@dataclass(frozen=True)
class Dumped:
    """The database in a snapshot; `bytes` is the size of the dump."""

    major: int
    server_version: str
    name: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """The content of a manifest; see SNAPSHOT in docs/backup-agent.md."""

    run: str
    taken: str
    reason: str
    project: str
    stack: str
    service: str
    kind: str
    running: Running
    revision: str | None
    database_id: str | None
    database: Dumped | None
    counts: Mapping[str, int]
    files: int
    bytes: int
    seconds: float
    sqlite: tuple[SqliteCopy, ...] = ()
    volumes: tuple[str, ...] = ()
    lineage: str = ""
    recreated: bool = False
    places: Mapping[str, str] = field(default_factory=dict)
    format: int = field(default=FORMAT)


def written(manifest: Manifest) -> bytes:
    """The document as it is stored in the snapshot."""
    return (json.dumps(_document(manifest), indent=2, sort_keys=True) + "\n").encode()


def read(text: bytes) -> dict[str, Any]:
    """The document in a snapshot.

    Raises:
        AgentError: `corrupt`: it is not a manifest, or has an unknown format.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise _corrupt(f"it is not JSON: {error}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise _corrupt("it has an unknown format")
    missing = sorted(_KEYS - document.keys())
    if missing:
        raise _corrupt(f"it has no {', '.join(missing)}")
    return document


def snapshot(identity: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """SNAPSHOT of docs/backup-agent.md, of the restic snapshot with this manifest."""
    # Manifests of earlier versions of the agent have no lineage.
    lineage = {"lineage": document.get("lineage") or "", "recreated": bool(document.get("recreated"))}
    return {"id": identity, **{key: document.get(key) for key in _SHOWN}, **lineage}


def is_empty(document: Mapping[str, Any]) -> bool:
    """Whether a snapshot contains neither counted rows nor files."""
    return not any((document.get("counts") or {}).values()) and not document["files"]["count"]


def refuse_foreign(document: Mapping[str, Any], configuration: Configuration) -> None:
    """Refuse a snapshot of another service or of a newer database.

    Raises:
        AgentError: `other-service`, or `newer-database`.
    """
    found = tuple(document.get(key) for key in ("project", "stack", "service"))
    here = (configuration.project, configuration.stack, configuration.service)
    if found != here:
        raise AgentError(
            "other-service",
            f"cannot restore a snapshot of {'/'.join(str(part) for part in found)} into {'/'.join(here)}",
            "choose a snapshot of this service: ronron backup list",
        )
    database = document.get("database")
    if database is not None and configuration.database is not None:
        major = int(database["major"])
        if major > configuration.database.major:
            raise AgentError(
                "newer-database",
                f"cannot restore a dump of PostgreSQL {major} into PostgreSQL {configuration.database.major}",
                f"first declare an image of PostgreSQL {major} for this service, or choose an older snapshot",
            )


_SHOWN = (
    "database_id",
    "run",
    "taken",
    "reason",
    "service",
    "kind",
    "version",
    "image",
    "image_digest",
    "revision",
    "database",
    "counts",
    "files",
    "seconds",
)
_KEYS = frozenset({*_SHOWN, "project", "stack", "sqlite"})


def _document(manifest: Manifest) -> dict[str, Any]:
    database = manifest.database
    return {
        "format": manifest.format,
        "run": manifest.run,
        "taken": manifest.taken,
        "reason": manifest.reason,
        "project": manifest.project,
        "stack": manifest.stack,
        "service": manifest.service,
        "kind": manifest.kind,
        "version": manifest.running.version,
        "image": manifest.running.image,
        "image_digest": manifest.running.image_digest,
        "revision": manifest.revision,
        "database_id": manifest.database_id,
        "database": None if database is None else asdict(database),
        "counts": dict(manifest.counts),
        "files": {"count": manifest.files, "bytes": manifest.bytes},
        "seconds": round(manifest.seconds, 1),
        "sqlite": [asdict(one) for one in manifest.sqlite],
        "volumes": list(manifest.volumes),
        "lineage": manifest.lineage,
        "recreated": manifest.recreated,
        "places": dict(manifest.places),
    }


def _corrupt(why: str) -> AgentError:
    return AgentError(
        "corrupt",
        f"cannot read the manifest of a snapshot: {why}",
        "choose another snapshot: ronron backup list; and check the repository",
    )
