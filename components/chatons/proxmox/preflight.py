"""What must hold at the cluster before the first resource is touched; in previews too.

The engine's plugin would find out in the middle of an update, in the words of an API.
"""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from pydantic import SecretStr

from chatons.declaration.machine_rules import virtual
from chatons.declaration.resolved import Declaration
from chatons.proxmox.answers import Seen, by_node, look, nodes_up, owned_ids
from chatons.proxmox.api import ENDPOINT, ProxmoxApi, ProxmoxError
from chatons.proxmox.machine_checks import Guest, Last, machine_checks
from chatons.proxmox.privileges import lacking
from chatons.proxmox.storage_checks import backup_storage, storage_checks
from chatons.schema.checks import CheckResult
from chatons.schema.problems import KeyPath, Problem
from chatons.schema.proxmox_models import MachineBackups, Proxmox

OLDEST = (8, 4)
"""The first that downloads a disk's image to import it. Source: Proxmox VE 8.4, release notes."""

_KNOCK_SECONDS = 0.5
"""A machine of the same place answers within milliseconds, one that is far away within 0.3 s."""

Connect = Callable[[Proxmox, str], ProxmoxApi]
Knock = Callable[[str], bool]
_Answer = Any


def connect(cluster: Proxmox, token: str) -> ProxmoxApi:
    """The way in to a declared cluster."""
    return ProxmoxApi(cluster.endpoint, token, insecure=cluster.insecure)


def answers(address: str, port: int = 22) -> bool:
    """Whether something has an address already and speaks ssh there, which a server does unasked.

    A connection alone, or its refusal, proves nothing: firewalls do both in the name of addresses that nobody
    has.
    """
    try:
        with socket.create_connection((address, port), timeout=_KNOCK_SECONDS) as knocking:
            return knocking.recv(4) == b"SSH-"
    except OSError:
        return False


def checks(
    declaration: Declaration,
    token: SecretStr,
    last_inventory: object,
    connect: Connect = connect,
    knock: Knock = answers,
    without: Collection[str] = (),
) -> list[CheckResult]:
    """Everything that is looked at. When the endpoint itself fails, or the token, nothing else is asked.

    Args:
        declaration: a checked one.
        token: `user@realm!name=secret`.
        last_inventory: as the stack exported it last; anything else counts as a first deployment.
        connect: gives the way in.
        knock: whether an address answers already.
        without: names of machines that the update leaves out: their node may be the one that is down.
    """
    machines = {name: each for name, each in declaration.machines.items() if name not in without}
    declaration = dataclasses.replace(declaration, machines=machines)
    cluster = declaration.proxmox
    if cluster is None or not any(virtual(declaration)):
        return []
    with connect(cluster, token.get_secret_value()) as api:
        try:
            version = _version(api)
        except ProxmoxError as error:
            return [CheckResult(name="Proxmox VE", problem=_problem(error))]
        first = CheckResult(
            name="Proxmox VE", found=cluster.endpoint, version=version, problem=_too_old(version)
        )
        if first.problem is not None:
            return [first]
        seen = look(declaration, api)
        last = Last.of(last_inventory)
        return [first, *_all(declaration, cluster, api, version, seen, last, knock)]


def _all(
    declaration: Declaration,
    cluster: Proxmox,
    api: ProxmoxApi,
    version: str,
    seen: Seen,
    last: Last,
    knock: Knock,
) -> Iterator[CheckResult]:
    major = int(version.split(".")[0])
    missing = lacking(declaration, major, seen.get("permissions", {}), api.token_id)
    if isinstance(seen.answers["permissions"], ProxmoxError):
        missing = None
    yield CheckResult(name="privileges", found=f"all that are needed, for {api.token_id}", problem=missing)
    quorum = _quorum(seen.get("status", []))
    yield CheckResult(name="quorum", found="the cluster has one", problem=quorum)
    broken = [error for key, error in seen.answers.items() if _is_general(key, error)]
    for error in {error.problem: error for error in broken}.values():
        yield CheckResult(name="Proxmox VE", problem=_problem(error))
    if any(
        key in ("nodes", "guests") for key, error in seen.answers.items() if isinstance(error, ProxmoxError)
    ):
        return
    up = nodes_up(seen)
    yield from _nodes(declaration, seen)
    guests = _guests(declaration, seen)
    yield from storage_checks(declaration, by_node(seen, "storages", up), guests, last)
    yield from _bridges(declaration, by_node(seen, "bridges", up))
    yield from _pools(declaration, seen, missing is not None)
    yield from machine_checks(declaration, guests, last, _hidden(seen), knock)
    yield from _snippets(declaration, seen, guests, last)
    if cluster.backups is not None:
        yield from _backups(declaration, cluster.backups, seen, up, guests)


