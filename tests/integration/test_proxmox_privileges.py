"""The commands of docs/operations.md give a token all that it needs, and nothing that it does not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from chatons.proxmox.preflight import checks
from chatons.proxmox.privileges import holds, needed
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
        held = [(path, set(ROLES[role])) for path, role in GRANTS if not path.startswith("/pool")]
        found.do(lambda cluster: cluster.acl.update({found.token_id: held}))
        yield found


def document(cluster: FakeProxmox) -> Document:
    machine = {"image": {"url": IMAGE, "checksum": IMAGE_CHECKSUM}, "data": DATA}
    found = proxmox_document({"vm01": machine})
    return {**found, "proxmox": {**found["proxmox"], "endpoint": cluster.endpoint}}


def test_with_the_documented_rights_nothing_stands_in_the_way(cluster: FakeProxmox) -> None:
    declared = declaration(base=document(cluster))
    assert blocking(checks(declared, SecretStr(cluster.token), None, knock=lambda _: False)) == []


def test_no_documented_right_is_needless() -> None:
    pbs = {"server": "pbs.test.example", "datastore": "collective", "username": "ronron@pbs"}
    found = proxmox_document({"vm01": {"data": DATA, "pool": "collective"}})
    found["proxmox"]["backups"]["pbs"] = pbs
    wanted = {need.privilege for need in needed(declaration(base=found), 9)}
    assert {each for name, role in ROLES.items() if name != "PVEAuditor" for each in role} == wanted


def test_with_the_documented_rights_machines_are_made(cluster: FakeProxmox, tmp_path: Path) -> None:
    stack = MachineStack(tmp_path / "stack", cluster, "stand-in")
    stack.declare(document(cluster))
    ran = stack.up()
    assert ran.code == 0, ran.said
    assert {guest.vm_id for guest in cluster.guests} == {101, DATA["vm_id"]}
    assert stack.preview("--refresh") is not None


def test_a_right_on_a_path_holds_below_it_unless_something_is_said_there() -> None:
    held = {"/": {"Sys.Audit": 0}, "/vms": {"VM.Audit": 1, "VM.Allocate": 0}, "/vms/7": {"VM.Clone": 1}}
    assert holds(held, "/", "Sys.Audit")
    assert not holds(held, "/nodes/alice", "Sys.Audit")
    assert holds(held, "/vms/101", "VM.Audit")
    assert not holds(held, "/vms/101", "VM.Allocate")
    assert not holds(held, "/vms/7", "VM.Audit")
    assert not holds({}, "/vms/7", "VM.Audit")
