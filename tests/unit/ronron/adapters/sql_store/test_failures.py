"""What databases say when they cannot, as errors that help."""

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy import exc
from sqlalchemy.exc import IntegrityError, OperationalError

from ronron.adapters.sql_store.failures import another_opens, file_error, store_error
from ronron.core.errors import RecordCorruptError, StoreError


def said(code: int, words: str = "it says no") -> OperationalError:
    cause = sqlite3.OperationalError(words)
    cause.sqlite_errorcode = code
    return OperationalError("SELECT 1", {}, cause)


@pytest.mark.parametrize(
    ("code", "kind", "hint"),
    [
        pytest.param(sqlite3.SQLITE_NOTADB, RecordCorruptError, "mv /s/store.db /s/store.db.broken"),
        pytest.param(sqlite3.SQLITE_CORRUPT, RecordCorruptError, "restore it from its backup"),
        pytest.param(sqlite3.SQLITE_CORRUPT_INDEX, RecordCorruptError, "restore it from its backup"),
        pytest.param(sqlite3.SQLITE_FORMAT, RecordCorruptError, "restore it from its backup"),
        pytest.param(sqlite3.SQLITE_FULL, StoreError, "df -h /s/store.db"),
        pytest.param(sqlite3.SQLITE_READONLY, StoreError, "ls -ld /s/store.db"),
        pytest.param(sqlite3.SQLITE_READONLY_DBMOVED, StoreError, "ls -ld /s/store.db"),
        pytest.param(sqlite3.SQLITE_CANTOPEN, StoreError, "ls -ld /s/store.db"),
        pytest.param(sqlite3.SQLITE_PERM, StoreError, "ls -ld /s/store.db"),
        pytest.param(sqlite3.SQLITE_AUTH, StoreError, "ls -ld /s/store.db"),
        pytest.param(sqlite3.SQLITE_BUSY, StoreError, "fuser -v /s/store.db"),
        pytest.param(sqlite3.SQLITE_BUSY_SNAPSHOT, StoreError, "fuser -v /s/store.db"),
        pytest.param(sqlite3.SQLITE_LOCKED, StoreError, "fuser -v /s/store.db"),
        pytest.param(sqlite3.SQLITE_IOERR_WRITE, StoreError, "df -h /s/store.db && dmesg"),
        pytest.param(sqlite3.SQLITE_ERROR, StoreError, "--debug"),
    ],
)
def test_each_code_of_sqlite_has_its_remedy(code: int, kind: type[StoreError], hint: str) -> None:
    error = store_error(said(code), "read the history", "/s/store.db")
    assert type(error) is kind
    assert error.message.startswith("cannot read the history: ")
    assert "it says no" in error.message
    assert error.where == "/s/store.db"
    assert hint in error.hint


def test_another_database_is_said_to_be_looked_at() -> None:
    cause = Exception("connection to server at pg.example failed\nIs the server running?")
    error = store_error(
        OperationalError("SELECT 1", {}, cause), "open the store", "postgresql://pg.example/r"
    )
    assert error.message == "cannot open the store: connection to server at pg.example failed"
    assert "check that the server is reachable" in error.hint


def test_what_has_no_cause_of_its_own_is_told_too() -> None:
    error = store_error(exc.TimeoutError("QueuePool limit reached"), "read the history", "/s/store.db")
    assert error.message == "cannot read the history: QueuePool limit reached"


def test_neither_credentials_nor_floods_are_passed_on() -> None:
    error = store_error(
        said(sqlite3.SQLITE_ERROR, "https://a:hunter2@b/ " + "x" * 999), "read it", "/s/store.db"
    )
    assert "hunter2" not in error.message
    assert len(error.message) < 400


def test_a_refusal_of_the_system_says_what_to_look_at() -> None:
    error = file_error(PermissionError(13, "Permission denied"), "open the store", "/s/store.db")
    assert str(error) == "/s/store.db: cannot open the store: permission denied"
    assert (
        error.hint
        == "run ronron as the user who owns it, or allow this user to write there: ls -ld /s/store.db"
    )
    assert file_error(OSError("odd"), "open the store", "/s").message == "cannot open the store: odd"


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        pytest.param(said(sqlite3.SQLITE_BUSY), True, id="it is locked for a moment"),
        pytest.param(said(sqlite3.SQLITE_LOCKED), True, id="a table is locked for a moment"),
        pytest.param(IntegrityError("CREATE TABLE", {}, Exception("exists")), True, id="made meanwhile"),
        pytest.param(said(sqlite3.SQLITE_NOTADB), False, id="no database"),
        pytest.param(said(sqlite3.SQLITE_FULL), False, id="no room"),
        pytest.param(ZeroDivisionError(), False, id="something else"),
    ],
)
def test_opening_is_tried_again_only_where_another_process_is_in_the_way(
    error: BaseException, waits: bool
) -> None:
    assert another_opens(error) is waits
