"""Services that an update held back because their data were lost, and how a person releases them."""

from __future__ import annotations

import getpass
from collections.abc import Sequence

import typer

from ronron.commands.wiring import Wired, wired
from ronron.core.errors import AgentUnreachableError, ConfigError
from ronron.core.inventory import read_inventory
from ronron.core.model import Pass
from ronron.core.outcomes import release_hint
from ronron.core.status import ExitCode, exit_code_of
from ronron.passes.reconcile import reconcile
from ronron.policy.notations import nearest, quoted


def recreated_hint(environment: str, service: str) -> str:
    """What a person can do about data that were recreated."""
    return release_hint(environment, (service,))


def released(context: typer.Context, environment: str, services: tuple[str, ...]) -> ExitCode:
    """Run the pass that creates the containers of services that were restored or accepted."""
    with wired(context, False) as parts:
        made = run_pass(parts, environment)
        if made.outcome is not None and not set(services) & set(made.outcome.held):
            # That other services are still held back is no failure of this command.
            made = made.with_(outcome=made.outcome.with_(held=()))
        return exit_code_of(made.outcome, made.decision.reason)


def run_pass(parts: Wired, environment: str) -> Pass:
    """One pass over an environment, now."""
    target = parts.target(environment)
    parts.ports.store.ask(environment, getpass.getuser(), parts.ports.clock.now())
    with parts.screen.working(f"updating {environment}"):
        return reconcile(target, parts.ports)


def accept_empty(parts: Wired, environment: str, services: Sequence[str]) -> None:
    """Tell the agents that the present data of these services are right.

    Where an agent does not exist yet, the program tells it during the update.

    Raises:
        ConfigError: the environment has no such service, or it has no backup.
        BackupError: an agent refused.
    """
    inventory = read_inventory(parts.ports.store.load(environment).inventory)
    if inventory is None:
        return
    for name in services:
        declared = inventory.services.get(name)
        if declared is None or declared.backup is None:
            near = nearest(name, inventory.services)
            why = "it has no backup" if declared is not None else "there is no such service"
            raise ConfigError(
                f"cannot accept the data of {quoted(name)} in {environment}: {why}",
                hint=f"use {near}" if near and near != name else f"see ronron backup status {environment}",
            )
        try:
            parts.ports.backups.accept_data(inventory, name)
        except AgentUnreachableError:
            continue
        parts.screen.log(environment, f"the present data of {name} are accepted, even where they are empty")
