"""Turns errors of the database into errors of the store, each with a fix."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from ronron.core.errors import RecordCorruptError, StoreError
from ronron.core.redact import redact, shorten

_LONGEST = 300

# Primary result codes; the low byte of an extended code. Source: https://www.sqlite.org/rescode.html.
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
_NOT_ALLOWED = {
    sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def store_error(error: SQLAlchemyError, doing: str, place: str) -> StoreError:
    """Our error for an error of SQLAlchemy.

    Args:
        error: as SQLAlchemy raised it.
        doing: what failed, as it follows "cannot", such as `write the record of local`.
        place: of the store: a path, or a URL without its credentials.
    """
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    primary = _primary(cause)
    said = shorten(redact(str(cause)).strip().partition("\n")[0], _LONGEST)
    if primary in _CORRUPT:
        return RecordCorruptError(
            f"cannot {doing}: the database is damaged, or is not a database ({said})",
            where=place,
            hint=f"restore it from its backup, or start a new history: mv {place} {place}.broken",
        )
    return StoreError(f"cannot {doing}: {said}", where=place, hint=_remedy(primary, place))


def another_opens(error: BaseException) -> bool:
    """Whether opening failed because another process was creating the same database."""
    if isinstance(error, IntegrityError):
        return True
    return isinstance(error, DBAPIError) and _primary(error.orig) in _BUSY


def file_error(error: OSError, doing: str, place: str) -> StoreError:
    """Our error for a file that the operating system refuses, before the database is opened."""
    said = error.strerror or str(error)
    return StoreError(f"cannot {doing}: {said.lower()}", where=place, hint=_ALLOW.format(place=place))


_ALLOW = "run ronron as the user who owns it, or allow this user to write there: ls -ld {place}"


def _primary(error: BaseException | None) -> int | None:
    """SQLite's primary result code; None for another database."""
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None


def _remedy(primary: int | None, place: str) -> str:
    if primary == sqlite3.SQLITE_FULL:
        return f"make room on the disk, then try again: df -h {place}"
    if primary in _NOT_ALLOWED:
        return _ALLOW.format(place=place)
    if primary in _BUSY:
        return f"end the process that has it locked, then try again: fuser -v {place}"
    if primary == sqlite3.SQLITE_IOERR:
        return f"check that its disk is healthy and has room: df -h {place} && dmesg | tail"
    if primary is None:
        return "check that the server is reachable and its URL has the right user and password: ronron doctor"
    return "try again; if it persists, run the command with --debug and report its output"
