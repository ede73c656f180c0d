"""The program `ronron-agent`: one command in, one JSON document on standard output, log on standard error."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import IO, Any, NoReturn, cast

from . import commands
from .commands import Agent
from .configuration import Places
from .errors import AgentError, StoppedError, redacted
from .probe import probed

DONE, FAILED = 0, 1
"""Exit codes. argparse ends with 2 before anything is done: callers rely on that, see `INTERFACE_1`."""

REASONS = ("asked", "schedule", "update", "restore")

INTERFACE_1 = {
    "now": "backup",
    "put": "restore",
    "swap": "rename-database",
    "drilled": "record-drill",
    "keep": "backup-bundle",
}
"""Command names of interface 1 and what they are called now. Reconcilers of that time still send them; a
caller of today sends the new name first and the old one after exit code 2. See docs/backup-agent.md."""


def parser() -> argparse.ArgumentParser:
    """All commands of interface 3 and their options."""
    whole = argparse.ArgumentParser(prog="ronron-agent", description="The backup agent of one service.")
    sub = whole.add_subparsers(dest="command", required=True)
    for name in (
        "serve",
        "health",
        "list",
        "status",
        "check",
        "prune",
        "record-drill",
        "counts",
        "data",
        "accept-data",
    ):
        sub.add_parser(name)
    backup = sub.add_parser("backup")
    backup.add_argument("--reason", choices=REASONS, required=True)
    backup.add_argument("--revision")
    backup.add_argument("--running", help="JSON: version, image, image_digest")
    backup.add_argument("--recreated", action="store_true", help="also of volumes that were recreated")
    recorded = sub.add_parser("record-restore")
    recorded.add_argument("--snapshot", required=True)
    restore = sub.add_parser("restore")
    restore.add_argument("--snapshot", required=True)
    where = restore.add_mutually_exclusive_group(required=True)
    where.add_argument("--into", metavar="DATABASE")
    where.add_argument("--files", action="store_true")
    rename = sub.add_parser("rename-database")
    rename.add_argument("--from", dest="restored", metavar="DATABASE", required=True)
    export = sub.add_parser("export")
    export.add_argument("--snapshot", required=True)
    bundle = sub.add_parser("backup-bundle")
    bundle.add_argument("name")
    probe = sub.add_parser("probe")
    probe.add_argument("url")
    probe.add_argument("--host")
    probe.add_argument("--status", type=int, action="append", default=[])
    probe.add_argument("--contains")
    return whole


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse a command line, also one with a command name of interface 1.

    Raises:
        SystemExit: 2: an unknown command or a wrong option; nothing was done.
    """
    command = [INTERFACE_1.get(word, word) for word in arguments[:1]]
    return parser().parse_args([*command, *arguments[1:]])


def main(arguments: Sequence[str] | None = None, places: Places | None = None) -> int:
    """Run one command and return its exit code."""
    given = parsed(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    # Files that are created here contain data of the service.
    os.umask(0o077)
    # `serve` blocks signals, and its jobs inherit that.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _stopped)
    agent = Agent(places or Places())
    try:
        document = _done(agent, given)
    except AgentError as error:
        return _failed(agent, error)
    except StoppedError:
        return _failed(agent, AgentError("failed", "cannot finish: a signal stopped it", "run this again"))
    except Exception as error:
        # The caller reads a document, also of an unknown error.
        logging.getLogger("ronron-agent").debug("", exc_info=True)
        return _failed(
            agent,
            AgentError(
                "failed",
                f"cannot finish: {type(error).__name__}: {error}",
                "run this again, and report it with this line",
            ),
        )
    if document is not None:
        sys.stdout.write(json.dumps(document) + "\n")
        sys.stdout.flush()
    return DONE


def _done(agent: Agent, given: argparse.Namespace) -> Any:
    match given.command:
        case "serve":
            from .serve import serve

            serve(agent.configuration, agent.places, agent.journal, agent.find_data)
            return None
        case "health":
            from .serve import alive

            if not alive(agent.places):
                raise AgentError(
                    "failed", "cannot find the schedule: `serve` does not run", "restart this container"
                )
            return {"serving": True}
        case "backup":
            return commands.backup(
                agent,
                reason=given.reason,
                revision=given.revision,
                running=given.running,
                recreated=given.recreated,
            )
        case "data":
            return commands.data(agent)
        case "accept-data":
            return commands.accept_data(agent)
        case "record-restore":
            return commands.record_restore(agent, identity=given.snapshot)
        case "list":
            return commands.list_snapshots(agent)
        case "status":
            return commands.report_status(agent)
        case "check":
            return commands.check(agent)
        case "prune":
            return commands.prune(agent)
        case "record-drill":
            return commands.record_drill(agent, sys.stdin.read(commands.LARGEST_RESULT))
        case "restore" if given.files:
            return commands.restore_files(agent, identity=given.snapshot)
        case "restore":
            return commands.restore_database(agent, identity=given.snapshot, name=given.into)
        case "rename-database":
            return commands.rename_database(agent, name=given.restored)
        case "counts":
            return commands.counts(agent)
        case "export":
            # The tar replaces the document.
            commands.export(agent, identity=given.snapshot, sink=cast(IO[bytes], _Tar()))
            sys.stdout.buffer.flush()
            return None
        case "backup-bundle":
            return commands.backup_bundle(agent, name=given.name, source=sys.stdin.fileno())
        case "probe":
            return probed(given.url, host=given.host, status=given.status, contains=given.contains)
    raise AssertionError(given.command)


class _Tar:
    """Standard output for a tar; records whether the tar has begun."""

    began = False

    def write(self, block: bytes) -> int:
        """Write all of it."""
        _Tar.began = True
        return sys.stdout.buffer.write(block)


def _failed(agent: Agent, error: AgentError) -> int:
    document = error.document()
    try:
        words: Sequence[str] = agent.secrets.words
    except AgentError:
        words = ()
    shown = {key: redacted(value, words) for key, value in document.items()}
    if not _Tar.began:
        # After the beginning of a tar, no caller would find it.
        sys.stdout.write(json.dumps({"error": shown}) + "\n")
    sys.stderr.write(f"{shown['message']}\n{shown['hint']}\n")
    return FAILED


def _stopped(*_: object) -> NoReturn:
    raise StoppedError


if __name__ == "__main__":
    sys.exit(main())
