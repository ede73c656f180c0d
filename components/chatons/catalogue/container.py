"""Any other image: what the declaration says, with the defaults that make it safe."""

from __future__ import annotations

from chatons.catalogue.description import (
    DATABASE_PASSWORD,
    Description,
    Health,
    ProbeDefault,
    Storage,
    Surroundings,
    Template,
)
from chatons.schema.models import ContainerService

_TMPFS = "rw,noexec,nosuid,nodev,size=64m"


def describe(service: ContainerService, surroundings: Surroundings) -> Description:
    """How to run an image that the catalogue does not know."""
    plain: dict[str, str] = {}
    sealed: dict[str, Template] = {}
    database, declared = surroundings.database, service.database
    if database is not None and declared is not None:
        values = {
            "host": database.host,
            "port": str(database.port),
            "name": database.name,
            "user": database.user,
        }
        secrets = {"password": Template("{" + DATABASE_PASSWORD + "}"), "url": database.url}
        variables: dict[str, str] = declared.variables.model_dump(exclude_none=True)
        plain = {variables[part]: value for part, value in values.items() if part in variables}
        sealed = {variables[part]: value for part, value in secrets.items() if part in variables}
    return Description(
        port=service.port,
        user=service.user,
        command=service.command,
        capabilities=tuple(sorted(set(service.capabilities))),
        read_only=service.read_only,
        tmpfs=dict.fromkeys(service.tmpfs, _TMPFS),
        environment=plain,
        sealed_environment=sealed,
        storages=tuple(Storage(name, path) for name, path in sorted(service.volumes.items())),
        health=Health(test=service.health) if service.health else None,
        probe=ProbeDefault(path="/"),
        upload_mib=service.upload_mib,
        start_seconds=service.start_seconds,
        grace_seconds=service.grace_seconds,
        sqlite={name: paths for name, paths in sorted(service.sqlite.items()) if paths},
    )
