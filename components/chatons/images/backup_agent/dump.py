"""A dump of the database into restic, through us: constant memory, and no snapshot of half a dump."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .children import Child, Ended, StalledError, moved
from .configuration import Configuration, Database, Places, Secrets
from .errors import AgentError, redacted, shortened
from .manifest import DUMP, Dumped
from .postgres import HINT, connected, counted, environment, place, work_folder
from .restic import LONG_SECONDS, Restic, summary

PG_DUMP_SECONDS = 600.0
"""How long pg_dump may take to end once its output has."""


@dataclass(frozen=True)
class DatabaseHalf:
    """The half of a snapshot with the database, not verified yet; `id` may be a short one."""

    id: str
    dumped: Dumped
    counts: dict[str, int]


def dump(
    restic: Restic,
    configuration: Configuration,
    secrets: Secrets,
    places: Places,
    run: str,
    keep: Sequence[int],
) -> DatabaseHalf:
    """Count and dump one view of the database.

    Args:
        restic: on the service's repository.
        configuration: of the agent.
        secrets: of the agent.
        places: of the agent.
        run: the tag of both halves.
        keep: descriptors that children get.

    Raises:
        AgentError: `database-refused`, `dump-failed`, `dump-empty`, or restic's trouble; then there is no
            snapshot.
    """
    database = configuration.database
    assert database is not None  # noqa: S101
    with connected(database, secrets) as connection:
        # Read only as well: nothing that a declared count does can change the service.
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        counts = counted(connection, configuration.counts)
        with connection.cursor() as cursor:
            cursor.execute("set local idle_in_transaction_session_timeout = 0")
            cursor.execute("select pg_export_snapshot(), current_setting('server_version')")
            view, version = cursor.fetchone() or ("", "")
        size, identity = _streamed(restic, configuration, secrets, places, str(view), run, keep, database)
        # pg_dump has ended well; that our half of the view is still there shows that it saw that very view.
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
    keep: Sequence[int],
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
        Child(command, given, work_folder(places), pipe=True, keep=keep) as source,
        restic.start(*words, stdin=True) as sink,
    ):
        # Leaving this block by an error stops both, and restic's input is closed only when it is dead:
        # what it has got until then never becomes a snapshot.
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
    told = summary(done.output)
    if told is None or int(told.get("total_bytes_processed", -1)) != size:
        raise AgentError(
            "not-verified",
            f"cannot vouch for the dump: {size} bytes were sent, and restic tells of "
            f"{'none' if told is None else told.get('total_bytes_processed')}",
            "Run it again: ronron backup now",
        )
    return size, str(told["snapshot_id"])


def _failed(ended: Ended, database: Database, secrets: Secrets) -> AgentError:
    lines = [line for line in ended.said.splitlines() if "error" in line or "fatal" in line.lower()]
    why = shortened(redacted(" ".join(lines[:3]) or ended.said, secrets.words), 400)
    return AgentError(
        "dump-failed",
        f"cannot dump the database {database.name}: pg_dump ended with {ended.code} ({why})",
        _hint(database),
    )


def _hint(database: Database) -> str:
    return HINT.format(host=database.host)
