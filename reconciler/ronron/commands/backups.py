"""The commands about backups.

They read the inventory from the records, so they work while the git repository is unreachable.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from ronron.adapters.sql_store.store import FILE
from ronron.commands.arguments import AsJson, end
from ronron.commands.held_services import recreated_hint, released
from ronron.commands.screen_backups import (
    backup_lines,
    drill_lines,
    intent_lines,
    newest_first,
    restored_lines,
    snapshot_line,
)
from ronron.commands.selection import Selection, chosen_snapshot, selected
from ronron.commands.wiring import errors, wired
from ronron.core.backups import BackupSummary, Restored, Snapshot
from ronron.core.errors import BackupError, ConfigError, RecreatedError
from ronron.core.inventory import Inventory
from ronron.core.model import SHORT
from ronron.core.policy import Policy
from ronron.core.redact import redact
from ronron.core.restores import count_differences
from ronron.core.snapshot_choice import plausible_snapshots
from ronron.core.status import ExitCode
from ronron.passes.health import save_probe
from ronron.passes.probing import probe_until
from ronron.watch.own_backup import Bundle, recover, recover_store

PROBE_FOR = Policy.model_fields["probe_for"].default
"""How long a restored service may take to become healthy: as long as after an update."""

Environment = Annotated[str, typer.Argument(metavar="ENV", help="Name of an environment.")]
Service = Annotated[str, typer.Argument(metavar="SERVICE", help="Name of one of its services.")]
MaybeService = Annotated[str | None, typer.Argument(metavar="SERVICE", help="One service; default all.")]

backup = typer.Typer(
    name="backup",
    result_callback=end,
    help="Take, list and check the snapshots of services.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def register(app: typer.Typer) -> None:
    """Add the commands about backups to the command line."""
    app.add_typer(backup)
    for command in (restore, drill, recover_):
        app.command(name=command.__name__.rstrip("_"))(command)


# -- snapshots -------------------------------------------------------------------------------------


@backup.command()
def now(
    context: typer.Context,
    environment: Environment,
    service: MaybeService = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Take one of volumes that were recreated, too, without asking.")
    ] = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Take a snapshot now and verify it.

    Asks before it takes one of volumes that were recreated, while snapshots of the data before exist.
    """
    with selected(context, environment, service, as_json) as selection:
        screen = selection.parts.screen
        current = selection.record.current
        taken: list[Snapshot] = []

        def take(name: str) -> None:
            selection.log(f"taking a snapshot of {name}")
            with screen.working(f"taking a snapshot of {name}"):
                one = _snapshot(selection, name, current.commit if current is not None else None, yes=yes)
                selection.check(name)
            taken.append(one)
            if not screen.as_json:
                screen.print(snapshot_line(one, selection.clock.now()))

        failed = selection.each(take)
        if as_json:
            screen.json({"snapshots": taken, "errors": failed})
        return ExitCode.FAILED if failed else ExitCode.DONE


def _snapshot(selection: Selection, service: str, revision: str | None, *, yes: bool) -> Snapshot:
    """Take a snapshot; of volumes that were recreated only after a person said so."""
    try:
        return selection.backups.snapshot(selection.inventory, service, "asked", revision, recreated=yes)
    except RecreatedError as error:
        error.hint = recreated_hint(selection.environment, service)
        selection.log(f"{service}: {error.message}")
        question = f"take a snapshot of the present data of {service}, which were recreated?"
        if not confirmed(selection, question):
            raise
        return selection.backups.snapshot(selection.inventory, service, "asked", revision, recreated=True)


@backup.command(name="list")
def list_(
    context: typer.Context, environment: Environment, service: MaybeService = None, as_json: AsJson = False
) -> ExitCode:
    """List the snapshots, the newest first."""
    with selected(context, environment, service, as_json) as selection:
        screen = selection.parts.screen
        found: list[Snapshot] = []

        def show(name: str) -> None:
            with screen.working(f"asking the agent of {name}"):
                some = newest_first(selection.backups.snapshots(selection.inventory, name))
            found.extend(some)
            if screen.as_json:
                return
            if not some:
                take = f"take one with ronron backup now {environment} {name}"
                screen.print(f"no snapshot of {name} yet: {take}")
            for one in some:
                screen.print(snapshot_line(one, selection.clock.now()))

        failed = selection.each(show)
        if as_json:
            screen.json({"snapshots": found, "errors": failed})
        return ExitCode.FAILED if failed else ExitCode.DONE


