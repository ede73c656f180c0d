"""The tables of the store, and their migrations.

What the core may change is stored as one JSON document a row, with a few columns for queries. So a record has
a version of its own, and the tables have another one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    insert,
    inspect,
    select,
    update,
)

from ronron.core.errors import RecordCorruptError

METADATA = MetaData()

# SQLite numbers rows by itself only in a column of exactly the type INTEGER.
_Number = BigInteger().with_variant(Integer(), "sqlite")

SCHEMA = Table(
    "ronron_schema",
    METADATA,
    # Always 1: where two processes create the tables at once, this key stops the second.
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
)

RECORDS = Table(
    "ronron_records",
    METADATA,
    Column("environment", Text, primary_key=True),
    Column("document", Text, nullable=False),
)

PASSES = Table(
    "ronron_passes",
    METADATA,
    Column("id", _Number, primary_key=True),
    Column("environment", Text, nullable=False),
    Column("document", Text, nullable=False),
    # Numbers are also names of directories, so the number of a removed row is never used again.
    sqlite_autoincrement=True,
)
Index("ronron_passes_of", PASSES.c.environment, PASSES.c.id)

REQUESTS = Table(
    "ronron_requests",
    METADATA,
    Column("id", _Number, primary_key=True),
    Column("environment", Text, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("asked_at", Text, nullable=False),
    sqlite_autoincrement=True,
)
Index("ronron_requests_of", REQUESTS.c.environment, REQUESTS.c.id)

APPROVALS = Table(
    "ronron_approvals",
    METADATA,
    Column("environment", Text, primary_key=True),
    Column("identity", Text, primary_key=True),
    Column("approved_by", Text, nullable=False),
    Column("approved_at", Text, nullable=False),
)

DRIFT = Table(
    "ronron_drift",
    METADATA,
    Column("environment", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
)

HEALTH = Table(
    "ronron_health",
    METADATA,
    Column("environment", Text, primary_key=True),
    Column("service", Text, primary_key=True),
    Column("document", Text, nullable=False),
)


def _first_tables(connection: Connection) -> None:
    METADATA.create_all(connection, tables=[SCHEMA, RECORDS, PASSES, REQUESTS, APPROVALS])
    connection.execute(insert(SCHEMA).values(id=1, version=0))


def _health_table(connection: Connection) -> None:
    METADATA.create_all(connection, tables=[HEALTH])


def _drift_table(connection: Connection) -> None:
    METADATA.create_all(connection, tables=[DRIFT])


Step = Callable[[Connection], None]
MIGRATIONS: tuple[Step, ...] = (_first_tables, _health_table, _drift_table)
"""Each migrates the tables from the version that is its index to the next one. Add to it, never edit it.

Before changing the columns of a table, copy its definition as it is now into the migration that creates it.
"""


def migrate(connection: Connection, place: str, steps: Sequence[Step] = MIGRATIONS) -> None:
    """Migrate the tables to the newest version, within the caller's transaction.

    Args:
        connection: in a transaction that writes.
        place: of the store, for messages.
        steps: all migrations, in order.

    Raises:
        RecordCorruptError: a newer release created the tables, or they are not ours.
    """
    found, newest = _version(connection, place), len(steps)
    if found > newest:
        raise RecordCorruptError(
            f"cannot read the store: its tables have version {found}, this release knows {newest}",
            where=place,
            hint="use the release of Ronron that wrote it, or a newer one: ronron --version",
        )
    if found < newest:
        for step in steps[found:]:
            step(connection)
        connection.execute(update(SCHEMA).values(version=newest))


def _version(connection: Connection, place: str) -> int:
    """The version of the existing tables; 0 where there are none."""
    tables = set(inspect(connection).get_table_names())
    if SCHEMA.name not in tables:
        strange = sorted(tables & set(METADATA.tables))
        if strange:
            raise _not_ours(place, f"it has {strange[0]} and no {SCHEMA.name}")
        return 0
    rows = connection.execute(select(SCHEMA.c.version)).scalars().all()
    if len(rows) != 1 or not isinstance(rows[0], int) or rows[0] < 1:
        raise _not_ours(place, f"{SCHEMA.name} contains {list(rows)!r} instead of one version")
    return rows[0]


def _not_ours(place: str, why: str) -> RecordCorruptError:
    return RecordCorruptError(
        f"cannot read the store: {why}",
        where=place,
        hint="restore the store from its backup, or move it away to start with an empty history",
    )
