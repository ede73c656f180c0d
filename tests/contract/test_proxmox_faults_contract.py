"""What the plugin for Proxmox VE does when the cluster refuses, and what the update after that finds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.providers.place import Kind, plugin_environment
from tests.support.fake_proxmox import FAULTS, FakeProxmox
from tests.support.proxmox_project import ProxmoxProject
from tests.support.proxmox_wanted import guest_config, image, vm

pytestmark = pytest.mark.timeout(180)


FAULTS_BEFORE: list[tuple[FAULTS, dict[str, Any], str]] = [
    ("wrong token", {}, "invalid token value!"),
    ("no such token", {}, "no such token 'ronron' for user 'ronron@pve'"),
    ("expired token", {}, "token expired"),
    ("no content type", {"storage": "local", "content": "import"}, "for content-type 'import'"),
    ("offline", {"node": "alice"}, "No route to host"),
    ("no quorum", {}, "cluster not ready - no quorum?"),
    ("missing privilege", {"privilege": "VM.Config.CPU"}, "(/vms/101, VM.Config.CPU)"),
    ("no content type", {"storage": "local-lvm", "content": "images"}, "does not support vm images"),
    ("full storage", {"storage": "local-lvm"}, "No space left on device"),
    ("locked", {"vm_id": 101}, "can't lock file '/var/lock/qemu-server/lock-101.conf' - got timeout"),
]
"""Faults that keep a machine from being made at all; the image is made under the sixth."""


def test_a_fault_is_told_leaves_no_machine_and_the_next_update_repairs(
    project: ProxmoxProject, proxmox: FakeProxmox
) -> None:
    project.declare(image(), vm())
    for fault, where, said in FAULTS_BEFORE:
        with proxmox.fault(fault, **where):
            broken = project.up()
        assert not broken.ok, fault
        assert said in broken.said, fault
        assert proxmox.guests == [], fault
        assert project.outputs("vm") == {}, fault
    repaired = project.up()
    assert repaired.ok, repaired.said
    assert "size=10G" in guest_config(proxmox)["scsi0"]
    assert project.up("--refresh").steps == {}


def test_a_certificate_that_nobody_vouches_for_is_refused_unless_insecure(
    kind: Kind, tmp_path: Path, project: ProxmoxProject, proxmox: FakeProxmox
) -> None:
    plugin = plugin_environment(kind, tmp_path / "plugin")
    project = ProxmoxProject(tmp_path / "project", {**os.environ, **plugin}, proxmox)
    project.declare(image())
    refused = project.up()
    assert not refused.ok
    assert "certificate" in refused.said
    project.declare(image(), insecure=True)
    assert project.up().ok


@pytest.mark.parametrize(
    ("fault", "where", "said"),
    [
        ("task", {"method": "PUT", "path": "/resize", "text": "No space left on device"}, "No space left"),
        ("task", {"method": "POST", "path": "/status/start", "text": "VM is locked (backup)"}, "is locked"),
        ("answer", {"method": "POST", "path": "/status/start", "text": "no quorum?"}, "no quorum?"),
    ],
)  # fmt: skip
def test_a_machine_that_was_left_half_made_is_finished_by_the_next_update(
    project: ProxmoxProject, proxmox: FakeProxmox, fault: FAULTS, where: dict[str, Any], said: str
) -> None:
    """It stays in the state, so that nobody meets its id as taken; read back, it is made whole."""
    project.declare(image(), vm())
    with proxmox.fault(fault, **where, times=9):
        broken = project.up()
        assert not broken.ok
        assert said in broken.said
    assert proxmox.vm(101) is not None
    assert project.outputs("vm")["id"] == "101"
    repaired = project.up("--refresh")
    assert repaired.ok, repaired.said
    guest = proxmox.vm(101)
    assert guest is not None
    assert guest.status == "running"
    assert "size=10G" in guest.config["scsi0"]
    assert project.up("--refresh").steps == {}


def test_a_machine_that_has_the_id_is_taken_over_so_that_somebody_else_has_to_look(
    project: ProxmoxProject, proxmox: FakeProxmox
) -> None:
    """The provider tries again what failed, and takes "already exists" for its own success.

    No wish, but why the id is looked for before any update. Should this fail, a newer provider is mended.
    """
    proxmox.add_vm(101, "somebody-elses", scsi0="local-lvm:vm-101-disk-0,size=32G")
    project.declare(image(), vm())
    assert not project.up().ok
    assert project.outputs("vm")["id"] == "101"


def test_an_update_of_a_locked_machine_is_told_and_done_later(
    live: ProxmoxProject, proxmox: FakeProxmox
) -> None:
    """The state says what was wanted as if it had come about: without a refresh nothing more is done."""
    live.declare(image(), vm(cpu={"cores": 4, "sockets": 1, "type": "x86-64-v2-AES"}))
    with proxmox.fault("locked", vm_id=101):
        broken = live.up()
        assert not broken.ok
        assert "VM is locked (backup)" in broken.said
    assert live.up("--refresh").steps["vm"] == "updated"
    assert proxmox.vm(101).pending["cores"] == 4  # type: ignore[union-attr]


def test_a_download_with_another_checksum_is_refused(project: ProxmoxProject, proxmox: FakeProxmox) -> None:
    project.declare(image(checksum="0" * 128))
    broken = project.up()
    assert not broken.ok
    assert "checksum mismatch" in broken.said
    project.declare(image())
    assert project.up().ok


def test_a_file_that_no_state_knows_is_downloaded_again(
    project: ProxmoxProject, proxmox: FakeProxmox
) -> None:
    proxmox.do(lambda cluster: cluster.store_file("local", "debian.qcow2", 1, "import"))
    proxmox.do(lambda cluster: cluster.storages["local"]["volumes"]["import/debian.qcow2"].update(sums=str))
    project.declare(image())
    done = project.up()
    assert done.ok, done.said
