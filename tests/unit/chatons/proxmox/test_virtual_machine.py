"""A virtual machine: each trap that would cost its data or never come to rest, and how it is kept shut."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_proxmoxve as proxmox
import pytest

from chatons.proxmox.virtual_machine import DATA_SERIAL, VirtualMachine, VirtualMachineArgs
from tests.support.declarations import DATA, VM, proxmox_declaration
from tests.support.programs import VM as VM_TYPE
from tests.support.programs import Program, Registered, registered

NAME = "vm01"
IMAGE = "local:import/debian.qcow2"
FIRST_BOOT = "local:snippets/first-boot.yaml"

OF_ROOT_ALONE = {
    "amdSev", "audioDevice", "hookScriptFileId", "hostpcis", "kvmArguments", "rngs", "usbs", "virtiofs",
}  # fmt: skip
"""Inputs that a token may not set, whatever its privileges. Source: bpg/proxmox, docs/index.md."""


def program(**changes: Any) -> Program:
    """One machine, with what differs from the shortest declaration."""
    declared = proxmox_declaration(machines={NAME: changes}).machines[NAME].proxmox
    assert declared is not None

    def make() -> None:
        provider = proxmox.Provider("proxmox", endpoint="https://alice.test.example:8006/", api_token="t")
        VirtualMachine(
            NAME,
            VirtualMachineArgs(
                name=NAME, declared=declared, description="Made by Ronron: a-b-vm01", image=IMAGE
            ),
            opts=pulumi.ResourceOptions(providers={"proxmoxve": provider}),
        )

    return registered(make)


def machine(**changes: Any) -> Registered:
    return program(**changes).one(VM_TYPE, NAME)


def holder(**changes: Any) -> Registered:
    return program(**{"data": DATA, **changes}).one(VM_TYPE, f"{NAME}-data")


def both() -> list[Registered]:
    return program(data=DATA).of(VM_TYPE)


def every_key(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(every_key, value.values()))
    if isinstance(value, list):
        return set().union(*map(every_key, value))
    return set()


# What would replace a machine, and its data with it.


def test_another_id_is_refused_by_the_engine_and_by_the_node() -> None:
    for each in both():
        assert each.request.protect
        assert each.inputs["protection"] is True


def test_another_node_moves_a_machine_and_does_not_replace_it() -> None:
    for each in both():
        assert each.inputs["migrate"] is True


def test_a_machine_is_no_clone_as_each_input_of_a_clone_replaces_it() -> None:
    for each in both():
        assert "clone" not in each.inputs
        assert "clone" in each.request.ignoreChanges


def test_a_disk_is_imported_from_its_image_as_a_file_id_would_replace_the_machine() -> None:
    found = machine()
    assert found.inputs["disks"][0]["importFrom"] == IMAGE
    assert "fileId" not in every_key(found.inputs)
    assert "disks[0].fileId" in found.request.ignoreChanges


def test_another_image_changes_no_machine_that_is_there() -> None:
    found = machine()
    assert "disks[0].importFrom" in found.request.ignoreChanges
    assert not found.request.replaceOnChanges


@pytest.mark.parametrize("file", ["user", "vendor", "network", "meta"])
def test_an_edit_of_a_file_of_cloud_init_replaces_nothing(file: str) -> None:
    assert f"initialization.{file}DataFileId" in machine(user_data=FIRST_BOOT).request.ignoreChanges


def test_another_format_of_cloud_init_replaces_nothing() -> None:
    assert "initialization.type" in machine().request.ignoreChanges


def test_first_boot_files_are_named_and_never_uploaded_so_that_no_preview_cries_replace() -> None:
    whole = program(user_data=FIRST_BOOT)
    assert {each.type for each in whole.resources} == {
        "chatons:index:VirtualMachine", "pulumi:providers:proxmoxve", VM_TYPE,
    }  # fmt: skip
    assert whole.one(VM_TYPE, NAME).inputs["initialization"]["vendorDataFileId"] == FIRST_BOOT


def test_a_first_boot_file_is_merged_with_user_keys_and_address_and_takes_the_place_of_none() -> None:
    written = machine(user_data=FIRST_BOOT).inputs["initialization"]
    assert set(written) == {"datastoreId", "ipConfigs", "userAccount", "vendorDataFileId"}


def test_cloud_init_is_never_taken_away_as_that_would_replace_the_machine() -> None:
    assert machine().inputs["initialization"]["userAccount"]["username"] == "ronron"


def test_confidential_memory_tpm_and_efi_disks_are_not_offered_as_they_replace() -> None:
    for each in both():
        assert set(each.inputs).isdisjoint({"amdSev", "tpmState", "efiDisk"})


def test_new_keys_are_written_in_place() -> None:
    """muhlba91/pulumi-proxmoxve, issue 513."""
    found = machine()
    assert found.inputs["initialization"]["userAccount"]["keys"] == list(VM["keys"])
    told = [*found.request.ignoreChanges, *found.request.replaceOnChanges]
    assert not [path for path in told if "userAccount" in path or path == "initialization"]


def test_nothing_is_kept_on_the_node_when_it_is_deleted_as_its_id_would_be_taken_then() -> None:
    for each in both():
        assert not each.request.retainOnDelete
        assert each.request.deleteBeforeReplace


# What may replace one machine.


def test_replace_lets_one_machine_go_and_says_for_what() -> None:
    found = machine(replace=VM["vm_id"], user_data=FIRST_BOOT)
    assert not found.request.protect
    causes = {"disks[0].importFrom", "initialization.vendorDataFileId"}
    assert set(found.request.replaceOnChanges) == causes
    assert causes.isdisjoint(found.request.ignoreChanges)


def test_replace_makes_a_machine_that_is_protected_like_any_other() -> None:
    assert machine(replace=VM["vm_id"]).inputs["protection"] is True


def test_replace_lets_no_data_disk_go() -> None:
    found = holder(replace=VM["vm_id"])
    assert found.request.protect
    assert found.inputs["protection"] is True
    assert not found.request.replaceOnChanges


def test_replace_opens_nothing_else() -> None:
    closed, opened = machine(data=DATA), machine(data=DATA, replace=VM["vm_id"])
    assert closed.inputs == opened.inputs
    assert set(closed.request.ignoreChanges) - set(opened.request.ignoreChanges) == {
        "disks[0].importFrom", "initialization.vendorDataFileId",
    }  # fmt: skip


# What would show a change for ever.


def test_speeds_of_disks_never_differ_and_each_disk_is_named_as_the_engine_knows_no_star() -> None:
    """muhlba91/pulumi-proxmoxve, issue 664."""
    for each in both():
        for index in range(len(each.inputs["disks"])):
            assert f"disks[{index}].speed" in each.request.ignoreChanges
        assert not [path for path in each.request.ignoreChanges if "*" in path]


def test_limits_of_speed_are_not_offered_as_they_do_not_reach_a_disk_that_is_there() -> None:
    """bpg/terraform-provider-proxmox, issue 2467."""
    for each in both():
        assert "speed" not in every_key(each.inputs)


def test_where_the_drive_of_cloud_init_is_never_differs() -> None:
    assert "initialization.datastoreId" in machine().request.ignoreChanges


def test_tags_are_sorted_as_the_node_gives_them_back() -> None:
    for each in program(data=DATA, tags=["web", "asso", "ronron"]).of(VM_TYPE):
        assert each.inputs["tags"] == ["asso", "ronron", "web"]


def test_a_borrowed_disk_does_not_differ_when_its_owner_moves_or_grows_it() -> None:
    ignored = machine(data=DATA).request.ignoreChanges
    for key in ("pathInDatastore", "size", "importFrom", "fileFormat"):
        assert f"disks[1].{key}" in ignored
    assert "disks[0].size" not in ignored


def test_no_disk_is_ignored_that_is_not_there() -> None:
    assert not [path for path in machine().request.ignoreChanges if path.startswith("disks[1]")]


# What would hang, or break a machine that runs.


def test_a_machine_without_an_agent_is_stopped_at_once_and_not_after_a_quarter_of_an_hour() -> None:
    for each in both():
        assert each.inputs["stopOnDestroy"] is True


def test_nothing_waits_long_for_an_agent() -> None:
    """bpg/terraform-provider-proxmox, issues 669 and 2091."""
    agent = machine().inputs["agent"]
    assert agent == {"enabled": True, "timeout": "10s", "waitForIp": {"disabled": True}}
    assert "agent" not in holder().inputs


def test_more_cores_or_memory_restart_nothing() -> None:
    for each in both():
        assert each.inputs["rebootAfterUpdate"] is False


def test_a_machine_stays_in_the_backup_jobs_when_it_is_made_anew() -> None:
    """bpg/terraform-provider-proxmox, issue 2118."""
    for each in both():
        assert each.inputs["purgeOnDestroy"] is False


def test_no_disk_goes_that_the_machine_does_not_use() -> None:
    """bpg/terraform-provider-proxmox, issue 1763."""
    for each in both():
        assert each.inputs["deleteUnreferencedDisksOnDestroy"] is False


def test_every_disk_has_its_place_for_ever_and_the_data_disk_a_serial() -> None:
    """bpg/terraform-provider-proxmox, issues 2218 and 2596: interfaces that are used again mix disks up."""
    boot, data = machine(data=DATA).inputs["disks"]
    assert (boot["interface"], data["interface"]) == ("scsi0", "scsi1")
    assert data["serial"] == DATA_SERIAL
    assert "serial" not in boot


def test_a_data_disk_is_not_taken_away_as_its_holder_is_protected() -> None:
    """bpg/terraform-provider-proxmox, issue 2596: the provider would say removed, and leave the disk."""
    assert holder().request.protect


def test_the_id_is_declared_and_the_name_too_as_either_would_be_made_up() -> None:
    assert machine().inputs["vmId"] == VM["vm_id"]
    assert machine().inputs["name"] == NAME
    assert holder().inputs["vmId"] == DATA["vm_id"]
    assert holder().inputs["name"] == f"{NAME}-data"


def test_no_datastore_is_left_to_the_provider_which_takes_local_lvm() -> None:
    found = machine(datastore="tank", data={**DATA, "datastore": "slow"})
    assert found.inputs["disks"][0]["datastoreId"] == "tank"
    assert found.inputs["disks"][1]["datastoreId"] == "slow"
    assert found.inputs["initialization"]["datastoreId"] == "tank"
    assert holder(datastore="tank").inputs["disks"][0]["datastoreId"] == "tank"


def test_nothing_is_set_that_only_root_by_password_may_set() -> None:
    whole = every_key([each.inputs for each in both()])
    assert whole.isdisjoint(OF_ROOT_ALONE)
    assert whole.isdisjoint({"affinity", "architecture", "hugepages", "keepHugepages", "upgrade", "fileMode"})


def test_no_input_is_written_that_the_provider_will_give_up() -> None:
    assert "enabled" not in machine().inputs["networkDevices"][0]


def test_no_password_is_given_to_the_guest() -> None:
    assert "password" not in every_key(machine().inputs)


# What it is.


def test_a_machine_has_all_that_is_declared() -> None:
    found = machine(
        dns=["192.0.2.53"], vlan=20, pool="collective", start_order=3, cpu_type="host", user="tech"
    ).inputs  # fmt: skip
    assert found["nodeName"] == "alice"
    assert found["cpu"] == {"cores": 4, "sockets": 1, "type": "host"}
    assert found["memory"] == {"dedicated": 8192, "floating": 8192}
    assert found["networkDevices"] == [{"bridge": "vmbr0", "model": "virtio", "vlanId": 20}]
    assert found["initialization"] == {
        "datastoreId": "local-lvm",
        "dns": {"servers": ["192.0.2.53"]},
        "ipConfigs": [{"ipv4": {"address": "192.0.2.11/24", "gateway": "192.0.2.1"}}],
        "userAccount": {"username": "tech", "keys": list(VM["keys"])},
    }
    assert found["poolId"] == "collective"
    assert found["startup"] == {"order": 3}
    assert found["description"] == "Made by Ronron: a-b-vm01"
    assert found["started"] is True
    assert found["onBoot"] is True
    assert found["operatingSystem"] == {"type": "l26"}
    assert found["serialDevices"] == [{"device": "socket"}]
    assert found["bootOrders"] == ["scsi0"]


def test_disks_give_back_what_is_freed_and_have_a_thread_each() -> None:
    for each in both():
        assert each.inputs["scsiHardware"] == "virtio-scsi-single"
        for disk in each.inputs["disks"]:
            assert (disk["discard"], disk["iothread"], disk["ssd"]) == ("on", True, True)


def test_a_data_disk_belongs_to_a_second_machine_that_never_runs() -> None:
    found = holder().inputs
    assert (found["started"], found["onBoot"]) == (False, False)
    assert set(found).isdisjoint({"networkDevices", "initialization", "agent"})
    assert found["disks"][0]["size"] == DATA["gib"]
    used = machine(data=DATA).inputs["disks"][1]
    assert used["pathInDatastore"] == f"{NAME}-data-disk-0"


def test_a_data_disk_is_backed_up_with_the_machine_that_uses_it_and_not_behind_its_back() -> None:
    assert machine(data=DATA).inputs["disks"][1]["backup"] is True
    assert holder().inputs["disks"][0]["backup"] is False


def test_a_machine_without_a_cluster_is_refused() -> None:
    declared = proxmox_declaration().machines[NAME].proxmox
    assert declared is not None

    def make() -> None:
        VirtualMachine(NAME, VirtualMachineArgs(name=NAME, declared=declared, description="", image=IMAGE))

    with pytest.raises(ValueError, match="no Proxmox VE is named"):
        registered(make)
