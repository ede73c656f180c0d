"""What must hold for each declared machine at the cluster: ids, address, locks."""

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
        is_known: whether its configuration could be read.
        lock: what holds it, such as `backup`.
    """

    vm_id: int
    name: str
    node: str
    description: str
    is_known: bool
    lock: str | None


@dataclass(frozen=True)
class Last:
    """The machines that the stack exported last, with the ids they have."""

    ids: Mapping[str, frozenset[int]]

    @classmethod
    def of(cls, inventory: object) -> Self:
        """Read them out of an inventory; anything else holds none."""
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
        """Whether that id was that machine's, or its data disk's."""
        return vm_id in self.ids.get(name, frozenset())


def machine_checks(
    declaration: Declaration,
    guests: Mapping[int, Guest],
    last: Last,
    unseen: Collection[int],
    knock: Callable[[str], bool],
) -> Iterator[CheckResult]:
    """Look at each machine.

    Args:
        declaration: a checked one.
        guests: of the cluster, by id.
        last: what was there when the stack was updated last.
        unseen: ids that are taken by guests which cannot be seen.
        knock: whether an address answers.
    """
    new = []
    for name, machine in virtual(declaration):
        base: KeyPath = ("machines", name, "proxmox")
        line = vm_description(declaration, name)
        ids = [(machine.vm_id, (*base, "vm_id"), line)]
        if machine.data is not None:
            ids.append((machine.data.vm_id, (*base, DATA, "vm_id"), f"{line}-{DATA}"))
        wrong = [_id(name, vm_id, path, text, guests, last, unseen) for vm_id, path, text in ids]
        found = [problem for problem in wrong if problem is not None]
        shown: list[Problem | None] = [*found] or [None]
        there = machine.vm_id in guests
        words = f"virtual machine {machine.vm_id} is ours" if there else f"{machine.vm_id} is free"
        for problem in shown:
            yield CheckResult(name=f"machine {name}", found=words, problem=problem)
        if not there and not last.has(name, machine.vm_id) and not found:
            new.append((name, machine.ip, (*base, "address")))
    if not new:
        return
    with ThreadPoolExecutor(max_workers=_PARALLEL) as pool:
        taken = list(pool.map(knock, [address for _, address, _ in new]))
    for (name, address, path), is_taken in zip(new, taken, strict=True):
        used = Problem(
            path=path,
            problem=f"{address} answers already, and {name} is not made yet",
            remedy="choose an address that is free, or find out what has it: `ip neigh` on the node",
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
    last: Last,
    unseen: Collection[int],
) -> Problem | None:
    guest = guests.get(vm_id)
    if guest is None:
        if vm_id not in unseen or last.has(name, vm_id):
            return None
        return hidden(path, vm_id)
    if guest.is_known and not says(guest, line) and not last.has(name, vm_id):
        return taken(path, guest, line)
    if guest.lock:
        return Problem(
            path=path,
            problem=f"virtual machine {vm_id} is locked: {guest.lock}",
            remedy="wait until that is over; if nothing is going on any more, run on "
            f"{guest.node}: qm unlock {vm_id}",
        )
    return None


def taken(path: KeyPath, guest: Guest, line: str) -> Problem:
    """Somebody else has an id; `line` is what would make the guest known as ours."""
    return Problem(
        path=path,
        problem=f"{guest.vm_id} is taken: it is {guest.name or 'a guest without a name'} on {guest.node}",
        remedy="choose another number; if it is ours all the same, write into its notes, on a line of "
        f"its own: {line}",
    )


def hidden(path: KeyPath, vm_id: int) -> Problem:
    """Somebody has an id, and it cannot be seen who."""
    return Problem(
        path=path,
        problem=f"{vm_id} is taken, by a guest that this token may not see",
        remedy="choose another number; `pvesh get /cluster/nextid` gives one that is free",
    )


def says(guest: Guest, line: str) -> bool:
    """Whether a guest is ours, by its notes."""
    return line in (each.strip() for each in guest.description.splitlines())
