"""Selects what a command about backups works on: an environment, its services, one of their snapshots."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from types import FrameType

import typer

from ronron.commands.screen_backups import error_facts, newest_first
from ronron.commands.wiring import Opened, opened
from ronron.core.backups import BackupSummary, DataState, Snapshot
from ronron.core.conditions import recreated_text
from ronron.core.errors import BackupError, ConfigError
from ronron.core.hints import for_environment
from ronron.core.inventory import Inventory, read_inventory
from ronron.core.model import SHORT
from ronron.core.record import Record
from ronron.core.restores import named_commands
from ronron.core.snapshot_choice import SAFETY, losses, plausible_snapshots
from ronron.policy.notations import nearest, quoted
from ronron.ports import Backups, Clock
from ronron.watch.backup_checks import backups_by_service, check_service_backup

SHORTEST_ID = 8
"""Characters of an id that a person must give: the length of restic's own short ids."""


@dataclass(frozen=True)
class Selection:
    """One environment, and those of its services that a command works on.

    Args:
        parts: settings, records, screen.
        environment: its name.
        record: the environment's.
        inventory: from the record.
        names: of the selected services, which all have a backup, sorted.
    """

    parts: Opened
    environment: str
    record: Record
    inventory: Inventory
    names: tuple[str, ...]

    @cached_property
    def backups(self) -> Backups:
        """The port of the backup agents."""
        return self.parts.factories.backups()

    @cached_property
    def clock(self) -> Clock:
        """The port that reads the time."""
        return self.parts.factories.clock()

    def log(self, line: str) -> None:
        """Show one line of progress."""
        self.parts.screen.log(self.environment, line)

    def check(self, name: str) -> BackupSummary:
        """Check the backups of a service, and record the result."""
        found = check_service_backup(
            self.environment, self.inventory, name, self.backups, self.clock.now(), self.record
        )
        record = self.parts.store.load(self.environment)
        self.parts.store.save_backups(self.environment, {**record.backups, name: found}, record.kept)
        return found

    def each(self, do: Callable[[str], None]) -> list[dict[str, str]]:
        """Call `do` with the name of every service; show errors, and go on with the next service.

        Returns:
            The errors, as `error_facts` has them.
        """
        failed = []
        for name in self.names:
            try:
                do(name)
            except BackupError as error:
                named = with_environment(error, self.environment, name)
                failed.append(error_facts(name, named))
                if not self.parts.screen.as_json:
                    self.parts.screen.error(named)
        return failed


@contextmanager
def selected(
    context: typer.Context, environment: str, service: str | None, as_json: bool
) -> Iterator[Selection]:
    """The environment and those of its services that have a backup, for the block.

    Args:
        context: of the command.
        environment: its name.
        service: name of one of its services, or None for all that have a backup.
        as_json: print facts as JSON.

    Raises:
        ConfigError: there is no such environment or service, or no service has a backup.
    """
    with opened(context, as_json) as parts:
        record = parts.store.load(parts.known(environment))
        inventory = read_inventory(record.inventory)
        if inventory is None:
            raise ConfigError(
                f"cannot find the services of {environment}: no pass has recorded them yet",
                hint=f"run ronron update {environment} first",
            )
        names = _names(environment, inventory, service)
        try:
            with _sigterm_as_interrupt():
                yield Selection(parts, environment, record, inventory, names)
        except BackupError as error:
            raise with_environment(error, environment, service or error.where) from error


def _names(environment: str, inventory: Inventory, service: str | None) -> tuple[str, ...]:
    names = tuple(backups_by_service(inventory))
    if service is not None and service not in inventory.services:
        near = nearest(service, inventory.services)
        some = f"use one of: {', '.join(sorted(inventory.services)) or 'none is declared'}"
        raise ConfigError(
            f"cannot find the service {quoted(service)} in {environment}",
            hint=f"use {near}" if near else some,
        )
    if not names or (service is not None and service not in names):
        raise ConfigError(
            f"cannot find backups of {service or environment}: none are declared",
            hint="declare ronron:backup with a repository in the stack file (docs/declaration.md), and no"
            f" `backup: false` at the service; then push it, and run ronron update {environment}",
        )
    return (service,) if service is not None else names


