"""What the cluster answers to everything that an update depends on, asked at the same time."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from chatons.declaration.machine_rules import virtual
from chatons.declaration.resolved import Declaration
from chatons.proxmox.api import ProxmoxApi, ProxmoxError
from chatons.schema.proxmox_models import VirtualMachine

_PARALLEL = 8

_Answer = Any


@dataclass(frozen=True)
class Seen:
    """What the cluster answered, each by what was asked; errors among it."""

    answers: Mapping[str, _Answer]

    def get(self, asked: str, otherwise: Any) -> Any:
        """An answer, or something else where there was none."""
        answer = self.answers.get(asked)
        return otherwise if answer is None or isinstance(answer, ProxmoxError) else answer


def look(declaration: Declaration, api: ProxmoxApi) -> Seen:
    """Ask everything at the same time; of nodes that are down nothing."""
    first = _ask(
        api,
        {
            "permissions": ("/access/permissions", {}),
            "status": ("/cluster/status", {}),
            "nodes": ("/nodes", {}),
            "guests": ("/cluster/resources", {"type": "vm"}),
            "pools": ("/pools", {}),
            "jobs": ("/cluster/backup", {}),
            "storages": ("/storage", {}),
            "unsaved": ("/cluster/backup-info/not-backed-up", {}),
        },
    )
    up = nodes_up(Seen(first))
    asked: dict[str, tuple[str, dict[str, str | int]]] = {}
    for _, machine in virtual(declaration):
        if machine.node not in up:
            continue
        asked[f"storages {machine.node}"] = (f"/nodes/{machine.node}/storage", {})
        asked[f"bridges {machine.node}"] = (f"/nodes/{machine.node}/network", {"type": "any_bridge"})
        if machine.user_data is not None:
            storage = machine.user_data.partition(":")[0]
            asked[f"snippets {machine.node} {storage}"] = (
                f"/nodes/{machine.node}/storage/{storage}/content",
                {"content": "snippets"},
            )
    wanted = {vm_id for _, machine in virtual(declaration) for vm_id in owned_ids(machine)}
    guests = {int(guest["vmid"]): guest for guest in Seen(first).get("guests", [])}
    for vm_id in wanted:
        if vm_id not in guests:
            # Guests that the token may not see are in no list.
            asked[f"free {vm_id}"] = ("/cluster/nextid", {"vmid": vm_id})
        elif guests[vm_id].get("node") in up:
            guest = guests[vm_id]
            kind = "lxc" if guest.get("type") == "lxc" else "qemu"
            asked[f"config {vm_id}"] = (f"/nodes/{guest['node']}/{kind}/{vm_id}/config", {})
    return Seen({**first, **_ask(api, asked)})


def _ask(api: ProxmoxApi, asked: Mapping[str, tuple[str, Mapping[str, str | int]]]) -> dict[str, _Answer]:
    def one(what: tuple[str, Mapping[str, str | int]]) -> _Answer:
        path, query = what
        try:
            return api.get(path, **query)
        except ProxmoxError as error:
            return error

    if not asked:
        return {}
    with ThreadPoolExecutor(max_workers=_PARALLEL) as pool:
        return dict(zip(asked, pool.map(one, asked.values()), strict=True))


def nodes_up(seen: Seen) -> set[str]:
    """The nodes that are not known to be down."""
    return {str(node["node"]) for node in seen.get("nodes", []) if node.get("status") != "offline"}


def by_node(seen: Seen, what: str, up: set[str]) -> dict[str, list[Any]]:
    """Answers of nodes that gave one."""
    found = {node: seen.get(f"{what} {node}", None) for node in up}
    return {node: answer for node, answer in found.items() if answer is not None}


def owned_ids(machine: VirtualMachine) -> list[int]:
    """Of a machine: its own, and that of what holds its data disk."""
    return [machine.vm_id, *([machine.data.vm_id] if machine.data is not None else [])]