@backup.command(name="status")
def status_(
    context: typer.Context, environment: Environment, service: MaybeService = None, as_json: AsJson = False
) -> ExitCode:
    """Check the backups.

    Exits with 1 if anything is wrong.
    """
    with selected(context, environment, service, as_json) as selection:
        screen = selection.parts.screen
        found: list[BackupSummary] = []
        for name in selection.names:
            with screen.working(f"asking the agent of {name}"):
                found.append(selection.check(name))
        if as_json:
            screen.json({"environment": environment, "services": found})
        else:
            for one in found:
                for line in backup_lines(one, selection.clock.now()):
                    screen.facts.print(line.removeprefix("  "))
        return ExitCode.FAILED if any(one.conditions for one in found) else ExitCode.DONE


@backup.command()
def check(
    context: typer.Context, environment: Environment, service: MaybeService = None, as_json: AsJson = False
) -> ExitCode:
    """Check the repository now, and read back the next tenth of its data."""
    with selected(context, environment, service, as_json) as selection:
        return _maintained(selection, "checked the repository of", selection.backups.check)


@backup.command()
def prune(
    context: typer.Context, environment: Environment, service: MaybeService = None, as_json: AsJson = False
) -> ExitCode:
    """Remove the snapshots that are not retained, and free their space."""
    with selected(context, environment, service, as_json) as selection:
        return _maintained(selection, "removed old snapshots of", selection.backups.prune)


def _maintained(selection: Selection, done: str, do: Callable[[Inventory, str], None]) -> ExitCode:
    screen = selection.parts.screen
    names: list[str] = []

    def run(name: str) -> None:
        with screen.working(f"asking the agent of {name}"):
            do(selection.inventory, name)
            selection.check(name)
        names.append(name)
        if not screen.as_json:
            screen.print(f"{done} {name}")

    failed = selection.each(run)
    if screen.as_json:
        screen.json({"services": names, "errors": failed})
    return ExitCode.FAILED if failed else ExitCode.DONE


# -- restores ----------------------------------------------------------------------------------


