"""The commands about backups: what they ask the agents, print, and end with.

They read the inventory from the records, so they work while the repository does not answer.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from ronron.adapters.sql_store.store import FILE
from ronron.commands.arguments import AsJson, end
from ronron.commands.screen_backups import (
    backup_lines,
    drill_lines,
    intent_lines,
    newest_first,
    restored_lines,
    snapshot_line,
)
from ronron.commands.selection import Asked, asked_of, chosen_of
from ronron.commands.wiring import errors, wired
from ronron.core.backups import Restored, SeenBackup, Snapshot
from ronron.core.conditions import believable
from ronron.core.errors import BackupError, ConfigError
from ronron.core.model import SHORT
from ronron.core.policy import Policy
from ronron.core.redact import redact
from ronron.core.status import ExitCode
from ronron.passes.attempt import probe_until
from ronron.watch.own_backup import Bundle, put_store, recover

PATIENCE = Policy.model_fields["probe_for"].default
"""How long a restored service may take until it answers, as after an update."""

Environment = Annotated[str, typer.Argument(metavar="ENV", help="Name of an environment.")]
Service = Annotated[str, typer.Argument(metavar="SERVICE", help="Name of one of its services.")]
MaybeService = Annotated[str | None, typer.Argument(metavar="SERVICE", help="One service; else all.")]

backup = typer.Typer(
    name="backup",
    result_callback=end,
    help="Take and look at the snapshots of services.",
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
    context: typer.Context, environment: Environment, service: MaybeService = None, as_json: AsJson = False
) -> ExitCode:
    """Take a snapshot now, and verify it."""
    with asked_of(context, environment, service, as_json) as asked:
        screen = asked.parts.screen
        current = asked.record.current
        taken: list[Snapshot] = []

        def take(name: str) -> None:
            asked.tell(f"taking a snapshot of {name}")
            with screen.working(f"taking a snapshot of {name}"):
                one = asked.backups.snapshot(
                    asked.inventory, name, "asked", current.commit if current is not None else None
                )
                asked.look(name)
            taken.append(one)
            if not screen.as_json:
                screen.print(snapshot_line(one, asked.clock.now()))

        failed = asked.each(take)
        if as_json:
            screen.json({"snapshots": taken, "errors": failed})
        return ExitCode.FAILED if failed else ExitCode.DONE


@backup.command(name="list")
def list_(
    context: typer.Context, environment: Environment, service: MaybeService = None, as_json: AsJson = False
) -> ExitCode:
    """Show the snapshots, the newest first."""
    with asked_of(context, environment, service, as_json) as asked:
        screen = asked.parts.screen
        found: list[Snapshot] = []

        def show(name: str) -> None:
            with screen.working(f"asking the agent of {name}"):
                some = newest_first(asked.backups.snapshots(asked.inventory, name))
            found.extend(some)
            if screen.as_json:
                return
            if not some:
                take = f"take one with ronron backup now {environment} {name}"
                screen.print(f"no snapshot of {name} yet; {take}")
            for one in some:
                screen.print(snapshot_line(one, asked.clock.now()))

        failed = asked.each(show)
        if as_json:
            screen.json({"snapshots": found, "errors": failed})
        return ExitCode.FAILED if failed else ExitCode.DONE


@backup.command(name="status")
def status_(
    context: typer.Context, environment: Environment, service: MaybeService = None, as_json: AsJson = False
) -> ExitCode:
    """Say what is wrong with the backups.

    Ends with 1 when anything is.
    """
    with asked_of(context, environment, service, as_json) as asked:
        screen = asked.parts.screen
        found: list[SeenBackup] = []
        for name in asked.names:
            with screen.working(f"asking the agent of {name}"):
                found.append(asked.look(name))
        if as_json:
            screen.json({"environment": environment, "services": found})
        else:
            for one in found:
                for line in backup_lines(one, asked.clock.now()):
                    screen.facts.print(line.removeprefix("  "))
        return ExitCode.FAILED if any(one.conditions for one in found) else ExitCode.DONE


# -- the way back ----------------------------------------------------------------------------------


def restore(
    context: typer.Context,
    environment: Environment,
    service: Service,
    snapshot: Annotated[
        str | None, typer.Option(metavar="ID", help="Its first 8 characters or more; else the newest.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option(metavar="PLACE", help="Only write what is in it to this new directory.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    without_keeping: Annotated[
        bool, typer.Option("--without-keeping", help="Take no snapshot of what is there now.")
    ] = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Put a snapshot in the place of what a service has now.

    What is there becomes a snapshot first, and the service is stopped meanwhile.
    """
    with asked_of(context, environment, service, as_json) as asked:
        screen = asked.parts.screen
        with screen.working(f"asking the agent of {service}"):
            every = newest_first(asked.backups.snapshots(asked.inventory, service))
        chosen = chosen_of(every, snapshot, environment, service, asked.clock.now())
        if to is not None:
            with screen.working(f"writing snapshot {chosen.id[:SHORT]} into {to}"):
                asked.backups.export(asked.inventory, service, chosen, to)
            if as_json:
                screen.json({"exported": {"service": service, "snapshot": chosen.id, "place": str(to)}})
            else:
                screen.print(f"wrote snapshot {chosen.id[:SHORT]} of {service} into {to}")
            return ExitCode.DONE
        if not as_json:
            running = asked.inventory.services[service]
            for line in intent_lines(running, chosen, asked.clock.now(), keep=not without_keeping):
                screen.print(line)
        if not yes and not _agreed(asked, service):
            if as_json:
                screen.json({"restored": None})
            else:
                screen.print("nothing was done")
            return ExitCode.HELD
        restored = _restore(asked, service, chosen, keep=not without_keeping)
        if as_json:
            screen.json({"restored": restored})
        else:
            for line in restored_lines(restored):
                screen.print(line)
        return ExitCode.DONE if _is_good(restored) else ExitCode.FAILED


