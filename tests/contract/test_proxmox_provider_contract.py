"""What the plugin for Proxmox VE keeps, the compiled official one and the stand-in, on the real engine.

Where no compiled plugin can be had, the stand-in alone is held against it; `make test` makes one.
"""

from __future__ import annotations

import pytest

from tests.providers.table import RESOURCES, TABLE, TYPES
from tests.support.fake_proxmox import IMAGE, FakeProxmox
from tests.support.proxmox_project import ProxmoxProject, Wanted
from tests.support.proxmox_wanted import JOB, PBS, QUIET, VM, disk, first_boot, guest_config, image, vm

pytestmark = pytest.mark.timeout(180)


def test_what_is_declared_is_made_and_nothing_differs_afterwards(
    live: ProxmoxProject, proxmox: FakeProxmox
) -> None:
    config = guest_config(proxmox)
    assert config["scsi0"].startswith("local-lvm:vm-101-disk-0,")
    assert "size=10G" in config["scsi0"]
    assert (config["cores"], config["ciuser"], config["nameserver"]) == (2, "ronron", "192.0.2.53")
    assert set(config["ipconfig0"].split(",")) == {"ip=192.0.2.11/24", "gw=192.0.2.1"}
    assert proxmox.vm(101).status == "running"  # type: ignore[union-attr]
    assert "ronron" in config["tags"]
    proxmox.forget_requests()
    assert live.up("--refresh").steps == {}
    assert live.preview().differences == {}
    assert proxmox.changes == []


def test_cores_memory_and_keys_change_in_place_and_wait_for_a_start(
    live: ProxmoxProject, proxmox: FakeProxmox
) -> None:
    proxmox.forget_requests()
    account = {"username": "ronron", "keys": ["ssh-ed25519 AAAA ada", "ssh-ed25519 BBBB bob"]}
    more = {"cpu": {"cores": 4, "sockets": 1, "type": "x86-64-v2-AES"}}
    more["memory"] = {"dedicated": 4096, "floating": 4096}
    live.declare(image(), vm(**more, initialization=first_boot(userAccount=account)))
    done = live.up()
    assert done.steps == {"vm": "updated"}, done.said
    assert done.differences["vm"] == {"cpu", "memory", "initialization"}
    # The second writes the drive of cloud-init again.
    asked = {path.rpartition("/101/")[2] for _, path, _ in proxmox.changes}
    assert asked == {"config", "cloudinit"}
    guest = proxmox.vm(101)
    assert guest is not None
    assert (guest.status, guest.config["cores"]) == ("running", 2)
    assert (guest.pending["cores"], str(guest.pending["memory"])) == (4, "4096")
    assert "bob" in guest.pending["sshkeys"]
    assert live.up("--refresh").steps == {}


def test_a_larger_disk_grows_and_a_smaller_one_is_refused(live: ProxmoxProject, proxmox: FakeProxmox) -> None:
    live.declare(image(), vm(disks=[disk(size=20)]))
    assert live.up().steps == {"vm": "updated"}
    assert "size=20G" in guest_config(proxmox)["scsi0"]
    live.declare(image(), vm(disks=[disk(size=10)]))
    done = live.up()
    assert not done.ok
    assert "Cannot shrink local-lvm:vm-101-disk-0 in VM 101, it is not supported!" in done.said


def test_what_somebody_changed_at_the_node_is_seen_and_put_right(
    live: ProxmoxProject, proxmox: FakeProxmox
) -> None:
    proxmox.set(101, cores=1, onboot=0)
    proxmox.stop(101)
    done = live.up("--refresh")
    assert done.ok, done.said
    config = guest_config(proxmox)
    assert (config["cores"], config["onboot"]) == (2, 1)
    assert proxmox.vm(101).status == "running"  # type: ignore[union-attr]


def test_a_machine_that_is_gone_is_made_again(live: ProxmoxProject, proxmox: FakeProxmox) -> None:
    proxmox.do(lambda cluster: cluster.vms.clear())
    assert live.up("--refresh").steps["vm"] == "created"
    assert proxmox.vm(101) is not None


def test_the_speed_of_a_disk_differs_for_ever_unless_it_is_ignored_by_its_number(
    live: ProxmoxProject,
) -> None:
    rest = [each for each in QUIET if "speed" not in each]
    for ignored in (rest, [*rest, "disks[*].speed"]):
        live.declare(image(), vm({"ignore_changes": ignored}))
        assert live.preview().differences == {"vm": {"disks"}}
    live.declare(image(), vm())
    assert live.preview().differences == {}


def test_a_change_replaces_where_the_table_says_so(live: ProxmoxProject) -> None:
    """Previews only: what is asked here would destroy a machine."""
    some = {"ignore_changes": ["disks[0].speed"]}
    asked: list[tuple[str, Wanted]] = [
        ("replace", vm(some, vmId=102)),
        ("replace", vm(some, nodeName="bob", migrate=False)),
        ("replace", vm(some, initialization=first_boot(vendorDataFileId="local:snippets/first.yaml"))),
        ("replace", vm(some, disks=[disk(fileId="local:iso/other.img")])),
        ("update", vm(some, nodeName="bob")),
        ("update", vm(some, disks=[disk(importFrom="local:import/other.qcow2")])),
        ("update", vm(some, cpu={"cores": 4, "sockets": 1, "type": "x86-64-v2-AES"})),
        ("update", vm(some, tags=["other"])),
        ("update", vm(some, protection=True)),
    ]
    for step, wanted in asked:
        live.declare(image(), wanted)
        previewed = live.preview()
        assert previewed.steps == {"vm": step}, (wanted.inputs, previewed.said)


