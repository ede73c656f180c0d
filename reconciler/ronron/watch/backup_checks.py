"""Maintenance of an environment's backups between passes: checks, drills, and the reconciler's own backup.

None of it locks a stack: agents go on during a pass, and a pass never waits for them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from ronron.core.backups import BackupSummary, Condition, ConditionKind, DrillResult, OwnBackup
from ronron.core.conditions import drill_due, summary, summary_without_answer, valid_snapshots
from ronron.core.errors import BackupError
from ronron.core.hints import for_environment
from ronron.core.inventory import Backup, Inventory, read_inventory
from ronron.core.model import SHORT
from ronron.core.record import Record
from ronron.passes.reconcile import Ports, Target
from ronron.passes.target import is_locked
from ronron.ports import Backups
from ronron.watch.own_backup import write_bundle

OWN_BACKUP_EVERY = timedelta(days=1)
"""The age at which our own backup is repeated when no pass updates anything."""


def backups_by_service(inventory: Inventory | None) -> Mapping[str, Backup]:
    """The backups of an inventory by the name of their service, sorted."""
    services = inventory.services if inventory is not None else {}
    return {name: one.backup for name, one in sorted(services.items()) if one.backup is not None}


def check_service_backup(
    environment: str, inventory: Inventory, service: str, backups: Backups, now: datetime, record: Record
) -> BackupSummary:
    """Ask the agent of one service and return what is wrong; an agent that does not answer is a condition."""
    try:
        return summary(backups.status(inventory, service), now, environment)
    except BackupError as error:
        error.hint = for_environment(error.hint, environment)
        return summary_without_answer(service, error, now, record.backups.get(service))


def check_backups(environment: str, ports: Ports, now: datetime) -> Mapping[str, BackupSummary]:
    """Check the backups of all services of an environment, record the result, and log what has changed.

    Raises:
        ConfigError: its inventory cannot be read. StoreError: the record cannot be read or written.
    """
    record = ports.store.load(environment)
    inventory = read_inventory(record.inventory)
    found = {
        name: check_service_backup(environment, inventory, name, ports.backups, now, record)
        for name in backups_by_service(inventory)
        if inventory is not None
    }
    if found or record.backups:
        ports.store.save_backups(environment, found, ports.store.load(environment).kept)
    for line in changes(record.backups, found):
        ports.progress.log(environment, line)
    return found


def changes(before: Mapping[str, BackupSummary], after: Mapping[str, BackupSummary]) -> tuple[str, ...]:
    """The lines about two checks: conditions that are new, and those from which a service has recovered.

    While an agent is unreachable nobody knows whether the service has recovered, so no line says so.
    """
    lines: list[str] = []
    for name, one in sorted(after.items()):
        old = {condition.kind for condition in before[name].conditions} if name in before else set()
        new = {condition.kind for condition in one.conditions}
        for condition in one.conditions:
            if condition.kind not in old:
                lines += [_line(condition), f"hint: {condition.hint}"]
        if ConditionKind.AGENT_UNREACHABLE not in new:
            lines += [f"{name} recovered from: {kind}" for kind in sorted(old - new)]
    return tuple(lines)


def run_due_drill(target: Target, ports: Ports, stopping: Callable[[], bool]) -> DrillResult | None:
    """Run a drill that is due, one at most; None if none is due, or a pass has locked the stack.

    Raises:
        ConfigError, StoreError: as `check_backups`.
    """
    record = ports.store.load(target.name)
    inventory = read_inventory(record.inventory)
    if inventory is None:
        return None
    for name in backups_by_service(inventory):
        if inventory.services[name].held is not None:
            # It has no container that a drill could be made like.
            continue
        if stopping() or is_locked(target, ports):
            return None
        try:
            status = ports.backups.status(inventory, name)
        except BackupError:
            # `check_backups` has logged it.
            continue
        now = ports.clock.now()
        if not drill_due(status, now):
            continue
        newest = valid_snapshots(status, now)[0]
        ports.progress.log(target.name, f"drill: restoring {newest.id[:SHORT]} of {name} beside it")
        try:
            result = ports.backups.drill(
                inventory, name, newest, lambda line: ports.progress.log(target.name, f"drill: {line}")
            )
        except BackupError as error:
            ports.progress.log(target.name, f"drill: cannot run the drill of {name}: {error}")
            continue
        word = "passed" if result.passed else "failed"
        ports.progress.log(target.name, f"drill: {name} {word}: {result.detail}")
        return result
    return None


def back_up_own_state(
    target: Target, targets: Mapping[str, Target], ports: Ports, repository: str, *, updated: bool
) -> OwnBackup | None:
    """Store our own records and all states beside the snapshots of the first service that has an agent.

    Args:
        target: the environment of that service.
        targets: every environment: the bundle has the states of all of them.
        ports: everything outside.
        repository: the source's address without credentials.
        updated: a pass has just updated the environment; otherwise a backup is made daily.

    Returns:
        The backup; None if none was due, or there is no agent.

    Raises:
        ReconcilerError: the bundle cannot be made, or the agent cannot store it.
    """
    record = ports.store.load(target.name)
    inventory = read_inventory(record.inventory)
    services = list(backups_by_service(inventory))
    now = ports.clock.now()
    fresh = record.kept is not None and now - record.kept.at < OWN_BACKUP_EVERY
    if inventory is None or not services or (fresh and not updated):
        return None
    ports.work.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ports.work, prefix="own-") as work:
        bundle = write_bundle(targets, ports, repository, Path(work))
        stored = ports.backups.back_up_bundle(inventory, services[0], bundle)
    own = OwnBackup(service=services[0], id=stored, at=now)
    ports.store.save_backups(target.name, ports.store.load(target.name).backups, own)
    return own


def _line(condition: Condition) -> str:
    return f"{condition.kind}: {condition.service}: {condition.message}"
