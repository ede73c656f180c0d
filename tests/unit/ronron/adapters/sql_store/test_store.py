"""What the store on SQLite does besides its contract: files, versions, damage, other processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, Pool

from ronron.adapters.sql_store.connections import file_engine, writing
from ronron.adapters.sql_store.schema import MIGRATIONS, migrate
from ronron.adapters.sql_store.store import FILE, SqlStore
from ronron.core.errors import RecordCorruptError, StackLockedError, StoreError
from ronron.core.model import Outcome, OutcomeKind
from ronron.core.record import Record
from ronron.testing import NOON
from tests.support.values import FAILED, FAILURE, FRESH, HEALTHY, PLAN, SYNCED, UPDATED, begun

ROOT = Path(__file__).parents[5]

Start = Callable[..., "subprocess.Popen[str]"]


def sql(state: Path, *statements: str | tuple[str, object]) -> list[tuple[object, ...]]:
    """Run statements, with one value each, behind the store's back; gives the rows of the last one."""
    with closing(sqlite3.connect(state / FILE)) as connection, connection:
        rows: list[tuple[object, ...]] = []
        for statement in statements:
            words, *values = (statement,) if isinstance(statement, str) else statement
            rows = connection.execute(words, values).fetchall()
        return rows


@pytest.fixture
def start() -> Iterator[Start]:
    """Runs scripts in a Python of their own, in a session that is ended with the test."""
    with ExitStack() as processes:

        def start_one(script: str, *arguments: object) -> subprocess.Popen[str]:
            process = processes.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", script, *map(str, arguments)],
                    cwd=ROOT,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    start_new_session=True,
                )
            )
            processes.callback(end_session, process.pid)
            return process

        yield start_one


def end_session(leader: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def end_well(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


# -- files -------------------------------------------------------------------------------------------------


def test_everything_is_there_again_after_a_restart(tmp_path: Path) -> None:
    with SqlStore(tmp_path) as store:
        number = store.begin(begun())
        store.finish(number, UPDATED, NOON, SYNCED)
        request = store.ask("production", "ada", NOON)
        store.approve("production", "c" * 64, "ada", NOON)
    with SqlStore(tmp_path) as store:
        assert store.load("production") == SYNCED
        assert store.history() == (begun().with_(id=number, outcome=UPDATED, finished=NOON),)
        assert store.asked("production") == request
        assert store.approvals("production") == {"c" * 64}


def test_the_state_directory_and_its_files_are_for_their_user_only(tmp_path: Path) -> None:
    state = tmp_path / "state"
    before = os.umask(0)
    try:
        with SqlStore(state) as store, store.lock("production"):
            store.save(SYNCED)
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in state.rglob("*")}
    finally:
        os.umask(before)
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert modes == {
        "store.db": 0o600,
        "store.db-wal": 0o600,
        "store.db-shm": 0o600,
        "locks": 0o700,
        "stack-production.lock": 0o600,
    }


def test_a_file_that_others_can_read_is_closed_to_them(tmp_path: Path) -> None:
    SqlStore(tmp_path).close()
    (tmp_path / FILE).chmod(0o644)
    SqlStore(tmp_path).close()
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_a_state_directory_may_have_any_name(tmp_path: Path) -> None:
    state = tmp_path / "état of ?things#1%20&x=y"
    with SqlStore(state) as store:
        store.save(SYNCED)
    assert (state / FILE).is_file()


def test_writes_are_on_the_disk_before_they_return(tmp_path: Path) -> None:
    engine = file_engine(tmp_path / FILE)
    with engine.connect() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    engine.dispose()
    full = 2
    assert settings == {
        "journal_mode": "wal",
        "synchronous": full,
        "foreign_keys": 1,
        "busy_timeout": 30_000,
    }


def test_secrets_that_are_known_are_never_in_the_files(tmp_path: Path) -> None:
    with SqlStore(tmp_path, secrets=["correct horse"]) as store:
        number = store.begin(begun(why="correct horse said no"))
        outcome = Outcome(kind=OutcomeKind.FAILED, message="the passphrase is correct horse")
        store.finish(number, outcome, NOON, FAILED.with_(failed=FAILURE.with_(message="correct horse")))
        store.ask("production", "correct horse", NOON)
        store.approve("production", "c" * 64, "correct horse", NOON)
        assert store.load("production").failed == FAILURE.with_(message="[secret]")
        files = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    assert b"[secret]" in files
    assert b"correct horse" not in files


# -- what cannot be read -----------------------------------------------------------------------------------


def refused(state: Path) -> RecordCorruptError:
    before = (state / FILE).read_bytes()
    with pytest.raises(RecordCorruptError) as found:
        SqlStore(state)
    assert (state / FILE).read_bytes() == before, "what is refused is left as it is"
    assert found.value.where == str(state / FILE)
    return found.value


def test_tables_of_a_newer_release_are_refused(tmp_path: Path) -> None:
    SqlStore(tmp_path).close()
    newer = len(MIGRATIONS) + 1
    sql(tmp_path, ("UPDATE ronron_schema SET version = ?", newer))
    error = refused(tmp_path)
    assert f"its tables have version {newer}, this release knows {len(MIGRATIONS)}" in error.message
    assert "newer" in error.hint


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(["DELETE FROM ronron_schema"], id="no version"),
        pytest.param(["INSERT INTO ronron_schema VALUES (2, 1)"], id="two versions"),
        pytest.param(["UPDATE ronron_schema SET version = 'one'"], id="a version that is no number"),
        pytest.param(["UPDATE ronron_schema SET version = 0"], id="a version below the first"),
        pytest.param(["DROP TABLE ronron_schema"], id="tables without a version"),
    ],
)
def test_tables_of_an_unknown_version_are_refused(tmp_path: Path, damage: list[str]) -> None:
    SqlStore(tmp_path).close()
    sql(tmp_path, *damage)
    assert "cannot read the store" in refused(tmp_path).message