def _is_general(key: str, answer: _Answer) -> bool:
    """Whether an answer is an error that nothing below speaks of."""
    quiet = key.startswith(("free ", "snippets "))
    return isinstance(answer, ProxmoxError) and not answer.is_forbidden and not quiet


def _problem(error: ProxmoxError) -> Problem:
    return Problem(path=error.path, problem=error.problem, remedy=error.remedy)


# -- the cluster ---------------------------------------------------------------------------------------


def _version(api: ProxmoxApi) -> str:
    answer = api.get("/version")
    version = answer.get("version") if isinstance(answer, dict) else None
    if not isinstance(version, str) or not version.split(".")[0].isdigit():
        raise ProxmoxError(
            "what answers at this endpoint is no Proxmox VE",
            "write the address of the node's own page, such as https://pve.example:8006/",
        )
    return version


def _too_old(version: str) -> Problem | None:
    parts = version.replace("-", ".").split(".")
    numbers = tuple(int(part) for part in parts[:2] if part.isdigit())
    if numbers >= OLDEST:
        return None
    oldest = ".".join(map(str, OLDEST))
    return Problem(
        path=ENDPOINT,
        problem=f"Proxmox VE {version} imports no image of a disk by its API",
        remedy=f"upgrade the nodes to {oldest} or newer",
    )


def _quorum(status: list[Any]) -> Problem | None:
    whole = next((entry for entry in status if entry.get("type") == "cluster"), None)
    if whole is None or whole.get("quorate"):
        # A single node has no such entry, and needs no other.
        return None
    away = [str(entry["name"]) for entry in status if entry.get("type") == "node" and not entry.get("online")]
    return Problem(
        path=ENDPOINT,
        problem="the cluster has lost its quorum, so that nothing can be changed"
        + (f"; {', '.join(away)} away" if away else ""),
        remedy="bring enough nodes back: `pvecm status` on a node says which are missing",
    )


def _nodes(declaration: Declaration, seen: Seen) -> Iterator[CheckResult]:
    known, up = {str(node["node"]) for node in seen.get("nodes", [])}, nodes_up(seen)
    wanted: dict[str, KeyPath] = {}
    for name, machine in virtual(declaration):
        wanted.setdefault(machine.node, ("machines", name, "proxmox", "node"))
    for node, path in wanted.items():
        problem = None
        if node not in known:
            problem = Problem(
                path=path,
                problem=f"the cluster has no node {node}",
                remedy=f"use one of: {', '.join(sorted(known))}",
            )
        elif node not in up:
            problem = Problem(
                path=path,
                problem=f"the node {node} is offline",
                remedy="bring it back, and try again; `pvecm status` on another node shows what it sees",
            )
        yield CheckResult(name=f"node {node}", found="online", problem=problem)


def _bridges(declaration: Declaration, by_node: Mapping[str, list[Any]]) -> Iterator[CheckResult]:
    done: set[tuple[str, str]] = set()
    for name, machine in virtual(declaration):
        if machine.node not in by_node or (machine.node, machine.bridge) in done:
            continue
        done.add((machine.node, machine.bridge))
        there = sorted(str(each["iface"]) for each in by_node[machine.node])
        problem = None
        if machine.bridge not in there:
            problem = Problem(
                path=("machines", name, "proxmox", "bridge"),
                problem=f"{machine.node} has no bridge {machine.bridge}",
                remedy=f"use one of: {', '.join(there)}"
                if there
                else "make one, in the node's page under System, Network",
            )
        yield CheckResult(
            name=f"bridge {machine.bridge} on {machine.node}", found="is there", problem=problem
        )


