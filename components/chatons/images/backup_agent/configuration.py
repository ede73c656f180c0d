"""The agent's configuration, its secrets, and the paths of its files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from .errors import AgentError

LARGEST_DOCUMENT = 1024 * 1024
LARGEST_SECRET = 64 * 1024

Period = Literal["daily", "weekly", "monthly"]
_HINT = "update the environment of this agent"


@dataclass(frozen=True)
class Places:
    """Paths of the agent's files; see the table in docs/backup-agent.md.

    Attributes:
        document: the configuration.
        secrets: folder with a file for each secret.
        state: the agent's own volume.
        temporary: in the container, for small files.
        memory: in memory, for secrets.
    """

    document: Path = Path("/etc/ronron-agent.json")
    secrets: Path = Path("/run/ronron-agent")
    state: Path = Path("/var/lib/ronron-agent")
    temporary: Path = Path("/tmp")  # noqa: S108 -- of this container alone
    memory: Path = Path("/dev/shm")  # noqa: S108 -- of this container alone, and on no disk

    @property
    def stage(self) -> Path:
        """Manifest and copies of SQLite files while a backup runs; every snapshot contains these paths."""
        return self.state / "stage"


@dataclass(frozen=True)
class Database:
    """The service's PostgreSQL; `major` is the server's major version."""

    host: str
    port: int
    name: str
    user: str
    major: int


@dataclass(frozen=True)
class Ssh:
    """Access to an sftp repository; `host_key` is the only accepted key."""

    user: str
    host: str
    port: int
    host_key: str


@dataclass(frozen=True)
class Running:
    """What the service runs."""

    version: str
    image: str
    image_digest: str | None


@dataclass(frozen=True)
class Retention:
    """Number of days, weeks and months of which the newest snapshot is retained."""

    daily: int = 0
    weekly: int = 0
    monthly: int = 0


@dataclass(frozen=True)
class Moved:
    """The repository before this one; `copied`: its snapshots were copied into this one."""

    before: str
    now: str
    copied: bool


@dataclass(frozen=True)
class Configuration:
    """The configuration; docs/backup-agent.md describes each field."""

    project: str
    stack: str
    service: str
    kind: str
    running: Running
    repository: str
    host: str
    schedule: str
    keep: Retention
    ssh: Ssh | None = None
    database: Database | None = None
    counts: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[str, str] = field(default_factory=dict)
    sqlite: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    forget: bool = True
    check: Period = "weekly"
    drill: Period = "weekly"
    max_age_hours: float | None = None
    moved: Moved | None = None


@dataclass(frozen=True)
class Secrets:
    """The secrets, which no output may contain; None where the agent has none."""

    repository_password: Path
    database_password: str | None = None
    repository_login: tuple[str, str] | None = None
    ssh_key: Path | None = None
    words: tuple[str, ...] = ()


def parsed(document: object) -> Configuration:
    """The configuration from its JSON document.

    Raises:
        AgentError: `failed`: it has another version, or a key is missing or has a wrong value.
    """
    if not isinstance(document, dict):
        raise _unusable("it is not a JSON object")
    if document.get("version") != 1:
        raise _unusable(f"its version is {document.get('version')!r} and not 1")
    try:
        return _read(document)
    except KeyError as error:
        raise _unusable(f"it has no {error.args[0]!r}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise _unusable(str(error)) from error


def load(places: Places) -> Configuration:
    """Read the configuration.

    Raises:
        AgentError: `failed`: it does not exist, or is wrong.
    """
    try:
        with places.document.open("rb") as opened:
            text = opened.read(LARGEST_DOCUMENT + 1)
    except OSError as error:
        raise _unusable(error.strerror or str(error)) from error
    if len(text) > LARGEST_DOCUMENT:
        raise _unusable(f"it has more than {LARGEST_DOCUMENT} bytes")
    try:
        return parsed(json.loads(text))
    except ValueError as error:
        raise _unusable(f"it is not JSON: {error}") from error


def secrets(places: Places) -> Secrets:
    """Read the secrets that exist.

    Raises:
        AgentError: `failed`: the repository's password is missing, or a login has no colon.
    """
    password = places.secrets / "repository-password"
    text = _secret(password)
    if not text:
        raise AgentError(
            "failed",
            f"cannot read the repository's password in {password}",
            "set the secret ronron:backup.password, and update",
        )
    database = _secret(places.secrets / "database-password")
    login = _secret(places.secrets / "repository-login")
    pair = None
    if login is not None:
        user, colon, word = login.partition(":")
        if not colon:
            raise AgentError("failed", "cannot read the repository's login: it is not user:password", _HINT)
        pair = (user, word)
    key = places.secrets / "ssh-key"
    words = [text, *([database] if database else []), *([pair[1]] if pair else [])]
    return Secrets(
        repository_password=password,
        database_password=database,
        repository_login=pair,
        ssh_key=key if key.is_file() else None,
        words=tuple(words),
    )


def neighbour(repository: str) -> str:
    """The repository `reconciler` beside this one: the last part of the path is replaced.

    `/repository` has `/reconciler` beside it, `rest:https://host/a/pad/` has `rest:https://host/a/reconciler/`.
    """
    slash = "/" if repository.endswith("/") else ""
    head, separator, _ = repository.rstrip("/").rpartition("/")
    return f"{head}{separator}reconciler{slash}"


def _secret(path: Path) -> str | None:
    try:
        with path.open(encoding="utf-8") as opened:
            return opened.read(LARGEST_SECRET).rstrip("\r\n")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise AgentError("failed", f"cannot read the secret {path.name}: {error}", _HINT) from error


def _read(document: dict[str, Any]) -> Configuration:
    keep = document["keep"]
    configuration = Configuration(
        project=_text(document, "project"),
        stack=_text(document, "stack"),
        service=_text(document, "service"),
        kind=_text(document, "kind"),
        running=running(document["running"]),
        repository=_text(document, "repository"),
        host=_text(document, "host"),
        schedule=_text(document, "schedule"),
        keep=Retention(**{part: _whole(keep, part) for part in ("daily", "weekly", "monthly")}),
        ssh=_ssh(document.get("ssh")),
        database=_database(document.get("database")),
        counts={str(name): str(query) for name, query in (document.get("counts") or {}).items()},
        volumes={str(role): str(path) for role, path in (document.get("volumes") or {}).items()},
        sqlite=tuple(str(path) for path in document.get("sqlite") or ()),
        exclude=tuple(str(path) for path in document.get("exclude") or ()),
        forget=bool(document.get("forget", True)),
        check=_period(document, "check"),
        drill=_period(document, "drill"),
        max_age_hours=_max_age_hours(document),
        moved=_moved(document.get("moved")),
    )
    for path in (*configuration.volumes.values(), *configuration.sqlite):
        if not path.startswith("/") or ".." in path.split("/"):
            raise ValueError(f"{path!r} is not an absolute path")
    return configuration


def _max_age_hours(document: Mapping[str, Any]) -> float | None:
    # Written as `promise_hours` before interface 2.
    value = document.get("max_age_hours", document.get("promise_hours"))
    return None if value is None else float(value)


def running(document: Mapping[str, Any]) -> Running:
    """What a service runs, from an object with `version`, `image` and `image_digest`."""
    digest = document.get("image_digest")
    return Running(
        version=_text(document, "version"),
        image=_text(document, "image"),
        image_digest=None if digest is None else str(digest),
    )


def _ssh(part: Mapping[str, Any] | None) -> Ssh | None:
    if part is None:
        return None
    found = Ssh(
        user=_text(part, "user"),
        host=_text(part, "host"),
        port=_whole(part, "port"),
        host_key=_text(part, "host_key"),
    )
    # They become part of a command line that restic splits at blanks and quotes.
    for word in (found.user, found.host):
        if not re.fullmatch(r"[\w.:\[\]-]+", word) or word.startswith("-"):
            raise ValueError(f"ssh: {word!r} is not a name")
    return found


def _moved(part: Mapping[str, Any] | None) -> Moved | None:
    if part is None:
        return None
    return Moved(before=_text(part, "from"), now=_text(part, "to"), copied=bool(part["copied"]))


def _database(part: Mapping[str, Any] | None) -> Database | None:
    if part is None:
        return None
    return Database(
        host=_text(part, "host"),
        port=_whole(part, "port"),
        name=_text(part, "name"),
        user=_text(part, "user"),
        major=_whole(part, "major"),
    )


def _text(part: Mapping[str, Any], key: str) -> str:
    value = part[key]
    if not isinstance(value, str) or not value or "\0" in value or "\n" in value:
        raise ValueError(f"{key!r} is not one line of text")
    return value


def _whole(part: Mapping[str, Any], key: str) -> int:
    value = part[key]
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{key!r} is not a whole number of at least 0")
    return value


def _period(part: Mapping[str, Any], key: str) -> Period:
    value = part.get(key, "weekly")
    match value:
        case "daily" | "weekly" | "monthly":
            return cast(Period, value)
    raise ValueError(f"{key!r} is not daily, weekly or monthly")


def _unusable(why: str) -> AgentError:
    return AgentError("failed", f"cannot use the agent's configuration: {why}", _HINT)
