"""What is done around changes of machines, without an engine."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chatons.proxmox.api import ProxmoxError
from chatons.proxmox.hooks import ProtectedError, Protection, Turns, after_restart

MACHINE = "/nodes/alice/qemu/101"
CONFIG = f"{MACHINE}/config"


class Node:
    """A cluster with the machine 101 on alice."""

    def __init__(self, protection: object = 1, there: bool = True, silent: bool = False) -> None:
        self.silent = silent
        self.status = "running"
        self.config: dict[str, Any] = {"name": "vm01"}
        if protection is not None:
            self.config["protection"] = protection
        self.there = there
        self.done: list[str] = []

    def get(self, path: str, **query: str | int) -> Any:
        if path == f"{MACHINE}/status/current":
            return {"status": self.status}
        if path == "/cluster/resources":
            assert query == {"type": "vm"}
            return [{"vmid": 100, "node": "bob"}, *([{"vmid": 101, "node": "alice"}] if self.there else [])]
        assert path == CONFIG
        if self.silent:
            raise ProxmoxError("no answer", "wake it")
        return self.config

    def post(self, path: str, **form: str | int) -> Any:
        assert (path, form) == (f"{MACHINE}/status/shutdown", {"timeout": 120, "forceStop": 1})
        self.done.append("shut down")
        self.status = "stopped"

    def put(self, path: str, **form: str | int) -> Any:
        assert (path, form) == (CONFIG, {"protection": 0})
        self.done.append("unprotected")

    def close(self) -> None:
        self.there = False


def ask(node: Node, replaceable: dict[str, int]) -> None:
    async def connect() -> Node:
        return node

    asyncio.run(Protection(replaceable, connect, pause=0).before_delete("vm01", {"vmId": 101.0}))


def test_a_machine_that_may_go_is_no_longer_protected_and_then_shut_down() -> None:
    node = Node()
    ask(node, {"vm01": 101})
    assert node.done == ["unprotected", "shut down"]


@pytest.mark.parametrize("replaceable", [{}, {"vm01": 102}, {"vm02": 101}])
def test_a_protected_machine_that_may_not_go_stays_and_the_ways_out_are_said(
    replaceable: dict[str, int],
) -> None:
    node = Node()
    with pytest.raises(ProtectedError) as caught:
        ask(node, replaceable)
    assert "replace: 101" in str(caught.value)
    assert "run on alice: qm set 101 --protection 0" in str(caught.value)
    assert node.done == []


@pytest.mark.parametrize("node", [Node(protection=0), Node(protection=None), Node(there=False)])
def test_what_a_person_unprotected_or_removed_may_go(node: Node) -> None:
    ask(node, {})
    assert "unprotected" not in node.done


def test_a_machine_stays_when_nobody_can_be_asked() -> None:
    with pytest.raises(ProtectedError, match="no answer\n  -> wake it"):
        ask(Node(silent=True), {"vm01": 101})


def test_machines_of_one_node_take_turns_and_those_of_another_do_not_wait() -> None:
    async def scene() -> None:
        turns = Turns()
        await turns.take("first", "alice")
        await turns.take("elsewhere", "bob")
        second = asyncio.create_task(turns.take("second", "alice"))
        await asyncio.sleep(0)
        assert not second.done()
        turns.give_back("first")
        await second
        turns.give_back("second")
        await turns.take("third", "alice")

    asyncio.run(scene())


def test_who_had_no_turn_gives_none_back() -> None:
    async def scene() -> None:
        turns = Turns()
        await turns.take("first", "alice")
        turns.give_back("another, whose update failed")
        second = asyncio.create_task(turns.take("second", "alice"))
        await asyncio.sleep(0)
        assert not second.done()
        second.cancel()

    asyncio.run(scene())


def test_a_turn_that_is_never_given_back_keeps_nobody_for_ever() -> None:
    async def scene() -> None:
        turns = Turns(seconds=0.01)
        await turns.take("first", "alice")
        await turns.take("second", "alice")
        turns.give_back("second")

    asyncio.run(scene())


def test_what_takes_effect_at_the_next_restart_is_said() -> None:
    old = {"cpu": {"cores": 4}, "memory": {"dedicated": 8192}, "tags": ["a"]}
    assert after_restart(old, {**old, "cpu": {"cores": 8}}) == ["cores and processor type"]
    assert after_restart(old, {**old, "tags": ["b"]}) == []
