"""The types of values in `ronron:backup`: repositories, schedules, ages. Each refusal has a remedy."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import Annotated, Literal, NoReturn, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from chatons.schema.by_hand import pulumi_command
from chatons.schema.values import REFUSED, Matching

INSIDE = "/repository"
"""The path of a local repository inside the agent's container."""
RECONCILER = "reconciler"
"""The part of a repository in which the reconciler stores the backups of its own state."""
RECONCILER_INSIDE = "/reconciler"
"""The path of that part inside the agent's container, for a local repository."""

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = rf"(?P<host>{_LABEL}(?:\.{_LABEL})*)"
_USER = r"(?P<user>[a-z_][a-z0-9_.-]{0,31})"
_PORT = r"(?P<port>\d{1,5})"
_WAYS: tuple[tuple[Literal["sftp", "rest", "s3"], re.Pattern[str]], ...] = (
    ("sftp", re.compile(rf"sftp:{_USER}@{_HOST}:(?P<path>/[\w./~-]*)", re.ASCII)),
    ("sftp", re.compile(rf"sftp://{_USER}@{_HOST}(?::{_PORT})?/(?P<path>/[\w./~-]*)", re.ASCII)),
    ("rest", re.compile(rf"rest:https://{_HOST}(?::{_PORT})?(?P<path>/[\w./~-]*)?", re.ASCII)),
    ("s3", re.compile(rf"s3:https://{_HOST}(?::{_PORT})?(?P<path>/[\w.-]+(?:/[\w.-]+)*)/?", re.ASCII)),
)
"""Restic's own notations. Source: restic's documentation, Preparing a new repository."""
_CREDENTIALS = re.compile(r"[a-z0-9:+]*//[^/@]*:[^/@]*@|(?:rest|s3):[^@]*@")
_WRITE = (
    "write an absolute path, sftp:user@host:/path, sftp://user@host:port//path, rest:https://host/path or "
    "s3:https://host/bucket"
)


@dataclass(frozen=True, kw_only=True)
class Sftp:
    """The host of an SFTP repository."""

    user: str
    host: str
    port: int


@dataclass(frozen=True, kw_only=True)
class Repository:
    """The restic repository of all services; each service uses a part of it.

    Attributes:
        way: the storage backend.
        text: the declared address, without a slash at the end.
        sftp: the host; None for another backend.
    """

    way: Literal["local", "sftp", "rest", "s3"]
    text: str
    sftp: Sftp | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a repository.

        Raises:
            PydanticCustomError: it is no repository, or has a password in it; has the remedy.
        """
        if text.startswith("/"):
            return cls(way="local", text=_local(text))
        if _CREDENTIALS.match(text):
            set_it = pulumi_command("config set --secret --path 'ronron:backup.login'")
            _refuse(
                "this repository contains a login, which everybody who reads the stack file would see",
                f"remove it, and run `{set_it}`",
            )
        if text.startswith(("rest:http://", "s3:http://")):
            _refuse(
                f"{text!r} sends its login over plain HTTP", f"write {text.replace('http://', 'https://', 1)}"
            )
        way, parts = _parts(text)
        bare = text.rstrip("/")
        if way != "sftp":
            return cls(way=way, text=bare)
        sftp = Sftp(user=parts["user"], host=parts["host"], port=int(parts.get("port") or 22))
        return cls(way="sftp", text=bare, sftp=sftp)

    def __str__(self) -> str:
        return self.text

    def part(self, scope: str, service: str) -> str:
        """The part of one service, for people: a path of the machine, or an address of restic.

        Args:
            scope: `<project>-<stack>`.
            service: its name.
        """
        end = "/" if self.way == "rest" else ""
        return f"{self.text}/{scope}/{service}{end}"

    def inside(self, scope: str, service: str) -> str:
        """The part of one service, for restic inside the agent's container."""
        return INSIDE if self.way == "local" else self.part(scope, service)


def _parts(text: str) -> tuple[Literal["sftp", "rest", "s3"], dict[str, str]]:
    for way, pattern in _WAYS:
        match = pattern.fullmatch(text)
        if match is None:
            continue
        parts = {name: value for name, value in match.groupdict().items() if value}
        path = parts.get("path", "/")
        whole = way == "rest" or path.strip("/") != ""
        if whole and ".." not in path.split("/") and 1 <= int(parts.get("port", 22)) <= 65535:
            return way, parts
    return _refuse(f"{text!r} is not a repository", _WRITE)


def _local(text: str) -> str:
    path = text.rstrip("/")
    if not re.fullmatch(r"/(?!/)[^\x00-\x1f:,]+", path) or posixpath.normpath(path) != path:
        _refuse(
            f"{text!r} is not a directory for snapshots",
            "write the whole path on the machine, such as /var/lib/ronron/backups, without `..` and colon",
        )
    return path


