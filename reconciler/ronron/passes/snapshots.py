"""Which snapshots were taken before an update: asked from the agents once it is over."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from ronron.core.errors import BackupError
from ronron.core.inventory import touched
from ronron.core.model import SHORT, Change, TakenSnapshot
from ronron.passes.machines import readable
from ronron.ports import Backups, Progress

UPDATE = "update"
"""The reason that the program's hook gives."""


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
    """The snapshots that were taken because of an update, the newest of each service.

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
        if own:
            newest = max(own, key=lambda one: one.taken)
            progress.log(environment, f"snapshot: {newest.id[:SHORT]} of {name} was taken before the update")
            taken.append(TakenSnapshot(service=name, id=newest.id))
    return tuple(taken)
