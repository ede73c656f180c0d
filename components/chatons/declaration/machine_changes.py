"""Refuses changes of virtual machines that would lose a disk, unless `replace` names the machine.

It compares the declaration with the last inventory that the stack exported. Proxmox VE and the engine protect
each machine as well; this check runs before an update begins, and names the key and the remedy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from chatons.declaration.machine_rules import virtual
from chatons.declaration.resolved import Declaration
from chatons.schema.by_hand import pulumi_command
from chatons.schema.problems import KeyPath, Problem
from chatons.schema.proxmox_models import DataDisk, VirtualMachine


@dataclass(frozen=True, kw_only=True)
class _Data:
    vm_id: int
    gib: int
    datastore: str | None


@dataclass(frozen=True, kw_only=True)
class _Before:
    vm_id: int
    host_key: str | None
    node: str | None
    disk_gib: int | None
    data: _Data | None


def refused(declaration: Declaration, previous: object) -> Iterator[Problem]:
    """The refused changes, from the existing virtual machines to the declared ones.

    Args:
        declaration: a checked one.
        previous: the last exported inventory of the stack; anything else counts as a first deployment.
    """
    known = _machines(previous)
    for name, declared in virtual(declaration):
        before = known.get(name)
        if before is None:
            yield from _renamed(name, declared, known)
        else:
            yield from _system(name, declared, before)
            yield from _data(name, declared, before)


def without_spent_permissions(declaration: Declaration, previous: object) -> Declaration:
    """The declaration without each `replace` that names no existing machine.

    Such a `replace` remains in the stack file after the replacement, and must not permit another one.

    Args:
        declaration: a checked one.
        previous: as for `refused`. For a machine that is not in it, the declared ID counts.
    """
    known = _machines(previous)
    machines = dict(declaration.machines)
    for name, declared in virtual(declaration):
        now = known[name].vm_id if name in known else declared.vm_id
        if declared.replace is not None and declared.replace != now:
            without = declared.model_copy(update={"replace": None})
            machines[name] = machines[name].model_copy(update={"proxmox": without})
    return dataclasses.replace(declaration, machines=machines)


def known_keys(declaration: Declaration, previous: object) -> dict[str, str]:
    """The host keys that virtual machines showed on first contact, by name.

    Args:
        declaration: a checked one.
        previous: as for `refused`. A machine with another ID there is another machine.
    """
    known = _machines(previous)
    return {
        name: before.host_key
        for name, declared in virtual(declaration)
        if (before := known.get(name)) is not None
        and before.host_key is not None
        and before.vm_id == declared.vm_id
    }


def _renamed(name: str, declared: VirtualMachine, known: Mapping[str, _Before]) -> Iterator[Problem]:
    for other, before in known.items():
        ids = {before.vm_id, before.data.vm_id if before.data is not None else before.vm_id}
        for path, number in (
            (("vm_id",), declared.vm_id),
            (("data", "vm_id"), declared.data.vm_id if declared.data is not None else None),
        ):
            if number in ids:
                yield Problem(
                    path=_path(name, *path),
                    problem=f"{number} is the ID of {other}; machines cannot be renamed",
                    remedy=f"call it {other} again; for a second machine choose another ID",
                )


def _system(name: str, declared: VirtualMachine, before: _Before) -> Iterator[Problem]:
    moved = declared.vm_id != before.vm_id
    if moved and declared.replace != before.vm_id:
        yield Problem(
            path=_path(name, "vm_id"),
            problem=f"{name} is virtual machine {before.vm_id}: with the ID {declared.vm_id} it would be "
            "replaced, "
            "and its system disk deleted",
            remedy=f"write {before.vm_id} again; to permit the replacement, add `replace: {before.vm_id}`",
        )
    replaced = _replaced(before)
    if before.disk_gib is not None and declared.disk_gib < before.disk_gib and not moved:
        yield Problem(
            path=_path(name, "disk_gib"),
            problem=f"the disk has {before.disk_gib} GiB, and disks never shrink",
            remedy=f"write {before.disk_gib} again; for a smaller one replace the machine, {replaced}",
        )


def _data(name: str, declared: VirtualMachine, before: _Before) -> Iterator[Problem]:
    may_go = declared.replace == before.vm_id
    there, data = before.data, declared.data
    if there is None:
        if data is not None and not may_go:
            yield Problem(
                path=_path(name, "data"),
                problem=f"the data of Docker on {name} is on its system disk, and the new data disk would be "
                "empty",
                remedy=f"remove `data`; or take snapshots, replace the machine, {_replaced(before)}, and "
                "restore them",
            )
        return
    if data is None:
        if not may_go:
            yield _leaves(name, ("data",), there, before, "left unused")
        return
    if data.gib < there.gib and data.vm_id == there.vm_id:
        yield Problem(
            path=_path(name, "data", "gib"),
            problem=f"the data disk has {there.gib} GiB, and disks never shrink",
            remedy=f"write {there.gib} again",
        )
    if may_go:
        return
    if before.node is not None and declared.node != before.node:
        yield Problem(
            path=_path(name, "node"),
            problem=f"{name} has a data disk on {before.node}, and Proxmox VE migrates no machine that has "
            "one",
            remedy=f"write {before.node} again; or take snapshots, replace the machine, {_replaced(before)} "
            "and another `data.vm_id`, and restore them",
        )
    if data.vm_id != there.vm_id:
        yield _leaves(name, ("data", "vm_id"), there, before, "replaced by an empty one")
    elif there.datastore is not None and declared.data_datastore != there.datastore:
        yield _moved(name, declared, data, there)


def _replaced(before: _Before) -> str:
    return f"with another `vm_id` and `replace: {before.vm_id}`"


def _leaves(name: str, path: tuple[str, ...], there: _Data, before: _Before, what: str) -> Problem:
    return Problem(
        path=_path(name, *path),
        problem=f"the data disk of {name}, which virtual machine {there.vm_id} owns, would be {what}",
        remedy=f"write `data: {{vm_id: {there.vm_id}, gib: {there.gib}}}` again; to permit the loss, add "
        f"`replace: {before.vm_id}` and unprotect {name}-data with `{pulumi_command('state unprotect')}`",
    )


def _moved(name: str, declared: VirtualMachine, data: DataDisk, there: _Data) -> Problem:
    # The running machine would continue to use the disk on the old storage, which is deleted after the copy.
    return Problem(
        path=_path(name, "data", "datastore") if data.datastore else _path(name, "datastore"),
        problem=f"the data disk is on {there.datastore}: it cannot be moved to {declared.data_datastore} "
        "while "
        "a machine uses it",
        remedy=f"write `datastore: {there.datastore}` into `data`",
    )


def _path(name: str, *parts: str) -> KeyPath:
    return ("machines", name, "proxmox", *parts)


def _machines(previous: object) -> dict[str, _Before]:
    machines = previous.get("machines") if isinstance(previous, Mapping) else None
    found: dict[str, _Before] = {}
    for name, machine in machines.items() if isinstance(machines, Mapping) else ():
        vm = machine.get("proxmox") if isinstance(machine, Mapping) else None
        vm_id = _number(vm, "vm_id")
        if vm_id is not None and isinstance(vm, Mapping):
            node, host_key = vm.get("node"), machine.get("host_key")
            found[str(name)] = _Before(
                vm_id=vm_id,
                host_key=host_key if isinstance(host_key, str) else None,
                node=node if isinstance(node, str) else None,
                disk_gib=_number(vm, "disk_gib"),
                data=_data_before(vm.get("data")),
            )
    return found


def _data_before(data: object) -> _Data | None:
    vm_id, gib = _number(data, "vm_id"), _number(data, "gib")
    if vm_id is None or gib is None or not isinstance(data, Mapping):
        return None
    datastore = data.get("datastore")
    return _Data(vm_id=vm_id, gib=gib, datastore=datastore if isinstance(datastore, str) else None)


def _number(part: object, key: str) -> int | None:
    """An exported number: the engine returns numbers as floats."""
    value = part.get(key) if isinstance(part, Mapping) else None
    return int(value) if isinstance(value, int | float) else None