def test_tables_of_somebody_else_are_left_alone(tmp_path: Path) -> None:
    sql(tmp_path, "CREATE TABLE passes (id INTEGER)", "INSERT INTO passes VALUES (5)")
    with SqlStore(tmp_path) as store:
        store.save(SYNCED)
    assert sql(tmp_path, "SELECT * FROM passes") == [(5,)]


@pytest.mark.parametrize("content", [b"not a database at all " * 100, b"SQLite format 3\0" + b"\xff" * 4080])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    error = refused(tmp_path)
    assert "the database is damaged, or is not a database" in error.message
    assert f"mv {tmp_path / FILE} {tmp_path / FILE}.broken" in error.hint


def test_damage_in_the_middle_of_the_file_is_told_when_it_is_met(tmp_path: Path) -> None:
    with SqlStore(tmp_path) as store:
        for number in range(200):
            store.save(Record(environment=f"environment-{number}", stalled="x" * 500))
    path = tmp_path / FILE
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xee" * (len(whole) - 4096))
    with pytest.raises(RecordCorruptError, match="damaged"), SqlStore(tmp_path) as store:
        store.environments()


@pytest.mark.parametrize(
    ("document", "why"),
    [
        pytest.param('{"version": 2, "environment": "production"}', "version: ", id="a newer version"),
        pytest.param('{"environment": "production", "mood": "bad"}', "mood: ", id="an unknown field"),
        pytest.param('{"environment": "production", "updated": {"reference": "main"}}', "updated.commit: "),
        pytest.param('{"environment": "production"', "Invalid JSON", id="half a document"),
        pytest.param("", "Invalid JSON", id="nothing"),
        pytest.param('{"environment": "staging"}', "it is one of staging", id="another environment"),
    ],
)
def test_a_record_that_is_not_understood_is_refused(tmp_path: Path, document: str, why: str) -> None:
    with SqlStore(tmp_path) as store:
        store.save(SYNCED)
        sql(tmp_path, ("UPDATE ronron_records SET document = ?", document))
        with pytest.raises(RecordCorruptError, match="cannot read the record of production") as found:
            store.load("production")
    assert why in found.value.message
    assert found.value.hint


