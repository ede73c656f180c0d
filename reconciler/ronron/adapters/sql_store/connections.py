"""Connections to the database: a private SQLite file whose writes survive a power cut, or a server."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from ronron.adapters.sql_store.failures import file_error
from ronron.core.errors import StoreError
from ronron.core.redact import redact

BUSY_SECONDS = 30
"""How long a write waits for writes of other threads and processes, each of which takes milliseconds."""

_WRITES = "writes"
"""Execution option of connections for transactions that write."""


def file_engine(path: Path) -> Engine:
    """Connections to an SQLite file, which is created for its user only.

    Raises:
        StoreError: the file or its directory cannot be created or opened.
    """
    _make_private(path)
    engine = create_engine(
        URL.create("sqlite+pysqlite", database=str(path)), connect_args={"timeout": BUSY_SECONDS}
    )
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def server_engine(url: str) -> tuple[str, Engine]:
    """Connections to a database server; a closed connection is replaced before it is used.

    Returns:
        The URL without its password, for messages; and the connections.

    Raises:
        StoreError: the URL is invalid, or the driver is not installed.
    """
    try:
        place = make_url(url).render_as_string(hide_password=True)
        return place, create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": BUSY_SECONDS})
    except (SQLAlchemyError, ImportError, ValueError) as error:
        raise StoreError(
            f"cannot open the store: {redact(str(error)).partition(chr(10))[0]}",
            hint="write its URL as postgresql+psycopg://user:password@host/database, and install the driver:"
            " pip install 'psycopg[binary]'",
        ) from error


def writing(engine: Engine) -> Engine:
    """These connections, for transactions that write."""
    return engine.execution_options(**{_WRITES: True})


def _set_up(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
    del entry
    # The driver must not begin transactions itself; `_begin` does.
    connection.isolation_level = None
    cursor = connection.cursor()
    # FULL: what is written before an effect must survive a power cut; with WAL, NORMAL may lose the last
    # transactions. Source: https://www.sqlite.org/pragma.html#pragma_synchronous.
    for setting in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()


def _begin(connection: Connection) -> None:
    # A transaction that reads first and writes later cannot wait for another writer: it fails at once.
    # So a transaction that writes locks the database when it begins.
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _make_private(path: Path) -> None:
    """Create the file for its user only; SQLite gives `-wal` and `-shm` the same mode."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(file).st_mode & 0o077:
                os.fchmod(file, 0o600)
        finally:
            os.close(file)
    except OSError as error:
        raise file_error(error, "open the store", str(path)) from error
