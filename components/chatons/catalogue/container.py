"""Any other image: run as the declaration says, with safe defaults."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from chatons.catalogue.description import (
    DATABASE_PASSWORD,
    Context,
    Description,
    Health,
    ProbeDefault,
    Storage,
    Template,
)
from chatons.catalogue.kind import Kind
from chatons.schema.backup_values import RelativePath
from chatons.schema.models import Database, Service
from chatons.schema.problems import Problem
from chatons.schema.values import (
    AbsolutePath,
    Capability,
    Name,
    Port,
    RunAs,
    Seconds,
    Strict,
    Text,
    Variable,
    refuse,
)

_TMPFS = "rw,noexec,nosuid,nodev,size=64m"


class DatabaseVariables(Strict):
    """The environment variables that give a container the address of its database."""

    host: Variable | None = Field(default=None, description="variable for the hostname of the database")
    port: Variable | None = Field(default=None, description="variable for the port of the database")
    name: Variable | None = Field(default=None, description="variable for the name of the database")
    user: Variable | None = Field(default=None, description="variable for the user of the database")
    password: Variable | None = Field(
        default=None, description="variable for the password of the database user; its value is secret"
    )
    url: Variable | None = Field(
        default=None,
        description="variable for the whole address as `postgres://user:password@host:port/name`; its value "
        "is secret",
    )


class ContainerDatabase(Database):
    """A PostgreSQL for a service of the kind `container`."""

    variables: DatabaseVariables = Field(
        default=DatabaseVariables(
            host="DATABASE_HOST",
            port="DATABASE_PORT",
            name="DATABASE_NAME",
            user="DATABASE_USER",
            password="DATABASE_PASSWORD",  # noqa: S106  # the name of a variable
            url="DATABASE_URL",
        ),
        description="environment variables that give the service the address of its database: `host`, "
        "`port`, `name`, `user`, `password`, `url`; only those named here are set. Default: "
        "`DATABASE_HOST`, `DATABASE_PORT` and so on",
    )


class ContainerService(Service):
    """Any image that has no kind of its own.

    Every path that has to survive an update needs a volume: an update replaces the container and everything
    else in it. Without `health` an update does not wait until the service is healthy.
    """

    kind: Literal["container"] = Field(description="kind of the service: `container`")
    port: Port | None = Field(
        default=None, description="port that the service listens on; required with a hostname"
    )
    command: tuple[Text, ...] = Field(
        default=(), strict=False, description="program and arguments to run instead of the image's command"
    )
    volumes: dict[Name, AbsolutePath] = Field(
        default_factory=dict, description="paths to store in named volumes, by the name of the volume"
    )
    database: ContainerDatabase | None = Field(
        default=None,
        description="a PostgreSQL for this service: `image`, `memory_mib`, `cpus`, `variables`; `{}` for "
        "one with the settings of `ronron:database`",
    )
    sqlite: dict[Name, Annotated[tuple[RelativePath, ...], Field(strict=False)]] = Field(
        default_factory=dict,
        description="SQLite databases as paths inside a volume, by the name of the volume; each snapshot "
        "has a consistent copy of them",
    )
    health: tuple[Text, ...] = Field(
        default=(), strict=False, description="health check as in Docker: [CMD, program, argument...]"
    )
    user: RunAs | None = Field(
        default=None, description="user and group to run as, such as 1000:1000. Default: those of the image"
    )
    read_only: bool = Field(
        default=False, description="true makes everything but volumes and `tmpfs` read-only"
    )
    tmpfs: tuple[AbsolutePath, ...] = Field(
        default=(),
        strict=False,
        description="paths to mount in memory; their content is lost with the container",
    )
    capabilities: tuple[Capability, ...] = Field(
        default=(), strict=False, description="Linux capabilities of the container; all others are dropped"
    )
    upload_mib: Annotated[int, Field(ge=1, le=65_536)] = Field(
        default=64, description="size limit of a request body at the edge, in MiB"
    )
    start_seconds: Seconds = Field(
        default=120, description="time limit in seconds for the service to become healthy after a start"
    )
    grace_seconds: Seconds = Field(
        default=30, description="time limit in seconds for the service to stop before it is killed"
    )

    @property
    def has_database(self) -> bool:
        """Whether the service declares a PostgreSQL."""
        return self.database is not None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.hostname is not None and self.port is None:
            refuse(
                "a service with a hostname needs the `port` it listens on", "add `port`, such as port: 8000"
            )
        if self.health and (self.health[0] not in ("CMD", "CMD-SHELL") or len(self.health) == 1):
            refuse(
                "`health` is not a health check",
                'write it as in Docker, such as ["CMD", "wget", "-q", "-O-", "http://..."]',
            )
        for volume in self.sqlite:
            if volume not in self.volumes:
                refuse(
                    f"`sqlite` names the volume {volume!r}, which is not among `volumes`",
                    "use a name from `volumes`",
                )
        return self


def describe(service: ContainerService, context: Context) -> Description:
    """How to run an image of which only the declaration says how."""
    plain: dict[str, str] = {}
    secret: dict[str, Template] = {}
    database, declared = context.database, service.database
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
        secret = {variables[part]: value for part, value in secrets.items() if part in variables}
    return Description(
        port=service.port,
        user=service.user,
        command=service.command,
        capabilities=tuple(sorted(set(service.capabilities))),
        read_only=service.read_only,
        tmpfs=dict.fromkeys(service.tmpfs, _TMPFS),
        environment=plain,
        secret_environment=secret,
        storages=tuple(Storage(name, path) for name, path in sorted(service.volumes.items())),
        health=Health(test=service.health) if service.health else None,
        probe=ProbeDefault(path="/"),
        upload_mib=service.upload_mib,
        start_seconds=service.start_seconds,
        grace_seconds=service.grace_seconds,
        sqlite={name: paths for name, paths in sorted(service.sqlite.items()) if paths},
    )


def problems(service: ContainerService) -> Iterator[Problem]:
    """Refuse a path that is mounted twice, and SQLite databases without snapshots."""
    by_path: dict[str, list[str]] = defaultdict(list)
    for volume, path in service.volumes.items():
        by_path[path].append(volume)
    for path in service.tmpfs:
        by_path[path].append("tmpfs")
    for path, owners in by_path.items():
        if len(owners) > 1:
            yield Problem(
                path=("volumes",),
                problem=f"{path} is mounted more than once: {', '.join(owners)}",
                remedy="mount each path once",
            )
    if service.sqlite and not service.backup:
        yield Problem(
            path=("sqlite",),
            problem="`sqlite` is about snapshots, and `backup: false` takes none",
            remedy="remove one of the two",
        )


KIND = Kind(model=ContainerService, describe=describe, problems=problems)
