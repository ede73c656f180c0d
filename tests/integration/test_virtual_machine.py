"""Virtual machines on the real engine: how edits change an existing machine and its data."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.declarations import DATA, HOST_KEY, Document, proxmox_document
from tests.support.fake_proxmox import FAULTS, IMAGE, IMAGE_CHECKSUM, FakeProxmox
from tests.support.machine_stack import (
    HALF_WAY,
    NAME,
    VM_ID,
    Machines,
    MachineStack,
    Step,
    declared,
    machines_for_tests,
)

pytestmark = pytest.mark.timeout(300)

VM, FILE = "proxmoxve:index/vmLegacy:VmLegacy", "proxmoxve:download/file:File"
OTHER_IMAGE = "https://images.test.example/debian-13-genericcloud-amd64-20261203-2400.qcow2"
OTHER_KEY = HOST_KEY.replace("HR4f", "HR4g")

CHANGED_IN_PLACE = [Step("update", VM, NAME)]


def three() -> Document:
    """A declaration of three machines on one node, 101 to 103."""
    image = {"url": IMAGE, "checksum": IMAGE_CHECKSUM}
    return proxmox_document(
        {
            f"vm0{number}": {"vm_id": 100 + number, "address": f"192.0.2.{10 + number}/24", "image": image}
            for number in (1, 2, 3)
        }
    )


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with machines_for_tests(tmp_path_factory.mktemp("machines")) as found:
        yield found


@pytest.fixture
def stack(machines: Machines) -> MachineStack:
    """A stack with the machine of `declared`."""
    return machines.live()


@pytest.fixture
def cluster(stack: MachineStack) -> FakeProxmox:
    return stack.cluster


@pytest.fixture
def empty(machines: Machines) -> MachineStack:
    """A stack without resources."""
    return machines.empty()


def machine_steps(steps: list[Step]) -> list[Step]:
    return [step for step in steps if step.type == VM and step.op != "refresh"]


def birth(cluster: FakeProxmox, vm_id: int = VM_ID) -> str:
    """An id that changes when the machine is replaced."""
    found = cluster.vm(vm_id)
    assert found is not None
    return str(found.config["vmgenid"])


def test_a_machine_has_its_disks_and_its_data_disk_belongs_to_the_holder(
    cluster: FakeProxmox,
) -> None:
    found, holder = cluster.vm(VM_ID), cluster.vm(DATA["vm_id"])
    assert found is not None
    assert holder is not None
    assert (found.status, holder.status) == ("running", "stopped")
    assert found.config["protection"] == holder.config["protection"] == 1
    assert f"vm-{DATA['vm_id']}-disk-0" in found.config["scsi1"]
    assert "serial=ronron-data" in found.config["scsi1"]
    assert set(found.config["ipconfig0"].split(",")) == {"gw=192.0.2.1", "ip=192.0.2.11/24"}


def test_a_second_preview_shows_no_change_even_with_a_refresh(stack: MachineStack) -> None:
    assert stack.preview() == []
    assert [step for step in stack.preview("--refresh") if step.op != "refresh"] == []


def test_cores_and_memory_change_in_place_without_a_restart(
    stack: MachineStack, cluster: FakeProxmox
) -> None:
    before = birth(cluster)
    stack.declare(declared(cores=8, memory_mib=16384))
    assert stack.preview() == CHANGED_IN_PLACE
    cluster.forget_requests()
    ran = stack.up()
    assert ran.code == 0, ran.said
    assert "with effect at the next restart of the machine" in ran.said
    found = cluster.vm(VM_ID)
    assert found is not None
    assert {**found.config, **found.pending}["cores"] == 8
    assert birth(cluster) == before
    assert not [path for _, path, _ in cluster.changes if "/status/" in path]


@pytest.mark.parametrize(
    ("edit", "steps"),
    [
        ({"user_data": "local:snippets/first-boot.yaml"}, []),
        ({"keys": [HOST_KEY, OTHER_KEY]}, CHANGED_IN_PLACE),
        ({"address": "192.0.2.12/24"}, CHANGED_IN_PLACE),
        ({"tags": ["web", "asso"]}, [Step("update", VM, f"{NAME}-data"), *CHANGED_IN_PLACE]),
        ({"start_order": 2}, CHANGED_IN_PLACE),
    ],
    ids=lambda each: next(iter(each), "") if isinstance(each, dict) else "",
)
def test_an_edit_replaces_nothing(
    stack: MachineStack, cluster: FakeProxmox, edit: Document, steps: list[Step]
) -> None:
    before = birth(cluster)
    stack.declare(declared(**edit))
    assert stack.preview() == steps
    ran = stack.up()
    assert ran.code == 0, ran.said
    assert birth(cluster) == before
    assert stack.preview() == []


def test_another_image_is_downloaded_and_changes_no_existing_machine(
    stack: MachineStack, cluster: FakeProxmox
) -> None:
    before = birth(cluster)
    checksum = cluster.image(OTHER_IMAGE, b"QFI\xfb another")
    stack.declare(declared(image={"url": OTHER_IMAGE, "checksum": checksum}))
    assert sorted(step.op for step in stack.preview()) == ["create", "delete"]
    assert machine_steps(stack.preview()) == []
    ran = stack.up()
    assert ran.code == 0, ran.said
    assert birth(cluster) == before
    assert stack.preview() == []


def test_speed_limits_that_a_person_set_at_the_node_stay(stack: MachineStack, cluster: FakeProxmox) -> None:
    found = cluster.vm(VM_ID)
    assert found is not None
    limited = {disk: f"{found.config[disk]},mbps_rd=100" for disk in ("scsi0", "scsi1")}
    cluster.set(VM_ID, **limited)
    assert machine_steps(stack.preview("--refresh")) == []


def test_disks_grow_in_place(stack: MachineStack) -> None:
    stack.declare(declared(disk_gib=80, data={**DATA, "gib": 120}))
    assert sorted(step.name for step in stack.preview()) == [NAME, f"{NAME}-data"]
    ran = stack.up()
    assert ran.code == 0, ran.said
    assert stack.preview() == []
    system, holder = stack.cluster.vm(VM_ID), stack.cluster.vm(DATA["vm_id"])
    assert system is not None
    assert holder is not None
    assert "size=80G" in system.config["scsi0"]
    assert "size=120G" in holder.config["scsi0"]


def test_a_data_disk_can_be_added_to_a_machine_that_has_none(empty: MachineStack) -> None:
    empty.declare(proxmox_document({NAME: {"image": {"url": IMAGE, "checksum": IMAGE_CHECKSUM}}}))
    ran = empty.up()
    assert ran.code == 0, ran.said
    before = birth(empty.cluster)
    empty.declare(declared())
    assert empty.preview() == [Step("create", VM, f"{NAME}-data"), *CHANGED_IN_PLACE]
    ran = empty.up()
    assert ran.code == 0, ran.said
    assert birth(empty.cluster) == before
    assert empty.preview() == []


# Edits that would lose a machine or its data.


@pytest.mark.parametrize("edit", [{"vm_id": 102}, {"data": {**DATA, "vm_id": 1102}}, {"data": None}], ids=str)
def test_an_edit_that_would_lose_a_disk_fails_the_preview(
    stack: MachineStack, cluster: FakeProxmox, edit: Document
) -> None:
    stack.declare(declared(**edit))
    ran = stack.pulumi("preview")
    assert ran.code != 0
    assert "protect" in ran.said
    assert {guest.vm_id for guest in cluster.guests} == {VM_ID, DATA["vm_id"]}


def test_the_removal_of_a_machine_from_the_declaration_is_refused(
    stack: MachineStack, cluster: FakeProxmox
) -> None:
    stack.declare(proxmox_document({"vm02": {"vm_id": 102, "address": "192.0.2.12/24"}}))
    ran = stack.pulumi("preview")
    assert ran.code != 0
    assert "protect" in ran.said


def test_the_node_still_protects_a_machine_that_the_engine_may_delete(stack: MachineStack) -> None:
    assert stack.pulumi("state", "unprotect", "--all", "--yes").code == 0
    ran = stack.pulumi("destroy", "--yes", "--skip-preview", "--run-program")
    assert ran.code != 0
    assert f"replace: {VM_ID}" in ran.said
    assert f"qm set {VM_ID} --protection 0" in ran.said
    assert {guest.vm_id for guest in stack.cluster.guests} == {VM_ID, DATA["vm_id"]}


@pytest.mark.parametrize("vm_id", [VM_ID, 102])
def test_replace_replaces_one_machine_and_its_data_disk_stays(stack: MachineStack, vm_id: int) -> None:
    cluster = stack.cluster
    before, holder = birth(cluster), cluster.vm(DATA["vm_id"])
    checksum = cluster.image(OTHER_IMAGE, b"QFI\xfb another")
    image = {"url": OTHER_IMAGE, "checksum": checksum}
    stack.declare(declared(vm_id=vm_id, image=image, replace=VM_ID))
    assert "replace" in {step.op for step in machine_steps(stack.preview())}
    assert {step.name for step in machine_steps(stack.preview())} == {NAME}
    ran = stack.up()
    assert ran.code == 0, ran.said
    assert "remove that line after the update" in ran.said
    assert {guest.vm_id for guest in cluster.guests} == {vm_id, DATA["vm_id"]}
    assert birth(cluster, vm_id) != before
    replacing = cluster.vm(vm_id)
    assert replacing is not None
    assert f"vm-{DATA['vm_id']}-disk-0" in replacing.config["scsi1"]
    assert replacing.config["protection"] == 1
    assert cluster.vm(DATA["vm_id"]) == holder
    assert [path for _, path, _ in cluster.changes if path.endswith("/status/shutdown")]
    stack.declare(declared(vm_id=vm_id, image=image))
    assert stack.preview() == []


def test_replace_alone_replaces_nothing(stack: MachineStack) -> None:
    stack.declare(declared(replace=VM_ID))
    assert stack.preview() == []


# Failures.


def test_machines_of_one_node_are_created_one_by_one_and_a_failure_blocks_no_other(
    empty: MachineStack,
) -> None:
    stack, cluster = empty, empty.cluster
    stack.declare(three())
    with cluster.fault("locked", vm_id=102):
        ran = stack.up()
    assert ran.code != 0
    assert "lock-102.conf" in ran.said
    assert {guest.vm_id for guest in cluster.guests} == {101, 103}
    ran = stack.up()
    assert ran.code == 0, ran.said
    assert {guest.vm_id for guest in cluster.guests} == {101, 102, 103}


def test_the_next_update_adopts_a_machine_that_was_created_but_did_not_start(
    empty: MachineStack,
) -> None:
    stack, cluster = empty, empty.cluster
    stack.declare(declared())
    with cluster.fault("task", method="POST", path=f"/{VM_ID}/status/start", text="no memory"):
        ran = stack.up()
    assert ran.code != 0
    assert "no memory" in ran.said
    before = birth(cluster)
    ran = stack.up()
    assert ran.code == 0, ran.said
    assert birth(cluster) == before
    found = cluster.vm(VM_ID)
    assert found is not None
    assert found.status == "running"
    assert stack.preview() == []


def test_an_id_that_was_taken_during_the_update_is_not_used(empty: MachineStack) -> None:
    """The stack runs no checks before the update, as if the id was taken after the checks."""
    stack, cluster = empty, empty.cluster
    stack.declare(three())
    with cluster.fault("taken", vm_id=101, name="web"):
        ran = stack.up()
        assert not [each for each in cluster.changes if "/101/" in each[1] or each[2].get("vmid") == 101]
    assert ran.code != 0
    assert "101 is taken: it is web on alice" in ran.said
    assert "choose another id" in ran.said
    # The machines that waited for the lock were created.
    assert {guest.vm_id for guest in cluster.guests} == {102, 103}
    assert not [each for each in stack.state() if each["type"] == VM and each["urn"].endswith("vm01")]
    ran = stack.up()
    assert ran.code == 0, ran.said
    assert {guest.vm_id for guest in cluster.guests} == {101, 102, 103}


@pytest.mark.parametrize(("edit", "fault", "where", "missing"), HALF_WAY, ids=["locked", "full"])
def test_after_an_incomplete_update_a_refresh_is_required(
    stack: MachineStack, edit: Document, fault: FAULTS, where: Document, missing: str
) -> None:
    """The engine alone would find no difference: its state claims the change."""
    stack.declare(declared(**edit))
    with stack.cluster.fault(fault, **where):
        assert stack.up().code != 0
    for _ in range(2):
        ran = stack.up()
        assert ran.code != 0
        assert f"the last update of {NAME} was not completed; missing: {missing}" in ran.said
        assert "`pulumi up --refresh`" in ran.said
    ran = stack.pulumi("up", "--yes", "--skip-preview", "--refresh")
    assert ran.code == 0, ran.said
    found = stack.cluster.vm(VM_ID)
    assert found is not None
    assert {**found.config, **found.pending}["cores"] == edit.get("cores", 4)
    assert f"size={edit.get('disk_gib', 64)}G" in found.config["scsi0"]
    assert stack.preview() == []


def test_the_token_is_not_in_the_state_as_plain_text(stack: MachineStack, cluster: FakeProxmox) -> None:
    secret = cluster.token.rpartition("=")[2]
    files = [path for path in (stack.root / "state").rglob("*") if path.is_file()]
    assert any("VmLegacy" in path.read_text() for path in files)
    assert not [path for path in files if secret in path.read_text()]
