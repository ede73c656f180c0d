"""The fake Proxmox VE says what a real one says where this project depends on it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.fake_proxmox import IMAGE, IMAGE_CHECKSUM, FakeProxmox, fake_proxmox

GUEST = {
    "vmid": "101",
    "name": "pica01",
    "cores": "2",
    "memory": "2048",
    "scsi0": "local-lvm:0,import-from=local:import/debian.qcow2",
    "ide2": "local-lvm:cloudinit,media=cdrom",
    "net0": "virtio,bridge=vmbr0",
    "agent": "1",
    "ciuser": "ronron",
    "description": "Made by Ronron",
}


class Client:
    """A client that trusts the fake's certificate."""

    def __init__(self, proxmox: FakeProxmox) -> None:
        self._client = httpx.Client(
            base_url=f"{proxmox.endpoint}api2/json",
            headers={"Authorization": f"PVEAPIToken={proxmox.token}"},
            verify=ssl.create_default_context(cafile=str(proxmox.ca)),
        )
        self.close = self._client.close

    def __call__(self, method: str, path: str, **form: Any) -> Any:
        """The data, or `status reason` when it was refused; a task gives how it ended."""
        sent: dict[str, Any] = {"params" if method == "GET" else "data": form}
        answer = self._client.request(method, path, **sent)
        if answer.is_error:
            return f"{answer.status_code} {answer.reason_phrase}"
        data = answer.json()["data"]
        if not str(data).startswith("UPID:"):
            return data
        return self("GET", f"/nodes/{data.split(':')[1]}/tasks/{data}/status")["exitstatus"]

    def download(self, checksum: str = IMAGE_CHECKSUM) -> Any:
        algorithm, _, digest = checksum.partition(":")
        form = {"content": "import", "filename": "debian.qcow2", "url": IMAGE, "checksum": digest}
        return self(
            "POST", "/nodes/alice/storage/local/download-url", **form, **{"checksum-algorithm": algorithm}
        )

    def create(self, **changes: str) -> Any:
        return self("POST", "/nodes/alice/qemu", **{**GUEST, **changes})


@pytest.fixture
def proxmox(tmp_path: Path) -> Iterator[FakeProxmox]:
    with fake_proxmox(tmp_path) as fake:
        yield fake


@pytest.fixture
def api(proxmox: FakeProxmox) -> Iterator[Client]:
    client = Client(proxmox)
    assert client.download() == "OK"
    yield client
    client.close()


def test_a_guest_is_made_read_grown_and_started(proxmox: FakeProxmox, api: Client) -> None:
    assert api.create() == "OK"
    assert api("PUT", "/nodes/alice/qemu/101/resize", disk="scsi0", size="64G") == "OK"
    config = api("GET", "/nodes/alice/qemu/101/config")
    assert (config["cores"], config["memory"], config["description"]) == (2, "2048", "Made by Ronron")
    assert config["scsi0"] == "local-lvm:vm-101-disk-0,size=64G"
    assert config["ide2"] == "local-lvm:vm-101-cloudinit,media=cdrom,size=4M"
    proxmox.agent_addresses(101, ["192.0.2.11"])
    asked = "/nodes/alice/qemu/101/agent/network-get-interfaces"
    assert api("GET", asked) == "500 QEMU guest agent is not running"
    assert api("POST", "/nodes/alice/qemu/101/status/start") == "OK"
    found = [
        address["ip-address"] for each in api("GET", asked)["result"] for address in each["ip-addresses"]
    ]
    assert found == ["127.0.0.1", "192.0.2.11", "172.17.0.1"]


def test_what_a_running_guest_is_to_become_waits_for_a_start(proxmox: FakeProxmox, api: Client) -> None:
    api.create()
    api("POST", "/nodes/alice/qemu/101/status/start")
    api("PUT", "/nodes/alice/qemu/101/config", cores="4", description="new")
    assert api("GET", "/nodes/alice/qemu/101/config")["cores"] == 4
    assert api("GET", "/nodes/alice/qemu/101/config", current="1")["cores"] == 2
    guest = proxmox.vm(101)
    assert guest is not None
    assert guest.pending == {"cores": 4}


