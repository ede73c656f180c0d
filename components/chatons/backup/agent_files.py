"""What a backup agent is told: its document, its secrets, and what its image is called.

The document is that of docs/backup-agent.md, the contract with the agent; nothing here makes anything.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chatons.declaration.resolved import Declaration, ResolvedBackup, ResolvedService
from chatons.schema.backup_values import hours
from chatons.schema.image_reference import ImageReference

VERSION = 1

CONFIGURATION = "/etc/ronron-agent.json"
SECRETS = "/run/ronron-agent"
DATA = "/data"
STATE = "/var/lib/ronron-agent"

CONTEXT = Path(__file__).resolve().parents[1] / "images" / "backup_agent"
"""What the image of an agent is built from, with the build argument BASE."""

_REPOSITORY = "ronron-backup-agent"
_NOT_BUILT = {"__pycache__"}


def running(service: ResolvedService) -> dict[str, str | None]:
    """Which version of a service runs, as its snapshots tell it."""
    image = service.declared.image
    return {"version": image.version, "image": str(image), "image_digest": image.digest}


def document(declaration: Declaration, service: ResolvedService, backup: ResolvedBackup) -> str:
    """The agent's configuration; no secret is in it."""
    declared, database = backup.declared, service.database
    sftp = declared.repository.sftp
    content: dict[str, Any] = {
        "version": VERSION,
        "project": declaration.project,
        "stack": declaration.stack,
        "service": service.name,
        "kind": service.declared.kind,
        "running": running(service),
        "repository": backup.inside,
        "ssh": {"user": sftp.user, "host": sftp.host, "port": sftp.port, "host_key": declared.host_key}
        if sftp
        else None,
        "host": service.container,
        "database": {
            "host": database.address.host,
            "port": database.address.port,
            "name": database.address.name,
            "user": database.address.user,
            "major": database.major,
        }
        if database
        else None,
        "counts": dict(sorted(service.description.counts.items())),
        "volumes": {volume.role: f"{DATA}/{volume.role}" for volume in backup.files},
        "sqlite": list(backup.sqlite),
        "exclude": [],
        "schedule": declared.schedule,
        "keep": declared.keep.model_dump(),
        "forget": not declared.append_only,
        "check": declared.check,
        "drill": declared.drill,
        "max_age_hours": None if declared.max_age is None else hours(declared.max_age),
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def image_name(base: ImageReference, context: Path = CONTEXT) -> str:
    """What the image of an agent is called: another name whenever something else would be built."""
    digest = hashlib.sha256()
    for name, content in sorted(_files(context).items()):
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    digest.update(str(base).encode())
    return f"{_REPOSITORY}:{digest.hexdigest()[:16]}"


def _files(context: Path) -> Mapping[str, bytes]:
    """Every file of a directory by its path in it, without what Python leaves there."""
    return {
        path.relative_to(context).as_posix(): path.read_bytes()
        for path in context.rglob("*")
        if path.is_file() and not _NOT_BUILT & set(path.relative_to(context).parts)
    }