def _agreed(asked: Asked, service: str) -> bool:
    answer = asked.parts.factories.ask(f"put this in the place of what {service} has now?")
    if answer is None:
        raise ConfigError(
            "cannot ask whether to restore: no terminal is here", hint="say so beforehand, with --yes"
        )
    return answer


def _restore(asked: Asked, service: str, snapshot: Snapshot, *, keep: bool) -> Restored:
    stack = asked.record.stack or asked.environment
    with asked.parts.store.hold(stack), asked.parts.screen.working(f"restoring {service}"):
        restored = asked.backups.restore(
            asked.inventory, service, snapshot, keep=keep, told=lambda line: asked.tell(f"restore: {line}")
        )
        probe = asked.inventory.services[service].probe
        if probe is None:
            return restored
        prober, clock = asked.parts.factories.prober(), asked.clock
        result = probe_until(service, probe, clock.now() + PATIENCE, prober, clock)
        word = "healthy" if result.healthy else "unhealthy"
        asked.tell(f"probe: {service} {word}: {result.detail}")
        return restored.with_(healthy=result.healthy)


def _is_good(restored: Restored) -> bool:
    promised = restored.promised
    return restored.healthy is not False and all(restored.counts.get(k) == v for k, v in promised.items())


def drill(
    context: typer.Context, environment: Environment, service: MaybeService = None, as_json: AsJson = False
) -> ExitCode:
    """Prove that the newest snapshot can be restored.

    Beside the running service, which stays as it is; everything is removed afterwards.
    """
    with asked_of(context, environment, service, as_json) as asked:
        screen = asked.parts.screen
        results = []

        def prove(name: str) -> None:
            at = asked.clock.now()
            every = newest_first(asked.backups.snapshots(asked.inventory, name))
            good = believable(every, at)
            if not good:
                raise BackupError(
                    "cannot make a drill: there is no snapshot yet",
                    where=name,
                    hint=f"take one with ronron backup now {environment} {name}",
                )
            with screen.working(f"drill of {name}"):
                result = asked.backups.drill(
                    asked.inventory, name, good[0], lambda line: asked.tell(f"drill: {line}")
                )
                asked.look(name)
            results.append(result)
            if not screen.as_json:
                for line in drill_lines(result):
                    screen.print(line)

        failed = asked.each(prove)
        if as_json:
            screen.json({"drills": results, "errors": failed})
        good = not failed and all(result.passed for result in results)
        return ExitCode.DONE if good else ExitCode.FAILED


def recover_(
    context: typer.Context,
    place: Annotated[
        Path, typer.Argument(metavar="PLACE", exists=True, help="The bundle, or the directory it lies in.")
    ],
    records_only: Annotated[
        bool, typer.Option("--records-only", help="The Pulumi backend was not lost: leave it as it is.")
    ] = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Bring back records and states from the reconciler's own backup.

    Into an empty state directory; docs/operations.md says how to fetch it.
    """
    with tempfile.TemporaryDirectory(prefix="ronron-bundle-") as work:
        with wired(context, as_json) as parts:
            bundle = Bundle(place, Path(work))
            if bundle.manifest.repository != redact(parts.settings.repository):
                parts.screen.tell("recover", f"the bundle was made with {bundle.manifest.repository}")
            parts.ports.source.refresh()
            with parts.screen.working("recovering"):
                done = recover(bundle, parts.ports, records_only=records_only)
            store, screen, debug = parts.settings.state / FILE, parts.screen, parts.settings.debug
        with errors(screen, debug):
            # Only now has nobody the empty store open.
            put_store(bundle, store)
        if as_json:
            screen.json({"recovered": {"environments": list(bundle.manifest.environments), "states": done}})
        else:
            screen.print(
                f"recovered records of {', '.join(bundle.manifest.environments) or 'no environment'},"
                f" as they were on {bundle.manifest.made:%Y-%m-%d %H:%M %Z}"
            )
            screen.print("look with ronron status, then with ronron preview ENV: it should create nothing")
        return ExitCode.DONE
