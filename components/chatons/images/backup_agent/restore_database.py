"""A dump becomes a database beside the service's own, then takes its name; any step can be begun again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .children import Child, StalledError
from .configuration import Configuration, Database, Places, Secrets
from .errors import AgentError, redacted, shortened
from .manifest import DUMP
from .postgres import connected, counts, environment, place, work_folder
from .repository import Repository
from .restic import LONG_SECONDS

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 -- a class

OLD = "_ronron_replaced"
"""The service's own database is called so with its name before it, from the swap until it is removed."""

LONGEST_NAME = 63
"""Bytes of a name in PostgreSQL."""

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
    """Restore a dump into a database that is made for it.

    Args:
        repository: of the service.
        configuration: of the agent.
        secrets: of the agent.
        places: of the agent.
        identity: of the snapshot.
        name: of the new database; one that is left over from before is removed.

    Returns:
        Counts of what is in it now.

    Raises:
        AgentError: `no-snapshot`, `other-service`, `newer-database`, `database-refused`, `failed`; a database
            that is not whole stays without the mark by which `swap` takes it.
    """
    database = _declared(configuration)
    own = database.name
    if (
        name in {own, _old(own), "postgres", "template0", "template1"}
        or not 0 < len(name.encode()) <= LONGEST_NAME
    ):
        raise AgentError(
            "failed",
            f"cannot restore into {name!r}: it is not a free name",
            "Choose another one, such as restored",
        )
    _, dump, _ = repository.chosen(identity)
    if dump is None:
        raise AgentError(
            "no-snapshot",
            f"the snapshot {identity[:8]} holds no database",
            "Restore its files: restore --files",
        )
    with _server(database, secrets) as connection:
        if own in _databases(connection):
            # The mark of a restore before this one; `swap` takes it for the end of its own.
            _run(connection, "comment on database {} is null", own)
        _drop(connection, name)
        _create(connection, name, own)
    _restored(repository, database, secrets, places, dump.id, name)
    with connected(database, secrets, name=name, autocommit=True) as connection:
        _run(connection, "analyze")
    found = counts(database, secrets, configuration.counts, name)
    with _server(database, secrets) as connection:
        # Only now: a half restored database never gets the service's name.
        _run(connection, "comment on database {} is {}", name, literal=_MARK + name)
    return found


def rename(configuration: Configuration, secrets: Secrets, name: str) -> None:
    """Give a restored database the name of the service's own, which is removed last.

    Both renames are one transaction: whenever this is broken off, the service has one whole database, the
    old or the new; begun again, it ends.

    Raises:
        AgentError: `database-refused`; `failed`: there is no such database, or it was never wholly restored.
    """
    database = _declared(configuration)
    own = database.name
    with _server(database, secrets) as connection:
        present = _databases(connection)
        if name not in present and own in present and present[own] == _MARK + name:
            # All but the last step was done before.
            _drop(connection, _old(own))
            _open(connection, own)
            return
        if present.get(name) != _MARK + name:
            raise AgentError(
                "failed",
                f"cannot swap: there is no wholly restored database {name!r}",
                f"Restore into it first: restore --snapshot ID --into {name}",
            )
        if own in present:
            # What an earlier swap has left; the service has lived without it.
            _drop(connection, _old(own))
            _emptied(connection, own)
        _emptied(connection, name)
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
        raise AgentError("failed", "this service has no database", "Restore its files: restore --files")
    return configuration.database


def _old(own: str) -> str:
    return own.encode()[: LONGEST_NAME - len(OLD)].decode(errors="ignore") + OLD


def _server(database: Database, secrets: Secrets) -> Any:
    """A connection from which every database can be renamed: PostgreSQL makes `postgres` with each server."""
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
    """An empty database like the service's own: encoding and order of letters are not in a dump."""
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
        _emptied(connection, name)
        _run(connection, "drop database if exists {}", name)


def _emptied(connection: Connection, name: str) -> None:
    """Nobody is connected any more, and nobody can connect.

    Raises:
        AgentError: `database-refused`: somebody stays.
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
                "Stop what uses it, and run it again",
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
        Child(command, given, work_folder(places), stdin=source.stdout.fileno()) as sink,
    ):
        source.close_stdout()
        try:
            done = sink.wait(LONG_SECONDS)
            # Once nobody reads, restic ends; where it fails in the middle, pg_restore has not seen the end.
            fetched = source.wait(60.0)
        except StalledError as error:
            raise AgentError("failed", f"cannot restore the dump: {error}", "Run it again") from error
    if done.code != 0:
        if fetched.code not in {0, -13, 141} and "Broken pipe" not in fetched.said and fetched.said:
            raise repository.restic.failure("read the dump", fetched)
        why = shortened(redacted(done.said, secrets.words), 400)
        raise AgentError(
            "failed",
            f"cannot restore the dump: pg_restore ended with {done.code} ({why})",
            "Choose another snapshot",
        )
    if fetched.code != 0:
        raise repository.restic.failure("read the dump", fetched)
