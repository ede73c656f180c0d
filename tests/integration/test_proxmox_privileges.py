"""The commands of docs/operations.md grant a token exactly the privileges that it needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from chatons.proxmox.preflight import checks
from chatons.proxmox.privileges import is_granted, needed
from chatons.schema.checks import blocking
from tests.support.collectives import PROJECT
from tests.support.declarations import DATA, Document, declaration, proxmox_document
from tests.support.fake_proxmox import IMAGE, IMAGE_CHECKSUM, FakeProxmox, fake_proxmox
from tests.support.machine_stack import MachineStack

pytestmark = pytest.mark.timeout(180)

PAGE = (PROJECT / "docs/operations.md").read_text()
ROLES = {
    name: frozenset(privileges.split())
    for name, privileges in re.findall(r'pveum role add (\w+) --privs "([^"]+)"', PAGE)
} | {"PVEAuditor": frozenset({"Datastore.Audit", "Pool.Audit", "Sys.Audit", "VM.Audit"})}
GRANTS = re.findall(r"pveum acl modify (\S+) --users ronron@pve --roles (\w+)", PAGE)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeProxmox]:
    with fake_proxmox(tmp_path) as found:
        monkeypatch.setenv("SSL_CERT_FILE", str(found.ca))
        granted = [(path, set(ROLES[role])) for path, role in GRANTS if not path.startswith("/pool")]
        found.do(lambda cluster: cluster.acl.update({found.token_id: granted}))
        yield found


def document(cluster: FakeProxmox) -> Document:
    machine = {"image": {"url": IMAGE, "checksum": IMAGE_CHECKSUM}, "data": DATA}
    found = proxmox_document({"vm01": machine})
    return {**found, "proxmox": {**found["proxmox"], "endpoint": cluster.endpoint}}


def test_the_documented_privileges_pass_the_checks(cluster: FakeProxmox) -> None:
    declared = declaration(base=document(cluster))
    assert blocking(checks(declared, SecretStr(cluster.token), None, is_in_use=lambda _: False)) == []


def test_every_documented_privilege_is_needed() -> None:
    pbs = {"server": "pbs.test.example", "datastore": "collective", "username": "ronron@pbs"}
    found = proxmox_document({"vm01": {"data": DATA, "pool": "collective"}})
    found["proxmox"]["backups"]["pbs"] = pbs
    required = {need.privilege for need in needed(declaration(base=found), 9)}
    assert {each for name, role in ROLES.items() if name != "PVEAuditor" for each in role} == required


def test_the_documented_privileges_are_enough_to_create_machines(
    cluster: FakeProxmox, tmp_path: Path
) -> None:
    stack = MachineStack(tmp_path / "stack", cluster, "stand-in")
    stack.declare(document(cluster))
    ran = stack.up()
    assert ran.code == 0, ran.said
    assert {guest.vm_id for guest in cluster.guests} == {101, DATA["vm_id"]}
    assert stack.preview("--refresh") is not None


def test_a_privilege_applies_below_its_path_unless_that_path_is_listed() -> None:
    granted = {"/": {"Sys.Audit": 0}, "/vms": {"VM.Audit": 1, "VM.Allocate": 0}, "/vms/7": {"VM.Clone": 1}}
    assert is_granted(granted, "/", "Sys.Audit")
    assert not is_granted(granted, "/nodes/alice", "Sys.Audit")
    assert is_granted(granted, "/vms/101", "VM.Audit")
    assert not is_granted(granted, "/vms/101", "VM.Allocate")
    assert not is_granted(granted, "/vms/7", "VM.Audit")
    assert not is_granted({}, "/vms/7", "VM.Audit")
