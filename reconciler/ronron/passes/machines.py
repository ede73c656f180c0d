"""Which unreachable machines an update skips, and which of them an environment waits for."""

from __future__ import annotations

from collections.abc import Container, Mapping

from ronron.core.errors import ConfigError
from ronron.core.excluded import Excluded
from ronron.core.inventory import Inventory, read_inventory
from ronron.core.model import Revision
from ronron.core.record import Record
from ronron.ports import Machines


def find_excluded(machines: Machines, document: object | None) -> Excluded | None:
    """The machines that an update has to skip; None where it skips none.

    It skips none where every machine answers, and where none does: nothing could be updated then, and the
    program says of each what is wrong. A single machine is therefore not even asked. A machine that no
    inventory has yet is not skipped either: the update may be about to make it.

    Args:
        machines: asks them.
        document: the stack output `inventory` before the update; one that cannot be read excludes nothing.
    """
    inventory = readable(document)
    used = used_machines(inventory) if inventory is not None else ()
    if inventory is None or len(used) < 2:
        return None
    return excluded_of(machines.unreachable(inventory), inventory)


def excluded_of(unreachable: Mapping[str, str], inventory: Inventory) -> Excluded | None:
    """Which of the unreachable machines an update skips; pure.

    Args:
        unreachable: why each is, by its name.
        inventory: says what is on them.
    """
    used = used_machines(inventory)
    unreachable = {name: unreachable[name] for name in used if name in unreachable}
    found = {name: why for name, why in unreachable.items() if _was_made(inventory, name)}
    if not found or len(unreachable) == len(used):
        return None
    return Excluded(machines=found, services=services_on(found, inventory))


def still_unreachable(record: Record, desired: Revision, machines: Machines) -> frozenset[str]:
    """Which of the machines that a degraded environment waits for are still unreachable.

    They are asked only where their answer decides.

    Args:
        record: of the environment.
        desired: the revision that its reference stands at.
        machines: asks them.
    """
    degraded, inventory = record.degraded, readable(record.inventory)
    if degraded is None or inventory is None or record.suspended is not None or record.waiting is not None:
        return frozenset()
    if degraded.revision.commit != desired.commit:
        return frozenset()
    return frozenset(machines.unreachable(inventory)) & frozenset(degraded.excluded.machines)


def used_machines(inventory: Inventory) -> tuple[str, ...]:
    """The machines that run at least one service, sorted."""
    return tuple(sorted({service.machine for service in inventory.services.values()}))


def services_on(machines: Container[str], inventory: Inventory) -> tuple[str, ...]:
    """Names of the services on some machines, sorted."""
    return tuple(sorted(name for name, one in inventory.services.items() if one.machine in machines))


def _was_made(inventory: Inventory, name: str) -> bool:
    """Whether a machine was ever there: one that is made has no host key until its Docker has answered."""
    machine = inventory.machines.get(name)
    return machine is not None and (machine.proxmox is None or machine.host_key is not None)


def readable(document: object | None) -> Inventory | None:
    """The inventory in a stack output; None where there is none, or where it cannot be read.

    The pass reads it again in its own steps, and fails with what is wrong.
    """
    try:
        return read_inventory(document)
    except ConfigError:
        return None
