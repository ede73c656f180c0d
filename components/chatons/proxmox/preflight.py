"""Checks at the cluster before the first resource changes; previews run them too.

Without them, the engine's plugin would fail in the middle of an update, with an error of the API.
"""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from pydantic import SecretStr

from chatons.declaration.machine_rules import virtual
from chatons.declaration.resolved import Declaration
from chatons.proxmox.answers import Answers, by_node, nodes_up, owned_ids, query_cluster
from chatons.proxmox.api import ENDPOINT, ProxmoxApi, ProxmoxError
from chatons.proxmox.machine_checks import Guest, LastInventory, machine_checks
from chatons.proxmox.privileges import missing_privileges
from chatons.proxmox.storage_checks import backup_storage, storage_checks
from chatons.schema.checks import CheckResult
from chatons.schema.problems import KeyPath, Problem
from chatons.schema.proxmox_models import MachineBackups, Proxmox

OLDEST = (8, 4)
"""The first version that downloads a disk image for import. Source: Proxmox VE 8.4, release notes."""

_CONNECT_SECONDS = 0.5
"""A machine in the same network answers within milliseconds, a distant one within 0.3 s."""

Connect = Callable[[Proxmox, str], ProxmoxApi]
IsInUse = Callable[[str], bool]
_Answer = Any


def connect(cluster: Proxmox, token: str) -> ProxmoxApi:
    """Open a connection to a declared cluster."""
    return ProxmoxApi(cluster.endpoint, token, insecure=cluster.insecure)


