"""What is done around changes of machines: a node makes one at a time, and a protected one seldom goes.

The engine calls these in the middle of an update; previews call none. They find what they need in the
resource as it was, as a machine that is to be deleted is declared no more.
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
"""Names of hooks are kept in the state of every machine, so that they must never change."""

_TURN_SECONDS = 900.0
"""Longer than a node imports an image. Who has waited so long goes ahead: a lock of the node may keep it
waiting then, and nothing worse."""

_SHUTDOWN_SECONDS = 120
"""A database writes down what it has in a fraction of it; then the guest is cut off."""

_AT_RESTART = {
    "cpu": "cores and processor type",
    "memory": "memory",
    "initialization": "user, keys, address and DNS",
}
"""Inputs that are changed in place, and that a running guest sees after its next restart."""

Inputs = Mapping[str, Any]


class Api(Protocol):
    """As much of `ProxmoxApi` as is used here."""

    def get(self, path: str, **query: str | int) -> Any:
        """Read."""

    def post(self, path: str, **form: str | int) -> Any:
        """Have something done."""

    def put(self, path: str, **form: str | int) -> Any:
        """Change."""

    def close(self) -> None:
        """Let the connections go."""


class ProtectedError(ChatonsError):
    """A machine stays; the text says why and what to do."""


@dataclass
class Turns:
    """Lets the machines of one node be made one after the other.

    In parallel they meet "can't lock file ... got timeout" (bpg/terraform-provider-proxmox, issues 995 and
    1521). A chain of `depends_on` would do that too, and would have one that fails stop all behind it, in
    every later update as well.

    Attributes:
        seconds: how long one waits for its turn at most.
    """

    seconds: float = _TURN_SECONDS
    _nodes: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    _having: dict[str, asyncio.Lock] = field(default_factory=dict)

    async def take(self, urn: str, node: str) -> None:
        """Wait for the turn of a resource."""
        lock = self._nodes[node]
        try:
            await asyncio.wait_for(lock.acquire(), self.seconds)
        except TimeoutError:
            return
        self._having[urn] = lock

    def give_back(self, urn: str) -> None:
        """Let the next one go, if it was this one's turn."""
        lock = self._having.pop(urn, None)
        if lock is not None:
            lock.release()


@dataclass(frozen=True)
class Protection:
    """Takes Proxmox VE's protection off a machine that may go, and off no other, and shuts it down.

    Attributes:
        replaceable: by the name of the resource, the id of the one machine that may go for a new one.
        connect: gives the way in.
        pause: seconds between two looks at a guest that shuts down.
    """

    replaceable: Mapping[str, int]
    connect: Callable[[], Awaitable[Api]]
    pause: float = 1.0

    async def before_delete(self, name: str, inputs: Inputs) -> None:
        """See to it that the deletion of a machine is meant, and not refused by the node.

        Raises:
            ProtectedError: it is protected and was not declared to go, or nobody could be asked.
        """
        vm_id = int(inputs["vmId"])
        api = await self.connect()
        try:
            await asyncio.to_thread(self._let_go, api, name, vm_id)
        except ProxmoxError as error:
            raise ProtectedError(
                f"{name} stays, as it may be protected: {error.problem}\n  -> {error.remedy}"
            ) from error
        finally:
            api.close()

    def _let_go(self, api: Api, name: str, vm_id: int) -> None:
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
                f"{name} stays: the machine {vm_id} is protected in Proxmox VE, and no machine is declared "
                f"with `replace: {vm_id}`\n"
                f"  -> to have it made anew, declare that; to remove it for good, run on {nodes[0]}: "
                f"qm set {vm_id} --protection 0"
            )
        if protected:
            api.put(f"{machine}/config", protection=0)
        self._shut_down(api, machine)

    def _shut_down(self, api: Api, machine: str) -> None:
        """Let the guest leave its data disk as it should; the provider would cut it off."""
        end = time.monotonic() + _SHUTDOWN_SECONDS + self.pause
        asked = False
        while time.monotonic() < end and api.get(f"{machine}/status/current")["status"] == "running":
            if not asked:
                api.post(f"{machine}/status/shutdown", timeout=_SHUTDOWN_SECONDS, forceStop=1)
                asked = True
            time.sleep(self.pause)


def after_restart(old: Inputs, new: Inputs) -> list[str]:
    """What of a change the guest will see after its next restart only; in words."""
    return [words for key, words in _AT_RESTART.items() if old.get(key) != new.get(key)]


def register(declaration: Declaration, token: Callable[[], pulumi.Output[str]]) -> pulumi.ResourceHookBinding:
    """The hooks, made known to the engine.

    They must be there in every run, whatever is declared: states of machines that were declared once name
    them.

    Args:
        declaration: a checked one.
        token: of Proxmox VE; asked for only when a machine goes.
    """
    turns = Turns()
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
        await turns.take(args.urn, str(inputs.get("nodeName")))
        try:
            # Not before it is its turn, which may take minutes to come.
            await guards.before_create(inputs)
        except BaseException:
            turns.give_back(args.urn)
            raise

    def after_create(args: pulumi.ResourceHookArgs) -> None:
        turns.give_back(args.urn)

    def on_error(args: pulumi.ErrorHookArgs) -> bool:
        turns.give_back(args.urn)
        return False

    async def before_update(args: pulumi.ResourceHookArgs) -> None:
        old, known, new = [
            await _known(each) for each in (args.old_inputs, args.old_outputs, args.new_inputs)
        ]
        await guards.before_update(args.name, old, known, new)

    async def after_update(args: pulumi.ResourceHookArgs) -> None:
        later = after_restart(await _clear(args.old_inputs), await _clear(args.new_inputs))
        if later:
            pulumi.log.warn(
                f"{args.name}: {'; '.join(later)} changed, and the guest sees it after its next restart: "
                "restart it when it suits its users"
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


async def _clear(inputs: Inputs | None) -> Inputs:
    """What `after_restart` compares. What has a place for a password comes as an output, even without one."""
    asked = {key: (inputs or {}).get(key) for key in _AT_RESTART}
    known: Inputs | None = await pulumi.Output.all(**asked).future()
    return known or {}


async def _known(values: Inputs | None) -> Inputs:
    """All of them, where some may have come as outputs."""
    known: Inputs | None = await pulumi.Output.all(**(values or {})).future()
    return known or {}


async def _connect(declaration: Declaration, token: Callable[[], pulumi.Output[str]]) -> Api:
    cluster = declaration.proxmox
    if cluster is None:
        raise ProtectedError(
            "the machine stays: it can only go while the cluster that it is on is declared\n"
            "  -> declare `ronron:proxmox` again until it is gone"
        )
    value = await token().future()
    if value is None:
        raise ValueError("a secret of the configuration is known in every update")
    return ProxmoxApi(cluster.endpoint, value, insecure=cluster.insecure)
