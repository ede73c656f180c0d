"""The commands by which a person lets updates through or stops them: `approve`, `suspend`, `resume`."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from ronron.commands.arguments import Environment
from ronron.commands.wiring import wired
from ronron.core.drift_record import WaitingRepair
from ronron.core.errors import ConfigError
from ronron.core.model import SHORT
from ronron.core.record import Suspension, WaitingPlan
from ronron.core.status import ExitCode

SHORTEST_ID = 8
"""Characters of a plan's ID that a person has to type."""


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (approve, suspend, resume):
        app.command()(command)


def approve(
    context: typer.Context,
    environment: Environment,
    plan: Annotated[
        str,
        typer.Argument(metavar="ID", help=f"ID of the plan in `status`, {SHORTEST_ID} characters or more."),
    ],
) -> ExitCode:
    """Approve the plan that is waiting.

    The next pass applies the plan, provided that a new preview gives the same one.
    """
    with wired(context, as_json=False) as parts:
        store = parts.ports.store
        waiting: WaitingPlan | WaitingRepair | None = store.load(environment).waiting
        repair = store.load_drift(environment).waiting
        if repair is not None and (waiting is None or repair.identity.startswith(plan)):
            waiting = repair
        if waiting is None or waiting.forbidden:
            what = "is forbidden and needs another revision" if waiting else "has no plan to approve"
            raise ConfigError(f"{environment} {what}", hint=f"run ronron explain {environment}")
        if len(plan) < SHORTEST_ID or not waiting.identity.startswith(plan):
            raise ConfigError(
                f"{environment} waits for approval of another plan: {waiting.identity[:SHORT]}",
                hint=f"run ronron preview {environment}, then approve the plan that it shows",
            )
        store.approve(environment, waiting.identity, getpass.getuser(), parts.ports.clock.now())
        parts.screen.print(f"approved: plan {waiting.identity[:SHORT]}; the next pass applies it")
        return ExitCode.DONE


def suspend(
    context: typer.Context,
    environment: Environment,
    why: Annotated[str, typer.Option(help="Reason, shown by `status`.")] = "",
) -> ExitCode:
    """Suspend an environment until it is resumed."""
    with wired(context, as_json=False) as parts:
        name = parts.target(environment).name
        with parts.ports.store.lock(parts.target(environment).policy.stack):
            suspension = Suspension(by=getpass.getuser(), at=parts.ports.clock.now(), why=why)
            parts.ports.store.save(parts.ports.store.load(name).with_(suspended=suspension))
        parts.screen.print(f"suspended: {name}; resume it with ronron resume {name}")
        return ExitCode.DONE


def resume(context: typer.Context, environment: Environment) -> ExitCode:
    """Resume after a suspension, a stall or failures."""
    with wired(context, as_json=False) as parts:
        target = parts.target(environment)
        with parts.ports.store.lock(target.policy.stack):
            store = parts.ports.store
            store.save(store.load(target.name).resumed())
            # A look of the watcher may come in between.
            while not store.save_drift(store.load_drift(target.name).resumed()):
                pass
        parts.screen.print(f"resumed: {target.name}; the next pass may update it")
        return ExitCode.DONE
