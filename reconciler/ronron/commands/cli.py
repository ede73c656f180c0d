"""The command `ronron`: finds the module of a command, runs it, and exits.

Exit codes: 0 done or nothing to do, 1 failed, 2 usage or configuration, 3 waiting for a person,
4 locked: another live process works on the stack.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ronron.commands.arguments import Options, end
from ronron.commands.lazy_group import Entry, LazyGroup, settings

_RECORDS = "ronron.commands.records"
_DRIFT = "ronron.commands.drift"
_PASSES = "ronron.commands.passes"
_APPROVALS = "ronron.commands.approvals"
_BACKUPS = "ronron.commands.backups"
_CHECKS = "ronron.commands.checks"
_STACK_FILES = "ronron.commands.stack_files"
_SERVICES = "ronron.commands.services"
_REMOVAL = "ronron.commands.removal"
_CONTAINERS = "ronron.commands.containers"
_FORGET = "ronron.commands.forget"
_BY_HAND = "ronron.commands.by_hand"
_UNIT = "ronron.commands.unit"

EVERYDAY, APPROVALS, BACKUPS, SET_UP = "Everyday", "Approvals", "Backups", "Set-up"


class Ronron(LazyGroup):
    """All commands, in the order and under the headings in which `ronron --help` shows them."""

    entries = (
        Entry("status", _RECORDS, EVERYDAY, "Show what is live, healthy and waiting."),
        Entry("preview", _PASSES, EVERYDAY, "Preview an update; changes nothing."),
        Entry("update", _PASSES, EVERYDAY, "Run one pass now: preview, judge, update, probe."),
        Entry("watch", _PASSES, EVERYDAY, "Update each environment when its branch moves."),
        Entry("drift", _DRIFT, EVERYDAY, "Show where containers differ from what the last update made."),
        Entry("history", _RECORDS, EVERYDAY, "List past passes, newest first."),
        Entry("explain", _RECORDS, EVERYDAY, "Explain why an environment changed, or did not."),
        Entry("logs", _CONTAINERS, EVERYDAY, "Show the log of a service."),
        Entry("restart", _CONTAINERS, EVERYDAY, "Restart a service, and wait until it is healthy."),
        Entry("exec", _CONTAINERS, EVERYDAY, "Run a program in the container of a service."),
        Entry("approve", _APPROVALS, APPROVALS, "Approve the plan that is waiting."),
        Entry("suspend", _APPROVALS, APPROVALS, "Suspend an environment until it is resumed."),
        Entry("resume", _APPROVALS, APPROVALS, "Resume after a suspension, a stall or failures."),
        Entry("backup", _BACKUPS, BACKUPS, "Take, list and check the snapshots of services."),
        Entry("restore", _BACKUPS, BACKUPS, "Restore a service from a snapshot."),
        Entry("drill", _BACKUPS, BACKUPS, "Restore the newest snapshot beside the service for proof."),
        Entry("recover", _BACKUPS, BACKUPS, "Recover records and states from the reconciler's own backup."),
        Entry("doctor", _CHECKS, SET_UP, "Check this machine: programs, settings, repository."),
        Entry("add", _SERVICES, SET_UP, "Add a service to a stack file."),
        Entry("remove", _REMOVAL, SET_UP, "Remove a service; its data stays."),
        Entry("pin", _STACK_FILES, SET_UP, "Write the digest of each image into the stack file."),
        Entry("forget", _FORGET, SET_UP, "Forget an environment that was removed from the policy."),
        Entry("validate", _CHECKS, SET_UP, "Check the policy and the stack files of a working tree."),
        Entry("pulumi", _BY_HAND, SET_UP, "Run Pulumi by hand on an environment's stack."),
        Entry("unit", _UNIT, SET_UP, "Print the systemd unit of the watcher."),
    )


app = typer.Typer(
    name="ronron",
    cls=Ronron,
    result_callback=end,
    help="Watch a git repository; preview and update its Pulumi environments.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    **settings(),
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        typer.echo(f"ronron {metadata.version('ronron')}")
        raise typer.Exit


@app.callback()
def _before(
    context: typer.Context,
    repository: Annotated[
        str | None, typer.Option(help="URL or path of the git repository; default RONRON_REPOSITORY.")
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="Directory of records and Pulumi state; default RONRON_STATE.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[  # noqa: ARG001 - eager: its callback ends the process
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    given: Options = context.obj or Options()
    context.obj = replace(given, repository=repository, state=state, debug=debug)


def main() -> None:
    """Run the command line; an unexpected error is one line, and a traceback with --debug."""
    try:
        app()
    except Exception as error:
        from ronron.commands.screen import Screen
        from ronron.core.errors import ReconcilerError
        from ronron.core.status import ExitCode

        if "--debug" in sys.argv or isinstance(error, ReconcilerError):
            raise
        Screen().error(
            ReconcilerError(
                f"internal error: {type(error).__name__}: {error}", hint="run it again with --debug"
            )
        )
        sys.exit(ExitCode.FAILED)


if __name__ == "__main__":
    main()
