"""Dumps the database into restic: in constant memory, and never a snapshot of an incomplete dump."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .configuration import Configuration, Database, Places, Secrets
from .errors import AgentError, redacted, shortened
from .manifest import DUMP, Dumped
from .postgres import HINT, connected, counted, environment, place, work_folder
from .processes import Ended, Process, StalledError, moved
from .restic import LONG_SECONDS, Restic, summary

PG_DUMP_SECONDS = 600.0
"""Timeout of pg_dump after the end of its output."""


@dataclass(frozen=True)
class DatabaseHalf:
    """The half of a snapshot with the database, not yet verified; `id` may be a short one."""

    id: str
    dumped: Dumped
    counts: dict[str, int]


def dump(
    restic: Restic,
    configuration: Configuration,
    secrets: Secrets,
    places: Places,
    run: str,
    inherit: Sequence[int],
) -> DatabaseHalf:
    """Count the rows of the database, and dump the same state of it.

    Args:
        restic: on the service's repository.
        configuration: of the agent.
        secrets: of the agent.
        places: of the agent.
        run: the tag of both halves.
        inherit: descriptors that child processes inherit.

    Raises:
        AgentError: `database-refused`, `dump-failed`, `dump-empty`, or an error of restic; then there is no
            snapshot.
    """
    database = configuration.database
    assert database is not None  # noqa: S101
    with connected(database, secrets) as connection:
        # Read-only: no declared count can change the service.
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        counts = counted(connection, configuration.counts)
        with connection.cursor() as cursor:
            cursor.execute("set local idle_in_transaction_session_timeout = 0")
            cursor.execute("select pg_export_snapshot(), current_setting('server_version')")
            view, version = cursor.fetchone() or ("", "")
        size, identity = _streamed(restic, configuration, secrets, places, str(view), run, inherit, database)
        # Fails where the transaction was lost: pg_dump then did not dump the exported state.
        connection.rollback()
        major = connection.server_version // 10000
    short = str(version).split(" ")[0]
    return DatabaseHalf(identity, Dumped(major, short, database.name, size), counts)


def _streamed(
    restic: Restic,
    configuration: Configuration,
    secrets: Secrets,
    places: Places,
    view: str,
    run: str,
    inherit: Sequence[int],
    database: Database,
) -> tuple[int, str]:
    command = [
        "pg_dump", "--format=custom", f"--snapshot={view}", "--no-password", "--lock-wait-timeout=600000",
        f"--dbname={place(database.name)}",
    ]  # fmt: skip
    words = ["backup", "--json", "--stdin", "--stdin-filename", DUMP, "--host", configuration.host]
    words += ["--tag", "database", "--tag", f"run:{run}"]
    with (
        environment(database, secrets, places) as given,
        Process(command, given, work_folder(places), pipe=True, inherit=inherit) as source,
        restic.start(*words, stdin=True) as sink,
    ):
        # An error stops both processes, and restic's standard input is closed only when restic is dead: so
        # what it read so far never becomes a snapshot.
        try:
            size = moved(source.stdout.fileno(), sink.stdin)
            ended = source.wait(PG_DUMP_SECONDS)
        except BrokenPipeError:
            done = restic.end_of(sink, PG_DUMP_SECONDS, verb="store the dump")
            raise restic.failure("store the dump", done) from None
        except StalledError as error:
            raise AgentError("dump-failed", f"cannot dump the database: {error}", _hint(database)) from error
        if ended.code != 0:
            raise _failed(ended, database, secrets)
        if size == 0:
            raise AgentError("dump-empty", "cannot dump the database: pg_dump wrote nothing", _hint(database))
        sink.close_stdin()
        done = restic.end_of(sink, LONG_SECONDS, verb="store the dump")
    if done.code != 0:
        raise restic.failure("store the dump", done)
    stored = summary(done.output)
    if stored is None or int(stored.get("total_bytes_processed", -1)) != size:
        raise AgentError(
            "not-verified",
            f"cannot verify the dump: {size} bytes were sent, and restic reports "
            f"{'none' if stored is None else stored.get('total_bytes_processed')}",
            "run this again: ronron backup now",
        )
    return size, str(stored["snapshot_id"])


def _failed(ended: Ended, database: Database, secrets: Secrets) -> AgentError:
    lines = [line for line in ended.stderr.splitlines() if "error" in line or "fatal" in line.lower()]
    why = shortened(redacted(" ".join(lines[:3]) or ended.stderr, secrets.words), 400)
    return AgentError(
        "dump-failed",
        f"cannot dump the database {database.name}: pg_dump exited with {ended.code} ({why})",
        _hint(database),
    )


def _hint(database: Database) -> str:
    return HINT.format(host=database.host)
