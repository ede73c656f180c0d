"""The command that removes the records of an environment: `forget`."""

from __future__ import annotations

import typer

from ronron.commands.arguments import Environment
from ronron.commands.wiring import wired
from ronron.core.errors import ConfigError
from ronron.core.status import ExitCode
from ronron.policy.notations import nearest, quoted


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command()(forget)


def forget(context: typer.Context, environment: Environment) -> ExitCode:
    """Forget an environment that was removed from the policy.

    Removes record, history and approvals here. Its stack, machines, services and snapshots stay as they are.
    """
    with wired(context, as_json=False) as parts:
        store = parts.ports.store
        names = store.environments()
        if environment not in names:
            near = nearest(environment, names)
            raise ConfigError(
                f"cannot find a record of the environment {quoted(environment)}",
                hint=f"use {near}" if near else "see what there is with ronron status",
            )
        parts.ports.source.refresh()
        if environment in parts.targets():
            raise ConfigError(
                f"cannot forget {environment}: it is in the policy",
                where=parts.settings.policy_file,
                hint=f"remove {environment} there first, and push",
            )
        with store.lock(store.load(environment).stack or environment):
            store.forget(environment)
        parts.screen.print(f"forgot the records of {environment}; its stack stays as it is")
        return ExitCode.DONE
