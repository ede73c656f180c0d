"""The checks just before the creation or update of one machine, without an engine."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chatons.proxmox.api import ProxmoxError
from chatons.proxmox.guards import Guards, RefusedError, incomplete_changes

LINE = "Made by Ronron: ronron-local-vm01"
NEW = {"vmId": 101.0, "description": LINE}


class Cluster:
    """A cluster with the guest 101, or without a guest.

    Attributes:
        visible: whether the token may see the guest.
        broken: the path whose request fails.
    """

    def __init__(self, config: dict[str, Any] | None, *, visible: bool = True, broken: str = "") -> None:
        self.config = config
        self.visible = visible
        self.broken = broken
        self.open = True

    def get(self, path: str, **query: str | int) -> Any:
        if path == self.broken:
            raise ProxmoxError("no answer", "start it")
        if path == "/cluster/nextid":
            if self.config is not None:
                raise ProxmoxError("VM 101 already exists", "choose another", status=400)
            return query["vmid"]
        if path == "/cluster/resources":
            exists = self.visible and self.config is not None
            return [{"vmid": 101, "node": "alice", "type": "qemu", "name": "web"}] if exists else []
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
def test_a_free_id_or_our_own_one_is_accepted(config: dict[str, Any] | None) -> None:
    cluster = Cluster(config)
    create(cluster)
    assert not cluster.open


@pytest.mark.parametrize("config", [{}, {"description": "Made by Ronron: ronron-local-vm011"}])
def test_an_id_that_was_taken_since_the_checks_is_refused_with_the_same_message(
    config: dict[str, Any],
) -> None:
    with pytest.raises(RefusedError) as caught:
        create(Cluster(config))
    assert str(caught.value) == (
        "101 is taken: it is web on alice\n"
        f"  -> choose another id; if the guest is ours, add this line to its notes: {LINE}"
    )


def test_an_id_of_an_invisible_guest_is_refused() -> None:
    with pytest.raises(RefusedError, match="101 is taken by a guest that the token may not see"):
        create(Cluster({}, visible=False))


@pytest.mark.parametrize("broken", ["/cluster/nextid", "/cluster/resources", "/nodes/alice/qemu/101/config"])
def test_an_unreachable_cluster_refuses_the_creation(broken: str) -> None:
    cluster = Cluster({"description": LINE}, broken=broken)
    with pytest.raises(RefusedError, match="no answer\n  -> start it"):
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
    ("desired", "missing"),
    [
        (machine(cores=8), "cores: 8 (it has 4)"),
        (machine(memory=16384), "MiB of memory: 16384 (it has 8192)"),
        (machine(tags=("asso", "ronron")), "tags: asso, ronron (it has ronron)"),
        (machine(gib=80), "scsi0: 80 GiB (it has 64)"),
    ],
)
def test_changes_of_a_failed_update_are_found(desired: Any, missing: str) -> None:
    assert incomplete_changes(machine(), desired, desired, config()) == [missing]


def test_a_disk_of_a_new_machine_that_did_not_grow_is_found() -> None:
    assert incomplete_changes(machine(), machine(), machine(), config(size="2252M")) == [
        "scsi0: 64 GiB (it has 2.19922)"
    ]


@pytest.mark.parametrize(
    "actual",
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
def test_a_manual_change_at_the_node_blocks_no_edit(actual: dict[str, Any]) -> None:
    edited = {**machine(), "startup": {"order": 2}}
    if actual:
        assert incomplete_changes(machine(), machine(), edited, actual) == []
    assert incomplete_changes(machine(), machine(), machine(cores=8), {**config(), **actual}) == []


def test_an_edit_that_reverts_the_failed_change_is_accepted() -> None:
    assert incomplete_changes(machine(), machine(cores=8), machine(cores=6), config()) == []


def test_the_message_names_the_command_that_completes_the_update() -> None:
    cluster = Cluster(config())
    with pytest.raises(RefusedError) as caught:
        asyncio.run(guards(cluster).before_update("vm01", machine(), machine(cores=8), machine(cores=8)))
    assert "`pulumi up --refresh`" in str(caught.value)
    assert "the last update of vm01 was not completed; missing: cores: 8 (it has 4)" in str(caught.value)
    assert not cluster.open
    asyncio.run(guards(Cluster(None)).before_update("vm01", machine(), machine(cores=8), machine(cores=8)))
