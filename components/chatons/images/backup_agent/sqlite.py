"""Copies SQLite files by SQLite's backup API and checks the copies."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from .errors import AgentError
from .manifest import SqliteCopy

SUFFIXES = ("-wal", "-shm", "-journal")
"""Suffixes of SQLite's files beside a database. Source: sqlite.org, Temporary Files Used By SQLite."""

BUSY_SECONDS = 60.0
PAGES = 2000
"""Pages copied at once; in between, the service can write."""

TRIES = 5


def copied(path: str, folder: Path) -> SqliteCopy:
    """Copy a SQLite file that may be in use.

    Args:
        path: of the file, on a volume that is read-only here.
        folder: where the copy goes, below the path of the original.

    Raises:
        AgentError: `source-unreadable`: it does not exist, is damaged, or changes all the time.
    """
    original = Path(path)
    copy = folder / path.lstrip("/")
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        about = original.stat()
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    try:
        try:
            _backup(original, copy)
        except sqlite3.OperationalError:
            # SQLite must recover a file whose service left a journal or a log before it can read it. This
            # volume is read-only, so SQLite recovers a copy.
            _recovered(original, copy)
        _check(copy, path)
    except (OSError, sqlite3.Error) as error:
        raise _unreadable(path, str(error)) from error
    return SqliteCopy(
        path=path,
        copy=str(copy),
        uid=about.st_uid,
        gid=about.st_gid,
        mode=about.st_mode & 0o7777,
        bytes=copy.stat().st_size,
    )


def beside(path: str) -> list[str]:
    """The file and SQLite's files beside it, which must not be copied as plain files."""
    return [path, *(path + suffix for suffix in SUFFIXES)]


def _backup(original: Path, copy: Path) -> None:
    _remove(copy)
    uri = f"file:{quote(str(original))}?mode=ro"
    with (
        closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.execute("select count(*) from sqlite_schema").fetchone()
        source.backup(target, pages=PAGES, sleep=0.05)
        # One complete file, whatever journal mode the original has.
        target.execute("pragma journal_mode = delete")


def _recovered(original: Path, copy: Path) -> None:
    """Copy a file and its journal while they do not change, and let SQLite recover the copy."""
    raw = copy.with_name(copy.name + ".raw")
    for _ in range(TRIES):
        _remove(raw)
        before = _marks(original)
        for suffix in ("", "-wal", "-journal"):
            part = original.with_name(original.name + suffix)
            if part.exists():
                shutil.copyfile(part, raw.with_name(raw.name + suffix))
        if _marks(original) == before:
            break
    else:
        raise _unreadable(str(original), "it changes all the time, and cannot be opened read-only")
    _remove(copy)
    with closing(sqlite3.connect(raw)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        target.execute("pragma journal_mode = delete")
    _remove(raw)


def _marks(original: Path) -> list[tuple[int, int] | None]:
    found: list[tuple[int, int] | None] = []
    for suffix in ("", "-wal", "-journal"):
        try:
            about = original.with_name(original.name + suffix).stat()
            found.append((about.st_mtime_ns, about.st_size))
        except FileNotFoundError:
            found.append(None)
    return found


def _check(copy: Path, path: str) -> None:
    with closing(sqlite3.connect(copy)) as connection:
        (answer,) = connection.execute("pragma integrity_check(1)").fetchone()
    if answer != "ok":
        raise _unreadable(path, f"it is damaged: {answer}")


def _remove(path: Path) -> None:
    for one in beside(str(path)):
        Path(one).unlink(missing_ok=True)


def _unreadable(path: str, why: str) -> AgentError:
    return AgentError(
        "source-unreadable",
        f"cannot copy the SQLite file {path}: {why}",
        "check that the service has created this file, and that `sqlite` declares the right path",
    )
