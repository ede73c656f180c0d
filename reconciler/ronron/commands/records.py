"""The commands that read the local records and nothing else: `status`, `history`, `explain`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer

from ronron.commands.arguments import AsJson, Environment, MaybeEnvironment
from ronron.commands.screen import show_status
from ronron.commands.screen_history import show_explanation, show_history
from ronron.commands.wiring import opened
from ronron.core.model import Pass
from ronron.core.status import EnvironmentStatus, ExitCode, exit_code, status
from ronron.ports import Store


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command(name="status")(status_)
    app.command()(history)
    app.command()(explain)


def status_(
    context: typer.Context, environment: MaybeEnvironment = None, as_json: AsJson = False
) -> ExitCode:
    """Show what is live, healthy and waiting.

    Reads the local records only: health comes from the watcher and from passes, and is as old as it says.
    Exits with 1 where a service is unhealthy, or was not probed for three intervals.
    """
    with opened(context, as_json) as parts:
        store, now = parts.store, parts.factories.clock().now()
        names = [parts.known(environment)] if environment else list(store.environments())
        statuses = [_status(store, name, store.history(name), now) for name in names]
        show_status(parts.screen, statuses)
        return exit_code(statuses)


def history(
    context: typer.Context,
    environment: MaybeEnvironment = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Number of passes.")] = 20,
    as_json: AsJson = False,
) -> ExitCode:
    """List past passes, newest first."""
    with opened(context, as_json) as parts:
        show_history(parts.screen, parts.store.history(environment, limit), environment)
        return ExitCode.DONE


def explain(context: typer.Context, environment: Environment, as_json: AsJson = False) -> ExitCode:
    """Explain why an environment changed, or did not.

    Reads the local records only.
    """
    with opened(context, as_json) as parts:
        record = parts.store.load(parts.known(environment))
        passes = parts.store.history(environment, 3)
        decision = f"{record.decision.reason}: {record.decision.why}" if record.decision else ""
        found = _status(parts.store, environment, passes, parts.factories.clock().now())
        show_explanation(parts.screen, found, decision, passes)
        return exit_code([found])


def _status(store: Store, name: str, passes: Sequence[Pass], now: datetime) -> EnvironmentStatus:
    return status(store.load(name), passes, store.health(name), now, store.load_drift(name))
