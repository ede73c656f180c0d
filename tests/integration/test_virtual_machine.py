"""Virtual machines on the real engine: what an edit does to one that is there, and to its data."""

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
    """Three machines of one node, 101 to 103."""
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
    """The machine of `declared` is there."""
    return machines.live()


@pytest.fixture
def cluster(stack: MachineStack) -> FakeProxmox:
    return stack.cluster


@pytest.fixture
def empty(machines: Machines) -> MachineStack:
    """Nothing is there yet."""
    return machines.empty()


def machine_steps(steps: list[Step]) -> list[Step]:
    return [step for step in steps if step.type == VM and step.op != "refresh"]


def birth(cluster: FakeProxmox, vm_id: int = VM_ID) -> str:
    """Another one for a machine that was made anew."""
    found = cluster.vm(vm_id)
    assert found is not None
    return str(found.config["vmgenid"])


def test_a_machine_is_there_with_its_disks_and_its_data_disk_belongs_to_another(
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


def test_nothing_changes_the_second_time_nor_after_a_look_at_the_cluster(stack: MachineStack) -> None:
    assert stack.preview() == []
    assert [step for step in stack.preview("--refresh") if step.op != "refresh"] == []


def test_cores_and_memory_are_changed_in_place_and_the_guest_runs_on(
    stack: MachineStack, cluster: FakeProxmox
) -> None:
    before = birth(cluster)
    stack.declare(declared(cores=8, memory_mib=16384))
    assert stack.preview() == CHANGED_IN_PLACE
    cluster.forget_requests()
    ran = stack.up()
    assert ran.code == 0, ran.said
    assert "the guest sees it after its next restart" in ran.said
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


def test_another_image_is_downloaded_and_changes_no_machine_that_is_there(
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


def test_limits_of_speed_that_a_person_set_at_the_node_stay(
    stack: MachineStack, cluster: FakeProxmox
) -> None:
    found = cluster.vm(VM_ID)
    assert found is not None
    limited = {disk: f"{found.config[disk]},mbps_rd=100" for disk in ("scsi0", "scsi1")}
    cluster.set(VM_ID, **limited)
    assert machine_steps(stack.preview("--refresh")) == []


def test_disks_grow_in_place_and_a_data_disk_with_the_machine_that_owns_it(stack: MachineStack) -> None:
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


# What would lose a machine or its data.


@pytest.mark.parametrize("edit", [{"vm_id": 102}, {"data": {**DATA, "vm_id": 1102}}, {"data": None}], ids=str)
def test_what_would_lose_a_disk_is_refused_before_anything_happens(
    stack: MachineStack, cluster: FakeProxmox, edit: Document
) -> None:
    stack.declare(declared(**edit))
    ran = stack.pulumi("preview")
    assert ran.code != 0
    assert "protect" in ran.said
    assert {guest.vm_id for guest in cluster.guests} == {VM_ID, DATA["vm_id"]}


def test_a_machine_that_is_no_longer_declared_stays(stack: MachineStack, cluster: FakeProxmox) -> None:
    stack.declare(proxmox_document({"vm02": {"vm_id": 102, "address": "192.0.2.12/24"}}))
    ran = stack.pulumi("preview")
    assert ran.code != 0
    assert "protect" in ran.said


def test_a_machine_that_the_engine_lets_go_is_still_kept_by_the_node(stack: MachineStack) -> None:
    assert stack.pulumi("state", "unprotect", "--all", "--yes").code == 0
    ran = stack.pulumi("destroy", "--yes", "--skip-preview", "--run-program")
    assert ran.code != 0
    assert f"replace: {VM_ID}" in ran.said
    assert f"qm set {VM_ID} --protection 0" in ran.said
    assert {guest.vm_id for guest in stack.cluster.guests} == {VM_ID, DATA["vm_id"]}


@pytest.mark.parametrize("vm_id", [VM_ID, 102])
def test_replace_makes_one_machine_anew_and_its_data_disk_stays(stack: MachineStack, vm_id: int) -> None:
    cluster = stack.cluster
    before, holder = birth(cluster), cluster.vm(DATA["vm_id"])
    checksum = cluster.image(OTHER_IMAGE, b"QFI\xfb another")
    image = {"url": OTHER_IMAGE, "checksum": checksum}
    stack.declare(declared(vm_id=vm_id, image=image, replace=VM_ID))
    assert "replace" in {step.op for step in machine_steps(stack.preview())}
    assert {step.name for step in machine_steps(stack.preview())} == {NAME}
    ran = stack.up()
    assert ran.code == 0, ran.said
    assert "remove that line once it is done" in ran.said
    assert {guest.vm_id for guest in cluster.guests} == {vm_id, DATA["vm_id"]}
    assert birth(cluster, vm_id) != before
    made = cluster.vm(vm_id)
    assert made is not None
    assert f"vm-{DATA['vm_id']}-disk-0" in made.config["scsi1"]
    assert made.config["protection"] == 1
    assert cluster.vm(DATA["vm_id"]) == holder
    assert [path for _, path, _ in cluster.changes if path.endswith("/status/shutdown")]
    stack.declare(declared(vm_id=vm_id, image=image))
    assert stack.preview() == []


def test_replace_alone_replaces_nothing(stack: MachineStack) -> None:
    stack.declare(declared(replace=VM_ID))
    assert stack.preview() == []


# What goes wrong.


def test_machines_of_one_node_are_made_in_turn_and_one_that_fails_stops_no_other(empty: MachineStack) -> None:
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


def test_a_machine_that_was_made_and_did_not_start_is_taken_up_by_the_next_update(
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


def test_an_id_that_somebody_took_since_the_update_began_is_left_to_them(empty: MachineStack) -> None:
    """Nothing looks before the update here, as nothing does between that look and the machine's turn."""
    stack, cluster = empty, empty.cluster
    stack.declare(three())
    with cluster.fault("taken", vm_id=101, name="web"):
        ran = stack.up()
        assert not [each for each in cluster.changes if "/101/" in each[1] or each[2].get("vmid") == 101]
    assert ran.code != 0
    assert "101 is taken: it is web on alice" in ran.said
    assert "choose another number" in ran.said
    # Whoever waited behind it got its turn.
    assert {guest.vm_id for guest in cluster.guests} == {102, 103}
    assert not [each for each in stack.state() if each["type"] == VM and each["urn"].endswith("vm01")]
    ran = stack.up()
    assert ran.code == 0, ran.said
    assert {guest.vm_id for guest in cluster.guests} == {101, 102, 103}


@pytest.mark.parametrize(("edit", "fault", "where", "left"), HALF_WAY, ids=["locked", "full"])
def test_what_an_update_left_undone_is_refused_until_the_cluster_is_looked_at(
    stack: MachineStack, edit: Document, fault: FAULTS, where: Document, left: str
) -> None:
    """The engine alone would be content: its state says that it was done."""
    stack.declare(declared(**edit))
    with stack.cluster.fault(fault, **where):
        assert stack.up().code != 0
    for _ in range(2):
        ran = stack.up()
        assert ran.code != 0
        assert f"the last update of {NAME} ended half-way, and left undone: {left}" in ran.said
        assert "`pulumi up --refresh`" in ran.said
    ran = stack.pulumi("up", "--yes", "--skip-preview", "--refresh")
    assert ran.code == 0, ran.said
    found = stack.cluster.vm(VM_ID)
    assert found is not None
    assert {**found.config, **found.pending}["cores"] == edit.get("cores", 4)
    assert f"size={edit.get('disk_gib', 64)}G" in found.config["scsi0"]
    assert stack.preview() == []


def test_the_token_is_nowhere_in_clear(stack: MachineStack, cluster: FakeProxmox) -> None:
    secret = cluster.token.rpartition("=")[2]
    kept = [path for path in (stack.root / "state").rglob("*") if path.is_file()]
    assert any("VmLegacy" in path.read_text() for path in kept)
    assert not [path for path in kept if secret in path.read_text()]