def test_a_guest_leaves_the_disk_that_it_borrowed_and_the_jobs_when_purged(
    proxmox: FakeProxmox, api: Client
) -> None:
    assert api.create(vmid="1101", name="pica01-data", scsi0="local-lvm:100") == "OK"
    assert api.create(scsi1="local-lvm:vm-1101-disk-0,serial=ronron-data") == "OK"
    job = {"id": "ronron", "schedule": "02:30", "storage": "vault", "vmid": "101,1101"}
    assert api("POST", "/cluster/backup", **job, **{"prune-backups": "keep-daily=7"}) is None
    assert api("GET", "/cluster/backup/ronron")["prune-backups"] == {"keep-daily": "7"}
    assert api("DELETE", "/nodes/alice/qemu/101/?purge=1") == "OK"
    store = proxmox.storage("local-lvm")
    assert store is not None
    assert set(store["volumes"]) == {"vm-1101-disk-0", "vm-1101-cloudinit"}
    assert proxmox.jobs["ronron"]["vmid"] == "1101"


def test_what_is_protected_is_neither_removed_nor_robbed(proxmox: FakeProxmox, api: Client) -> None:
    api.create(protection="1", scsi1="local-lvm:10")
    assert api("DELETE", "/nodes/alice/qemu/101") == "500 can't remove VM 101 - protection mode enabled"
    said = api("PUT", "/nodes/alice/qemu/101/config", delete="scsi1")
    assert said == "500 can't remove drive 'scsi1' - protection mode enabled"


@pytest.mark.parametrize(
    ("kind", "where", "said"),
    [
        ("wrong token", {}, "401 invalid token value!"),
        ("no such token", {}, "401 no such token 'ronron' for user 'ronron@pve'"),
        ("expired token", {}, "401 token expired"),
        ("missing privilege", {"privilege": "VM.Allocate"}, "403 Permission check failed"),
        (
            "missing privilege",
            {"privilege": "VM.Config.CPU"},
            "403 Permission check failed (/vms/101, VM.Config.CPU)",
        ),
        (
            "missing privilege",
            {"privilege": "SDN.Use"},
            "403 Permission check failed (/sdn/zones/localnetwork/vmbr0, SDN.Use)",
        ),
        ("taken", {"vm_id": 101}, "500 unable to create VM 101 - VM 101 already exists on node 'alice'"),
        ("full storage", {"storage": "local-lvm"}, "No space left on device"),
        (
            "no content type",
            {"storage": "local-lvm", "content": "images"},
            "400 Parameter verification failed.",
        ),
        ("locked", {"vm_id": 101}, "can't lock file '/var/lock/qemu-server/lock-101.conf' - got timeout"),
        ("no quorum", {}, "500 cluster not ready - no quorum?"),
        ("offline", {"node": "alice"}, "595 No route to host"),
        ("task", {"method": "POST", "path": "/qemu", "text": "broken"}, "broken"),
        ("answer", {"method": "POST", "path": "/qemu", "text": "proxy", "status": 502}, "502 proxy"),
    ],
)
def test_a_fault_is_said_in_the_words_of_proxmox_and_leaves_nothing(
    proxmox: FakeProxmox, api: Client, kind: Any, where: dict[str, Any], said: str
) -> None:
    with proxmox.fault(kind, **where):
        assert said in api.create()
    assert proxmox.vm(101) is None
    assert api.create() == "OK"


def test_a_locked_guest_refuses_a_change(proxmox: FakeProxmox, api: Client) -> None:
    api.create()
    with proxmox.fault("locked", vm_id=101):
        assert api("PUT", "/nodes/alice/qemu/101/config", cores="3") == "500 VM is locked (backup)"
    assert api("PUT", "/nodes/alice/qemu/101/config", cores="3") is None


def test_a_download_is_held_against_its_checksum(proxmox: FakeProxmox, api: Client) -> None:
    assert api.download() == "OK"
    assert "refusing to override existing file" in api.download(f"sha512:{'0' * 128}")
    api("DELETE", "/nodes/alice/storage/local/content/local:import/debian.qcow2")
    assert api.download(f"sha256:{'0' * 64}").startswith("checksum mismatch: got '")
    with proxmox.fault("no content type", storage="local", content="import"):
        assert api.download() == "500 storage 'local' is not configured for content-type 'import'"


def test_nobody_trusts_its_certificate_without_its_authority(proxmox: FakeProxmox) -> None:
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(proxmox.endpoint)
