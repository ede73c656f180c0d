"""What a command about backups is about: an environment, its services, one of their snapshots."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from types import FrameType

import typer

from ronron.commands.screen_backups import error_facts
from ronron.commands.wiring import Opened, opened
from ronron.core.backups import SeenBackup, Snapshot
from ronron.core.conditions import believable
from ronron.core.errors import BackupError, ConfigError
from ronron.core.inventory import Inventory, read_inventory
from ronron.core.model import SHORT
from ronron.core.record import Record
from ronron.policy.notations import nearest, quoted
from ronron.ports import Backups, Clock
from ronron.watch.backup_checks import look_at, with_backup

SHORTEST_ID = 8
"""Characters of an id that a person has to write: of restic's own short ids."""


@dataclass(frozen=True)
class Asked:
    """One environment, and the services of it that a command is about.

    Args:
        parts: settings, records, screen.
        environment: its name.
        record: of it.
        inventory: from there.
        names: of the services with a backup that are meant, sorted.
    """

    parts: Opened
    environment: str
    record: Record
    inventory: Inventory
    names: tuple[str, ...]

    @cached_property
    def backups(self) -> Backups:
        """The agents."""
        return self.parts.factories.backups()

    @cached_property
    def clock(self) -> Clock:
        """What time it is."""
        return self.parts.factories.clock()

    def tell(self, line: str) -> None:
        """One line of progress."""
        self.parts.screen.tell(self.environment, line)

    def look(self, name: str) -> SeenBackup:
        """Ask an agent how its backups are, and save that."""
        seen = look_at(self.environment, self.inventory, name, self.backups, self.clock.now(), self.record)
        now = self.parts.store.load(self.environment)
        self.parts.store.see(self.environment, {**now.backups, name: seen}, now.kept)
        return seen

    def each(self, do: Callable[[str], None]) -> list[dict[str, str]]:
        """Do something with every service; one that fails does not stop the others, and is told."""
        failed = []
        for name in self.names:
            try:
                do(name)
            except BackupError as error:
                told = named(error, self.environment)
                failed.append(error_facts(name, told))
                if not self.parts.screen.as_json:
                    self.parts.screen.error(told)
        return failed


@contextmanager
def asked_of(context: typer.Context, environment: str, service: str | None, as_json: bool) -> Iterator[Asked]:
    """The environment and its services that have a backup, for the block.

    Args:
        context: of the command.
        environment: its name.
        service: one of it, or None for all that have a backup.
        as_json: facts are printed as JSON.

    Raises:
        ConfigError: there is no such environment or service, or nothing with a backup.
    """
    with opened(context, as_json) as parts:
        record = parts.store.load(parts.known(environment))
        inventory = read_inventory(record.inventory)
        if inventory is None:
            raise ConfigError(
                f"cannot find the services of {environment}: no pass has read them yet",
                hint=f"run ronron update {environment} first",
            )
        asked = Asked(parts, environment, record, inventory, _names(environment, inventory, service))
        try:
            with _ended_by_sigterm():
                yield asked
        except BackupError as error:
            raise named(error, environment) from error


def _names(environment: str, inventory: Inventory, service: str | None) -> tuple[str, ...]:
    having = tuple(with_backup(inventory))
    if service is not None and service not in inventory.services:
        near = nearest(service, inventory.services)
        some = f"use one of: {', '.join(sorted(inventory.services)) or 'none is declared'}"
        raise ConfigError(
            f"cannot find the service {quoted(service)} in {environment}",
            hint=f"use {near}" if near else some,
        )
    if not having or (service is not None and service not in having):
        raise ConfigError(
            f"cannot find backups of {service or environment}: none are declared",
            hint="declare ronron:backup with a repository in the stack file (docs/declaration.md), and no"
            f" `backup: false` at the service; then push it, and run ronron update {environment}",
        )
    return (service,) if service is not None else having


def named(error: BackupError, environment: str) -> BackupError:
    """The error with the environment's name in the commands of its hint."""
    error.hint = error.hint.replace(" ENV", f" {environment}")
    return error


def chosen_of(
    every: list[Snapshot], wanted: str | None, environment: str, service: str, at: datetime
) -> Snapshot:
    """The snapshot that a person means: by the beginning of its id, else the newest of the service at work.

    Args:
        every: the service's snapshots, the newest first.
        wanted: the beginning of an id, or None.
        environment: for the remedy.
        service: likewise.
        at: now.

    Raises:
        ConfigError: none is meant, or more than one.
    """
    known = ", ".join(one.id[:SHORT] for one in every[:5]) or "none"
    look = f"look at them with ronron backup list {environment} {service}"
    if not every:
        raise ConfigError(
            f"cannot find a snapshot of {service}: there is none yet",
            hint=f"take one with ronron backup now {environment} {service}",
        )
    if wanted is None:
        good = believable(every, at)
        if not good:
            raise ConfigError(
                f"cannot choose a snapshot of {service}: none was taken of it at a time that can be",
                hint=f"name one with --snapshot; {look}",
            )
        return good[0]
    found = [one for one in every if one.id.startswith(wanted)] if len(wanted) >= SHORTEST_ID else []
    if len(found) == 1:
        return found[0]
    if len(wanted) < SHORTEST_ID:
        why = f"an id needs {SHORTEST_ID} characters or more"
    else:
        why = f"{len(found)} begin so" if found else "there is none"
    raise ConfigError(
        f"cannot find the snapshot {quoted(wanted)} of {service}: {why}",
        hint=f"use one of: {known}; {look}",
    )


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the block as SIGINT does, so that whatever was made beside a service is removed."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
