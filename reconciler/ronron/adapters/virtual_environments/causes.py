"""Turns what uv prints when it fails into our errors. Pure.

The messages were seen with uv 0.13.9.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from ronron.core.errors import PackagesError, PackagesUnavailableError
from ronron.core.packages import LOCK_FILE, compile_command
from ronron.core.redact import redact, shorten

_LONGEST = 600


class _Known(NamedTuple):
    """A known cause.

    Args:
        words: found in what uv prints; its group `package`, where it has one, is named by the message.
        message: `{package}` is filled in.
        hint: `{wheels}` and `{compile}` are filled in.
        retryable: whether it may go away by itself.
    """

    words: re.Pattern[str]
    message: str
    hint: str
    retryable: bool


_KNOWN = (
    _Known(
        re.compile(r"Hash mismatch for `(?P<package>[^`]+)`"),
        "cannot install {package}: what was found does not have the hash of the lock file",
        "find out who changed it; for a wheel that was built again, write the lock file again: {compile}",
        retryable=False,
    ),
    _Known(
        re.compile(r"all requirements must have a hash, but none were provided for: (?P<package>\S+)"),
        "cannot install {package}: the lock file has no hash of it",
        "write the lock file again: {compile}",
        retryable=False,
    ),
    _Known(
        re.compile(
            r"Couldn't parse requirement|Unexpected '|failed to decode file|is not a valid requirement"
        ),
        "cannot read the lock file: {last}",
        "write the lock file again: {compile}",
        retryable=False,
    ),
    _Known(
        re.compile(
            r"(?P<package>[\w.-]+==\S+) has no (?:usable )?wheels with a matching"
            r"|does not satisfy Python\S* and (?P<name>\S+) depends on"
        ),
        "cannot install {package}: there is no wheel of it for this machine's Python",
        "choose another version, and write the lock file again: {compile}",
        retryable=False,
    ),
    _Known(
        re.compile(r"Failed to read `--find-links` (?:directory|URL): (?P<package>.+)"),
        "cannot read the wheels in {package}",
        "make the directory readable, or name another one with RONRON_FIND_LINKS",
        retryable=True,
    ),
    _Known(
        re.compile(r"\(401 Unauthorized\)|403 Forbidden|status client error \(40[137]"),
        "cannot install {package}: the package index refuses our credentials",
        "check UV_DEFAULT_INDEX in the environment of the reconciler",
        retryable=True,
    ),
    _Known(
        re.compile(
            r"there is no version of (?P<package>[^\s,]+)"
            r"|was not found in the (?:package registry|cache|provided .*?) and you require (?P<name>[^\s,]+)"
        ),
        "cannot find {package}",
        "{wheels}, or correct the version in the lock file",
        retryable=True,
    ),
    _Known(
        re.compile(r"No space left on device|Disk quota exceeded"),
        "cannot install {package}: no space left on device",
        "make room in the state directory and in ~/.cache/uv",
        retryable=True,
    ),
    _Known(
        re.compile(r"Failed to initialize cache at `(?P<package>[^`]+)`"),
        "cannot write uv's cache {package}",
        "make it writable, or name another directory with UV_CACHE_DIR",
        retryable=True,
    ),
    _Known(
        re.compile(
            r"Failed to fetch|error sending request|dns error|operation timed out|status server error"
            r"|Network connectivity is disabled|Failed to download"
        ),
        "cannot install {package}: the package index is unreachable: {last}",
        "check the network and UV_DEFAULT_INDEX, or name a directory of wheels with RONRON_FIND_LINKS",
        retryable=True,
    ),
    _Known(
        re.compile(r"Failed to (?:download and )?build `(?P<package>[^`]+)`"),
        "cannot build {package} on this machine: {last}",
        "pin a version that has a wheel for this machine, or install what its build needs",
        retryable=True,
    ),
)

_PACKAGE = re.compile(
    r"Failed to (?:download and build|download|build|install)\W+(?:[^\s`]+\.whl \()?"
    r"(?P<package>[\w.-]+==[^`)\s]+)"
    r"|/(?P<name>[a-z0-9-]+)/?\)?$",
    re.MULTILINE,
)


def explain(
    printed: str, *, lock: str, find_links: str | None = None, secrets: Iterable[str] = ()
) -> PackagesError:
    """The error for a uv that failed.

    Args:
        printed: its standard error.
        lock: the text of the lock file.
        find_links: where the operator's wheels are.
        secrets: values that no message may show.
    """
    text, links = redact(printed, secrets), redact(find_links, secrets) if find_links else None
    known, found = next(
        ((one, match) for one in _KNOWN if (match := one.words.search(text)) is not None), (None, None)
    )
    last = shorten(_last(text), _LONGEST)
    if known is None or found is None:
        message, hint, retryable = f"cannot install what it pins: {last}", "read uv's message", True
    else:
        named = next((value for value in found.groups() if value), None) or _package(text)
        message = known.message.format(package=named.rstrip(",.:"), last=last)
        wheels = (
            f"put its wheel into {links}"
            if links
            else "name the directory of its wheel with RONRON_FIND_LINKS"
        )
        hint = known.hint.format(wheels=wheels, compile=compile_command(lock, links))
        retryable = known.retryable
    error = PackagesUnavailableError if retryable else PackagesError
    return error(message, where=LOCK_FILE, hint=hint)


def _package(text: str) -> str:
    found = _PACKAGE.search(text)
    return (found["package"] or found["name"]) if found else "a package"


def _last(text: str) -> str:
    """The innermost cause, or the error itself."""
    lines = [line.strip() for line in text.splitlines()]
    causes = [line.removeprefix("cause: ") for line in lines if line.startswith("cause: ")]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (causes or errors or [line for line in lines if line] or ["uv printed nothing"])[-1]
