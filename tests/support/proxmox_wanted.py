"""Resources for tests of the plugin for Proxmox VE: image, machine, backup job and its storage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.support.fake_proxmox import IMAGE, IMAGE_CHECKSUM, FakeProxmox
from tests.support.proxmox_project import Wanted

VM = "proxmoxve:index/vmLegacy:VmLegacy"
JOB = Wanted(
    "proxmoxve:backup/job:Job",
    "job",
    {
        "resourceId": "ronron-pica",
        "schedule": "02:30",
        "storage": "vault",
        "vmids": ["101"],
        "mode": "snapshot",
        "enabled": True,
        "pruneBackups": {"keep-daily": "7", "keep-weekly": "4"},
    },
)
PBS = Wanted(
    "proxmoxve:storage/pbs:Pbs",
    "pbs",
    {
        "resourceId": "vault-pbs",
        "server": "192.0.2.9",
        "datastore": "pica",
        "username": "ronron@pbs",
        "password": "open-sesame",
        "contents": ["backup"],
    },
)
QUIET = ["disks[0].speed", "disks[0].fileId", "disks[0].importFrom", "initialization.datastoreId"]


def image(**changes: Any) -> Wanted:
    algorithm, _, digest = IMAGE_CHECKSUM.partition(":")
    inputs = {
        "contentType": "import",
        "nodeName": "alice",
        "datastoreId": "local",
        "url": IMAGE,
        "fileName": "debian.qcow2",
        "checksum": digest,
        "checksumAlgorithm": algorithm,
        "overwrite": False,
        "overwriteUnmanaged": True,
    }
    return Wanted("proxmoxve:download/file:File", "image", {**inputs, **changes})


def vm(options: Mapping[str, Any] | None = None, **changes: Any) -> Wanted:
    inputs = {
        "nodeName": "alice",
        "vmId": 101,
        "name": "pica01",
        "description": "Made by Ronron",
        "tags": ["ronron"],
        "cpu": {"cores": 2, "sockets": 1, "type": "x86-64-v2-AES"},
        "memory": {"dedicated": 2048, "floating": 2048},
        "scsiHardware": "virtio-scsi-single",
        "disks": [disk()],
        "bootOrders": ["scsi0"],
        "networkDevices": [{"bridge": "vmbr0", "model": "virtio"}],
        "initialization": first_boot(),
        "agent": {"enabled": True, "timeout": "5s", "waitForIp": {"disabled": True}},
        "operatingSystem": {"type": "l26"},
        "serialDevices": [{"device": "socket"}],
        "started": True,
        "onBoot": True,
        "protection": False,
        "migrate": True,
        "stopOnDestroy": True,
        "purgeOnDestroy": False,
        "deleteUnreferencedDisksOnDestroy": False,
        "rebootAfterUpdate": False,
    }
    return Wanted(VM, "vm", {**inputs, **changes}, {"ignore_changes": QUIET} if options is None else options)


def disk(**changes: Any) -> dict[str, Any]:
    usual = {"interface": "scsi0", "datastoreId": "local-lvm", "importFrom": "image", "size": 10}
    return {**usual, "discard": "on", "iothread": True, "ssd": True, **changes}


def first_boot(**changes: Any) -> dict[str, Any]:
    return {
        "datastoreId": "local-lvm",
        "dns": {"servers": ["192.0.2.53"]},
        "ipConfigs": [{"ipv4": {"address": "192.0.2.11/24", "gateway": "192.0.2.1"}}],
        "userAccount": {"username": "ronron", "keys": ["ssh-ed25519 AAAA ada"]},
        **changes,
    }


def guest_config(proxmox: FakeProxmox, vm_id: int = 101) -> dict[str, Any]:
    guest = proxmox.vm(vm_id)
    assert guest is not None
    return guest.config
