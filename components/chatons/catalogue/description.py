"""What the program knows about a kind of service, as plain values.

A description says how an image wants to be run; it makes nothing. Secrets appear only as places in a
template, so that a description can be printed, compared and tested.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

DATABASE_PASSWORD = "database-password"  # noqa: S105  # a role, not a secret
ADMIN_PASSWORD = "admin-password"  # noqa: S105  # a role, not a secret

_PLACE = re.compile(r"\{([a-z][a-z-]*)(?:/([a-z-]+))?\}")


@dataclass(frozen=True)
class Template:
    """A text with places for secrets.

    `{database-password}` is replaced by the secret of that role. `{database-password/session-key}` is
    replaced by a key derived from it, one for each purpose: HMAC-SHA256 as 64 hexadecimal digits. Derived
    keys need no secret of their own and stay the same as long as the secret does.
    """

    text: str

    @property
    def roles(self) -> frozenset[str]:
        """The secrets that are needed to fill the template."""
        return frozenset(match[1] for match in _PLACE.finditer(self.text))

    def fill(self, secrets: Mapping[str, str]) -> str:
        """Put the secrets in.

        Args:
            secrets: by role; every role of the template must be there.
        """

        def replacement(match: re.Match[str]) -> str:
            secret, purpose = secrets[match[1]], match[2]
            if purpose is None:
                return secret
            return hmac.new(secret.encode(), purpose.encode(), hashlib.sha256).hexdigest()

        return _PLACE.sub(replacement, self.text)


@dataclass(frozen=True)
class Storage:
    """A path that must outlive every container; kept in a named volume.

    Attributes:
        in_snapshots: False where what is in it is made anew, or is worth nothing on another day.
    """

    name: str
    path: str
    in_snapshots: bool = True


def rows_of(*tables: str) -> dict[str, str]:
    """Questions that count the rows of tables, by the name of the table."""
    return {table: f"select count(*) from {table}" for table in tables}  # noqa: S608  # names in the catalogue


@dataclass(frozen=True, kw_only=True)
class Health:
    """How Docker asks the container itself whether it does its work. Times are in seconds.

    Docker asks for the first time only after one interval, and whoever updates a service waits for that.
    """

    test: tuple[str, ...]
    interval: int = 5
    timeout: int = 5
    retries: int = 12
    start_period: int = 60


@dataclass(frozen=True, kw_only=True)
class SealedFile:
    """A file with secrets in it, written into the container before it starts.

    It belongs to root and its group, which may read it: a service that reads one runs with group 0. An owner
    of its own is no way: where the container names a user, Docker 20.10 looks for it among those of the
    machine.
    """

    path: str
    content: Template


@dataclass(frozen=True, kw_only=True)
class ProbeDefault:
    """What a healthy service answers on its public URL."""

    path: str
    status: tuple[int, ...] = (200,)
    open: bool = False
    """Whether this path tells so little that the edge may serve it to strangers of a members-only service."""


@dataclass(frozen=True, kw_only=True)
class DatabaseAddress:
    """Where a service finds its PostgreSQL."""

    host: str
    name: str
    user: str
    port: int = 5432

    @property
    def url(self) -> Template:
        """As libpq reads it. The password needs no quoting: see `required_secrets`."""
        secret = "{" + DATABASE_PASSWORD + "}"
        return Template(f"postgres://{self.user}:{secret}@{self.host}:{self.port}/{self.name}")


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a description may depend on besides its own part of the declaration.

    Attributes:
        url: public address without a slash at the end; None when nobody outside gets in.
        database: None when the service has none.
    """

    url: str | None
    database: DatabaseAddress | None


@dataclass(frozen=True, kw_only=True)
class Description:
    """How to run one service.

    Attributes:
        port: where it listens for the edge; None when it does not.
        environment: variables without secrets.
        sealed_environment: variables with secrets.
        files: files with secrets.
        storages: every path that must last.
        user: None when the image must choose.
        capabilities: what is given back after all were taken away.
        tmpfs: options by path.
        upload_mib: largest request body that the edge passes on.
        start_seconds: how long the first start may take until it is healthy.
        grace_seconds: how long a clean stop may take.
        counts: questions in SQL that count the rows that matter, by what they are; without any, every table
            is counted. They are asked of the database at each snapshot, and of what was restored from it.
        sqlite: databases of SQLite, as paths inside a volume, by name of the storage.
    """

    port: int | None
    storages: tuple[Storage, ...]
    health: Health | None
    probe: ProbeDefault
    environment: Mapping[str, str] = field(default_factory=dict)
    sealed_environment: Mapping[str, Template] = field(default_factory=dict)
    files: tuple[SealedFile, ...] = ()
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
        """The secrets that the service cannot do without."""
        templates = [*self.sealed_environment.values(), *(file.content for file in self.files)]
        return frozenset().union(*(template.roles for template in templates))

    @property
    def reserved(self) -> frozenset[str]:
        """Variables that the catalogue sets, so that the declaration may not."""
        return frozenset(self.environment) | frozenset(self.sealed_environment)
