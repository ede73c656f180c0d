"""The short notations that people write in settings and policies, read into values. Pure.

Each reader takes what was written and gives a value, or raises a `NotationError` that says what is wrong
and how it is written right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import time, timedelta
from difflib import get_close_matches
from zoneinfo import ZoneInfo, available_timezones

from ronron.core.redact import redact, shorten

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""Weekdays as they are written; Monday is 0, as in `datetime.weekday`."""

DURATION = r"^(?=\d)(\d{1,4}d)?(\d{1,4}h)?(\d{1,4}m)?(\d{1,5}s)?$"
CLOCK = r"^([01]\d|2[0-3]):[0-5]\d$"
MIDNIGHT = "24:00"
"""The midnight that ends a day; the one that begins it is 00:00."""
DAY_RANGE = r"^(mon|tue|wed|thu|fri|sat|sun)(-(mon|tue|wed|thu|fri|sat|sun))?$"
ENVIRONMENT = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"
STACK = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$"
"""Pulumi's own rule for a stack's name, without a leading dot or dash: those read as a file or an option.

Source: pulumi sdk/go/common/tokens/stack_name.go, 3.274.1: letters, digits, `_`, `.`, `-`, at most 100.
"""

LONGEST = timedelta(days=366)
LONGEST_REFERENCE = 255


class NotationError(ValueError):
    """Something is written in a way that has no meaning here.

    Args:
        what: what is wrong, as an error's message.
        remedy: how it is written right, as an error's hint.
    """

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what = what
        self.remedy = remedy


