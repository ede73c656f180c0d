"""The store in SQL: one SQLite file.

Only this package imports SQLAlchemy. Everything that is stored goes through `core.storable`. Locks of stacks
are files, so they work on one machine.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from pydantic import ValidationError
from sqlalchemy import (
    Connection,
    CursorResult,
    Engine,
    Table,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.exc import SQLAlchemyError
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random

from ronron.adapters.sql_store.connections import BUSY_SECONDS, file_engine, server_engine, writing
from ronron.adapters.sql_store.failures import another_opens, store_error
from ronron.adapters.sql_store.schema import APPROVALS, DRIFT, HEALTH, PASSES, RECORDS, REQUESTS, migrate
from ronron.adapters.sql_store.stack_lock import stack_lock
from ronron.core.backups import BackupSummary, OwnBackup
from ronron.core.drift_record import DriftRecord
from ronron.core.errors import RecordCorruptError, StoreError
from ronron.core.health import Health
from ronron.core.model import Outcome, Pass, Request, Value
from ronron.core.record import Record
from ronron.core.redact import redact
from ronron.core.storable import as_kept

FILE = "store.db"
"""The database's file in the state directory; SQLite creates `-wal` and `-shm` beside it."""

KEPT = 1000
"""How many passes and requests of one environment are stored: weeks of a busy one, a few megabytes."""

V = TypeVar("V", bound=Value)


