"""What is looked at in the cluster before one machine changes, without an engine."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chatons.proxmox.api import ProxmoxError
from chatons.proxmox.guards import Guards, RefusedError, undone

LINE = "Made by Ronron: ronron-local-vm01"
NEW = {"vmId": 101.0, "description": LINE}


class Cluster:
    """One that has the guest 101, or none.

    Attributes:
        broken: what fails.
    """

    def __init__(self, config: dict[str, Any] | None, *, seen: bool = True, broken: str = "") -> None:
        self.config = config
        self.seen = seen
        self.broken = broken
        self.open = True

    def get(self, path: str, **query: str | int) -> Any:
        if path == self.broken:
            raise ProxmoxError("no answer", "wake it")
        if path == "/cluster/nextid":
            if self.config is not None:
                raise ProxmoxError("VM 101 already exists", "choose another", status=400)
            return query["vmid"]
        if path == "/cluster/resources":
            there = self.seen and self.config is not None
            return [{"vmid": 101, "node": "alice", "type": "qemu", "name": "web"}] if there else []
        assert path == "/nodes/alice/qemu/101/config"
        return self.config

    def close(self) -> None:
        self.open = False


def create(cluster: Cluster) -> None:
    asyncio.run(guards(cluster).before_create(NEW))


def guards(cluster: Cluster) -> Guards:
    async def connect() -> Cluster:
        return cluster

    return Guards(connect)


@pytest.mark.parametrize("config", [None, {"description": f"{LINE}\n"}, {"description": f"mine\n{LINE}"}])
def test_an_id_that_is_free_or_our_own_may_be_used(config: dict[str, Any] | None) -> None:
    cluster = Cluster(config)
    create(cluster)
    assert not cluster.open


@pytest.mark.parametrize("config", [{}, {"description": "Made by Ronron: ronron-local-vm011"}])
def test_an_id_that_somebody_took_since_is_refused_in_the_words_of_the_preflight(
    config: dict[str, Any],
) -> None:
    with pytest.raises(RefusedError) as caught:
        create(Cluster(config))
    assert str(caught.value) == (
        "101 is taken: it is web on alice\n"
        "  -> choose another number; if it is ours all the same, write into its notes, on a line of its own: "
        f"{LINE}"
    )


def test_an_id_of_a_guest_that_cannot_be_seen_is_refused() -> None:
    with pytest.raises(RefusedError, match="101 is taken, by a guest that this token may not see"):
        create(Cluster({}, seen=False))


@pytest.mark.parametrize("broken", ["/cluster/nextid", "/cluster/resources", "/nodes/alice/qemu/101/config"])
def test_nothing_is_made_while_nobody_can_be_asked(broken: str) -> None:
    cluster = Cluster({"description": LINE}, broken=broken)
    with pytest.raises(RefusedError, match="no answer\n  -> wake it"):
        create(cluster)
    assert not cluster.open


def machine(cores: int = 4, memory: int = 8192, gib: int = 64, tags: tuple[str, ...] = ("ronron",)) -> Any:
    return {
        **NEW,
        "cpu": {"cores": float(cores)},
        "memory": {"dedicated": float(memory)},
        "disks": [{"interface": "scsi0", "size": float(gib)}, {"interface": "scsi1", "size": 100.0}],
        "tags": list(tags),
    }


def config(cores: int = 4, memory: str = "8192", size: str = "64G", tags: str = "ronron") -> dict[str, Any]:
    return {
        "cores": cores,
        "memory": memory,
        "scsi0": f"local-lvm:vm-101-disk-0,size={size},ssd=1",
        "scsi1": "local-lvm:vm-1101-disk-0,size=1G",
        "tags": tags,
    }


@pytest.mark.parametrize(
    ("wished", "left"),
    [
        (machine(cores=8), "cores: 8 (it has 4)"),
        (machine(memory=16384), "MiB of memory: 16384 (it has 8192)"),
        (machine(tags=("asso", "ronron")), "tags: asso, ronron (it has ronron)"),
        (machine(gib=80), "scsi0: 80 GiB (it has 64)"),
    ],
)
def test_what_an_update_that_failed_left_undone_is_found(wished: Any, left: str) -> None:
    assert undone(machine(), wished, wished, config()) == [left]


def test_a_disk_of_a_new_machine_that_did_not_grow_is_found() -> None:
    assert undone(machine(), machine(), machine(), config(size="2252M")) == ["scsi0: 64 GiB (it has 2.19922)"]


@pytest.mark.parametrize(
    "there",
    [
        config(),
        config(size="65536M"),
        config(size="1T"),
        config(cores=2),
        config(memory="current=4096"),
        config(tags="ronron;by-hand"),
        {},
    ],
    ids=str,
)
def test_what_a_person_changed_at_the_node_stands_in_the_way_of_no_edit(there: dict[str, Any]) -> None:
    edited = {**machine(), "startup": {"order": 2}}
    if there:
        assert undone(machine(), machine(), edited, there) == []
    assert undone(machine(), machine(), machine(cores=8), {**config(), **there}) == []


def test_an_edit_that_takes_back_what_failed_goes_ahead() -> None:
    assert undone(machine(), machine(cores=8), machine(cores=6), config()) == []


def test_the_way_to_finish_an_update_is_said() -> None:
    cluster = Cluster(config())
    with pytest.raises(RefusedError) as caught:
        asyncio.run(guards(cluster).before_update("vm01", machine(), machine(cores=8), machine(cores=8)))
    assert "`pulumi up --refresh`" in str(caught.value)
    assert "vm01 ended half-way, and left undone: cores: 8 (it has 4)" in str(caught.value)
    assert not cluster.open
    asyncio.run(guards(Cluster(None)).before_update("vm01", machine(), machine(cores=8), machine(cores=8)))
