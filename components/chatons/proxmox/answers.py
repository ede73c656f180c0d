"""All API answers that the checks before an update need, requested in parallel."""

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
class Answers:
    """Answers of the cluster, errors included, by the key of their request."""

    by_key: Mapping[str, _Answer]

    def get(self, key: str, default: Any) -> Any:
        """The answer to one request; the default when it failed or was not sent."""
        answer = self.by_key.get(key)
        return default if answer is None or isinstance(answer, ProxmoxError) else answer


def query_cluster(declaration: Declaration, api: ProxmoxApi) -> Answers:
    """Send every request in parallel; none to a node that is offline."""
    first = _get_all(
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
    up = nodes_up(Answers(first))
    requests: dict[str, tuple[str, dict[str, str | int]]] = {}
    for _, machine in virtual(declaration):
        if machine.node not in up:
            continue
        requests[f"storages {machine.node}"] = (f"/nodes/{machine.node}/storage", {})
        requests[f"bridges {machine.node}"] = (f"/nodes/{machine.node}/network", {"type": "any_bridge"})
        if machine.user_data is not None:
            storage = machine.user_data.partition(":")[0]
            requests[f"snippets {machine.node} {storage}"] = (
                f"/nodes/{machine.node}/storage/{storage}/content",
                {"content": "snippets"},
            )
    wanted = {vm_id for _, machine in virtual(declaration) for vm_id in owned_ids(machine)}
    guests = {int(guest["vmid"]): guest for guest in Answers(first).get("guests", [])}
    for vm_id in wanted:
        if vm_id not in guests:
            # The list does not contain guests that the token may not see.
            requests[f"free {vm_id}"] = ("/cluster/nextid", {"vmid": vm_id})
        elif guests[vm_id].get("node") in up:
            guest = guests[vm_id]
            kind = "lxc" if guest.get("type") == "lxc" else "qemu"
            requests[f"config {vm_id}"] = (f"/nodes/{guest['node']}/{kind}/{vm_id}/config", {})
    return Answers({**first, **_get_all(api, requests)})


def _get_all(
    api: ProxmoxApi, requests: Mapping[str, tuple[str, Mapping[str, str | int]]]
) -> dict[str, _Answer]:
    def get(request: tuple[str, Mapping[str, str | int]]) -> _Answer:
        path, query = request
        try:
            return api.get(path, **query)
        except ProxmoxError as error:
            return error

    if not requests:
        return {}
    with ThreadPoolExecutor(max_workers=_PARALLEL) as pool:
        return dict(zip(requests, pool.map(get, requests.values()), strict=True))


def nodes_up(answers: Answers) -> set[str]:
    """The nodes that the cluster does not report as offline."""
    return {str(node["node"]) for node in answers.get("nodes", []) if node.get("status") != "offline"}


def by_node(answers: Answers, kind: str, up: set[str]) -> dict[str, list[Any]]:
    """Answers of one kind, by node; without nodes that gave none."""
    found = {node: answers.get(f"{kind} {node}", None) for node in up}
    return {node: answer for node, answer in found.items() if answer is not None}


def owned_ids(machine: VirtualMachine) -> list[int]:
    """The id of a machine, and the id of the holder of its data disk."""
    return [machine.vm_id, *([machine.data.vm_id] if machine.data is not None else [])]