def test_a_pass_that_is_not_understood_is_refused(tmp_path: Path) -> None:
    with SqlStore(tmp_path) as store:
        number = store.begin(begun())
        sql(tmp_path, """UPDATE ronron_passes SET document = '{"id": 0}'""")
        with pytest.raises(RecordCorruptError, match=f"cannot read pass {number}: environment"):
            store.history()
        with pytest.raises(RecordCorruptError, match=f"cannot read pass {number}: environment"):
            store.finish(number, UPDATED, NOON, SYNCED)
        assert store.load("production") == FRESH


def test_a_request_that_is_not_understood_is_refused(tmp_path: Path) -> None:
    with SqlStore(tmp_path) as store:
        store.ask("production", "ada", NOON)
        sql(tmp_path, "UPDATE ronron_requests SET asked_at = 'yesterday'")
        with pytest.raises(RecordCorruptError, match="cannot read request 1: at: "):
            store.asked("production")


# -- the way forward ---------------------------------------------------------------------------------------


def test_an_older_store_is_brought_forward_step_by_step_and_keeps_what_it_holds(tmp_path: Path) -> None:
    with SqlStore(tmp_path) as store:
        store.save(SYNCED)

    def notes(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE ronron_notes (line TEXT)"))

    def first_note(connection: Connection) -> None:
        connection.execute(text("INSERT INTO ronron_notes VALUES ('hello')"))

    engine = writing(file_engine(tmp_path / FILE))
    for _ in range(2):
        with engine.begin() as connection:
            migrate(connection, "here", (*MIGRATIONS, notes, first_note))
    engine.dispose()
    assert sql(tmp_path, "SELECT line FROM ronron_notes") == [("hello",)]
    assert sql(tmp_path, "SELECT version FROM ronron_schema") == [(len(MIGRATIONS) + 2,)]
    sql(tmp_path, ("UPDATE ronron_schema SET version = ?", len(MIGRATIONS)))
    with SqlStore(tmp_path) as store:
        assert store.load("production") == SYNCED


def test_a_store_without_health_gets_its_table_and_keeps_its_records(tmp_path: Path) -> None:
    engine = writing(file_engine(tmp_path / FILE))
    with engine.begin() as connection:
        migrate(connection, "here", MIGRATIONS[:1])
    engine.dispose()
    document = SYNCED.model_dump_json()
    sql(tmp_path, ("INSERT INTO ronron_records VALUES ('production', ?)", document))
    with SqlStore(tmp_path) as store:
        assert store.load("production") == SYNCED
        assert store.health("production") == {}
        store.save_health("production", HEALTHY)
        assert store.health("production") == {"pad": HEALTHY}


def test_a_copy_has_no_health_because_health_is_about_now(tmp_path: Path) -> None:
    with SqlStore(tmp_path / "state") as store:
        store.save(SYNCED)
        store.save_health("production", HEALTHY)
        (tmp_path / "copied").mkdir()
        store.copy(tmp_path / "copied" / FILE)
    assert [path.name for path in (tmp_path / "copied").iterdir()] == [FILE]
    with SqlStore(tmp_path / "copied") as store:
        assert store.load("production") == SYNCED
        assert store.health("production") == {}


def test_a_step_that_fails_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    SqlStore(tmp_path).close()

    def half(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE ronron_notes (line TEXT)"))
        raise ZeroDivisionError

    engine = writing(file_engine(tmp_path / FILE))
    with pytest.raises(ZeroDivisionError), engine.begin() as connection:
        migrate(connection, "here", (*MIGRATIONS, half))
    engine.dispose()
    assert sql(tmp_path, "SELECT name FROM sqlite_master WHERE name = 'ronron_notes'") == []
    with SqlStore(tmp_path) as store:
        assert store.environments() == ()


# -- what the system refuses -------------------------------------------------------------------------------


@contextmanager
def unprivileged() -> Iterator[None]:
    """The system's checks of files count for the block, also where tests run as root."""
    nobody = 65534
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(nobody)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def public_place() -> Iterator[Path]:
    """A directory that every user can enter; those of pytest are closed to others."""
    place = Path(tempfile.mkdtemp(prefix="ronron-store-"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


def test_a_directory_that_cannot_be_written_is_told_with_what_to_do(public_place: Path) -> None:
    public_place.chmod(0o555)
    with unprivileged(), pytest.raises(StoreError) as found:
        SqlStore(public_place)
    path = public_place / FILE
    assert str(found.value) == f"{path}: cannot open the store: permission denied"
    assert found.value.hint == (
        f"run ronron as the user who owns it, or allow this user to write there: ls -ld {path}"
    )


def test_a_lock_that_cannot_be_written_is_told_with_what_to_do(public_place: Path) -> None:
    with SqlStore(public_place) as store:
        (public_place / "locks").mkdir(mode=0o555)
        refused = pytest.raises(StoreError, match="cannot lock the stack production: permission denied")
        with unprivileged(), refused as found, store.lock("production"):
            pass
        assert str(public_place / "locks") in found.value.hint


def test_a_state_directory_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(StoreError, match="cannot open the store: not a directory"):
        SqlStore(tmp_path / "state" / "below")


def test_a_database_that_is_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(StoreError, match="cannot open the store: is a directory"):
        SqlStore(tmp_path)


def test_a_full_disk_is_told_and_writes_neither_the_pass_nor_the_record(tmp_path: Path) -> None:
    with SqlStore(tmp_path) as store:
        store.save(SYNCED)
        number = store.begin(begun())

    def small(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        # SQLite's own answer to a full disk, without filling one.
        connection.execute("PRAGMA max_page_count = 1")

    event.listen(Pool, "connect", small)
    try:
        with SqlStore(tmp_path) as store:
            flood = Outcome(kind=OutcomeKind.FAILED, message="x" * 8000, hint="y" * 8000)
            with pytest.raises(StoreError) as found:
                store.finish(number, flood, NOON, FAILED.with_(failed=FAILURE.with_(message="z" * 8000)))
            assert store.load("production") == SYNCED
            assert store.history()[0].outcome is None
    finally:
        event.remove(Pool, "connect", small)
    assert found.value.message == f"cannot write the end of pass {number}: database or disk is full"
    assert found.value.hint == f"make room on the disk, then try again: df -h {tmp_path / FILE}"


def test_a_database_that_somebody_keeps_locked_is_told(tmp_path: Path) -> None:
    def impatient(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        connection.execute("PRAGMA busy_timeout = 10")

    event.listen(Pool, "connect", impatient)
    try:
        with SqlStore(tmp_path) as store, closing(sqlite3.connect(tmp_path / FILE)) as other:
            other.isolation_level = None
            other.execute("BEGIN IMMEDIATE")
            assert store.load("production") == FRESH, "reading goes on"
            with pytest.raises(StoreError, match="cannot write the record of production: database is locked"):
                store.save(SYNCED)
            other.execute("ROLLBACK")
            store.save(SYNCED)
    finally:
        event.remove(Pool, "connect", impatient)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("mysterysql://bot:hunter2@db.example/ronron", id="unknown database"),
        pytest.param("sqlite+pysqlite://bot:hunter2@db.example/ronron", id="impossible"),
        pytest.param("bot:hunter2@db.example/ronron", id="no URL"),
        pytest.param("postgresql+psycopg://bot:hunter2@db.example:port/ronron", id="no port"),
    ],
)
def test_a_wrong_url_is_told_without_its_password(tmp_path: Path, url: str) -> None:
    with pytest.raises(StoreError, match="cannot open the store: ") as found:
        SqlStore(tmp_path, url)
    assert "hunter2" not in str(found.value)
    assert "postgresql+psycopg://" in found.value.hint


# -- other processes ---------------------------------------------------------------------------------------

WRITER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from ronron.adapters.sql_store.store import SqlStore
from ronron.core.record import Record
from ronron.testing import NOON
from tests.support.values import UPDATED, begun

with SqlStore(Path(sys.argv[1])) as store:

    def write(turn):
        name = f"{sys.argv[2]}-{turn}"
        for served in range(10):
            store.finish(store.begin(begun(name)), UPDATED, NOON, Record(environment=name, served=served))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
"""


def test_two_processes_with_many_threads_write_at_once(tmp_path: Path, start: Start) -> None:
    writers = [start(WRITER, tmp_path, name) for name in ("one", "two")]
    for writer in writers:
        end_well(writer)
    with SqlStore(tmp_path) as store:
        names = [f"{name}-{turn}" for name in ("one", "two") for turn in range(8)]
        assert store.environments() == tuple(names)
        assert [store.load(name).served for name in names] == [9] * 16
        assert len({made.id for made in store.history(limit=1000)}) == 160


OPENER = """
import sys
from pathlib import Path
from ronron.adapters.sql_store.store import SqlStore
from ronron.testing import NOON

for number in range(40):
    with SqlStore(Path(sys.argv[1], str(number))) as store:
        store.ask("production", "ada", NOON)
"""


def test_two_processes_may_make_the_same_store_at_once(tmp_path: Path, start: Start) -> None:
    for opener in [start(OPENER, tmp_path) for _ in range(3)]:
        end_well(opener)
    for number in range(40):
        assert sql(tmp_path / str(number), "SELECT count(*) FROM ronron_requests") == [(3,)]


KILLED = """
import sys
from pathlib import Path
from ronron.adapters.sql_store.store import SqlStore
from ronron.testing import NOON
from tests.support.values import SYNCED, UPDATED, begun

with SqlStore(Path(sys.argv[1])) as store:
    served = 0
    while True:
        number = store.begin(begun())
        served += 1
        store.finish(number, UPDATED, NOON, SYNCED.with_(served=served))
        print(served, flush=True)
"""


def test_a_writer_that_is_killed_leaves_all_it_said_and_nothing_by_halves(
    tmp_path: Path, start: Start
) -> None:
    writer = start(KILLED, tmp_path)
    assert writer.stdout is not None
    for _ in range(20):
        writer.stdout.readline()
    writer.kill()
    out, _ = writer.communicate(timeout=60)
    said = int((["20", *out.split()])[-1])
    with SqlStore(tmp_path) as store:
        served = store.load("production").served
        finished = [made for made in store.history(limit=1000) if made.outcome is not None]
        assert said <= served <= said + 1
        assert len(finished) == min(served, 1000)
        store.finish(store.begin(begun()), UPDATED, NOON, SYNCED)


HOLDER = """
import subprocess
import sys
from pathlib import Path
from ronron.adapters.sql_store.store import SqlStore

with SqlStore(Path(sys.argv[1]), what="ronron watch") as store, store.lock("org/picasoft/production"):
    child = subprocess.Popen(["sleep", "300"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    print(child.pid, flush=True)
    child.wait()
"""


def test_a_killed_owner_gives_its_stack_back_though_its_children_live(tmp_path: Path, start: Start) -> None:
    holder = start(HOLDER, tmp_path)
    assert holder.stdout is not None
    child = int(holder.stdout.readline())
    with SqlStore(tmp_path) as store:
        with pytest.raises(StackLockedError) as found, store.lock("org/picasoft/production"):
            pass
        assert f"is locked by ronron watch (process {holder.pid} on " in found.value.message
        assert found.value.hint.endswith(f"ps -fp {holder.pid}")

        holder.kill()
        holder.wait(60)
        os.kill(child, 0)
        with store.lock("org/picasoft/production"):
            note = json.loads((tmp_path / "locks" / "stack-org%2Fpicasoft%2Fproduction.lock").read_text())
        assert note["pid"] == os.getpid()


# -- copies ------------------------------------------------------------------------------------------------


def test_a_copy_opens_as_a_store_and_has_all_that_was_written(tmp_path: Path) -> None:
    with SqlStore(tmp_path / "state") as store:
        store.save(SYNCED)
        store.finish(store.begin(begun()), UPDATED, NOON, SYNCED)
        store.approve("production", PLAN, "ada", NOON)
        (tmp_path / "copied").mkdir()
        # The write-ahead log is not copied: what is in it has to be in the copy all the same.
        assert (tmp_path / "state/store.db-wal").stat().st_size > 0
        store.copy(tmp_path / "copied/store.db")
    with SqlStore(tmp_path / "copied") as copied:
        assert copied.load("production") == SYNCED
        assert [made.outcome for made in copied.history()] == [UPDATED]
        assert copied.approvals("production") == {PLAN}