def quoted(value: object) -> str:
    """What a person wrote, short and harmless enough to be shown in a message.

    Booleans as they are written in YAML; credentials in URLs and control codes are taken out.
    """
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{shorten(redact(' '.join(text.split())), 60)}`"


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known word that was most likely meant, or None where nothing is near.

    The only word that begins so, or else the one that is most like it.

    Args:
        word: what was written.
        known: what could have been.
        cutoff: how like they must be, 0 to 1, by difflib's ratio.
    """
    by_lower = {name.lower(): name for name in known}
    begun = [name for lower, name in by_lower.items() if len(word) > 2 and lower.startswith(word.lower())]
    if len(begun) == 1:
        return begun[0]
    found = get_close_matches(word.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[found[0]] if found else None


def read_choice(value: object, choices: Iterable[str]) -> str:
    """One of a few words."""
    words = tuple(choices)
    if isinstance(value, str) and value in words:
        return value
    near = nearest(str(value), words)
    raise NotationError(
        f"cannot use {quoted(value)} here",
        f"write `{near}`" if near else "write one of " + ", ".join(f"`{word}`" for word in words),
    )


def read_duration(
    value: object, *, shortest: timedelta = timedelta(), longest: timedelta = LONGEST
) -> timedelta:
    """`90s`, `30m`, `1h30m`, `2d`: whole numbers with a unit, the largest unit first.

    Args:
        value: what was written; a `timedelta` is taken as it is.
        shortest: what is still accepted.
        longest: what is still accepted.
    """
    if isinstance(value, timedelta):
        length = value
    else:
        match = re.fullmatch(DURATION, value, re.ASCII) if isinstance(value, str) else None
        if match is None:
            raise NotationError(
                f"cannot read the duration {quoted(value)}",
                "write numbers with a unit, such as `30s`, `30m`, `1h30m` or `2d`",
            )
        days, hours, minutes, seconds = (int(part[:-1]) if part else 0 for part in match.groups())
        length = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if length < shortest:
        raise NotationError(
            f"cannot use so short a duration as {quoted(value)}", f"write `{_written(shortest)}` or more"
        )
    if length > longest:
        raise NotationError(
            f"cannot use so long a duration as {quoted(value)}", f"write `{_written(longest)}` or less"
        )
    return length


def read_days(value: object) -> frozenset[int]:
    """`daily`, a day (`sat`), a range (`mon-thu`, `fri-mon`), or a list of days and ranges."""
    if value == "daily":
        return frozenset(range(7))
    parts = value if isinstance(value, list) else [value]
    if not parts:
        raise NotationError("cannot open a window on no day", "name its days, such as `mon-thu`")
    days: set[int] = set()
    for part in parts:
        match = re.fullmatch(DAY_RANGE, part) if isinstance(part, str) else None
        if match is None:
            near = nearest(str(part)[:3], DAYS)
            raise NotationError(
                f"cannot read the day {quoted(part)}",
                (f"write `{near}`" if near else "write `mon` to `sun`")
                + ", a range such as `mon-thu`, a list such as `[mon, wed]`, or `daily`",
            )
        first = DAYS.index(match[1])
        last = DAYS.index(match[3] or match[1])
        days.update((first + offset) % 7 for offset in range((last - first) % 7 + 1))
    return frozenset(days)


def read_clock(value: object, *, end: bool = False) -> time:
    """A wall-clock time of day, `18:00`.

    Args:
        value: what was written.
        end: `24:00`, the midnight that ends the day, is a time too.
    """
    if end and value == MIDNIGHT:
        return time()
    if isinstance(value, str) and re.fullmatch(CLOCK, value, re.ASCII):
        return time.fromisoformat(value)
    raise NotationError(
        f"cannot read the time of day {quoted(value)}", 'write it with two digits each, such as "18:00"'
    )


def read_timezone(value: object) -> str:
    """A time zone's name in the IANA database, such as `Europe/Paris`."""
    if isinstance(value, str):
        try:
            ZoneInfo(value)
        except (ValueError, OSError, LookupError):
            pass  # not a name, a directory of the database, not in it
        else:
            return value
    zones = available_timezones()
    if not zones:
        raise NotationError(
            "cannot read time zones: this machine has no database of them",
            "install it with `apt-get install tzdata`",
        )
    near = nearest(str(value), zones)
    raise NotationError(
        f"cannot find the time zone {quoted(value)}",
        f"write `{near}`" if near else "write a name such as `Europe/Paris` or `UTC`",
    )


def read_reference(value: object) -> str:
    """A moving name of the source: `HEAD`, a branch, `refs/heads/<branch>` or `refs/tags/<pattern>`.

    Other names below `refs/` are refused: there lie the pull requests of forks, and code from outside
    the repository is never run. A full commit hash does not move.

    Source:
        git check-ref-format, rules for names, git 2.39.
    """
    if not isinstance(value, str):
        raise NotationError(f"cannot follow {quoted(value)}", "write a branch's name, such as `main`")
    branch = value.removeprefix("refs/heads/")
    tags = value.startswith("refs/tags/")
    if value.startswith("refs/") and branch == value and not tags:
        raise NotationError(
            f"cannot follow {quoted(value)}: only branches and tags of the repository itself are",
            "write a branch's name, or `refs/tags/<pattern>`",
        )
    if re.fullmatch(r"[0-9a-fA-F]{40}|[0-9a-fA-F]{64}", value):
        raise NotationError(
            f"cannot follow {quoted(value)}: a commit does not move",
            "write a branch's name, or `refs/tags/<tag>` to stay at one version",
        )
    if not tags and any(letter in value for letter in "*?["):
        raise NotationError(
            f"cannot follow {quoted(value)}: only tags take a pattern",
            "write `refs/tags/v*` or a branch's name",
        )
    # No name holds these, so in a tag they are a pattern; what is left must be a name all the same.
    if not _is_reference(re.sub(r"[*?\[]", "x", branch) if tags else branch):
        raise NotationError(
            f"cannot follow {quoted(value)}: git allows no such name",
            "write a branch's name, such as `main`, or a tag pattern, such as `refs/tags/v*`",
        )
    return value


def read_directory(value: object) -> str:
    """A directory or file within the repository, written with `/`; `.` is the repository itself."""
    if not isinstance(value, str) or not value or "\\" in value or _has_control(value):
        raise NotationError(
            f"cannot use the path {quoted(value)}", "write it from the repository's top, such as `.`"
        )
    parts = [part for part in value.split("/") if part not in {"", "."}]
    if value.startswith(("/", "~", "-")) or ".." in parts or ".git" in parts:
        raise NotationError(
            f"cannot use the path {quoted(value)}: it leaves the repository",
            "write it from the repository's top, without `..`",
        )
    return "/".join(parts) or "."


def _is_reference(name: str) -> bool:
    if not name or len(name) > LONGEST_REFERENCE or name.startswith("-") or name == "@" or _has_control(name):
        return False
    if any(letter in name for letter in " ~^:[\\") or ".." in name or "@{" in name or name.endswith("."):
        return False
    return not any(part == "" or part.startswith(".") or part.endswith(".lock") for part in name.split("/"))


def _has_control(text: str) -> bool:
    return any(not letter.isprintable() for letter in text)


def _written(length: timedelta) -> str:
    seconds = int(length.total_seconds())
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