def test_another_image_is_downloaded_again(live: ProxmoxProject) -> None:
    for changes in (
        {"url": f"{IMAGE}?"},
        {"checksum": "0" * 128},
        {"fileName": "other.qcow2"},
        {"nodeName": "bob"},
    ):
        live.declare(image(**changes), vm())
        assert live.preview().steps["image"] == "replace", changes


def test_the_addresses_that_the_agent_tells_are_read(project: ProxmoxProject, proxmox: FakeProxmox) -> None:
    proxmox.agent_addresses(101, ["192.0.2.11"])
    project.declare(image(), vm(agent={"enabled": True, "timeout": "5s"}))
    assert project.up().ok
    found = project.outputs("vm")
    assert found["networkInterfaceNames"] == ["lo", "eth0", "docker0"]
    assert found["ipv4Addresses"] == [["127.0.0.1"], ["192.0.2.11"], ["172.17.0.1"]]


def test_a_protected_machine_is_neither_deleted_nor_forgotten(
    project: ProxmoxProject, proxmox: FakeProxmox
) -> None:
    project.declare(image(), vm(protection=True))
    assert project.up().ok
    refused = project.destroy()
    assert not refused.ok
    assert "can't remove VM 101 - protection mode enabled" in refused.said
    assert proxmox.vm(101) is not None
    assert project.outputs("vm")["id"] == "101"
    project.declare(image(), vm(protection=False))
    assert project.up().ok
    assert project.destroy().ok
    assert proxmox.guests == []


def test_a_disk_that_another_machine_owns_outlives_the_one_that_uses_it(
    project: ProxmoxProject, proxmox: FakeProxmox
) -> None:
    small = {"interface": "scsi0", "datastoreId": "local-lvm", "size": 5, "serial": "ronron-data"}
    ignored = {"ignore_changes": ["disks[0].speed"]}
    holder = Wanted(VM, "holder", {"nodeName": "alice", "vmId": 1101, "name": "pica01-data", "disks": [small],
                                   "started": False, "onBoot": False}, ignored)  # fmt: skip
    borrowed = {**small, "interface": "scsi1", "pathInDatastore": "vm-1101-disk-0"}
    both = {"ignore_changes": [*QUIET, "disks[1].speed"]}
    project.declare(holder)
    assert project.up().ok
    project.declare(holder, image(), vm(both, disks=[disk(), borrowed]))
    done = project.up()
    assert done.ok, done.said
    assert guest_config(proxmox)["scsi1"].startswith("local-lvm:vm-1101-disk-0,")
    again = project.up("--refresh")
    assert again.steps == {}, again.said
    project.declare(holder, image())
    assert project.up().steps == {"vm": "deleted"}
    store = proxmox.storage("local-lvm")
    assert store is not None
    assert list(store["volumes"]) == ["vm-1101-disk-0"]


def test_a_machine_that_is_there_is_adopted_by_node_and_id(
    live: ProxmoxProject, proxmox: FakeProxmox
) -> None:
    # Without an agent that answers, adoption waits for the provider's own 15 minutes.
    proxmox.agent_addresses(101, ["192.0.2.11"])
    live.declare(image())
    forgotten = live.forget("vm")
    assert forgotten.ok, forgotten.said
    live.declare(image(), vm({"import_": "alice/101", "ignore_changes": QUIET}))
    proxmox.forget_requests()
    adopted = live.up()
    assert adopted.ok, adopted.said
    assert "vm imported" in adopted.said
    assert all(path.endswith("/config") for _, path, _ in proxmox.changes)
    live.declare(image(), vm())
    assert live.up("--refresh").ok
    assert live.preview().differences == {}


def test_a_backup_job_and_its_storage_live_and_the_password_is_no_clear_text(
    project: ProxmoxProject, proxmox: FakeProxmox
) -> None:
    project.declare(PBS, JOB)
    done = project.up()
    assert done.ok, done.said
    assert done.steps == {"pbs": "created", "job": "created"}
    assert proxmox.jobs["ronron-pica"]["vmid"] == "101"
    assert "open-sesame" not in project.kept()
    assert proxmox.storage("vault-pbs")["datastore"] == "pica"  # type: ignore[index]
    again = project.up("--refresh")
    assert again.steps == {}, again.said
    project.declare(PBS, Wanted(JOB.type, JOB.name, {**JOB.inputs, "schedule": "03:30"}))
    changed = project.up()
    assert changed.steps == {"job": "updated"}, changed.said
    assert proxmox.jobs["ronron-pica"]["schedule"] == "03:30"
    project.declare(Wanted(PBS.type, PBS.name, {**PBS.inputs, "password": "other"}), JOB)
    assert project.preview().steps["pbs"] == "replace"
    assert project.destroy().ok
    assert proxmox.jobs == {}
    assert proxmox.storage("vault-pbs") is None


@pytest.mark.parametrize("name", [*RESOURCES, *TYPES])
def test_every_row_of_the_table_is_of_a_type_that_it_has(name: str) -> None:
    plain = {"text", "whole number", "truth value"}
    columns = {"type", "required", "replaces", "secret", "default", "since"}
    assert TABLE["source"].startswith("https://")
    for key, row in {**RESOURCES, **TYPES}[name].items():
        assert set(row) <= columns, key
        assert row["type"].strip("[]{}") in plain | set(TYPES), key
