"""The service's PostgreSQL: connections, counts, and the environment of its programs."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .configuration import Database, Places, Secrets
from .errors import AgentError, redacted, shortened

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 -- a class

CONNECT_SECONDS = 15
COUNT_SECONDS = 900
MOST_TABLES = 500
"""Maximum number of tables that are counted; a service with more tables declares its counts."""

# A killed container closes no connection: keepalives detect that.
_KEEPALIVE: dict[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
HINT = (
    "check that the service's database runs: docker ps --all --filter name={host}; start it, "
    "docker start NAME, and run this again"
)
"""The hint of every database error; `host` is part of the container's name."""

_TABLES = """
select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence <> 't'
  and n.nspname not like 'pg\\_%%' and n.nspname <> 'information_schema'
order by 1, 2 limit %s
"""


@contextlib.contextmanager
def connected(
    database: Database, secrets: Secrets, *, name: str | None = None, autocommit: bool = False
) -> Iterator[Connection]:
    """A connection to the service's server.

    Args:
        database: address of the service's database.
        secrets: with its password.
        name: of another database on the same server.
        autocommit: for commands that cannot run in a transaction.

    Raises:
        AgentError: `database-refused`: it is unreachable, refuses, or the connection is lost.
    """
    import psycopg2

    try:
        opened = psycopg2.connect(
            host=database.host,
            port=database.port,
            user=database.user,
            password=secrets.database_password,
            dbname=name or database.name,
            connect_timeout=CONNECT_SECONDS,
            application_name="ronron-agent",
            **_KEEPALIVE,
        )
    except psycopg2.Error as error:
        raise refused(f"connect to the database {name or database.name}", error, database, secrets) from error
    try:
        opened.autocommit = autocommit
        yield opened
    except psycopg2.Error as error:
        raise refused(f"ask the database {name or database.name}", error, database, secrets) from error
    finally:
        opened.close()


def refused(verb: str, error: Exception, database: Database, secrets: Secrets) -> AgentError:
    """The error of a server that refuses."""
    why = shortened(redacted(str(error), secrets.words), 300)
    return AgentError("database-refused", f"cannot {verb}: {why}", HINT.format(host=database.host))


def counted(connection: Connection, queries: Mapping[str, str]) -> dict[str, int]:
    """The number that each query returns; without queries, the exact number of rows of every table.

    Raises:
        psycopg2.Error: a query is wrong, or the connection is lost.
    """
    from psycopg2 import sql

    found: dict[str, int] = {}
    with connection.cursor() as cursor:
        cursor.execute("set local statement_timeout = %s", (f"{COUNT_SECONDS}s",))
        for name, query in queries.items():
            # Without arguments, psycopg2 does not treat % as a placeholder.
            cursor.execute(query)
            found[name] = _number(cursor.fetchone())
        if not queries:
            cursor.execute(_TABLES, (MOST_TABLES,))
            for schema, table in cursor.fetchall():
                cursor.execute(sql.SQL("select count(*) from {}").format(sql.Identifier(schema, table)))
                found[f"{schema}.{table}"] = _number(cursor.fetchone())
        cursor.execute("set local statement_timeout = 0")
    return found


def counts(
    database: Database, secrets: Secrets, queries: Mapping[str, str], name: str | None = None
) -> dict[str, int]:
    """Counts of the service's database, or of another one on its server, in one transaction."""
    with connected(database, secrets, name=name) as connection:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        return counted(connection, queries)


@contextlib.contextmanager
def environment(database: Database, secrets: Secrets, places: Places) -> Iterator[dict[str, str]]:
    """Environment variables of PostgreSQL's programs; the password is in a file in memory, with mode 0600."""
    with tempfile.NamedTemporaryFile("w", dir=places.memory, prefix="pgpass-", encoding="utf-8") as written:
        written.write(f"*:*:*:*:{_escaped(secrets.database_password or '')}\n")
        written.flush()
        # NamedTemporaryFile makes it 0600, without which libpq ignores it.
        yield {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LC_ALL": "C.UTF-8",
            "HOME": str(places.temporary),
            "PGPASSFILE": written.name,
            "PGHOST": database.host,
            "PGPORT": str(database.port),
            "PGUSER": database.user,
            "PGAPPNAME": "ronron-agent",
            "PGCONNECT_TIMEOUT": str(CONNECT_SECONDS),
            "PGSSLMODE": os.environ.get("PGSSLMODE", "prefer"),
        }


def place(name: str) -> str:
    """Connection string of a database; address and user are in `environment`."""
    quoted = name.replace("\\", "\\\\").replace("'", "\\'")
    return " ".join([f"dbname='{quoted}'", *(f"{key}={value}" for key, value in _KEEPALIVE.items())])


def work_folder(places: Places) -> Path:
    """Folder for the output of processes: on the agent's volume, or in the container where there is none."""
    return places.stage if places.stage.is_dir() and os.access(places.stage, os.W_OK) else places.temporary


def _escaped(password: str) -> str:
    # Source: PostgreSQL's documentation, The Password File.
    return password.replace("\\", "\\\\").replace(":", "\\:")


def _number(row: tuple[Any, ...] | None) -> int:
    if row is None or len(row) != 1 or not isinstance(row[0], int):
        raise AgentError(
            "failed",
            "cannot count: a query does not return one whole number",
            "write it as `select count(*) from ...` in the stack file, and update",
        )
    return row[0]
