"""The command `drift`: where containers differ from what the last update made."""

from __future__ import annotations

from datetime import datetime

import typer

from ronron.commands.arguments import AsJson, Environment
from ronron.commands.screen import Screen
from ronron.commands.wiring import wired
from ronron.core.drift_news import hint_for
from ronron.core.drift_record import DriftRecord
from ronron.core.errors import ConfigError
from ronron.core.policy import OnDrift
from ronron.core.status import ExitCode
from ronron.passes.machines import readable
from ronron.watch.drift_checks import look


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command()(drift)


def drift(context: typer.Context, environment: Environment, as_json: AsJson = False) -> ExitCode:
    """Show where containers differ from what the last update made.

    Asks Docker on every machine, and changes nothing. Exit code 1: something differs, or a machine is
    unreachable.
    """
    with wired(context, as_json) as parts:
        target = parts.target(environment)
        record = parts.ports.store.load(target.name)
        inventory = readable(record.inventory)
        if inventory is None:
            raise ConfigError(
                f"cannot look for drift in {target.name}: it has no inventory",
                hint=f"run ronron update {target.name}; a project without an inventory has no drift checks",
            )
        before = parts.ports.store.load_drift(target.name)
        with parts.screen.working(f"looking for drift in {target.name}"):
            found = look(target, parts.ports, record, before, inventory, whole=True)
        acts = target.policy.drift.on_drift is not OnDrift.REPORT and record.live is not None
        show_drift(parts.screen, found, puts_back=acts and record.suspended is None)
        return ExitCode.FAILED if found.open or found.unknown else ExitCode.DONE


def show_drift(screen: Screen, record: DriftRecord, *, puts_back: bool) -> None:
    """What differs: where, what it was, what it is, and since when."""
    if screen.as_json:
        screen.json(
            {
                "environment": record.environment,
                "containers": len(record.made),
                "drift": [
                    {
                        **one.model_dump(mode="json", include={"container", "machine", "service", "kind"}),
                        "was": one.was,
                        "is": one.now,
                        "differences": [
                            {"setting": each.setting, "text": str(each)} for each in one.differences
                        ],
                        "since": one.since.isoformat(),
                        "held": one.held,
                        "stalled": record.stalled.get(one.key, ""),
                    }
                    for one in record.open
                ],
                "unknown": dict(record.unknown),
            }
        )
        return
    for one in record.open:
        screen.print(f"drift: {one.key}, since {_local(one.since)}")
        screen.print(f"  was   {one.was}")
        screen.print(f"  is    {one.now}")
        for each in one.differences:
            screen.print(f"        {each}")
        if one.key in record.stalled:
            screen.print(f"  stalled  {record.stalled[one.key]}")
        hint = hint_for(one, record.environment, puts_back=puts_back and one.key not in record.stalled)
        if hint:
            screen.print(f"  hint  {hint}")
    for name, unknown in record.unknown.items():
        screen.print(f"unknown: {name} is unreachable since {_local(unknown.since)}: {unknown.why}")
    if not record.open and not record.unknown:
        screen.print(f"no drift: {len(record.made)} containers are as the last update made them")


def _local(at: datetime) -> str:
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
