"""Backups of whole machines on the real engine and a cluster of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from chatons.proxmox.api import ProxmoxApi
from tests.support.collectives import PROJECT
from tests.support.declarations import PROXMOX, Document, proxmox_document
from tests.support.fake_proxmox import FakeProxmox, fake_proxmox
from tests.support.machine_stack import MachineStack, Step
from tests.support.saved_stack import SavedStack

pytestmark = pytest.mark.timeout(180)

JOB = "ronron-tiny-local"
JOB_TYPE = "pulumi-python:dynamic/chatons:BackupJob"
STORAGE_TYPE = "pulumi-python:dynamic/chatons:PbsStorage"
PASSWORD = "open-sesame"
PBS: Document = {
    "server": "pbs.test.example:8017",
    "datastore": "collective",
    "username": "ronron@pbs!pve",
    "fingerprint": ":".join(["ab"] * 32),
}

PROGRAM = f"""
import json, pathlib, sys
sys.path.insert(0, {str(PROJECT)!r})
import pulumi
from chatons.proxmox.machine_backup import MachineBackup, MachineBackupArgs
from tests.support.declarations import declaration

given = json.loads(pathlib.Path("declared.json").read_text())
declared = declaration(base=given["document"])
if declared.proxmox.backups is not None:
    MachineBackup("machines", MachineBackupArgs(
        scope="tiny-local",
        cluster=declared.proxmox,
        token=pulumi.Output.secret(given["secrets"]["proxmox-token"]),
        vm_ids=[machine.proxmox.vm_id for machine in declared.machines.values()],
        pbs_password=pulumi.Output.secret({PASSWORD!r}),
    ))
"""


def document(vm_ids: tuple[int, ...] = (101,), **backups: Any) -> Document:
    """Machines with these ids, and what differs of their backups."""
    machines = {f"vm{number}": {"vm_id": number, "address": f"192.0.2.{number - 90}/24"} for number in vm_ids}
    found = proxmox_document(machines)
    found["proxmox"] = {**PROXMOX, "backups": {**PROXMOX["backups"], **backups}}
    return found


@pytest.fixture(scope="module")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MachineStack, SavedStack]]:
    """A stack in which nothing is made yet, and how it was then."""
    root = tmp_path_factory.mktemp("backups")
    with fake_proxmox(root) as cluster:
        stack = MachineStack(root / "stack", cluster, "stand-in")
        (stack.root / "checkout" / "__main__.py").write_text(PROGRAM)
        yield stack, stack.saved(root / "nothing")


@pytest.fixture
def stack(nothing: tuple[MachineStack, SavedStack], monkeypatch: pytest.MonkeyPatch) -> MachineStack:
    stack, saved = nothing
    saved.put_back()
    monkeypatch.setenv("SSL_CERT_FILE", str(stack.cluster.ca))
    return stack


@pytest.fixture
def cluster(stack: MachineStack) -> FakeProxmox:
    return stack.cluster


def up(stack: MachineStack, declared: Document) -> None:
    stack.declare(declared)
    ran = stack.up()
    assert ran.code == 0, ran.said


def test_a_job_holds_exactly_the_machines_and_follows_its_declaration(
    stack: MachineStack, cluster: FakeProxmox
) -> None:
    up(stack, document((101, 102)))
    job = cluster.jobs[JOB]
    assert list(cluster.jobs) == [JOB]
    assert (job["vmid"], job["storage"], job["schedule"]) == ("101,102", "vault", "02:30")
    assert (job["mode"], job["compress"]) == ("snapshot", "zstd")
    assert job["prune-backups"] == "keep-daily=7,keep-weekly=4,keep-monthly=6"
    assert stack.preview() == []
    assert [step for step in stack.preview("--refresh") if step.op != "refresh"] == []

    up(stack, document((101,), schedule="sat 03:30", mode="stop", keep={"daily": 3}))
    assert list(cluster.jobs) == [JOB]
    assert cluster.jobs[JOB]["vmid"] == "101"
    assert (cluster.jobs[JOB]["schedule"], cluster.jobs[JOB]["mode"]) == ("sat 03:30", "stop")
    assert stack.preview() == []

    with ProxmoxApi(cluster.endpoint, cluster.token) as api:
        api.put(f"/cluster/backup/{JOB}", schedule="05:00")
    assert Step("update", JOB_TYPE, "machines") in stack.preview("--refresh")
    with ProxmoxApi(cluster.endpoint, cluster.token) as api:
        api.delete(f"/cluster/backup/{JOB}")
    up(stack, document((101, 102)))
    assert cluster.jobs[JOB]["vmid"] == "101,102"

    up(stack, {**document(), "proxmox": {"endpoint": PROXMOX["endpoint"]}})
    assert cluster.jobs == {}


def test_what_is_there_under_its_name_is_taken_up(stack: MachineStack, cluster: FakeProxmox) -> None:
    with ProxmoxApi(cluster.endpoint, cluster.token) as api:
        api.post("/cluster/backup", id=JOB, storage="vault", schedule="12:00", vmid="999")
    up(stack, document())
    assert list(cluster.jobs) == [JOB]
    assert (cluster.jobs[JOB]["vmid"], cluster.jobs[JOB]["schedule"]) == ("101", "02:30")


def test_a_backup_server_is_made_known_and_kept_secret(stack: MachineStack, cluster: FakeProxmox) -> None:
    up(stack, document(storage="offsite", pbs=PBS))
    kept = cluster.storage("offsite")
    assert kept is not None
    assert (kept["type"], kept["server"], str(kept["port"])) == ("pbs", "pbs.test.example", "8017")
    assert (kept["datastore"], kept["username"]) == ("collective", "ronron@pbs!pve")
    assert cluster.jobs[JOB]["storage"] == "offsite"
    assert stack.preview() == []
    assert [step for step in stack.preview("--refresh") if step.op != "refresh"] == []

    up(stack, document(storage="offsite", pbs={**PBS, "namespace": "picasoft"}))
    kept = cluster.storage("offsite")
    assert kept is not None
    assert kept["namespace"] == "picasoft"
    assert stack.preview() == []

    secret = cluster.token.rpartition("=")[2]
    files = [path for path in stack.root.rglob("*") if path.is_file() and "state" in path.parts]
    assert files
    assert not [path for path in files if secret in path.read_text() or PASSWORD in path.read_text()]


def test_another_storage_of_that_name_is_left_alone(stack: MachineStack, cluster: FakeProxmox) -> None:
    before = cluster.storage("vault")
    stack.declare(document(pbs=PBS))
    ran = stack.up()
    assert ran.code != 0
    assert "the cluster has another storage vault" in ran.said
    assert "choose another name for `storage`" in ran.said
    assert cluster.storage("vault") == before
    assert cluster.jobs == {}
    secret = cluster.token.rpartition("=")[2]
    assert secret not in ran.said
    assert PASSWORD not in ran.said
