"""SQLite files are copied by SQLite's own backup API, checked, and never read while they may change."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from .errors import AgentError
from .manifest import SqliteCopy

SUFFIXES = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a file. Source: sqlite.org, Temporary Files Used By SQLite."""

BUSY_SECONDS = 60.0
PAGES = 2000
"""Pages that are copied at once; in between, the service can write."""

TRIES = 5


def copied(path: str, folder: Path) -> SqliteCopy:
    """Copy a SQLite file that may be in use.

    Args:
        path: of the file, on a volume that is read-only here.
        folder: where the copy goes, below the path of the original.

    Raises:
        AgentError: `source-unreadable`: it is not there, no database, damaged, or always being written to.
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
            # A file with a journal or a log that nobody has open can be read only by who may mend it first,
            # and this volume is read-only: a copy is mended instead.
            _mended(original, copy)
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
    """The file and all that SQLite keeps beside it: what must not be read as plain files."""
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
        # One file that is whole by itself, whatever mode the original is in.
        target.execute("pragma journal_mode = delete")


def _mended(original: Path, copy: Path) -> None:
    """Copy a file with what is beside it while nobody writes, and let SQLite play back what it finds."""
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
        raise _unreadable(str(original), "it is written to all the time, and cannot be opened read-only")
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
        "See that the service has made this file, and that it is the one that is declared (sqlite)",
    )