class SqlStore:
    """See ports.Store. Close it, or use it as a context.

    Args:
        state: the reconciler's state directory; only its user can read it.
        url: of a database server instead of the file, as SQLAlchemy writes it. No setting leads here yet: see
            decision 13.
        what: our command, for a process that finds a stack locked, such as `ronron watch`.
        kept: how many passes and requests of one environment are stored.
        secrets: values that must never be stored.

    Raises:
        StoreError: it cannot be opened.
        RecordCorruptError: the database is damaged, of a newer release, or not ours.
    """

    def __init__(
        self,
        state: Path,
        url: str | None = None,
        *,
        what: str = "ronron",
        kept: int = KEPT,
        secrets: Iterable[str] = (),
    ) -> None:
        self._locks = state / "locks"
        self._what = what
        self._kept = kept
        self._secrets = tuple(secrets)
        if url is None:
            self._place = str(state / FILE)
            self._reading = file_engine(state / FILE)
        else:
            self._place, self._reading = server_engine(url)
        self._writing = writing(self._reading)
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close every connection."""
        self._reading.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- records ---------------------------------------------------------------------------------------

    def load(self, environment: str) -> Record:
        """See ports.Store."""
        with self._transaction(self._reading, f"read the record of {environment}") as connection:
            document = connection.scalar(
                select(RECORDS.c.document).where(RECORDS.c.environment == environment)
            )
        if document is None:
            return Record(environment=environment)
        record = self._parse(Record, document, f"the record of {environment}")
        if record.environment != environment:
            raise self._corrupt(f"the record of {environment}", f"it is one of {record.environment}")
        return record

    def environments(self) -> tuple[str, ...]:
        """See ports.Store."""
        with self._transaction(self._reading, "read the environments") as connection:
            return tuple(sorted(connection.scalars(select(RECORDS.c.environment))))

    def save(self, record: Record) -> None:
        """See ports.Store."""
        with self._transaction(self._writing, f"write the record of {record.environment}") as connection:
            self._put(connection, record)

    def save_backups(
        self, environment: str, backups: Mapping[str, BackupSummary], kept: OwnBackup | None
    ) -> None:
        """See ports.Store."""
        with self._transaction(self._writing, f"write the backups of {environment}") as connection:
            before = self._there(connection, environment) or Record(environment=environment)
            self._write(connection, before.with_(backups=dict(backups), kept=kept))

    def load_drift(self, environment: str) -> DriftRecord:
        """See ports.Store."""
        with self._transaction(self._reading, f"read the drift of {environment}") as connection:
            row = connection.execute(
                select(DRIFT.c.version, DRIFT.c.document).where(DRIFT.c.environment == environment)
            ).one_or_none()
        if row is None:
            return DriftRecord(environment=environment)
        version, document = row
        return self._parse(DriftRecord, document, f"the drift of {environment}").with_(version=version)

    def save_drift(self, record: DriftRecord) -> bool:
        """See ports.Store."""
        document = as_kept(record, self._secrets).model_dump_json()
        values = {"version": record.version + 1, "document": document}
        of = DRIFT.c.environment == record.environment
        with self._transaction(self._writing, f"write the drift of {record.environment}") as connection:
            version = connection.scalar(select(DRIFT.c.version).where(of).with_for_update())
            if (version or 0) != record.version:
                return False
            if version is None:
                connection.execute(insert(DRIFT).values(environment=record.environment, **values))
            else:
                connection.execute(update(DRIFT).where(of).values(**values))
        return True

    def copy(self, place: Path) -> None:
        """See ports.Store; by SQLite's backup API, so that no half-finished write is copied."""
        if self._reading.dialect.name != "sqlite":
            raise StoreError(
                "cannot copy the store: it is in a database server",
                where=self._place,
                hint="back up that server with its own tools, such as pg_dump",
            )
        try:
            # Created first, so that others can never read it.
            place.touch(mode=0o600, exist_ok=False)
            with (
                closing(sqlite3.connect(self._place, timeout=BUSY_SECONDS)) as source,
                closing(sqlite3.connect(place)) as copy,
            ):
                source.backup(copy)
                copy.execute(f"DELETE FROM {HEALTH.name}")  # noqa: S608 - a name of ours
                copy.commit()
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                f"cannot copy the store: {getattr(error, 'strerror', None) or error}",
                where=str(place),
                hint="check that there is room on the disk, and that the file does not exist yet",
            ) from error

    def forget(self, environment: str) -> None:
        """See ports.Store."""
        with self._transaction(self._writing, f"forget {environment}") as connection:
            for table in (RECORDS, DRIFT, HEALTH, PASSES, REQUESTS, APPROVALS):
                connection.execute(delete(table).where(table.c.environment == environment))

    # -- health ----------------------------------------------------------------------------------------

    def health(self, environment: str) -> Mapping[str, Health]:
        """See ports.Store."""
        rows = select(HEALTH.c.service, HEALTH.c.document).where(HEALTH.c.environment == environment)
        with self._transaction(self._reading, f"read the health of {environment}") as connection:
            found = connection.execute(rows).all()
        return {name: self._parse(Health, text, f"the health of {name}") for name, text in found}

    def save_health(self, environment: str, health: Health) -> None:
        """See ports.Store."""
        where = (HEALTH.c.environment == environment) & (HEALTH.c.service == health.service)
        document = as_kept(health, self._secrets).model_dump_json()
        with self._transaction(self._writing, f"write the health of {health.service}") as connection:
            found = connection.scalar(select(HEALTH.c.document).where(where).with_for_update())
            if found is None:
                row = {"environment": environment, "service": health.service, "document": document}
                connection.execute(insert(HEALTH).values(row))
                return
            before = self._parse(Health, found, f"the health of {health.service}")
            if before.checked_at <= health.checked_at:
                connection.execute(update(HEALTH).where(where).values(document=document))

    def forget_health(self, environment: str, but: Collection[str] = ()) -> None:
        """See ports.Store."""
        gone = (HEALTH.c.environment == environment) & HEALTH.c.service.not_in(but)
        with self._transaction(self._writing, f"forget the health of {environment}") as connection:
            connection.execute(delete(HEALTH).where(gone))

    # -- history ---------------------------------------------------------------------------------------

    def begin(self, pass_: Pass) -> int:
        """See ports.Store."""
        document = as_kept(pass_, self._secrets).model_dump_json()
        row = insert(PASSES).values(environment=pass_.environment, document=document)
        with self._transaction(self._writing, f"write a pass of {pass_.environment}") as connection:
            return _number(connection.execute(row))

    def finish(self, pass_id: int, outcome: Outcome, finished: datetime, record: Record) -> None:
        """See ports.Store."""
        environment = record.environment
        where = (PASSES.c.id == pass_id) & (PASSES.c.environment == environment)
        with self._transaction(self._writing, f"write the end of pass {pass_id}") as connection:
            document = connection.scalar(select(PASSES.c.document).where(where))
            if document is None:
                raise self._corrupt(f"pass {pass_id}", f"{environment} has no such pass")
            begun = self._parse(Pass, document, f"pass {pass_id}")
            ended = as_kept(begun.with_(outcome=outcome, finished=finished), self._secrets)
            connection.execute(update(PASSES).where(where).values(document=ended.model_dump_json()))
            self._put(connection, record)
            self._expire(connection, PASSES, environment)

    def history(self, environment: str | None = None, limit: int = 20) -> tuple[Pass, ...]:
        """See ports.Store."""
        rows = select(PASSES.c.id, PASSES.c.document).order_by(PASSES.c.id.desc()).limit(max(0, limit))
        if environment is not None:
            rows = rows.where(PASSES.c.environment == environment)
        with self._transaction(self._reading, "read the history") as connection:
            found = connection.execute(rows).all()
        return tuple(self._parse(Pass, text, f"pass {number}").with_(id=number) for number, text in found)

    # -- requests and approvals ------------------------------------------------------------------------

    def ask(self, environment: str, by: str, at: datetime) -> Request:
        """See ports.Store."""
        asked = as_kept(Request(id=0, environment=environment, by=by, at=at), self._secrets)
        row = insert(REQUESTS).values(
            environment=asked.environment, asked_by=asked.by, asked_at=asked.at.isoformat()
        )
        with self._transaction(self._writing, f"write a request for {environment}") as connection:
            number = _number(connection.execute(row))
            self._expire(connection, REQUESTS, environment)
        return asked.with_(id=number)

    def asked(self, environment: str) -> Request | None:
        """See ports.Store."""
        rows = (
            select(REQUESTS.c.id, REQUESTS.c.asked_by, REQUESTS.c.asked_at)
            .where(REQUESTS.c.environment == environment)
            .order_by(REQUESTS.c.id.desc())
            .limit(1)
        )
        with self._transaction(self._reading, f"read the requests for {environment}") as connection:
            found = connection.execute(rows).one_or_none()
        if found is None:
            return None
        number, by, at = found
        with self._understanding(f"request {number}"):
            return Request.model_validate({"id": number, "environment": environment, "by": by, "at": at})

    def approve(self, environment: str, identity: str, by: str, at: datetime) -> None:
        """See ports.Store."""
        row = insert(APPROVALS).values(
            environment=environment,
            identity=identity,
            approved_by=redact(by, self._secrets),
            approved_at=at.astimezone(UTC).isoformat(),
        )
        said = select(APPROVALS.c.identity).where(
            APPROVALS.c.environment == environment, APPROVALS.c.identity == identity
        )
        with self._transaction(self._writing, f"write an approval for {environment}") as connection:
            # The first approval is stored; a second one changes nothing.
            if connection.scalar(said) is None:
                connection.execute(row)

    def approvals(self, environment: str) -> frozenset[str]:
        """See ports.Store."""
        rows = select(APPROVALS.c.identity).where(APPROVALS.c.environment == environment)
        with self._transaction(self._reading, f"read the approvals for {environment}") as connection:
            return frozenset(connection.scalars(rows))

    def lock(self, stack: str) -> AbstractContextManager[None]:
        """See ports.Store; it does not exclude other machines."""
        return stack_lock(self._locks, stack, self._what)

    # -- inside ----------------------------------------------------------------------------------------

    def _open(self) -> None:
        # Where two processes create the same database, SQLite does not wait at the first bytes, and
        # PostgreSQL lets one of them fail.
        attempts = Retrying(
            retry=retry_if_exception(another_opens),
            stop=stop_after_delay(BUSY_SECONDS),
            wait=wait_random(0.01, 0.1),
            reraise=True,
        )
        try:
            attempts(self._migrate)
        except SQLAlchemyError as error:
            raise store_error(error, "open the store", self._place) from error

    def _migrate(self) -> None:
        with self._writing.begin() as connection:
            migrate(connection, self._place)

    @contextmanager
    def _transaction(self, engine: Engine, doing: str) -> Iterator[Connection]:
        """A connection from the pool, in one transaction for the block."""
        try:
            with engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise store_error(error, doing, self._place) from error

    def _there(self, connection: Connection, environment: str) -> Record | None:
        """The record as it is now, locked until the transaction ends."""
        document = connection.scalar(
            select(RECORDS.c.document).where(RECORDS.c.environment == environment).with_for_update()
        )
        return None if document is None else self._parse(Record, document, f"the record of {environment}")

    def _put(self, connection: Connection, record: Record) -> None:
        there = self._there(connection, record.environment)
        if there is not None:
            record = record.with_(backups=there.backups, kept=there.kept)
        self._write(connection, record)

    def _write(self, connection: Connection, record: Record) -> None:
        document = as_kept(record, self._secrets).model_dump_json()
        where = RECORDS.c.environment == record.environment
        if connection.execute(update(RECORDS).where(where).values(document=document)).rowcount:
            return
        connection.execute(insert(RECORDS).values(environment=record.environment, document=document))

    def _expire(self, connection: Connection, table: Table, environment: str) -> None:
        of = table.c.environment == environment
        oldest = (
            select(table.c.id).where(of).order_by(table.c.id.desc()).offset(self._kept - 1).limit(1)
        ).scalar_subquery()
        connection.execute(delete(table).where(of, table.c.id < oldest))

    def _parse(self, kind: type[V], text: str, what: str) -> V:
        with self._understanding(what):
            return kind.model_validate_json(text)

    @contextmanager
    def _understanding(self, what: str) -> Iterator[None]:
        try:
            yield
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            key = ".".join(map(str, first["loc"]))
            raise self._corrupt(what, f"{key}: {first['msg']}" if key else first["msg"]) from error

    def _corrupt(self, what: str, why: str) -> RecordCorruptError:
        return RecordCorruptError(
            f"cannot read {what}: {why}",
            where=self._place,
            hint="use the release of Ronron that wrote it, or restore the store from its backup",
        )


def _number(inserted: CursorResult[Any]) -> int:
    key = inserted.inserted_primary_key
    return int(key[0]) if key is not None else 0
