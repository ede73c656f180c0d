"""Changes of virtual machines: which are refused, with the key and the way out, and that no other is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatons.declaration.machine_changes import known_keys, refused, without_spent_permissions
from chatons.inventory import inventory
from tests.support.declarations import DATA, HOST_KEY, Document, declaration, proxmox_declaration

PLAIN: Document = {}
WITH_DATA: Document = {"data": DATA}
NEW = {"vm_id": 102}


def exported(machine: Document, name: str = "vm01") -> Any:
    """The last inventory as the engine hands it back: through JSON, and every number a float."""
    before = inventory(proxmox_declaration(machines={name: machine}))
    return json.loads(json.dumps(before), parse_int=float)


def problems(before: Document, after: Document) -> list[Any]:
    declared = proxmox_declaration(machines={"vm01": after})
    return list(refused(without_spent_permissions(declared, exported(before)), exported(before)))


@dataclass(frozen=True)
class Loss:
    """A change that loses something, and what must be said about it."""

    name: str
    before: Document
    after: Document
    key: str
    problem: str
    remedy: str


TABLE = (
    Loss(
        "another number", PLAIN, NEW, "vm_id", "vm01 is virtual machine 101: with the ID 102 it would be "
        "replaced",
        "write 101 again; to permit the replacement, add `replace: 101`",
    ),
    Loss(
        "a replace that names another machine", PLAIN, {**NEW, "replace": 999}, "vm_id", "it would be "
        "replaced",
        "`replace: 101`",
    ),
    Loss(
        "a replace that names the new machine", PLAIN, {**NEW, "replace": 102}, "vm_id", "it would be "
        "replaced",
        "`replace: 101`",
    ),
    Loss(
        "a smaller disk", PLAIN, {"disk_gib": 63}, "disk_gib", "has 64 GiB, and disks never shrink",
        "write 64 again",
    ),
    Loss(
        "a smaller disk, with leave to make the machine again", PLAIN,
        {"disk_gib": 63, "replace": 101}, "disk_gib", "never shrink", "another `vm_id` and `replace: 101`",
    ),
    Loss(
        "no data disk", WITH_DATA, PLAIN, "data", "which virtual machine 1101 owns, would be left unused",
        "write `data: {vm_id: 1101, gib: 100}` again",
    ),
    Loss(
        "another data disk", WITH_DATA, {"data": {**DATA, "vm_id": 1102}}, "data.vm_id",
        "would be replaced by an empty one", "unprotect vm01-data",
    ),
    Loss(
        "a smaller data disk", WITH_DATA, {"data": {**DATA, "gib": 99}}, "data.gib", "has 100 GiB",
        "write 100 again",
    ),
    Loss(
        "a smaller data disk, whatever is allowed", WITH_DATA,
        {"data": {**DATA, "gib": 99}, "replace": 101}, "data.gib", "never shrink", "write 100 again",
    ),
    Loss(
        "a data disk elsewhere", WITH_DATA, {"data": {**DATA, "datastore": "fast"}}, "data.datastore",
        "it cannot be moved to fast", "write `datastore: local-lvm` into `data`",
    ),
    Loss(
        "all disks elsewhere, and the data disk with them", WITH_DATA, {"data": DATA, "datastore": "fast"},
        "datastore", "it cannot be moved to fast", "write `datastore: local-lvm` into `data`",
    ),
    Loss(
        "a data disk for a machine that has none", PLAIN, WITH_DATA, "data", "the new data disk would be "
        "empty",
        "remove `data`",
    ),
    Loss(
        "another node, with a data disk", WITH_DATA, {"data": DATA, "node": "bob"}, "node",
        "has a data disk on alice", "write alice again",
    ),
)  # fmt: skip


@pytest.mark.parametrize("loss", [pytest.param(each, id=each.name) for each in TABLE])
def test_what_loses_a_disk_is_refused_with_the_key_and_the_way_out(loss: Loss) -> None:
    (problem,) = problems(loss.before, loss.after)
    assert problem.key == f"ronron:machines.vm01.proxmox.{loss.key}"
    assert loss.problem in problem.problem
    assert loss.remedy in problem.remedy


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(PLAIN, PLAIN, id="nothing"),
        pytest.param(PLAIN, {"cores": 8, "memory_mib": 16384}, id="more of everything"),
        pytest.param(PLAIN, {"disk_gib": 65}, id="a larger disk"),
        pytest.param(PLAIN, {"datastore": "fast"}, id="a disk that is moved in place"),
        pytest.param(PLAIN, {"node": "bob"}, id="a machine that is moved in place"),
        pytest.param(WITH_DATA, {"data": {**DATA, "gib": 101}}, id="a larger data disk"),
        pytest.param(
            WITH_DATA, {"data": {**DATA, "datastore": "local-lvm"}, "datastore": "fast"},
            id="the system's disk moved, the data disk not",
        ),
        pytest.param(PLAIN, {**NEW, "replace": 101}, id="another number, with leave"),
        pytest.param(PLAIN, {**NEW, "replace": 101, "disk_gib": 8}, id="a smaller machine, with leave"),
        pytest.param(PLAIN, {"replace": 101}, id="leave for a machine that keeps its number"),
        pytest.param(WITH_DATA, {"replace": 101}, id="no data disk, with leave"),
        pytest.param(WITH_DATA, {"replace": 101, "data": {**DATA, "vm_id": 1102}}, id="another, with leave"),
        pytest.param(PLAIN, {"replace": 101, **NEW, **WITH_DATA}, id="a data disk, with leave"),
    ],
)  # fmt: skip
def test_what_loses_nothing_or_has_leave_passes(before: Document, after: Document) -> None:
    assert problems(before, after) == []


@pytest.mark.parametrize(
    ("machine", "key"),
    [
        ({}, "vm_id"), ({"vm_id": 1101}, "vm_id"), ({"vm_id": 103, "data": DATA}, "data.vm_id"),
        ({"vm_id": 103, "data": {**DATA, "vm_id": 101}}, "data.vm_id"),
    ],
)  # fmt: skip
def test_a_machine_keeps_its_name(machine: Document, key: str) -> None:
    declared = proxmox_declaration(machines={"renamed": machine})
    (problem,) = refused(declared, exported(WITH_DATA))
    assert problem.key == f"ronron:machines.renamed.proxmox.{key}"
    assert "is the ID of vm01" in problem.problem
    assert "call it vm01 again" in problem.remedy


def test_a_second_machine_is_no_change_of_the_first() -> None:
    both = {"vm01": WITH_DATA, "vm02": {"vm_id": 102, "address": "192.0.2.12/24"}}
    assert list(refused(proxmox_declaration(machines=both), exported(WITH_DATA))) == []


def test_a_leave_that_was_used_is_none_for_the_new_machine() -> None:
    used = proxmox_declaration(machines={"vm01": {**NEW, "replace": 101}})
    after = without_spent_permissions(used, exported(NEW)).machines["vm01"].proxmox
    assert after is not None
    assert after.replace is None
    assert problems(NEW, {"vm_id": 103, "replace": 101})[0].key.endswith("vm_id")


@pytest.mark.parametrize("previous", [None, {}, {"machines": {}}])
@pytest.mark.parametrize(("replace", "left"), [(101, 101), (100, None)])
def test_of_a_machine_that_no_inventory_knows_the_declared_number_counts(
    previous: object, replace: int, left: int | None
) -> None:
    declared = proxmox_declaration(machines={"vm01": {"replace": replace}})
    after = without_spent_permissions(declared, previous).machines["vm01"].proxmox
    assert after is not None
    assert after.replace == left


def test_a_declaration_without_permissions_stays_as_it_is() -> None:
    for declared in (declaration(), proxmox_declaration()):
        assert without_spent_permissions(declared, exported(WITH_DATA)) == declared


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["machines", "vm01", "proxmox", "vm_id", "disk_gib", "data", "gib"]), inner
            )
        ),
        max_leaves=8,
    )
)
def test_whatever_was_exported_before_can_be_compared(previous: object) -> None:
    list(refused(proxmox_declaration(), previous))


def test_the_key_of_a_machine_is_known_as_long_as_it_is_the_same_machine() -> None:
    before = exported(PLAIN)
    before["machines"]["vm01"]["host_key"] = HOST_KEY
    assert known_keys(proxmox_declaration(machines={"vm01": PLAIN}), before) == {"vm01": HOST_KEY}
    assert known_keys(proxmox_declaration(machines={"vm01": NEW}), before) == {}
    assert known_keys(proxmox_declaration(machines={"vm01": PLAIN}), None) == {}
