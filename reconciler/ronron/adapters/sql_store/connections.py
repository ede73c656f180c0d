"""How the store is connected to: SQLite set up so that what was written stays written, and a private file."""

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
"""How long a write waits for those of other threads and processes; each of them takes milliseconds."""

_WRITES = "writes"
"""Execution option of connections whose transaction is going to write."""


def file_engine(path: Path) -> Engine:
    """Connections to an SQLite file, which is made for its own user only.

    Raises:
        StoreError: the system refuses the file or its directory.
    """
    _make_private(path)
    engine = create_engine(
        URL.create("sqlite+pysqlite", database=str(path)), connect_args={"timeout": BUSY_SECONDS}
    )
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def server_engine(url: str) -> tuple[str, Engine]:
    """Connections to a database server; one that went away meanwhile is noticed before it is used.

    Returns:
        Where it is, for messages, without its password; and the connections.

    Raises:
        StoreError: it is no URL of a database, or its driver is not installed.
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
    """The same connections, for transactions that are going to write."""
    return engine.execution_options(**{_WRITES: True})


def _set_up(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
    del entry
    # The driver's own way of beginning transactions is off; `_begin` does it.
    connection.isolation_level = None
    cursor = connection.cursor()
    # FULL: what is written before an effect must still be there after a power cut; with WAL, NORMAL may
    # lose the last transactions. Source: https://www.sqlite.org/pragma.html#pragma_synchronous.
    for setting in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()


def _begin(connection: Connection) -> None:
    # A transaction that reads first and writes later cannot wait for another writer: it fails at once.
    # One that is going to write therefore says so when it begins.
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _make_private(path: Path) -> None:
    """Make the file for its own user only; SQLite gives its companions the same mode."""
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
