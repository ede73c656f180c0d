"""How to run a service, as plain values.

A description registers no resource. Secrets appear only as placeholders of a template, so that a description
can be printed, compared and tested.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

DATABASE_PASSWORD = "database-password"  # noqa: S105  # a role, not a secret
ADMIN_PASSWORD = "admin-password"  # noqa: S105  # a role, not a secret

_PLACEHOLDER = re.compile(r"\{([a-z][a-z-]*)(?:/([a-z-]+))?\}")


@dataclass(frozen=True)
class Template:
    """A text with placeholders for secrets.

    `{database-password}` is replaced by the secret of that role. `{database-password/session-key}` is
    replaced by a key derived from that secret for one purpose: HMAC-SHA256 as 64 hexadecimal digits. A
    derived key needs no secret of its own and changes only with the secret.
    """

    text: str

    @property
    def roles(self) -> frozenset[str]:
        """The roles of the secrets that the template needs."""
        return frozenset(match[1] for match in _PLACEHOLDER.finditer(self.text))

    def fill(self, secrets: Mapping[str, str]) -> str:
        """The text with its secrets.

        Args:
            secrets: by role; every role of the template is required.

        Raises:
            KeyError: a role is missing.
        """

        def replacement(match: re.Match[str]) -> str:
            secret, purpose = secrets[match[1]], match[2]
            if purpose is None:
                return secret
            return hmac.new(secret.encode(), purpose.encode(), hashlib.sha256).hexdigest()

        return _PLACEHOLDER.sub(replacement, self.text)


@dataclass(frozen=True)
class Storage:
    """A path of the container that is stored in a named volume.

    Attributes:
        name: role of the volume, the last part of its name.
        path: absolute path inside the container.
        in_snapshots: False for files that the service creates again, or that nobody needs after a restore.
    """

    name: str
    path: str
    in_snapshots: bool = True


def rows_of(*tables: str) -> dict[str, str]:
    """SQL queries that count the rows of tables, by the name of the table."""
    return {table: f"select count(*) from {table}" for table in tables}  # noqa: S608  # names in the catalogue


@dataclass(frozen=True, kw_only=True)
class Health:
    """The health check that Docker runs inside the container. Times are in seconds.

    Docker runs it for the first time after one interval, and an update waits for that.
    """

    test: tuple[str, ...]
    interval: int = 5
    timeout: int = 5
    retries: int = 12
    start_period: int = 60


@dataclass(frozen=True, kw_only=True)
class SecretFile:
    """A file that contains secrets, written into the container before it starts.

    Its owner is root, and only its group root may read it: a service that reads one runs with group 0.
    Another owner is not possible, as Docker 20.10 looks the user of a container up among the users of the
    machine.
    """

    path: str
    content: Template


@dataclass(frozen=True, kw_only=True)
class ProbeDefault:
    """The default probe of a kind, and what a healthy service answers."""

    path: str
    status: tuple[int, ...] = (200,)
    open: bool = False
    """Whether the edge may serve this path of a members-only service to everybody, as it reveals nothing."""


@dataclass(frozen=True, kw_only=True)
class DatabaseAddress:
    """The address of a service's PostgreSQL."""

    host: str
    name: str
    user: str
    port: int = 5432

    @property
    def url(self) -> Template:
        """The address as a URL of libpq. The password needs no quoting: see `declaration.secrets`."""
        secret = "{" + DATABASE_PASSWORD + "}"
        return Template(f"postgres://{self.user}:{secret}@{self.host}:{self.port}/{self.name}")


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a description may depend on besides the keys of its service.

    Attributes:
        url: public URL without a slash at the end; None without a hostname.
        database: None for a service without a PostgreSQL.
    """

    url: str | None
    database: DatabaseAddress | None


@dataclass(frozen=True, kw_only=True)
class Description:
    """How to run one service.

    Attributes:
        port: port that the service listens on for the edge; None when it does not listen.
        environment: environment variables without secrets.
        secret_environment: environment variables that contain secrets.
        files: files that contain secrets.
        storages: every path that has to survive a replacement of the container.
        user: user and group; None for those of the image.
        capabilities: capabilities to add after all are dropped.
        tmpfs: mount options by path.
        upload_mib: size limit of a request body at the edge, in MiB.
        start_seconds: time limit for the first start, until the container is healthy.
        grace_seconds: time limit for a clean stop.
        counts: SQL queries that count important rows, by what they count; when empty, the rows of every table
            are counted. The agent runs them on the database at each snapshot, and on what was restored from
            it.
        sqlite: SQLite databases as paths inside a volume, by the name of the storage.
    """

    port: int | None
    storages: tuple[Storage, ...]
    health: Health | None
    probe: ProbeDefault
    environment: Mapping[str, str] = field(default_factory=dict)
    secret_environment: Mapping[str, Template] = field(default_factory=dict)
    files: tuple[SecretFile, ...] = ()
    user: str | None = None
    command: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    read_only: bool = False
    tmpfs: Mapping[str, str] = field(default_factory=dict)
    upload_mib: int = 64
    start_seconds: int = 180
    grace_seconds: int = 30
    counts: Mapping[str, str] = field(default_factory=dict)
    sqlite: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def roles(self) -> frozenset[str]:
        """The roles of the secrets that the service needs."""
        templates = [*self.secret_environment.values(), *(file.content for file in self.files)]
        return frozenset().union(*(template.roles for template in templates))

    @property
    def reserved(self) -> frozenset[str]:
        """Variables that the catalogue sets, so that a declaration may not set them."""
        return frozenset(self.environment) | frozenset(self.secret_environment)
