"""The service's PostgreSQL: connections, counts, and its own programs."""

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
"""A service with more tables than that names the counts that matter."""

# A container that is killed takes its network with it and says nothing: the kernel asks for it.
_KEEPALIVE: dict[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
HINT = (
    "See whether the service's database runs: docker ps --all --filter name={host}; start it, "
    "docker start NAME, and run it again"
)
"""What to do about a database; `host` is a part of its container's name."""

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
        database: where it is.
        secrets: with its password.
        name: another database of the same server.
        autocommit: for commands that allow no transaction.

    Raises:
        AgentError: `database-refused`: it does not answer, refuses, or breaks off.
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
    """What a person is told of a server that refuses."""
    why = shortened(redacted(str(error), secrets.words), 300)
    return AgentError("database-refused", f"cannot {verb}: {why}", HINT.format(host=database.host))


def counted(connection: Connection, queries: Mapping[str, str]) -> dict[str, int]:
    """Rows that matter; without queries, the rows of every table, exactly.

    Raises:
        psycopg2.Error: a query is wrong, or the server is gone.
    """
    from psycopg2 import sql

    found: dict[str, int] = {}
    with connection.cursor() as cursor:
        cursor.execute("set local statement_timeout = %s", (f"{COUNT_SECONDS}s",))
        for name, query in queries.items():
            # psycopg2 takes % for a placeholder only where there are arguments, and there are none.
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
    """Counts of the service's own database, or of another one of its server, in one view of it."""
    with connected(database, secrets, name=name) as connection:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        return counted(connection, queries)


@contextlib.contextmanager
def environment(database: Database, secrets: Secrets, places: Places) -> Iterator[dict[str, str]]:
    """The environment of PostgreSQL's own programs: the password is in a file that only they can find.

    It is on no disk.
    """
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
    """A database of that server for PostgreSQL's programs, whose other words are in their environment."""
    quoted = name.replace("\\", "\\\\").replace("'", "\\'")
    return " ".join([f"dbname='{quoted}'", *(f"{key}={value}" for key, value in _KEEPALIVE.items())])


def work_folder(places: Places) -> Path:
    """Where files with the output of children are: on the volume, or in memory where there is none."""
    return places.stage if places.stage.is_dir() and os.access(places.stage, os.W_OK) else places.temporary


def _escaped(password: str) -> str:
    # Source: PostgreSQL's documentation, The Password File.
    return password.replace("\\", "\\\\").replace(":", "\\:")


def _number(row: tuple[Any, ...] | None) -> int:
    if row is None or len(row) != 1 or not isinstance(row[0], int):
        raise AgentError(
            "failed",
            "cannot count: a query gives no single whole number",
            "Write it as `select count(*) from ...`, and update the stack: pulumi up",
        )
    return row[0]
