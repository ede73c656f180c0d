"""Restores a dump into a new database, and renames it to the service's; every step can be run again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .configuration import Configuration, Database, Places, Secrets
from .errors import AgentError, redacted, shortened
from .manifest import DUMP
from .postgres import connected, counts, environment, place, work_folder
from .processes import Process, StalledError
from .repository import Repository
from .restic import LONG_SECONDS

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 -- a class

OLD = "_ronron_replaced"
"""Suffix of the service's old database from the rename until it is removed."""

LONGEST_NAME = 63
"""Maximum bytes of a name in PostgreSQL."""

LEAVE_SECONDS = 60.0
_MARK = "ronron: restored as "


def restore(
    repository: Repository,
    configuration: Configuration,
    secrets: Secrets,
    places: Places,
    *,
    identity: str,
    name: str,
) -> dict[str, int]:
    """Restore a dump into a new database.

    Args:
        repository: of the service.
        configuration: of the agent.
        secrets: of the agent.
        places: of the agent.
        identity: of the snapshot.
        name: of the new database; an existing one of this name is removed.

    Returns:
        Counts of the restored rows.

    Raises:
        AgentError: `no-snapshot`, `other-service`, `newer-database`, `database-refused`, `failed`; a database
            that is incomplete has no mark, so `rename` refuses it.
    """
    database = _declared(configuration)
    own = database.name
    if (
        name in {own, _old(own), "postgres", "template0", "template1"}
        or not 0 < len(name.encode()) <= LONGEST_NAME
    ):
        raise AgentError(
            "failed",
            f"cannot restore into {name!r}: the name is reserved or too long",
            "choose another one, such as restored",
        )
    _, dump, _ = repository.chosen(identity)
    if dump is None:
        raise AgentError(
            "no-snapshot",
            f"the snapshot {identity[:8]} contains no database",
            "restore its files: restore --files",
        )
    with _server(database, secrets) as connection:
        if own in _databases(connection):
            # The mark of an earlier restore, which `rename` would take for a completed rename.
            _run(connection, "comment on database {} is null", own)
        _drop(connection, name)
        _create(connection, name, own)
    _restored(repository, database, secrets, places, dump.id, name)
    with connected(database, secrets, name=name, autocommit=True) as connection:
        _run(connection, "analyze")
    found = counts(database, secrets, configuration.counts, name)
    with _server(database, secrets) as connection:
        # Only now, so that an incomplete database never gets the service's name.
        _run(connection, "comment on database {} is {}", name, literal=_MARK + name)
    return found


def rename(configuration: Configuration, secrets: Secrets, name: str) -> None:
    """Give a restored database the name of the service's database, and remove the old one last.

    Both renames are one transaction: after an interruption at any moment the service has one complete
    database, the old or the new one, and another run completes the work.

    Raises:
        AgentError: `database-refused`; `failed`: the database does not exist, or its restore is incomplete.
    """
    database = _declared(configuration)
    own = database.name
    with _server(database, secrets) as connection:
        present = _databases(connection)
        if name not in present and own in present and present[own] == _MARK + name:
            # An earlier run did all but the last step.
            _drop(connection, _old(own))
            _open(connection, own)
            return
        if present.get(name) != _MARK + name:
            raise AgentError(
                "failed",
                f"cannot rename {name!r}: it is not a completely restored database",
                f"first restore into it: restore --snapshot ID --into {name}",
            )
        if own in present:
            # Left by an earlier rename; the service has not used it since.
            _drop(connection, _old(own))
            _disconnect_all(connection, own)
        _disconnect_all(connection, name)
        connection.autocommit = False
        if own in present:
            _run(connection, "alter database {} rename to {}", own, _old(own))
        _run(connection, "alter database {} rename to {}", name, own)
        connection.commit()
        connection.autocommit = True
        _open(connection, own)
        _drop(connection, _old(own))


def _declared(configuration: Configuration) -> Database:
    if configuration.database is None:
        raise AgentError("failed", "this service has no database", "restore its files: restore --files")
    return configuration.database


def _old(own: str) -> str:
    return own.encode()[: LONGEST_NAME - len(OLD)].decode(errors="ignore") + OLD


def _server(database: Database, secrets: Secrets) -> Any:
    """A connection to the database `postgres`, which every server has: all others can be renamed from it."""
    return connected(database, secrets, name="postgres", autocommit=True)


def _run(connection: Connection, text: str, *names: str, literal: str | None = None) -> None:
    from psycopg2 import sql

    words = [sql.Identifier(name) for name in names]
    values = [] if literal is None else [sql.Literal(literal)]
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL(text).format(*words, *values))


def _databases(connection: Connection) -> Mapping[str, str | None]:
    """Every database and its comment."""
    with connection.cursor() as cursor:
        cursor.execute("select datname, shobj_description(oid, 'pg_database') from pg_database")
        return dict(cursor.fetchall())


def _create(connection: Connection, name: str, own: str) -> None:
    """Create an empty database with encoding and locale of the service's, which a dump does not contain."""
    from psycopg2 import sql

    text = sql.SQL("create database {} template template0").format(sql.Identifier(name))
    with connection.cursor() as cursor:
        cursor.execute(
            "select pg_encoding_to_char(encoding), datcollate, datctype from pg_database where datname = %s",
            (own,),
        )
        row = cursor.fetchone()
        if row is not None:
            words = [sql.Literal(str(word)) for word in row]
            text += sql.SQL(" encoding {} lc_collate {} lc_ctype {}").format(*words)
        cursor.execute(text)


def _drop(connection: Connection, name: str) -> None:
    if name in _databases(connection):
        _disconnect_all(connection, name)
        _run(connection, "drop database if exists {}", name)


def _disconnect_all(connection: Connection, name: str) -> None:
    """End all connections to a database, and allow no new ones.

    Raises:
        AgentError: `database-refused`: a connection did not end.
    """
    _run(connection, "alter database {} with allow_connections false", name)
    end = time.monotonic() + LEAVE_SECONDS
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,)
            )
            if not cursor.fetchall():
                return
        if time.monotonic() > end:
            raise AgentError(
                "database-refused",
                f"cannot end the connections to the database {name}",
                "stop what uses it, and run this again",
            )
        time.sleep(0.1)


def _open(connection: Connection, name: str) -> None:
    _run(connection, "alter database {} with allow_connections true", name)


def _restored(
    repository: Repository, database: Database, secrets: Secrets, places: Places, identity: str, name: str
) -> None:
    command = ["pg_restore", "--exit-on-error", "--no-owner", "--no-password", f"--dbname={place(name)}"]
    with (
        environment(database, secrets, places) as given,
        repository.restic.start("dump", identity, DUMP, pipe=True) as source,
        Process(command, given, work_folder(places), stdin=source.stdout.fileno()) as sink,
    ):
        source.close_stdout()
        try:
            done = sink.wait(LONG_SECONDS)
            # Restic ends when its reader has ended; where it fails before, pg_restore reads no end.
            fetched = source.wait(60.0)
        except StalledError as error:
            raise AgentError("failed", f"cannot restore the dump: {error}", "run this again") from error
    if done.code != 0:
        if fetched.code not in {0, -13, 141} and "Broken pipe" not in fetched.stderr and fetched.stderr:
            raise repository.restic.failure("read the dump", fetched)
        why = shortened(redacted(done.stderr, secrets.words), 400)
        raise AgentError(
            "failed",
            f"cannot restore the dump: pg_restore exited with {done.code} ({why})",
            "choose another snapshot",
        )
    if fetched.code != 0:
        raise repository.restic.failure("read the dump", fetched)
