"""What must hold for the storages of the cluster: they are there, may hold it, and have room. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from chatons.declaration.machine_rules import virtual
from chatons.declaration.resolved import Declaration
from chatons.proxmox.machine_checks import Guest, Last
from chatons.schema.checks import CheckResult
from chatons.schema.problems import KeyPath, Problem
from chatons.schema.proxmox_models import MachineBackups

_GIB = 1024**3
_THIN = frozenset({"btrfs", "cephfs", "cifs", "dir", "lvmthin", "nfs", "rbd", "zfspool"})
"""Types whose disks grow with what is written. Source: Proxmox VE administration guide, Storage."""
_IMAGE_GIB = 4
"""That a new disk holds at once: the images of Debian and Ubuntu have 3 to 3.5 GiB."""
_DOWNLOAD_GIB = 1
"""Of an image as it is downloaded; those of Debian and Ubuntu have 0.4 to 0.7 GiB."""

Storages = Mapping[str, list[Any]]
"""By node, what the node says of its storages."""


@dataclass
class _Use:
    """What is asked of one storage on one node.

    Attributes:
        contents: what it must hold, with the key that asks for it.
        whole: GiB of the disks that are new on it, once they are full.
        at_once: GiB that are written when they are made.
    """

    contents: dict[str, KeyPath] = field(default_factory=dict)
    whole: int = 0
    at_once: int = 0
    new: KeyPath | None = None


def storage_checks(
    declaration: Declaration, by_node: Storages, guests: Mapping[int, Guest], last: Last
) -> Iterator[CheckResult]:
    """Look at each storage that machines are on or come from."""
    for (node, storage), use in _uses(declaration, guests, last).items():
        if node not in by_node:
            continue
        path = next(iter(use.contents.values()))
        yield _check(node, storage, by_node[node], path, use)


def backup_storage(
    declaration: Declaration, backups: MachineBackups, by_node: Storages, known: Iterable[Any]
) -> Iterator[CheckResult]:
    """Look at the storage that backups of machines go to."""
    path: KeyPath = ("proxmox", "backups", "storage")
    name = f"storage {backups.storage}"
    there = next((each for each in known if each.get("storage") == backups.storage), None)
    pbs = backups.pbs
    if pbs is not None:
        problem = None
        host = pbs.server.rpartition(":")[0] or pbs.server
        if there is not None and (
            there.get("type") != "pbs"
            or (str(there.get("server")), there.get("datastore"))
            not in ((pbs.server, pbs.datastore), (host, pbs.datastore))
        ):
            problem = Problem(
                path=path,
                problem=f"the cluster has another storage {backups.storage}, of the type {there.get('type')}",
                remedy="choose another name; it will be made for the declared backup server",
            )
        yield CheckResult(name=name, found="is there" if there else "will be made", problem=problem)
        return
    use = _Use(contents={"backup": path})
    for node in sorted({machine.node for _, machine in virtual(declaration)}):
        if node in by_node:
            yield _check(node, backups.storage, by_node[node], path, use)


def _uses(declaration: Declaration, guests: Mapping[int, Guest], last: Last) -> dict[tuple[str, str], _Use]:
    found: dict[tuple[str, str], _Use] = {}

    def use(node: str, storage: str) -> _Use:
        return found.setdefault((node, storage), _Use())

    for name, machine in virtual(declaration):
        base: KeyPath = ("machines", name, "proxmox")
        is_new = machine.vm_id not in guests and not last.has(name, machine.vm_id)
        disks = use(machine.node, machine.datastore)
        disks.contents.setdefault("images", (*base, "datastore"))
        if is_new:
            disks.whole += machine.disk_gib
            disks.at_once += min(_IMAGE_GIB, machine.disk_gib)
            disks.new = disks.new or (*base, "datastore")
        data = machine.data
        if data is not None:
            holder = use(machine.node, machine.data_datastore)
            key = (*base, "data", "datastore") if data.datastore else (*base, "datastore")
            holder.contents.setdefault("images", key)
            if data.vm_id not in guests and not last.has(name, data.vm_id):
                holder.whole += data.gib
                holder.new = holder.new or key
        images = use(machine.node, machine.image_datastore)
        images.contents.setdefault("import", (*base, "image_datastore"))
        if is_new:
            images.whole += _DOWNLOAD_GIB
            images.at_once += _DOWNLOAD_GIB
            images.new = images.new or (*base, "image_datastore")
            if machine.user_data is not None:
                snippets = use(machine.node, machine.user_data.partition(":")[0])
                snippets.contents.setdefault("snippets", (*base, "user_data"))
    return found


def _check(node: str, storage: str, there: list[Any], path: KeyPath, use: _Use) -> CheckResult:
    name = f"storage {storage} on {node}"
    found = next((each for each in there if each.get("storage") == storage), None)
    if found is None:
        names = ", ".join(sorted(str(each.get("storage")) for each in there))
        return CheckResult(
            name=name,
            problem=Problem(
                path=path,
                problem=f"{node} has no storage {storage}, or this token may not see it",
                remedy=f"use one of: {names}" if names else "see what `pvesm status` on the node says",
            ),
        )
    if not found.get("enabled", 1) or not found.get("active", 1):
        what = "disabled" if not found.get("enabled", 1) else "not active"
        remedy = (
            f"switch it on: `pvesm set {storage} --disable 0`"
            if what == "disabled"
            else "bring it back; `pvesm status` on the node says what it misses"
        )
        return CheckResult(
            name=name, problem=Problem(path=path, problem=f"{storage} on {node} is {what}", remedy=remedy)
        )
    free = int(found.get("avail") or 0) / _GIB
    held = [part for part in str(found.get("content", "")).split(",") if part not in ("", "none")]
    for content, key in use.contents.items():
        if content not in held:
            return CheckResult(
                name=name,
                problem=Problem(
                    path=key,
                    problem=f"{storage} on {node} may not hold the content `{content}`",
                    remedy=f"on a node, run: pvesm set {storage} --content {','.join([*held, content])}",
                ),
            )
    needed = use.at_once if found.get("type") in _THIN else use.whole
    if use.new is not None and (free < needed or free <= 0):
        return CheckResult(
            name=name,
            problem=Problem(
                path=use.new,
                problem=f"{storage} on {node} has {free:.0f} GiB free, and {max(needed, 1)} are needed",
                remedy="make room, or declare another storage or smaller disks",
            ),
        )
    return CheckResult(name=name, found=f"{', '.join(use.contents)}; {free:.0f} GiB free")