def with_environment(error: BackupError, environment: str, service: str) -> BackupError:
    """The error with the names of environment and service in the commands of its hint."""
    error.hint = named_commands(for_environment(error.hint, environment), environment, service)
    return error


def newest_snapshot(
    every: list[Snapshot], environment: str, service: str, at: datetime, data: DataState | None
) -> Snapshot:
    """The newest plausible snapshot, unless it has much less than those before it.

    Args:
        every: the service's snapshots, the newest first.
        environment: its name, for the hint.
        service: its name, for the hint.
        at: now.
        data: what the agent says of the service's data.

    Raises:
        ConfigError: there is none, or a person has to choose.
    """
    show = f"list them with ronron backup list {environment} {service}"
    if not every:
        raise ConfigError(
            f"cannot find a snapshot of {service}: none was taken yet",
            hint=f"take one with ronron backup now {environment} {service}",
        )
    good = plausible_snapshots(every, at, data)
    if not good:
        raise ConfigError(
            f"cannot choose a snapshot of {service}: all are safety snapshots, of the future,"
            " or of volumes that were recreated",
            hint=f"choose one with --snapshot; {show}",
        )
    lost = losses(good[0], good[1:])
    if lost:
        fuller = next((n for n, one in enumerate(good) if n and not losses(one, good[n + 1 :])), 0)
        raise ConfigError(
            f"cannot choose a snapshot of {service}: the newest, {good[0].id[:SHORT]}, has {', '.join(lost)}",
            hint=f"name the one to restore: --snapshot {good[fuller].id[:SHORT]} has more,"
            f" --snapshot {good[0].id[:SHORT]} is the newest; {show}",
        )
    return good[0]


def named_snapshot(every: list[Snapshot], wanted: str, environment: str, service: str) -> Snapshot:
    """The snapshot whose id begins with `wanted`.

    Args:
        every: the service's snapshots, the newest first.
        wanted: the beginning of an id.
        environment: its name, for the hint.
        service: its name, for the hint.

    Raises:
        ConfigError: no snapshot matches, or more than one.
    """
    known = ", ".join(one.id[:SHORT] for one in every[:5]) or "none"
    show = f"list them with ronron backup list {environment} {service}"
    if not every:
        raise ConfigError(
            f"cannot find a snapshot of {service}: none was taken yet",
            hint=f"take one with ronron backup now {environment} {service}",
        )
    found = [one for one in every if one.id.startswith(wanted)] if len(wanted) >= SHORTEST_ID else []
    if len(found) == 1:
        return found[0]
    if len(wanted) < SHORTEST_ID:
        why = f"an id needs {SHORTEST_ID} characters or more"
    else:
        why = f"{len(found)} ids begin with it" if found else "no id begins with it"
    raise ConfigError(
        f"cannot find the snapshot {quoted(wanted)} of {service}: {why}",
        hint=f"use one of: {known}; {show}",
    )


def chosen_snapshot(selection: Selection, service: str, wanted: str | None) -> tuple[Snapshot, str]:
    """The snapshot that a person named, or the newest plausible one; and why that one, if nobody named it.

    Raises:
        ConfigError: there is none, or a person has to choose.
    """
    backups, inventory = selection.backups, selection.inventory
    every = newest_first(backups.snapshots(inventory, service))
    if wanted is not None:
        return named_snapshot(every, wanted, selection.environment, service), ""
    data = backups.status(inventory, service).data
    chosen = newest_snapshot(every, selection.environment, service, selection.clock.now(), data)
    return chosen, reason_text(every, chosen, data)


def reason_text(every: list[Snapshot], chosen: Snapshot, data: DataState | None) -> str:
    """Why that snapshot is the one that is restored when nobody named one."""
    newer = [one for one in every if one.taken > chosen.taken]
    if data is not None and data.waits:
        why = f"the newest of the data before {recreated_text(data)}"
    else:
        why = "the newest of the present data"
    kinds = {
        "safety snapshots": any(one.reason == SAFETY for one in newer),
        "snapshots of volumes that were recreated": any(
            one.recreated or one.lineage != chosen.lineage for one in newer if one.reason != SAFETY
        ),
    }
    skipped = " and ".join(kind for kind, found in kinds.items() if found)
    return f"{why}; newer {skipped} are not chosen unnamed" if skipped else why


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Handle SIGTERM as SIGINT, so that clones are removed."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
