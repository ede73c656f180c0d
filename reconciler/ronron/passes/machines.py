"""Which machines an update does without, because they do not answer, and which are waited for."""

from __future__ import annotations

from collections.abc import Container, Mapping

from ronron.core.errors import ConfigError
from ronron.core.excluded import Excluded
from ronron.core.inventory import Inventory, read_inventory
from ronron.core.model import Revision
from ronron.core.record import Record
from ronron.ports import Machines


def find_excluded(machines: Machines, document: object | None) -> Excluded | None:
    """What an update has to do without; None where it is about everything.

    That is so where every machine answers, and where none does: nothing could be updated then, and the
    program says of each what is wrong. A single machine is therefore not even asked. One that no inventory
    knows yet is not left out either: it may be about to be made.

    Args:
        machines: are asked.
        document: the stack output `inventory` as it was before; one that cannot be read leaves nothing out.
    """
    inventory = _read(document)
    used = used_machines(inventory) if inventory is not None else ()
    if inventory is None or len(used) < 2:
        return None
    return without(machines.unreachable(inventory), inventory)


def without(silent: Mapping[str, str], inventory: Inventory) -> Excluded | None:
    """The same from what is known to be silent; pure.

    Args:
        silent: why, by the machine's name.
        inventory: says what is on them.
    """
    used = used_machines(inventory)
    silent = {name: silent[name] for name in used if name in silent}
    found = {name: why for name, why in silent.items() if _was_made(inventory, name)}
    if not found or len(silent) == len(used):
        return None
    return Excluded(machines=found, services=services_on(found, inventory))


def still_silent(record: Record, desired: Revision, machines: Machines) -> frozenset[str]:
    """Which of the machines that an environment waits for still do not answer.

    They are asked only where their answer decides: nothing else is to be done about the environment.

    Args:
        record: of the environment.
        desired: the revision that its reference stands at.
        machines: are asked.
    """
    degraded, inventory = record.degraded, _read(record.inventory)
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


def _read(document: object | None) -> Inventory | None:
    try:
        return read_inventory(document)
    except ConfigError:
        # The pass meets it in its own steps, and says so.
        return None
