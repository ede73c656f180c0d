"""Which snapshots were taken before an update: asked from the agents once it is over."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from ronron.core.backups import Snapshot
from ronron.core.errors import BackupError
from ronron.core.inventory import touched
from ronron.core.model import SHORT, Change, Revision, TakenSnapshot
from ronron.core.record import Record
from ronron.passes.machines import readable
from ronron.passes.target import Ports
from ronron.ports import Backups, Progress

UPDATE = "update"
"""The reason that the program's hook gives."""
RESTORE = "restore"
"""The reason of a safety snapshot."""


def touched_with_backup(changes: Iterable[Change], document: object | None) -> frozenset[str]:
    """Names of the services that an update may have disturbed and that have an agent.

    Args:
        changes: that are going to be carried out.
        document: the stack output `inventory` as it was before; one that cannot be read names none.
    """
    inventory = readable(document)
    if inventory is None:
        return frozenset()
    return frozenset(
        name for name in touched(changes, inventory) if inventory.services[name].backup is not None
    )


def taken_before(
    environment: str,
    services: Iterable[str],
    document: object | None,
    since: datetime,
    backups: Backups,
    progress: Progress,
) -> tuple[TakenSnapshot, ...]:
    """The snapshots that were taken because of updates, by service, the oldest first.

    An update and the way back from it take one each.

    An unreachable agent is logged and no failure: that very update may have replaced it, and the update would
    not have been made without its snapshot.

    Args:
        environment: its name.
        services: that were touched.
        document: the stack output `inventory` as it is now.
        since: when the pass began.
        backups: the agents.
        progress: gets a line for each.
    """
    inventory = readable(document)
    known = inventory.services if inventory is not None else {}
    taken = []
    # The agents' times may be in whole seconds.
    begun = since.replace(microsecond=0)
    for name in sorted(services):
        if inventory is None or name not in known or known[name].backup is None:
            continue
        try:
            found = backups.snapshots(inventory, name)
        except BackupError as error:
            progress.log(environment, f"snapshot: cannot ask the agent of {name}: {error.message}")
            continue
        own = [one for one in found if one.reason == UPDATE and one.taken >= begun]
        for one in sorted(own, key=lambda one: one.taken):
            progress.log(environment, f"snapshot: {one.id[:SHORT]} of {name} was taken before the update")
            taken.append(TakenSnapshot(service=name, id=one.id))
    return tuple(taken)


def before_failure(found: Iterable[Snapshot], since: datetime, failed: str | None) -> Snapshot | None:
    """The snapshot of a service from before the update that failed first; None where there is none.

    Args:
        found: every snapshot of the service.
        since: when the known state was taken: the last moment at which everything was healthy.
        failed: the commit that failed, where it is known: its own data are no way back.
    """
    begun = since.replace(microsecond=0)
    own = (one for one in found if one.reason == UPDATE and one.taken >= begun)
    return min((one for one in own if failed is None or one.revision != failed), key=_taken, default=None)


def going_back(
    ports: Ports, environment: str, record: Record, digest: str, failing: Revision | None
) -> tuple[str, ...]:
    """Services that go back with a revision, and of which there is a snapshot from before the failed update.

    Args:
        ports: the agents are asked; one that gives no answer has no snapshot.
        environment: its name.
        record: with the known state.
        digest: of the revision that the stack is to be brought to: only the last healthy one goes back.
        failing: the revision that failed, where it is known.
    """
    before, inventory = record.known_state, readable(record.inventory)
    if before is None or inventory is None or digest != before.digest:
        return ()
    found = []
    for name in before.migrated:
        if name not in inventory.services or inventory.services[name].backup is None:
            continue
        try:
            snapshots = ports.backups.snapshots(inventory, name)
        except BackupError as error:
            ports.progress.log(environment, f"snapshot: cannot ask the agent of {name}: {error.message}")
            continue
        if before_failure(snapshots, before.at, failing.commit if failing is not None else None):
            found.append(name)
    return tuple(found)


def first_safety_snapshot(found: Iterable[Snapshot], since: datetime) -> Snapshot | None:
    """The first safety snapshot of restores since a moment: what later ones have was restored already."""
    begun = since.replace(microsecond=0)
    return min(
        (one for one in found if one.reason == RESTORE and one.taken >= begun), key=_taken, default=None
    )


def _taken(snapshot: Snapshot) -> datetime:
    return snapshot.taken