_NAMES = {
    "month": ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    "day of the week": ("sun", "mon", "tue", "wed", "thu", "fri", "sat"),
}
_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("day of the week", 0, 7))
_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_PART = re.compile(
    r"(?:\*|(?P<first>\d{1,2}|[a-z]{3})(?:-(?P<last>\d{1,2}|[a-z]{3}))?)(?:/(?P<step>\d{1,2}))?", re.ASCII
)


def schedule(text: str) -> str:
    """Check five fields as in crontab(5), in UTC, and return them with single spaces.

    Raises:
        PydanticCustomError: it is no schedule, or one that never runs; has the remedy.
    """
    fields = text.split()
    if len(fields) != len(_FIELDS):
        _refuse(
            f"{text!r} is not a schedule",
            "write five fields, as in cron: minute, hour, day, month, day of the week, such as 0 3 * * *",
        )
    chosen = [_field(word, *field) for word, field in zip(fields, _FIELDS, strict=True)]
    days, months = chosen[2], chosen[3]
    # As in cron, a day of the week is an alternative to the day of the month.
    if fields[4] == "*" and all(min(days) > _LONGEST_MONTHS[month - 1] for month in months):
        _refuse(f"{text!r} never runs: no such month has that day", "choose a day that exists")
    return " ".join(fields)


def _field(word: str, name: str, lowest: int, highest: int) -> set[int]:
    names = _NAMES.get(name, ())
    found: set[int] = set()
    for part in word.lower().split(","):
        match = _PART.fullmatch(part)
        if match is None:
            _refuse(
                f"{word!r} is no {name} of a schedule", "write numbers, ranges, lists and steps as in cron"
            )
        first, last = _number(match["first"], name, names), _number(match["last"], name, names)
        step = int(match["step"] or 1)
        begin = lowest if first is None else first
        # `5/10` means from 5 on; a number alone means itself.
        end = last if last is not None else begin if first is not None and not match["step"] else highest
        if not lowest <= begin <= end <= highest or step < 1:
            _refuse(
                f"{part!r} is no {name} of a schedule",
                f"use numbers from {lowest} to {highest}, the lower one first",
            )
        if match["step"] and step > end - begin:
            _refuse(
                f"{part!r} is no {name} of a schedule: its step exceeds its range",
                "remove the step, or make it smaller",
            )
        found |= set(range(begin, end + 1, step))
    return found


def _number(word: str | None, name: str, names: tuple[str, ...]) -> int | None:
    if word is None:
        return None
    if word.isdigit():
        return int(word)
    if word not in names:
        _refuse(f"{word!r} is no {name}", f"use one of: {', '.join(names)}" if names else "use a number")
    return names.index(word) + (1 if name == "month" else 0)


def hours(age: str) -> float:
    """The hours of an age such as `26h` or `2d`."""
    return float(int(age[:-1]) * (24 if age.endswith("d") else 1))


def _relative(value: str) -> str:
    if not re.fullmatch(r"[^\x00-\x1f/][^\x00-\x1f]*", value) or posixpath.normpath(value) != value:
        _refuse(
            f"{value!r} is not a path inside the volume",
            "write it from the top of the volume, such as db/app.sqlite",
        )
    if value.split("/")[0] in ("..", "."):
        _refuse(f"{value!r} is not a path inside the volume", "write it without `..`")
    return value


def _refuse(problem: str, remedy: str) -> NoReturn:
    raise PydanticCustomError(REFUSED, "{problem}", {"problem": problem, "remedy": remedy})


def _parsed(value: object) -> Repository:
    if isinstance(value, Repository):
        return value
    if not isinstance(value, str):
        _refuse(
            "a repository is a string",
            f"write `/var/lib/ronron/backups` or the like: {_WRITE.removeprefix('write ')}",
        )
    return Repository.parse(value)


RepositoryHere = Annotated[
    Repository,
    BeforeValidator(_parsed),
    PlainSerializer(str),
    WithJsonSchema(
        {
            "type": "string",
            "description": "a path, or as restic writes it: sftp:, rest:, s3:",
            "examples": ["/var/lib/ronron/backups"],
        }
    ),
]
Schedule = Annotated[str, AfterValidator(schedule), Field(examples=["0 3 * * *"])]
MaxAge = Annotated[
    str, Matching(r"[1-9][0-9]{0,3}[hd]", "an age", "write hours or days, such as 26h or 2d", "26h")
]
RelativePath = Annotated[str, AfterValidator(_relative), Field(examples=["db/app.sqlite"])]
Often = Literal["daily", "weekly", "monthly"]
