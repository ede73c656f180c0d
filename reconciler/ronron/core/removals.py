"""Removals: a person asked that a service goes, and what may leave the state for it. Pure.

The volumes of a service are protected: an edit of the stack file alone never lets them go. A request names
one service, and only its volumes leave the state. They stay on their machine, with all their data.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

from ronron.core.inventory import Inventory
from ronron.core.inventory import Service as InventoryService
from ronron.core.model import DELETING, Change
from ronron.core.urns import types_of
from ronron.core.value import Instant, Value

VALID = timedelta(days=7)
"""A request that was not served by then is not used: a later edit would be another matter."""
VOLUME = "docker:index/volume:Volume"


class Removal(Value):
    """A person's request that a service is removed.

    Args:
        by: who asked.
        at: when.
        resource: URN of the service's component, as of the last update.
    """

    by: str
    at: Instant
    resource: str


class Left(Value):
    """A volume that stays on its machine when its service is removed.

    Args:
        name: of the volume.
        holds: what is in it: `database`, `files` or `state of the backup agent`.
        machine: that has it.
    """

    name: str
    holds: str
    machine: str

    def __str__(self) -> str:
        return f"volume {self.name} ({self.holds}) on {self.machine}"


def valid(removals: Mapping[str, Removal], now: datetime) -> Mapping[str, Removal]:
    """The requests that still count, by the name of the service."""
    return {name: removal for name, removal in removals.items() if now - removal.at <= VALID}


def volumes_of(service: InventoryService) -> tuple[Left, ...]:
    """What stays when a service is removed."""
    found = [Left(name=one.name, holds=one.holds, machine=service.machine) for one in service.volumes]
    if service.backup is not None:
        # The agent's volume has the name of its container.
        found.append(
            Left(name=service.backup.container, holds="state of the backup agent", machine=service.machine)
        )
    return tuple(found)


def belonging(ancestors: Collection[str], removals: Mapping[str, Removal]) -> bool:
    """Whether a resource is below the component of a service that is to go.

    Args:
        ancestors: URNs of the components above it.
        removals: the requests that count.
    """
    return any(removal.resource in ancestors for removal in removals.values())


def beside(urn: str, removals: Mapping[str, Removal]) -> bool:
    """Whether a resource is of no service at all, such as the reverse proxy of a machine.

    It may go when the last service that it served goes. Its outermost component has another type than those
    of the services.
    """
    return bool(removals) and _outermost(urn) not in {_outermost(one.resource) for one in removals.values()}


def _outermost(urn: str) -> str:
    return types_of(urn).partition("$")[0]


def released(changes: Iterable[Change], removals: Mapping[str, Removal]) -> frozenset[str]:
    """URNs of the volumes that leave the state because a person asked for it."""
    return frozenset(
        change.urn
        for change in changes
        if change.operation in DELETING
        and change.retained
        and change.type == VOLUME
        and (belonging(change.ancestors, removals) or (change.ancestors and beside(change.urn, removals)))
    )


def unserved(removals: Mapping[str, Removal], inventory: Inventory | None) -> Mapping[str, Removal]:
    """The requests that are left after an update of everything: those of services that are still there."""
    there = inventory.services if inventory is not None else {}
    return {name: removal for name, removal in removals.items() if name in there}