def has_ssh_server(address: str, port: int = 22) -> bool:
    """Whether an ssh server answers at an address; such a server sends its greeting first.

    An open connection, or a refused one, proves nothing: firewalls answer like that for unused addresses.
    """
    try:
        with socket.create_connection((address, port), timeout=_CONNECT_SECONDS) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def checks(
    declaration: Declaration,
    token: SecretStr,
    last_inventory: object,
    connect: Connect = connect,
    is_in_use: IsInUse = has_ssh_server,
    without: Collection[str] = (),
) -> list[CheckResult]:
    """Check the cluster for every declared machine. An error of the endpoint or the token ends the checks.

    Args:
        declaration: a checked one.
        token: `user@realm!name=secret`.
        last_inventory: the inventory that the stack exported last; None before the first update.
        connect: opens a connection to the cluster.
        is_in_use: whether an address is in use.
        without: names of machines that the update excludes; they are not checked.
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
        answers = query_cluster(declaration, api)
        last = LastInventory.of(last_inventory)
        return [first, *_all(declaration, cluster, api, version, answers, last, is_in_use)]


def _all(
    declaration: Declaration,
    cluster: Proxmox,
    api: ProxmoxApi,
    version: str,
    answers: Answers,
    last: LastInventory,
    is_in_use: IsInUse,
) -> Iterator[CheckResult]:
    major = int(version.split(".")[0])
    missing = missing_privileges(declaration, major, answers.get("permissions", {}), api.token_id)
    if isinstance(answers.by_key["permissions"], ProxmoxError):
        missing = None
    yield CheckResult(name="privileges", found=f"{api.token_id} has all that it needs", problem=missing)
    quorum = _quorum(answers.get("status", []))
    yield CheckResult(name="quorum", found="the cluster has quorum", problem=quorum)
    broken = [error for key, error in answers.by_key.items() if _is_general(key, error)]
    for error in {error.problem: error for error in broken}.values():
        yield CheckResult(name="Proxmox VE", problem=_problem(error))
    if any(
        key in ("nodes", "guests") for key, error in answers.by_key.items() if isinstance(error, ProxmoxError)
    ):
        return
    up = nodes_up(answers)
    yield from _nodes(declaration, answers)
    guests = _guests(declaration, answers)
    yield from storage_checks(declaration, by_node(answers, "storages", up), guests, last)
    yield from _bridges(declaration, by_node(answers, "bridges", up))
    yield from _pools(declaration, answers, missing is not None)
    yield from machine_checks(declaration, guests, last, _hidden_ids(answers), is_in_use)
    yield from _snippets(declaration, answers, guests, last)
    if cluster.backups is not None:
        yield from _backups(declaration, cluster.backups, answers, up, guests)


def _is_general(key: str, answer: _Answer) -> bool:
    """Whether an answer is an error that no other check reports."""
    reported = key.startswith(("free ", "snippets "))
    return isinstance(answer, ProxmoxError) and not answer.is_forbidden and not reported


def _problem(error: ProxmoxError) -> Problem:
    return Problem(path=error.path, problem=error.problem, remedy=error.remedy)


# -- the cluster ---------------------------------------------------------------------------------------


def _version(api: ProxmoxApi) -> str:
    answer = api.get("/version")
    version = answer.get("version") if isinstance(answer, dict) else None
    if not isinstance(version, str) or not version.split(".")[0].isdigit():
        raise ProxmoxError(
            "the server at this endpoint is not a Proxmox VE",
            "write the address of the web interface of a node, such as https://pve.example:8006/",
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
        problem=f"Proxmox VE {version} cannot import a disk image through its API",
        remedy=f"upgrade the nodes to {oldest} or newer",
    )


def _quorum(status: list[Any]) -> Problem | None:
    cluster = next((entry for entry in status if entry.get("type") == "cluster"), None)
    if cluster is None or cluster.get("quorate"):
        # A single node has no such entry and needs no quorum.
        return None
    offline = [
        str(entry["name"]) for entry in status if entry.get("type") == "node" and not entry.get("online")
    ]
    return Problem(
        path=ENDPOINT,
        problem="the cluster has lost its quorum, so it cannot change anything"
        + (f"; offline: {', '.join(offline)}" if offline else ""),
        remedy="start enough nodes again: `pvecm status` on a node shows which are missing",
    )


def _nodes(declaration: Declaration, answers: Answers) -> Iterator[CheckResult]:
    known, up = {str(node["node"]) for node in answers.get("nodes", [])}, nodes_up(answers)
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
                remedy="start it again, then repeat the command; `pvecm status` on another node shows more",
            )
        yield CheckResult(name=f"node {node}", found="online", problem=problem)


def _bridges(declaration: Declaration, by_node: Mapping[str, list[Any]]) -> Iterator[CheckResult]:
    done: set[tuple[str, str]] = set()
    for name, machine in virtual(declaration):
        if machine.node not in by_node or (machine.node, machine.bridge) in done:
            continue
        done.add((machine.node, machine.bridge))
        existing = sorted(str(each["iface"]) for each in by_node[machine.node])
        problem = None
        if machine.bridge not in existing:
            problem = Problem(
                path=("machines", name, "proxmox", "bridge"),
                problem=f"{machine.node} has no bridge {machine.bridge}",
                remedy=f"use one of: {', '.join(existing)}"
                if existing
                else "create one in the web interface of the node, under System, Network",
            )
        yield CheckResult(name=f"bridge {machine.bridge} on {machine.node}", found="exists", problem=problem)


def _pools(declaration: Declaration, answers: Answers, lacks_privileges: bool) -> Iterator[CheckResult]:
    existing = {str(pool["poolid"]) for pool in answers.get("pools", [])}
    done: set[str] = set()
    for name, machine in virtual(declaration):
        pool = machine.pool
        if pool is None or pool in done:
            continue
        done.add(pool)
        problem = None
        # The list does not contain pools that the token may not see.
        if pool not in existing and not lacks_privileges:
            problem = Problem(
                path=("machines", name, "proxmox", "pool"),
                problem=f"the cluster has no pool {pool}",
                remedy=f"create it on a node: `pveum pool add {pool}`",
            )
        yield CheckResult(name=f"pool {pool}", found="exists", problem=problem)


def _snippets(
    declaration: Declaration, answers: Answers, guests: Mapping[int, Guest], last: LastInventory
) -> Iterator[CheckResult]:
    for name, machine in virtual(declaration):
        if machine.user_data is None or machine.vm_id in guests or last.has(name, machine.vm_id):
            # The machine reads the file at its first boot only.
            continue
        storage, _, file = machine.user_data.partition(":")
        answer = answers.by_key.get(f"snippets {machine.node} {storage}")
        if not isinstance(answer, list) or not _allows_snippets(answers, machine.node, storage):
            continue
        problem = None
        if machine.user_data not in {str(each.get("volid")) for each in answer}:
            problem = Problem(
                path=("machines", name, "proxmox", "user_data"),
                problem=f"{machine.node} has no snippet {machine.user_data}",
                remedy=f"copy the file there on the node: `cp FILE $(pvesm path {storage}:{file})`",
            )
        yield CheckResult(name=f"snippet {machine.user_data}", found="exists", problem=problem)


def _allows_snippets(answers: Answers, node: str, storage: str) -> bool:
    """Whether the storage allows snippets; the checks of storages report it when not."""
    existing = answers.get(f"storages {node}", [])
    return any(
        each.get("storage") == storage and "snippets" in str(each.get("content")).split(",")
        for each in existing
    )


def _backups(
    declaration: Declaration,
    backups: MachineBackups,
    answers: Answers,
    up: set[str],
    guests: Mapping[int, Guest],
) -> Iterator[CheckResult]:
    yield from backup_storage(
        declaration, backups, by_node(answers, "storages", up), answers.get("storages", [])
    )
    unsaved = {int(guest["vmid"]) for guest in answers.get("unsaved", [])}
    for name, machine in virtual(declaration):
        # A new machine can be in no job. The holder of a data disk is in none either: the disk is backed up
        # with the machine that uses it.
        if machine.vm_id not in guests:
            continue
        problem = None
        if machine.vm_id in unsaved:
            problem = Problem(
                path=("proxmox", "backups"),
                problem=f"{name} ({machine.vm_id}) is in no backup job",
                remedy="run an update: it creates or fixes the job",
            )
        yield CheckResult(name=f"backup of {name}", found="is in a job", problem=problem, stops=False)


# -- guests --------------------------------------------------------------------------------------------


def _guests(declaration: Declaration, answers: Answers) -> dict[int, Guest]:
    """The guests with a declared id, by id."""
    wanted = {vm_id for _, machine in virtual(declaration) for vm_id in owned_ids(machine)}
    found = {}
    for guest in answers.get("guests", []):
        vm_id = int(guest["vmid"])
        if vm_id in wanted:
            config = answers.get(f"config {vm_id}", {})
            found[vm_id] = Guest(
                vm_id=vm_id,
                name=str(guest.get("name", "")),
                node=str(guest.get("node", "")),
                description=str(config.get("description", "")),
                is_readable=bool(config),
                lock=config.get("lock") or guest.get("lock"),
            )
    return found


def _hidden_ids(answers: Answers) -> set[int]:
    """Ids of guests that the token may not see."""
    return {
        int(key.split()[1])
        for key, answer in answers.by_key.items()
        if key.startswith("free ") and isinstance(answer, ProxmoxError) and answer.status == 400
    }
