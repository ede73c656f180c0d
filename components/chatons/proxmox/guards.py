"""Checks at the cluster just before the engine creates or updates one machine, during an update."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from chatons.proxmox.api import ProxmoxError
from chatons.proxmox.machine_checks import Guest, is_ours, taken_by_guest, taken_by_hidden_guest
from chatons.schema.by_hand import pulumi_command
from chatons.schema.errors import ChatonsError

Inputs = Mapping[str, Any]

_ID_TAKEN = 400
"""Status of the answer when a requested id is not free."""

_SIZE = re.compile(r"(?:^|,)size=(?P<number>\d+)(?P<unit>[KMGT]?)(?:,|$)")
_GIB = {"": 2**-30, "K": 2**-20, "M": 2**-10, "G": 1.0, "T": 1024.0}
"""Source: PVE/JSONSchema.pm, parse_size."""


class Api(Protocol):
    """The part of `ProxmoxApi` that this module uses."""

    def get(self, path: str, **query: str | int) -> Any:
        """Send a GET request."""

    def close(self) -> None:
        """Close the connections."""


class RefusedError(ChatonsError):
    """The change of a machine was refused; the text says why and what to do."""


@dataclass(frozen=True)
class Guards:
    """Stops the provider from taking over a foreign machine, and from skipping a change that failed before.

    Attributes:
        connect: opens a connection to the cluster.
    """

    connect: Callable[[], Awaitable[Api]]

    async def before_create(self, inputs: Inputs) -> None:
        """Check that the id is free or belongs to our own machine.

        The check before the update has passed, but somebody may have taken the id since. The provider retries
        a failed creation and treats "already exists" as its own success, so it would take over that guest.

        Raises:
            RefusedError: the id is taken, or the cluster is unreachable.
        """
        await self._run(lambda api: _refuse_taken(api, int(inputs["vmId"]), str(inputs.get("description"))))

    async def before_update(self, name: str, old: Inputs, known: Inputs, new: Inputs) -> None:
        """Check that the last update of a machine was completed.

        When an update fails half-way, the state has the old inputs and the desired outputs. Without a refresh
        the provider then finds no difference, and the change would never be made.

        Args:
            name: name of the machine.
            old: inputs in the state.
            known: outputs in the state.
            new: inputs of this update.

        Raises:
            RefusedError: the cluster differs from the state, or is unreachable.
        """
        vm_id = int(new["vmId"])

        def check(api: Api) -> None:
            guest = _find(api, vm_id)
            if guest is None:
                return
            missing = incomplete_changes(old, known, new, api.get(f"{_path(guest, vm_id)}/config"))
            if missing:
                raise RefusedError(
                    f"the last update of {name} was not completed; missing: {', '.join(missing)}\n"
                    f"  -> refresh the state and complete the update: `{pulumi_command('up --refresh')}`"
                )

        await self._run(check)

    async def _run(self, check: Callable[[Api], None]) -> None:
        api = await self.connect()
        try:
            await asyncio.to_thread(check, api)
        except ProxmoxError as error:
            raise RefusedError(f"{error.problem}\n  -> {error.remedy}") from error
        finally:
            api.close()


def incomplete_changes(old: Inputs, known: Inputs, new: Inputs, config: Mapping[str, Any]) -> list[str]:
    """Values that the state claims and the configuration of the machine lacks, as text for people.

    A manual change at the node is not reported: then the outputs in the state equal the old inputs. A smaller
    disk is always reported, as nobody can shrink a disk. Disks that belong to another machine are ignored.

    Args:
        old: inputs in the state.
        known: outputs in the state.
        new: inputs of this update. The provider makes the changes that are new in them.
        config: configuration in Proxmox VE.
    """
    before, claimed, desired, actual = _compared(old), _compared(known), _compared(new), _actual(config)
    found = [
        f"{key}: {_text(claimed[key])} (it has {_text(actual[key])})"
        for key in claimed.keys() & actual.keys()
        if claimed[key] == desired.get(key) and claimed[key] not in (before.get(key), actual[key])
    ]
    own = f"vm-{int(new['vmId'])}-"
    for disk in known.get("disks") or ():
        volume = str(config.get(disk["interface"], ""))
        size = _SIZE.search(volume)
        if size is not None and own in volume:
            gib = int(size["number"]) * _GIB[size["unit"]]
            if gib < disk["size"]:
                found.append(f"{disk['interface']}: {disk['size']:g} GiB (it has {gib:g})")
    return sorted(found)


def _compared(values: Inputs) -> dict[str, object]:
    """The compared values of inputs or outputs, where the engine hands numbers back as floats."""
    cpu, memory = values.get("cpu") or {}, values.get("memory") or {}
    return {
        "cores": int(cpu.get("cores") or 1),
        "MiB of memory": int(memory.get("dedicated") or 0),
        "tags": frozenset(values.get("tags") or ()),
    }


def _actual(config: Mapping[str, Any]) -> dict[str, object]:
    memory = re.search(r"\d+$", str(config.get("memory", "")))
    return {
        "cores": int(config.get("cores") or 1),
        **({"MiB of memory": int(memory[0])} if memory is not None else {}),
        "tags": frozenset(re.findall(r"[^;, ]+", str(config.get("tags") or ""))),
    }


def _text(value: object) -> str:
    return ", ".join(sorted(map(str, value))) or "none" if isinstance(value, frozenset) else str(value)


def _refuse_taken(api: Api, vm_id: int, line: str) -> None:
    try:
        api.get("/cluster/nextid", vmid=vm_id)
    except ProxmoxError as error:
        if error.status != _ID_TAKEN:
            raise
    else:
        return
    found = _find(api, vm_id)
    problem = taken_by_hidden_guest((), vm_id)
    if found is not None:
        config = api.get(f"{_path(found, vm_id)}/config")
        guest = Guest(
            vm_id=vm_id,
            name=str(found.get("name", "")),
            node=str(found["node"]),
            description=str(config.get("description", "")),
            is_readable=True,
            lock=None,
        )
        if is_ours(guest, line):
            return
        problem = taken_by_guest((), guest, line)
    raise RefusedError(f"{problem.problem}\n  -> {problem.remedy}")


def _find(api: Api, vm_id: int) -> Mapping[str, Any] | None:
    guests = api.get("/cluster/resources", type="vm")
    return next((guest for guest in guests if int(guest["vmid"]) == vm_id), None)


def _path(guest: Mapping[str, Any], vm_id: int) -> str:
    kind = "lxc" if guest.get("type") == "lxc" else "qemu"
    return f"/nodes/{guest['node']}/{kind}/{vm_id}"
