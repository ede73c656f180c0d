"""The agent's journal on its volume: runs, known snapshots, manifests, and a few facts."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .errors import AgentError

KINDS = ("backup", "prune", "check", "drill")

_SCHEMA = """
create table if not exists fact (name text primary key, value text not null);
create table if not exists run (
  kind text primary key, started text not null, finished text, ok integer, error text, detail text not null
);
create table if not exists snapshot (id text primary key, taken text not null, document text not null);
create table if not exists manifest (id text primary key, document text not null);
"""
SNAPSHOTS = 10
"""Number of snapshots in STATUS, also while the repository is unreachable."""


def now() -> datetime:
    """The present time in UTC."""
    return datetime.now(UTC)


def moment(at: datetime) -> str:
    """A time as documents have it."""
    return at.astimezone(UTC).isoformat(timespec="seconds")


class Journal:
    """The file `journal.sqlite`; several processes can use it at once.

    Raises, from every method:
        AgentError: `failed`: the volume is not writable, or the file is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "journal.sqlite"
        with self._opened() as connection:
            connection.executescript(_SCHEMA)

    def since(self) -> tuple[datetime, bool]:
        """Time of the agent's first run, and whether that is now."""
        written = moment(now())
        with self._opened() as connection:
            cursor = connection.execute("insert or ignore into fact values ('since', ?)", (written,))
            first = cursor.rowcount == 1
            (value,) = connection.execute("select value from fact where name = 'since'").fetchone()
        return datetime.fromisoformat(value), first

    def fact(self, name: str) -> str | None:
        """The value of a fact; None where it is unknown."""
        with self._opened() as connection:
            row = connection.execute("select value from fact where name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def remember(self, name: str, value: str) -> None:
        """Store a fact."""
        with self._opened() as connection:
            connection.execute("insert or replace into fact values (?, ?)", (name, value))

    def forget_repository(self) -> None:
        """Forget which repositories exist and what is in them: the agent uses others now."""
        with self._opened() as connection:
            connection.execute("delete from fact where name like 'repository %'")
            connection.execute("delete from snapshot")
            connection.execute("delete from manifest")

    def begin(self, kind: str) -> None:
        """Record the start of a run; without an end, its process died."""
        with self._opened() as connection:
            connection.execute(
                "insert or replace into run values (?, ?, null, null, null, '{}')", (kind, moment(now()))
            )

    def end(self, kind: str, error: AgentError | None, detail: Mapping[str, Any]) -> None:
        """Record the end of a run; `error` is None where it succeeded."""
        with self._opened() as connection:
            connection.execute(
                "update run set finished = ?, ok = ?, error = ?, detail = ? where kind = ?",
                (
                    moment(now()),
                    error is None,
                    None if error is None else json.dumps(error.document()),
                    json.dumps(detail),
                    kind,
                ),
            )

    def record_drill(self, started: str, finished: str, error: Mapping[str, str] | None, detail: Any) -> None:
        """Record a drill of the reconciler."""
        with self._opened() as connection:
            connection.execute(
                "insert or replace into run values ('drill', ?, ?, ?, ?, ?)",
                (started, finished, error is None, error and json.dumps(error), json.dumps(detail)),
            )

    def runs(self) -> dict[str, dict[str, Any] | None]:
        """The newest run of each kind; None where there was none."""
        found: dict[str, dict[str, Any] | None] = dict.fromkeys(KINDS)
        with self._opened() as connection:
            rows = connection.execute("select kind, started, finished, ok, error, detail from run").fetchall()
        for kind, started, finished, ok, error, detail in rows:
            found[kind] = {
                "started": started,
                "finished": finished,
                "ok": None if ok is None else bool(ok),
                "error": error and json.loads(error),
                "detail": json.loads(detail),
            }
        return found

    def add_snapshot(self, snapshot: Mapping[str, Any]) -> None:
        """Add a verified snapshot to the known ones."""
        self.set_snapshots([*self.snapshots(), snapshot])

    def set_snapshots(self, snapshots: list[Mapping[str, Any]]) -> None:
        """Replace the known snapshots by the newest `SNAPSHOTS` of these."""
        newest = sorted(snapshots, key=lambda one: str(one["taken"]), reverse=True)[:SNAPSHOTS]
        with self._opened() as connection:
            connection.execute("delete from snapshot")
            connection.executemany(
                "insert or replace into snapshot values (?, ?, ?)",
                [(one["id"], one["taken"], json.dumps(one)) for one in newest],
            )

    def snapshots(self) -> list[Mapping[str, Any]]:
        """The known snapshots, the newest first."""
        with self._opened() as connection:
            rows = connection.execute("select document from snapshot order by taken desc").fetchall()
        return [json.loads(document) for (document,) in rows]

    def manifest(self, identity: str) -> dict[str, Any] | None:
        """A stored manifest; it is always valid, as a snapshot never changes."""
        with self._opened() as connection:
            row = connection.execute("select document from manifest where id = ?", (identity,)).fetchone()
        return None if row is None else json.loads(row[0])

    def store_manifest(self, identity: str, manifest: Mapping[str, Any]) -> None:
        """Store a manifest, so that it is read from the repository once."""
        with self._opened() as connection:
            connection.execute(
                "insert or replace into manifest values (?, ?)", (identity, json.dumps(manifest))
            )

    def drop_manifests(self, but: set[str]) -> None:
        """Remove the manifests of all other snapshots."""
        with self._opened() as connection:
            rows = connection.execute("select id from manifest").fetchall()
            connection.executemany(
                "delete from manifest where id = ?", [(one,) for (one,) in rows if one not in but]
            )

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._path, timeout=20)) as connection, connection:
                yield connection
        except sqlite3.Error as error:
            raise AgentError(
                "failed",
                f"cannot use the agent's journal {self._path}: {error}",
                "free space on its volume; a damaged journal may be deleted, the agent creates a new one: "
                f"rm {self._path}",
            ) from error
