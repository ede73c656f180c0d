"""Resource hooks of machines: one creation at a time on each node, and protection against deletion.

The engine calls the hooks during an update, never during a preview. They read the old inputs of the resource:
a machine that is deleted is not declared any more.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import pulumi

from chatons.declaration.resolved import Declaration
from chatons.proxmox.api import ProxmoxApi, ProxmoxError
from chatons.proxmox.guards import Guards
from chatons.schema.errors import ChatonsError

_BEFORE_CREATE = "ronron-machine-turn"
_AFTER_CREATE = "ronron-machine-made"
_ON_ERROR = "ronron-machine-failed"
_BEFORE_UPDATE = "ronron-machine-changes"
_AFTER_UPDATE = "ronron-machine-changed"
_BEFORE_DELETE = "ronron-machine-goes"
"""The state of every machine contains the names of its hooks, so the names must never change."""

_LOCK_SECONDS = 900.0
"""Longer than the import of an image. After this time a creation starts without the lock: at worst it waits
for a lock of the node itself."""

_SHUTDOWN_SECONDS = 120
"""A database needs a fraction of this to stop; after it, the node powers the guest off."""

_AT_RESTART = {
    "cpu": "cores and processor type",
    "memory": "memory",
    "initialization": "user, keys, address and DNS",
}
"""Inputs that the provider changes in place, with effect at the next restart of the guest."""

Inputs = Mapping[str, Any]


class Api(Protocol):
    """The part of `ProxmoxApi` that this module uses."""

    def get(self, path: str, **query: str | int) -> Any:
        """Send a GET request."""

    def post(self, path: str, **form: str | int) -> Any:
        """Send a POST request."""

    def put(self, path: str, **form: str | int) -> Any:
        """Send a PUT request."""

    def close(self) -> None:
        """Close the connections."""


class ProtectedError(ChatonsError):
    """The deletion of a machine was refused; the text says why and what to do."""


@dataclass
class NodeLocks:
    """One lock for each node, so that its machines are created one after the other.

    Parallel creations fail with "can't lock file ... got timeout" (bpg/terraform-provider-proxmox, issues 995
    and 1521). A chain of `depends_on` would work too, but one failure would then block every machine behind
    it, in later updates as well.

    Attributes:
        seconds: the longest wait for a lock.
    """

    seconds: float = _LOCK_SECONDS
    _nodes: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    _acquired: dict[str, asyncio.Lock] = field(default_factory=dict)

    async def acquire(self, urn: str, node: str) -> None:
        """Wait for the lock of a node; after the longest wait, continue without it."""
        lock = self._nodes[node]
        try:
            await asyncio.wait_for(lock.acquire(), self.seconds)
        except TimeoutError:
            return
        self._acquired[urn] = lock

    def release(self, urn: str) -> None:
        """Release the lock if this resource has it."""
        lock = self._acquired.pop(urn, None)
        if lock is not None:
            lock.release()


@dataclass(frozen=True)
class Protection:
    """Removes Proxmox VE's protection from a machine that may be deleted, and shuts the machine down.

    Attributes:
        replaceable: the id of the machine that may be replaced, by the name of its resource.
        connect: opens a connection to the cluster.
        pause: seconds between two requests for the status of a guest that shuts down.
    """

    replaceable: Mapping[str, int]
    connect: Callable[[], Awaitable[Api]]
    pause: float = 1.0

    async def before_delete(self, name: str, inputs: Inputs) -> None:
        """Prepare the deletion of a machine, if the declaration permits it.

        Raises:
            ProtectedError: the machine is protected without a matching `replace`, or the cluster is
                unreachable.
        """
        vm_id = int(inputs["vmId"])
        api = await self.connect()
        try:
            await asyncio.to_thread(self._prepare, api, name, vm_id)
        except ProxmoxError as error:
            raise ProtectedError(
                f"cannot delete {name}, as it may be protected: {error.problem}\n  -> {error.remedy}"
            ) from error
        finally:
            api.close()

    def _prepare(self, api: Api, name: str, vm_id: int) -> None:
        nodes = [
            str(machine["node"])
            for machine in api.get("/cluster/resources", type="vm")
            if int(machine["vmid"]) == vm_id
        ]
        if not nodes:
            return
        machine = f"/nodes/{nodes[0]}/qemu/{vm_id}"
        protected = int(api.get(f"{machine}/config").get("protection") or 0)
        if protected and self.replaceable.get(name) != vm_id:
            raise ProtectedError(
                f"cannot delete {name}: virtual machine {vm_id} is protected in Proxmox VE, and no machine "
                f"is declared with `replace: {vm_id}`\n"
                f"  -> declare that to replace it; to remove it permanently, run on {nodes[0]}: "
                f"qm set {vm_id} --protection 0"
            )
        if protected:
            api.put(f"{machine}/config", protection=0)
        self._shut_down(api, machine)

    def _shut_down(self, api: Api, machine: str) -> None:
        """Shut the guest down so that its data disk is consistent; the provider would power it off."""
        end = time.monotonic() + _SHUTDOWN_SECONDS + self.pause
        requested = False
        while time.monotonic() < end and api.get(f"{machine}/status/current")["status"] == "running":
            if not requested:
                api.post(f"{machine}/status/shutdown", timeout=_SHUTDOWN_SECONDS, forceStop=1)
                requested = True
            time.sleep(self.pause)


def after_restart(old: Inputs, new: Inputs) -> list[str]:
    """The changes that take effect at the next restart of the guest, as text for people."""
    return [text for key, text in _AT_RESTART.items() if old.get(key) != new.get(key)]


def register(declaration: Declaration, token: Callable[[], pulumi.Output[str]]) -> pulumi.ResourceHookBinding:
    """Register the hooks with the engine.

    Every run must register them, whatever is declared: the state of a machine that was declared once names
    them.

    Args:
        declaration: a checked one.
        token: gives the token of Proxmox VE when a hook needs it.
    """
    locks = NodeLocks()
    protection = Protection(
        replaceable={
            name: machine.proxmox.replace
            for name, machine in declaration.machines.items()
            if machine.proxmox is not None and machine.proxmox.replace is not None
        },
        connect=lambda: _connect(declaration, token),
    )

    guards = Guards(connect=lambda: _connect(declaration, token))

    async def before_create(args: pulumi.ResourceHookArgs) -> None:
        inputs = args.new_inputs or {}
        await locks.acquire(args.urn, str(inputs.get("nodeName")))
        try:
            # After the wait for the lock, which may take minutes.
            await guards.before_create(inputs)
        except BaseException:
            locks.release(args.urn)
            raise

    def after_create(args: pulumi.ResourceHookArgs) -> None:
        locks.release(args.urn)

    def on_error(args: pulumi.ErrorHookArgs) -> bool:
        locks.release(args.urn)
        return False

    async def before_update(args: pulumi.ResourceHookArgs) -> None:
        old, known, new = [
            await _resolved(each) for each in (args.old_inputs, args.old_outputs, args.new_inputs)
        ]
        await guards.before_update(args.name, old, known, new)

    async def after_update(args: pulumi.ResourceHookArgs) -> None:
        later = after_restart(await _restart_inputs(args.old_inputs), await _restart_inputs(args.new_inputs))
        if later:
            pulumi.log.warn(
                f"{args.name}: {'; '.join(later)} changed, with effect at the next restart of the machine: "
                "restart it when its users can spare it"
            )

    async def before_delete(args: pulumi.ResourceHookArgs) -> None:
        await protection.before_delete(args.name, args.old_inputs or {})

    return pulumi.ResourceHookBinding(
        before_create=[pulumi.ResourceHook(_BEFORE_CREATE, before_create)],
        after_create=[pulumi.ResourceHook(_AFTER_CREATE, after_create)],
        before_update=[pulumi.ResourceHook(_BEFORE_UPDATE, before_update)],
        after_update=[pulumi.ResourceHook(_AFTER_UPDATE, after_update)],
        before_delete=[pulumi.ResourceHook(_BEFORE_DELETE, before_delete)],
        on_error=[pulumi.ErrorHook(_ON_ERROR, on_error)],
    )


async def _restart_inputs(inputs: Inputs | None) -> Inputs:
    """The inputs that `after_restart` compares. An input with a field for a password is always an output."""
    return await _resolved({key: (inputs or {}).get(key) for key in _AT_RESTART})


async def _resolved(values: Inputs | None) -> Inputs:
    """The values, where some may be outputs."""
    resolved: Inputs | None = await pulumi.Output.all(**(values or {})).future()
    return resolved or {}


async def _connect(declaration: Declaration, token: Callable[[], pulumi.Output[str]]) -> Api:
    cluster = declaration.proxmox
    if cluster is None:
        raise ProtectedError(
            "cannot delete the machine: its cluster is not declared\n"
            "  -> declare `ronron:proxmox` again until the machine is deleted"
        )
    value = await token().future()
    if value is None:
        raise ValueError("the token of Proxmox VE is unknown during an update")
    return ProxmoxApi(cluster.endpoint, value, insecure=cluster.insecure)
