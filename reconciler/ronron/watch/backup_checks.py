"""Looks after the backups of an environment between passes: what is wrong, drills, and our own copy.

None of it holds a stack: agents go on when a pass runs, and a pass never waits for them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from ronron.core.backups import Condition, DrillResult, KeptBundle, SeenBackup
from ronron.core.conditions import drill_due, seen, sound, unseen
from ronron.core.errors import BackupError, StackLockedError
from ronron.core.inventory import Backup, Inventory, read_inventory
from ronron.core.model import SHORT
from ronron.core.record import Record
from ronron.passes.reconcile import Ports, Target
from ronron.ports import Backups
from ronron.watch.own_backup import write_bundle

KEEP_EVERY = timedelta(days=1)
"""How old our own copy becomes where no pass updates anything."""


def with_backup(inventory: Inventory | None) -> Mapping[str, Backup]:
    """The services of an inventory that have an agent, by name, sorted."""
    services = inventory.services if inventory is not None else {}
    return {name: one.backup for name, one in sorted(services.items()) if one.backup is not None}


def look_at(
    environment: str, inventory: Inventory, service: str, backups: Backups, now: datetime, record: Record
) -> SeenBackup:
    """Ask the agent of one service, and say what is wrong; one that does not answer is what is wrong."""
    backup = with_backup(inventory)[service]
    try:
        return seen(backups.status(inventory, service), now, environment, backup.container)
    except BackupError as error:
        return unseen(service, error, now, record.backups.get(service))


def look_after(environment: str, ports: Ports, now: datetime) -> Mapping[str, SeenBackup]:
    """Look at the backups of every service of an environment, save it, and tell what is new and what is over.

    Raises:
        ConfigError: its inventory cannot be read. StoreError: the record cannot.
    """
    record = ports.store.load(environment)
    inventory = read_inventory(record.inventory)
    found = {
        name: look_at(environment, inventory, name, ports.backups, now, record)
        for name in with_backup(inventory)
        if inventory is not None
    }
    if found or record.backups:
        ports.store.save_backups(environment, found, ports.store.load(environment).kept)
    for line in news(record.backups, found):
        ports.progress.log(environment, line)
    return found


def news(before: Mapping[str, SeenBackup], after: Mapping[str, SeenBackup]) -> tuple[str, ...]:
    """What a person is told of two looks: conditions that have appeared, and those that are over."""
    lines: list[str] = []
    for name, one in sorted(after.items()):
        old = {condition.kind for condition in before[name].conditions} if name in before else set()
        new = {condition.kind for condition in one.conditions}
        for condition in one.conditions:
            if condition.kind not in old:
                lines += [_line(condition), f"what to do: {condition.hint}"]
        lines += [f"that is over: {kind} of {name}" for kind in sorted(old - new)]
    return tuple(lines)


def make_drill(target: Target, ports: Ports, stopping: Callable[[], bool]) -> DrillResult | None:
    """Make the drill that is due, one at most; None where none is, or while a pass holds the stack.

    Raises:
        ConfigError, StoreError: as `look_after`.
    """
    record = ports.store.load(target.name)
    inventory = read_inventory(record.inventory)
    if inventory is None:
        return None
    for name in with_backup(inventory):
        if stopping() or _is_held(target, ports):
            return None
        try:
            status = ports.backups.status(inventory, name)
        except BackupError:
            # `look_after` has said so.
            continue
        now = ports.clock.now()
        if not drill_due(status, now):
            continue
        newest = sound(status, now)[0]
        ports.progress.log(target.name, f"drill: restoring {newest.id[:SHORT]} of {name} beside it")
        try:
            result = ports.backups.drill(
                inventory, name, newest, lambda line: ports.progress.log(target.name, f"drill: {line}")
            )
        except BackupError as error:
            ports.progress.log(target.name, f"drill: cannot make the one of {name}: {error}")
            continue
        word = "passed" if result.passed else "failed"
        ports.progress.log(target.name, f"drill: {name} {word}: {result.detail}")
        return result
    return None


def keep_ourselves(
    target: Target, targets: Mapping[str, Target], ports: Ports, repository: str, *, updated: bool
) -> KeptBundle | None:
    """Put our own store and all states beside the snapshots of the first service that has an agent.

    Args:
        target: the environment beside whose service it is put.
        targets: every environment: the states of all of them go into it.
        ports: everything outside.
        repository: the source's address without credentials.
        updated: a pass has just updated the environment; else it is made daily.

    Returns:
        What was kept; None where it was not due, or there is no agent.

    Raises:
        ReconcilerError: it cannot be made, or the agent does not take it.
    """
    record = ports.store.load(target.name)
    inventory = read_inventory(record.inventory)
    services = list(with_backup(inventory))
    now = ports.clock.now()
    fresh = record.kept is not None and now - record.kept.at < KEEP_EVERY
    if inventory is None or not services or (fresh and not updated):
        return None
    ports.work.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ports.work, prefix="own-") as work:
        bundle = write_bundle(targets, ports, repository, Path(work))
        kept = KeptBundle(service=services[0], id=ports.backups.keep(inventory, services[0], bundle), at=now)
    ports.store.save_backups(target.name, ports.store.load(target.name).backups, kept)
    return kept


def _line(condition: Condition) -> str:
    return f"{condition.kind}: {condition.service}: {condition.message}"


def _is_held(target: Target, ports: Ports) -> bool:
    try:
        with ports.store.lock(target.policy.stack):
            return False
    except StackLockedError:
        return True