def _pools(declaration: Declaration, seen: Seen, unsure: bool) -> Iterator[CheckResult]:
    there = {str(pool["poolid"]) for pool in seen.get("pools", [])}
    done: set[str] = set()
    for name, machine in virtual(declaration):
        pool = machine.pool
        if pool is None or pool in done:
            continue
        done.add(pool)
        problem = None
        # A pool that the token may not see is in no list.
        if pool not in there and not unsure:
            problem = Problem(
                path=("machines", name, "proxmox", "pool"),
                problem=f"the cluster has no pool {pool}",
                remedy=f"make it on a node: `pveum pool add {pool}`",
            )
        yield CheckResult(name=f"pool {pool}", found="is there", problem=problem)


def _snippets(
    declaration: Declaration, seen: Seen, guests: Mapping[int, Guest], last: Last
) -> Iterator[CheckResult]:
    for name, machine in virtual(declaration):
        if machine.user_data is None or machine.vm_id in guests or last.has(name, machine.vm_id):
            # It is read at the very first start only.
            continue
        storage, _, file = machine.user_data.partition(":")
        answer = seen.answers.get(f"snippets {machine.node} {storage}")
        if not isinstance(answer, list) or not _holds_snippets(seen, machine.node, storage):
            continue
        problem = None
        if machine.user_data not in {str(each.get("volid")) for each in answer}:
            problem = Problem(
                path=("machines", name, "proxmox", "user_data"),
                problem=f"{machine.node} has no snippet {machine.user_data}",
                remedy=f"put the file there, on the node: `cp FILE $(pvesm path {storage}:{file})`",
            )
        yield CheckResult(name=f"snippet {machine.user_data}", found="is there", problem=problem)


def _holds_snippets(seen: Seen, node: str, storage: str) -> bool:
    """Whether it may; where it may not, that is told already."""
    there = seen.get(f"storages {node}", [])
    return any(
        each.get("storage") == storage and "snippets" in str(each.get("content")).split(",") for each in there
    )


def _backups(
    declaration: Declaration,
    backups: MachineBackups,
    seen: Seen,
    up: set[str],
    guests: Mapping[int, Guest],
) -> Iterator[CheckResult]:
    yield from backup_storage(declaration, backups, by_node(seen, "storages", up), seen.get("storages", []))
    unsaved = {int(guest["vmid"]) for guest in seen.get("unsaved", [])}
    for name, machine in virtual(declaration):
        # One that is not there yet can be in no job. What only holds a data disk is in none: that disk is
        # saved with the machine that uses it.
        if machine.vm_id not in guests:
            continue
        problem = None
        if machine.vm_id in unsaved:
            problem = Problem(
                path=("proxmox", "backups"),
                problem=f"{name} ({machine.vm_id}) is in no backup job",
                remedy="update: the job is made or mended then",
            )
        yield CheckResult(name=f"backup of {name}", found="is in a job", problem=problem, stops=False)


# -- guests --------------------------------------------------------------------------------------------


def _guests(declaration: Declaration, seen: Seen) -> dict[int, Guest]:
    """The guests that have an id which is declared here."""
    wanted = {vm_id for _, machine in virtual(declaration) for vm_id in owned_ids(machine)}
    found = {}
    for guest in seen.get("guests", []):
        vm_id = int(guest["vmid"])
        if vm_id in wanted:
            config = seen.get(f"config {vm_id}", {})
            found[vm_id] = Guest(
                vm_id=vm_id,
                name=str(guest.get("name", "")),
                node=str(guest.get("node", "")),
                description=str(config.get("description", "")),
                is_known=bool(config),
                lock=config.get("lock") or guest.get("lock"),
            )
    return found


def _hidden(seen: Seen) -> set[int]:
    """Ids that are taken by guests which the token may not see."""
    return {
        int(key.split()[1])
        for key, answer in seen.answers.items()
        if key.startswith("free ") and isinstance(answer, ProxmoxError) and answer.status == 400
    }
