"""Rules about more than one key of machines on Proxmox VE; each is a function that yields problems."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from chatons.declaration.resolved import Declaration
from chatons.schema.problems import KeyPath, Problem
from chatons.schema.proxmox_models import VirtualMachine

DATA = "data"
"""Role of the second virtual machine, which owns the data disk."""


def virtual(declaration: Declaration) -> Iterator[tuple[str, VirtualMachine]]:
    """The declared virtual machines on Proxmox VE, in order of name."""
    for name, machine in sorted(declaration.machines.items()):
        if machine.proxmox is not None:
            yield name, machine.proxmox


def _unique_ids(declaration: Declaration) -> Iterator[Problem]:
    seen: dict[int, str] = {}
    for name, declared in virtual(declaration):
        ids: list[tuple[KeyPath, int, str]] = [(("vm_id",), declared.vm_id, name)]
        if declared.data is not None:
            ids.append(((DATA, "vm_id"), declared.data.vm_id, f"the data disk of {name}"))
        for path, number, owner in ids:
            first = seen.setdefault(number, owner)
            if first != owner:
                yield Problem(
                    path=_path(name, *path),
                    problem=f"the ID {number} already belongs to {first}",
                    remedy="choose a different ID for each virtual machine and each data disk",
                )


def _unique_names(declaration: Declaration) -> Iterator[Problem]:
    for name, declared in virtual(declaration):
        holder = f"{name}-{DATA}"
        if declared.data is not None and holder in declaration.machines:
            yield Problem(
                path=("machines", holder),
                problem=f"the virtual machine that owns the data disk of {name} has this name",
                remedy="choose another name",
            )


def _unique_addresses(declaration: Declaration) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for name, declared in virtual(declaration):
        first = seen.setdefault(declared.ip, name)
        if first != name:
            yield Problem(
                path=_path(name, "address"),
                problem=f"{declared.ip} already belongs to {first}",
                remedy="choose a different address for each machine",
            )
    for name, machine in declaration.machines.items():
        owner = seen.get(urlsplit(machine.docker or "").hostname or "")
        if owner is not None:
            yield Problem(
                path=("machines", name, "docker"),
                problem=f"this is the address of {owner}, and two edges cannot share its ports",
                remedy="declare each machine once",
            )


def _usable_addresses(declaration: Declaration) -> Iterator[Problem]:
    for name, declared in virtual(declaration):
        interface = ipaddress.IPv4Interface(declared.address)
        gateway = ipaddress.IPv4Address(declared.gateway)
        network = interface.network
        ends = {network.network_address: "the network itself", network.broadcast_address: "its broadcast"}
        if gateway not in network:
            yield Problem(
                path=_path(name, "gateway"),
                problem=f"{gateway} is not in {network}, the network of {interface.ip}",
                remedy="correct the gateway, or the prefix length in `address`",
            )
        elif gateway in ends:
            yield Problem(
                path=_path(name, "gateway"),
                problem=f"{gateway} is {ends[gateway]}: {network}",
                remedy="write the address of the router",
            )
        if interface.ip in ends or interface.ip == gateway:
            yield Problem(
                path=_path(name, "address"),
                problem=f"{interface.ip} is {ends.get(interface.ip, 'the gateway')}: {network}",
                remedy="choose a free address of that network",
            )


def _own_machine_to_replace(declaration: Declaration) -> Iterator[Problem]:
    owners: dict[int, str] = {}
    for name, declared in virtual(declaration):
        owners[declared.vm_id] = name
        if declared.data is not None:
            owners[declared.data.vm_id] = f"the data disk of {name}"
    for name, declared in virtual(declaration):
        owner = owners.get(declared.replace, name) if declared.replace is not None else name
        if owner != name:
            yield Problem(
                path=_path(name, "replace"),
                problem=f"{declared.replace} is {owner}",
                remedy=f"write the ID of the running virtual machine {name}, or remove `replace`",
            )


def _storage_of_its_own(declaration: Declaration) -> Iterator[Problem]:
    backups = declaration.proxmox.backups if declaration.proxmox is not None else None
    if backups is None or backups.pbs is None:
        return
    for name, declared in virtual(declaration):
        if backups.storage in (declared.datastore, declared.data_datastore, declared.image_datastore):
            yield Problem(
                path=("proxmox", "backups", "storage"),
                problem=f"{backups.storage!r} is the name of the storage to create for the backup server, "
                f"and {name} "
                "uses a storage of that name",
                remedy="choose a name that no storage of the cluster has",
            )
            return


def _cluster_for_machines(declaration: Declaration) -> Iterator[Problem]:
    names = [name for name, _ in virtual(declaration)]
    if names and declaration.proxmox is None:
        yield Problem(
            path=("proxmox",),
            problem=f"{names[0]} is a virtual machine, and no cluster is declared",
            remedy="add `ronron:proxmox` with `endpoint: https://...:8006/`",
        )


def _path(name: str, *parts: str | int) -> KeyPath:
    return ("machines", name, "proxmox", *parts)


RULES: tuple[Callable[[Declaration], Iterator[Problem]], ...] = (
    _unique_ids,
    _unique_names,
    _unique_addresses,
    _usable_addresses,
    _own_machine_to_replace,
    _storage_of_its_own,
)
RULES_ABOUT_ABSENCE: tuple[Callable[[Declaration], Iterator[Problem]], ...] = (_cluster_for_machines,)
