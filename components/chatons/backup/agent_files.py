"""The configuration of a backup agent, the paths of its files, and the name of its image.

The configuration is that of docs/backup-agent.md, the contract with the agent.
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
"""Build context of the agent's image; its build argument BASE is the image of the database."""

_REPOSITORY = "ronron-backup-agent"
_NOT_BUILT = {"__pycache__"}


def running(service: ResolvedService) -> dict[str, str | None]:
    """Version, image and digest of a service, as its snapshots record them."""
    image = service.declared.image
    return {"version": image.version, "image": str(image), "image_digest": image.digest}


def document(declaration: Declaration, service: ResolvedService, backup: ResolvedBackup) -> str:
    """The agent's configuration as JSON; it contains no secret."""
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
        "moved": _moved(declaration, service, backup),
        "max_age_hours": None if declared.max_age is None else hours(declared.max_age),
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _moved(
    declaration: Declaration, service: ResolvedService, backup: ResolvedBackup
) -> dict[str, Any] | None:
    moved = backup.declared.moved
    if moved is None:
        return None
    return {
        "from": moved.repository.part(declaration.name(), service.name),
        "to": backup.repository,
        "copied": moved.snapshots == "copied",
    }


def image_name(base: ImageReference, context: Path = CONTEXT) -> str:
    """The name of an agent's image; it changes with the base and with every file of the build context."""
    digest = hashlib.sha256()
    for name, content in sorted(_files(context).items()):
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    digest.update(str(base).encode())
    return f"{_REPOSITORY}:{digest.hexdigest()[:16]}"


def _files(context: Path) -> Mapping[str, bytes]:
    """Content of every file of a directory by relative path, without Python's caches."""
    return {
        path.relative_to(context).as_posix(): path.read_bytes()
        for path in context.rglob("*")
        if path.is_file() and not _NOT_BUILT & set(path.relative_to(context).parts)
    }