def restore(
    context: typer.Context,
    environment: Environment,
    service: Service,
    snapshot: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="First 8 or more characters of the snapshot's ID; the newest by default."
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(metavar="DIRECTORY", help="Only write the snapshot's contents into this new directory."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    no_safety_snapshot: Annotated[
        bool, typer.Option("--no-safety-snapshot", help="Take no snapshot of the present data first.")
    ] = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Restore a service from a snapshot.

    Takes a safety snapshot of the present data first. The service is stopped during the restore.
    """
    with selected(context, environment, service, as_json) as selection:
        screen = selection.parts.screen
        with screen.working(f"asking the agent of {service}"):
            chosen, why = chosen_snapshot(selection, service, snapshot)
        if to is not None:
            with screen.working(f"writing snapshot {chosen.id[:SHORT]} into {to}"):
                selection.backups.export(selection.inventory, service, chosen, to)
            if as_json:
                screen.json({"exported": {"service": service, "snapshot": chosen.id, "place": str(to)}})
            else:
                screen.print(f"wrote snapshot {chosen.id[:SHORT]} of {service} into {to}")
            return ExitCode.DONE
        if not as_json:
            running = selection.inventory.services[service]
            for line in intent_lines(
                running, chosen, selection.clock.now(), safety_snapshot=not no_safety_snapshot, why=why
            ):
                screen.print(line)
        if not yes and not confirmed(selection, f"replace the present data of {service}?"):
            if as_json:
                screen.json({"restored": None})
            else:
                screen.print("nothing was restored")
            return ExitCode.WAITING
        restored = _restore(selection, service, chosen, safety_snapshot=not no_safety_snapshot)
        held = selection.inventory.services[service].held is not None
        if as_json:
            screen.json({"restored": restored})
        else:
            for line in restored_lines(restored):
                screen.print(line)
    code = ExitCode.DONE if _is_good(restored) else ExitCode.FAILED
    # The restored service has no container yet: an update creates it.
    return released(context, environment, (service,)) if held and code is ExitCode.DONE else code


def confirmed(selection: Selection, question: str) -> bool:
    """Ask a person.

    Raises:
        ConfigError: standard input is not a terminal.
    """
    answer = selection.parts.factories.ask(question)
    if answer is None:
        raise ConfigError(
            "cannot ask for confirmation: standard input is not a terminal", hint="confirm with --yes"
        )
    return answer


def _restore(selection: Selection, service: str, snapshot: Snapshot, *, safety_snapshot: bool) -> Restored:
    stack = selection.record.stack or selection.environment
    with selection.parts.store.lock(stack), selection.parts.screen.working(f"restoring {service}"):
        restored = selection.backups.restore(
            selection.inventory,
            service,
            snapshot,
            safety_snapshot=safety_snapshot,
            log=lambda line: selection.log(f"restore: {line}"),
        )
        declared = selection.inventory.services[service]
        probe = declared.probe
        if probe is None or declared.held is not None:
            return restored
        prober, clock = selection.parts.factories.prober(), selection.clock
        result = probe_until(service, probe, clock.now() + PROBE_FOR, prober, clock)
        word = "healthy" if result.healthy else "unhealthy"
        selection.log(f"probe: {service} {word}: {result.detail}")
        save_probe(selection.environment, None, result, selection.parts.store, clock)
        return restored.with_(healthy=result.healthy)


def _is_good(restored: Restored) -> bool:
    return restored.healthy is not False and not count_differences(restored.expected, restored.counts)


def drill(
    context: typer.Context, environment: Environment, service: MaybeService = None, as_json: AsJson = False
) -> ExitCode:
    """Restore the newest snapshot beside the service for proof.

    The running service is not touched, and everything that the drill makes is removed.
    """
    with selected(context, environment, service, as_json) as selection:
        screen = selection.parts.screen
        results = []

        def prove(name: str) -> None:
            at = selection.clock.now()
            every = newest_first(selection.backups.snapshots(selection.inventory, name))
            data = selection.backups.status(selection.inventory, name).data
            good = plausible_snapshots(every, at, data)
            if not good:
                raise BackupError(
                    "cannot run a drill: no snapshot was taken yet",
                    where=name,
                    hint=f"take one with ronron backup now {environment} {name}",
                )
            with screen.working(f"drill of {name}"):
                result = selection.backups.drill(
                    selection.inventory, name, good[0], lambda line: selection.log(f"drill: {line}")
                )
                selection.check(name)
            results.append(result)
            if not screen.as_json:
                for line in drill_lines(result):
                    screen.print(line)

        failed = selection.each(prove)
        if as_json:
            screen.json({"drills": results, "errors": failed})
        good = not failed and all(result.passed for result in results)
        return ExitCode.DONE if good else ExitCode.FAILED


def recover_(
    context: typer.Context,
    path: Annotated[
        Path, typer.Argument(metavar="PATH", exists=True, help="The bundle, or the directory that has it.")
    ],
    records_only: Annotated[
        bool, typer.Option("--records-only", help="Leave the Pulumi backend as it is: it was not lost.")
    ] = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Recover records and states from the reconciler's own backup.

    The state directory must be empty; docs/operations.md describes how to fetch the backup.
    """
    with tempfile.TemporaryDirectory(prefix="ronron-bundle-") as work:
        with wired(context, as_json) as parts:
            bundle = Bundle(path, Path(work))
            if bundle.manifest.repository != redact(parts.settings.repository):
                parts.screen.log("recover", f"the bundle was made with {bundle.manifest.repository}")
            parts.ports.source.refresh()
            with parts.screen.working("recovering"):
                done = recover(bundle, parts.ports, records_only=records_only)
            store, screen, debug = parts.settings.state / FILE, parts.screen, parts.settings.debug
        with errors(screen, debug):
            # Only now is the empty store not open any more.
            recover_store(bundle, store)
        if as_json:
            screen.json({"recovered": {"environments": list(bundle.manifest.environments), "states": done}})
        else:
            screen.print(
                f"recovered records of {', '.join(bundle.manifest.environments) or 'no environment'},"
                f" as they were on {bundle.manifest.made:%Y-%m-%d %H:%M %Z}"
            )
            for name in bundle.manifest.environments:
                screen.print(f"check with ronron preview {name}: it should create nothing")
        return ExitCode.DONE
