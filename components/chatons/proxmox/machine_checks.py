"""Checks of each declared machine at the cluster: ids, address, locks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

from chatons.declaration.machine_rules import DATA, virtual
from chatons.declaration.resolved import Declaration, vm_description
from chatons.schema.checks import CheckResult
from chatons.schema.problems import KeyPath, Problem

_PARALLEL = 16


@dataclass(frozen=True, kw_only=True)
class Guest:
    """A guest of the cluster.

    Attributes:
        is_readable: whether the token may read its configuration.
        lock: the operation that locks it, such as `backup`; None when it is not locked.
    """

    vm_id: int
    name: str
    node: str
    description: str
    is_readable: bool
    lock: str | None


@dataclass(frozen=True)
class LastInventory:
    """The machines of the inventory that the stack exported last, with their ids."""

    ids: Mapping[str, frozenset[int]]

    @classmethod
    def of(cls, inventory: object) -> Self:
        """Read an inventory; any other value gives no machines."""
        machines = inventory.get("machines") if isinstance(inventory, Mapping) else None
        found = {}
        for name, machine in machines.items() if isinstance(machines, Mapping) else ():
            made = machine.get("proxmox") if isinstance(machine, Mapping) else None
            data = made.get("data") if isinstance(made, Mapping) else None
            numbers = [part.get("vm_id") for part in (made, data) if isinstance(part, Mapping)]
            # The engine hands numbers back as floats.
            found[str(name)] = frozenset(int(each) for each in numbers if isinstance(each, int | float))
        return cls(found)

    def has(self, name: str, vm_id: int) -> bool:
        """Whether the machine, or the holder of its data disk, had that id."""
        return vm_id in self.ids.get(name, frozenset())


def machine_checks(
    declaration: Declaration,
    guests: Mapping[int, Guest],
    last: LastInventory,
    hidden_ids: Collection[int],
    is_in_use: Callable[[str], bool],
) -> Iterator[CheckResult]:
    """Check each declared machine.

    Args:
        declaration: a checked one.
        guests: of the cluster, by id.
        last: the machines after the last update.
        hidden_ids: ids of guests that the token may not see.
        is_in_use: whether an address is in use.
    """
    new = []
    for name, machine in virtual(declaration):
        base: KeyPath = ("machines", name, "proxmox")
        line = vm_description(declaration, name)
        ids = [(machine.vm_id, (*base, "vm_id"), line)]
        if machine.data is not None:
            ids.append((machine.data.vm_id, (*base, DATA, "vm_id"), f"{line}-{DATA}"))
        wrong = [_id(name, vm_id, path, notes, guests, last, hidden_ids) for vm_id, path, notes in ids]
        found = [problem for problem in wrong if problem is not None]
        shown: list[Problem | None] = [*found] or [None]
        exists = machine.vm_id in guests
        text = f"virtual machine {machine.vm_id} is ours" if exists else f"{machine.vm_id} is free"
        for problem in shown:
            yield CheckResult(name=f"machine {name}", found=text, problem=problem)
        if not exists and not last.has(name, machine.vm_id) and not found:
            new.append((name, machine.ip, (*base, "address")))
    if not new:
        return
    with ThreadPoolExecutor(max_workers=_PARALLEL) as pool:
        taken = list(pool.map(is_in_use, [address for _, address, _ in new]))
    for (name, address, path), is_taken in zip(new, taken, strict=True):
        used = Problem(
            path=path,
            problem=f"{address} is in use, but {name} does not exist yet",
            remedy="choose a free address, or find the machine that has it: `ip neigh` on the node",
        )
        yield CheckResult(
            name=f"address of {name}", found=f"{address} is free", problem=used if is_taken else None
        )


def _id(
    name: str,
    vm_id: int,
    path: KeyPath,
    line: str,
    guests: Mapping[int, Guest],
    last: LastInventory,
    hidden_ids: Collection[int],
) -> Problem | None:
    guest = guests.get(vm_id)
    if guest is None:
        if vm_id not in hidden_ids or last.has(name, vm_id):
            return None
        return taken_by_hidden_guest(path, vm_id)
    if guest.is_readable and not is_ours(guest, line) and not last.has(name, vm_id):
        return taken_by_guest(path, guest, line)
    if guest.lock:
        return Problem(
            path=path,
            problem=f"virtual machine {vm_id} is locked: {guest.lock}",
            remedy=f"wait until the operation ends; if it is not running any more, run on {guest.node}: "
            f"qm unlock {vm_id}",
        )
    return None


def taken_by_guest(path: KeyPath, guest: Guest, line: str) -> Problem:
    """The problem of an id that a foreign guest has; `line` in its notes would mark it as ours."""
    return Problem(
        path=path,
        problem=f"{guest.vm_id} is taken: it is {guest.name or 'a guest without a name'} on {guest.node}",
        remedy=f"choose another id; if the guest is ours, add this line to its notes: {line}",
    )


def taken_by_hidden_guest(path: KeyPath, vm_id: int) -> Problem:
    """The problem of an id that a guest has which the token may not see."""
    return Problem(
        path=path,
        problem=f"{vm_id} is taken by a guest that the token may not see",
        remedy="choose another id; `pvesh get /cluster/nextid` prints a free one",
    )


def is_ours(guest: Guest, line: str) -> bool:
    """Whether the notes of a guest contain the line that marks it as ours."""
    return line in (each.strip() for each in guest.description.splitlines())
