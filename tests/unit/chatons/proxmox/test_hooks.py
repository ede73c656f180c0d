"""The resource hooks of machines, without an engine."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chatons.proxmox.api import ProxmoxError
from chatons.proxmox.hooks import NodeLocks, ProtectedError, Protection, after_restart

MACHINE = "/nodes/alice/qemu/101"
CONFIG = f"{MACHINE}/config"


class Node:
    """A cluster with the machine 101 on alice, or without it.

    Attributes:
        done: the changes, in order.
    """

    def __init__(self, protection: object = 1, exists: bool = True, unreachable: bool = False) -> None:
        self.unreachable = unreachable
        self.status = "running"
        self.config: dict[str, Any] = {"name": "vm01"}
        if protection is not None:
            self.config["protection"] = protection
        self.exists = exists
        self.done: list[str] = []

    def get(self, path: str, **query: str | int) -> Any:
        if path == f"{MACHINE}/status/current":
            return {"status": self.status}
        if path == "/cluster/resources":
            assert query == {"type": "vm"}
            return [{"vmid": 100, "node": "bob"}, *([{"vmid": 101, "node": "alice"}] if self.exists else [])]
        assert path == CONFIG
        if self.unreachable:
            raise ProxmoxError("no answer", "start it")
        return self.config

    def post(self, path: str, **form: str | int) -> Any:
        assert (path, form) == (f"{MACHINE}/status/shutdown", {"timeout": 120, "forceStop": 1})
        self.done.append("shut down")
        self.status = "stopped"

    def put(self, path: str, **form: str | int) -> Any:
        assert (path, form) == (CONFIG, {"protection": 0})
        self.done.append("unprotected")

    def close(self) -> None:
        self.exists = False


def delete(node: Node, replaceable: dict[str, int]) -> None:
    async def connect() -> Node:
        return node

    asyncio.run(Protection(replaceable, connect, pause=0).before_delete("vm01", {"vmId": 101.0}))


def test_a_replaceable_machine_is_unprotected_and_shut_down() -> None:
    node = Node()
    delete(node, {"vm01": 101})
    assert node.done == ["unprotected", "shut down"]


@pytest.mark.parametrize("replaceable", [{}, {"vm01": 102}, {"vm02": 101}])
def test_the_deletion_of_a_protected_machine_is_refused_with_the_ways_out(
    replaceable: dict[str, int],
) -> None:
    node = Node()
    with pytest.raises(ProtectedError) as caught:
        delete(node, replaceable)
    assert "replace: 101" in str(caught.value)
    assert "run on alice: qm set 101 --protection 0" in str(caught.value)
    assert node.done == []


@pytest.mark.parametrize("node", [Node(protection=0), Node(protection=None), Node(exists=False)])
def test_a_machine_without_protection_may_be_deleted(node: Node) -> None:
    delete(node, {})
    assert "unprotected" not in node.done


def test_an_unreachable_cluster_refuses_the_deletion() -> None:
    with pytest.raises(ProtectedError, match="no answer\n  -> start it"):
        delete(Node(unreachable=True), {"vm01": 101})


def test_machines_of_one_node_wait_for_each_other_and_those_of_another_do_not() -> None:
    async def scenario() -> None:
        locks = NodeLocks()
        await locks.acquire("first", "alice")
        await locks.acquire("elsewhere", "bob")
        second = asyncio.create_task(locks.acquire("second", "alice"))
        await asyncio.sleep(0)
        assert not second.done()
        locks.release("first")
        await second
        locks.release("second")
        await locks.acquire("third", "alice")

    asyncio.run(scenario())


def test_a_release_without_the_lock_changes_nothing() -> None:
    async def scenario() -> None:
        locks = NodeLocks()
        await locks.acquire("first", "alice")
        locks.release("another, whose update failed")
        second = asyncio.create_task(locks.acquire("second", "alice"))
        await asyncio.sleep(0)
        assert not second.done()
        second.cancel()

    asyncio.run(scenario())


def test_a_lock_that_is_never_released_blocks_only_for_a_while() -> None:
    async def scenario() -> None:
        locks = NodeLocks(seconds=0.01)
        await locks.acquire("first", "alice")
        await locks.acquire("second", "alice")
        locks.release("second")

    asyncio.run(scenario())


def test_changes_with_effect_at_the_next_restart_are_listed() -> None:
    old = {"cpu": {"cores": 4}, "memory": {"dedicated": 8192}, "tags": ["a"]}
    assert after_restart(old, {**old, "cpu": {"cores": 8}}) == ["cores and processor type"]
    assert after_restart(old, {**old, "tags": ["b"]}) == []
