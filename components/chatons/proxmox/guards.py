"""What is looked at in the cluster just before one machine changes there, in the middle of an update."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from chatons.proxmox.api import ProxmoxError
from chatons.proxmox.machine_checks import Guest, hidden, says, taken
from chatons.schema.errors import ChatonsError

Inputs = Mapping[str, Any]

_REFUSED = 400
"""Status of the answer to a wish for a number that is not free."""

_SIZE = re.compile(r"(?:^|,)size=(?P<number>\d+)(?P<unit>[KMGT]?)(?:,|$)")
_GIB = {"": 2**-30, "K": 2**-20, "M": 2**-10, "G": 1.0, "T": 1024.0}
"""Source: PVE/JSONSchema.pm, parse_size."""


class Api(Protocol):
    """As much of `ProxmoxApi` as is used here."""

    def get(self, path: str, **query: str | int) -> Any:
        """Read."""

    def close(self) -> None:
        """Let the connections go."""


class RefusedError(ChatonsError):
    """A machine is not touched; the text says why and what to do."""


@dataclass(frozen=True)
class Guards:
    """Keeps the provider from taking over a machine of somebody else, and from taking a wish for a deed.

    Attributes:
        connect: gives the way in.
    """

    connect: Callable[[], Awaitable[Api]]

    async def before_create(self, inputs: Inputs) -> None:
        """See to it that the id is free, or our own machine's.

        It was when the update began. The provider tries again what failed, and takes "already exists" for its
        own success: it would take over whatever was made since.

        Raises:
            RefusedError: it is not, or nobody could be asked.
        """
        await self._ask(lambda api: _refuse_taken(api, int(inputs["vmId"]), str(inputs.get("description"))))

    async def before_update(self, name: str, old: Inputs, known: Inputs, new: Inputs) -> None:
        """See to it that what the last update of a machine left undone is not forgotten.

        When an update fails half-way, the engine keeps the old inputs and the outputs that were wished for:
        without a look at the cluster the provider finds nothing left to do, and the engine is content.

        Args:
            name: of the machine.
            old: inputs as the state has them.
            known: outputs as the state has them.
            new: inputs of this update.

        Raises:
            RefusedError: the cluster does not have what the state says, or nobody could be asked.
        """
        vm_id = int(new["vmId"])

        def look(api: Api) -> None:
            there = _find(api, vm_id)
            if there is None:
                return
            left = undone(old, known, new, api.get(f"{_path(there, vm_id)}/config"))
            if left:
                raise RefusedError(
                    f"the last update of {name} ended half-way, and left undone: {', '.join(left)}\n"
                    "  -> have the cluster looked at and the rest done: `pulumi up --refresh`"
                )

        await self._ask(look)

    async def _ask(self, look: Callable[[Api], None]) -> None:
        api = await self.connect()
        try:
            await asyncio.to_thread(look, api)
        except ProxmoxError as error:
            raise RefusedError(f"{error.problem}\n  -> {error.remedy}") from error
        finally:
            api.close()


def undone(old: Inputs, known: Inputs, new: Inputs, config: Mapping[str, Any]) -> list[str]:
    """What the state says of a machine, and its configuration does not have; in words.

    What somebody changed at the node is not meant: the state had the old inputs as outputs then, but for a
    smaller disk, which nobody can make. Disks that belong to another machine are that one's.

    Args:
        old: inputs as the state has them.
        known: outputs as the state has them.
        new: inputs of this update. What they have anew the provider will see to.
        config: as Proxmox VE has it.
    """
    had, told, wanted, real = _facts(old), _facts(known), _facts(new), _real(config)
    found = [
        f"{key}: {_shown(told[key])} (it has {_shown(real[key])})"
        for key in told.keys() & real.keys()
        if told[key] == wanted.get(key) and told[key] not in (had.get(key), real[key])
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


def _facts(values: Inputs) -> dict[str, object]:
    """What is compared, of inputs or outputs: these hold more than those, and numbers come as floats."""
    cpu, memory = values.get("cpu") or {}, values.get("memory") or {}
    return {
        "cores": int(cpu.get("cores") or 1),
        "MiB of memory": int(memory.get("dedicated") or 0),
        "tags": frozenset(values.get("tags") or ()),
    }


def _real(config: Mapping[str, Any]) -> dict[str, object]:
    memory = re.search(r"\d+$", str(config.get("memory", "")))
    return {
        "cores": int(config.get("cores") or 1),
        **({"MiB of memory": int(memory[0])} if memory is not None else {}),
        "tags": frozenset(re.findall(r"[^;, ]+", str(config.get("tags") or ""))),
    }


def _shown(fact: object) -> str:
    return ", ".join(sorted(map(str, fact))) or "none" if isinstance(fact, frozenset) else str(fact)


def _refuse_taken(api: Api, vm_id: int, line: str) -> None:
    try:
        api.get("/cluster/nextid", vmid=vm_id)
    except ProxmoxError as error:
        if error.status != _REFUSED:
            raise
    else:
        return
    there = _find(api, vm_id)
    problem = hidden((), vm_id)
    if there is not None:
        config = api.get(f"{_path(there, vm_id)}/config")
        guest = Guest(
            vm_id=vm_id,
            name=str(there.get("name", "")),
            node=str(there["node"]),
            description=str(config.get("description", "")),
            is_known=True,
            lock=None,
        )
        if says(guest, line):
            return
        problem = taken((), guest, line)
    raise RefusedError(f"{problem.problem}\n  -> {problem.remedy}")


def _find(api: Api, vm_id: int) -> Mapping[str, Any] | None:
    guests = api.get("/cluster/resources", type="vm")
    return next((guest for guest in guests if int(guest["vmid"]) == vm_id), None)


def _path(guest: Mapping[str, Any], vm_id: int) -> str:
    kind = "lxc" if guest.get("type") == "lxc" else "qemu"
    return f"/nodes/{guest['node']}/{kind}/{vm_id}"
