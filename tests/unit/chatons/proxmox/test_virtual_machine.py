"""A virtual machine: each option that avoids a loss of data or a permanent difference."""

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

ROOT_ONLY = {
    "amdSev", "audioDevice", "hookScriptFileId", "hostpcis", "kvmArguments", "rngs", "usbs", "virtiofs",
}  # fmt: skip
"""Inputs that a token may not set, whatever its privileges. Source: bpg/proxmox, docs/index.md."""


def program(**changes: Any) -> Program:
    """One machine: the shortest declaration with some changes."""
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


# Edits that would replace a machine and its data.


def test_engine_and_node_protect_the_machine() -> None:
    for each in both():
        assert each.request.protect
        assert each.inputs["protection"] is True


def test_another_node_migrates_a_machine_and_does_not_replace_it() -> None:
    for each in both():
        assert each.inputs["migrate"] is True


def test_a_machine_is_not_a_clone_because_each_input_of_a_clone_replaces_it() -> None:
    for each in both():
        assert "clone" not in each.inputs
        assert "clone" in each.request.ignoreChanges


def test_a_disk_is_imported_because_a_file_id_would_replace_the_machine() -> None:
    found = machine()
    assert found.inputs["disks"][0]["importFrom"] == IMAGE
    assert "fileId" not in every_key(found.inputs)
    assert "disks[0].fileId" in found.request.ignoreChanges


def test_another_image_does_not_change_an_existing_machine() -> None:
    found = machine()
    assert "disks[0].importFrom" in found.request.ignoreChanges
    assert not found.request.replaceOnChanges


@pytest.mark.parametrize("file", ["user", "vendor", "network", "meta"])
def test_an_edit_of_a_cloud_init_file_replaces_nothing(file: str) -> None:
    assert f"initialization.{file}DataFileId" in machine(user_data=FIRST_BOOT).request.ignoreChanges


def test_another_cloud_init_format_replaces_nothing() -> None:
    assert "initialization.type" in machine().request.ignoreChanges


def test_first_boot_files_are_referenced_and_never_uploaded() -> None:
    whole = program(user_data=FIRST_BOOT)
    assert {each.type for each in whole.resources} == {
        "chatons:index:VirtualMachine", "pulumi:providers:proxmoxve", VM_TYPE,
    }  # fmt: skip
    assert whole.one(VM_TYPE, NAME).inputs["initialization"]["vendorDataFileId"] == FIRST_BOOT


def test_a_first_boot_file_is_merged_with_user_keys_and_address() -> None:
    written = machine(user_data=FIRST_BOOT).inputs["initialization"]
    assert set(written) == {"datastoreId", "ipConfigs", "userAccount", "vendorDataFileId"}


def test_cloud_init_is_always_set_because_its_removal_would_replace_the_machine() -> None:
    assert machine().inputs["initialization"]["userAccount"]["username"] == "ronron"


def test_inputs_for_confidential_memory_tpm_and_efi_disks_are_not_used() -> None:
    for each in both():
        assert set(each.inputs).isdisjoint({"amdSev", "tpmState", "efiDisk"})


def test_new_keys_are_an_update_in_place() -> None:
    """muhlba91/pulumi-proxmoxve, issue 513."""
    found = machine()
    assert found.inputs["initialization"]["userAccount"]["keys"] == list(VM["keys"])
    paths = [*found.request.ignoreChanges, *found.request.replaceOnChanges]
    assert not [path for path in paths if "userAccount" in path or path == "initialization"]


def test_a_deletion_retains_nothing_because_the_id_would_stay_taken() -> None:
    for each in both():
        assert not each.request.retainOnDelete
        assert each.request.deleteBeforeReplace


# The replacement of one machine.


def test_replace_permits_the_replacement_for_two_inputs() -> None:
    found = machine(replace=VM["vm_id"], user_data=FIRST_BOOT)
    assert not found.request.protect
    causes = {"disks[0].importFrom", "initialization.vendorDataFileId"}
    assert set(found.request.replaceOnChanges) == causes
    assert causes.isdisjoint(found.request.ignoreChanges)


def test_the_replacing_machine_is_protected() -> None:
    assert machine(replace=VM["vm_id"]).inputs["protection"] is True


def test_replace_does_not_unprotect_the_data_disk() -> None:
    found = holder(replace=VM["vm_id"])
    assert found.request.protect
    assert found.inputs["protection"] is True
    assert not found.request.replaceOnChanges


def test_replace_changes_nothing_else() -> None:
    without, permitted = machine(data=DATA), machine(data=DATA, replace=VM["vm_id"])
    assert without.inputs == permitted.inputs
    assert set(without.request.ignoreChanges) - set(permitted.request.ignoreChanges) == {
        "disks[0].importFrom", "initialization.vendorDataFileId",
    }  # fmt: skip


# Permanent differences.


def test_speeds_are_ignored_for_each_disk_without_a_wildcard() -> None:
    """muhlba91/pulumi-proxmoxve, issue 664."""
    for each in both():
        for index in range(len(each.inputs["disks"])):
            assert f"disks[{index}].speed" in each.request.ignoreChanges
        assert not [path for path in each.request.ignoreChanges if "*" in path]


def test_speed_limits_are_not_set_because_they_do_not_change_an_existing_disk() -> None:
    """bpg/terraform-provider-proxmox, issue 2467."""
    for each in both():
        assert "speed" not in every_key(each.inputs)


def test_the_datastore_of_the_cloud_init_drive_is_ignored() -> None:
    assert "initialization.datastoreId" in machine().request.ignoreChanges


def test_tags_are_sorted_as_the_node_returns_them() -> None:
    for each in program(data=DATA, tags=["web", "asso", "ronron"]).of(VM_TYPE):
        assert each.inputs["tags"] == ["asso", "ronron", "web"]


def test_changes_of_the_data_disk_by_its_holder_are_ignored() -> None:
    ignored = machine(data=DATA).request.ignoreChanges
    for key in ("pathInDatastore", "size", "importFrom", "fileFormat"):
        assert f"disks[1].{key}" in ignored
    assert "disks[0].size" not in ignored


def test_only_existing_disks_are_ignored() -> None:
    assert not [path for path in machine().request.ignoreChanges if path.startswith("disks[1]")]


# Hangs, and interruptions of a running machine.


def test_a_deletion_does_not_wait_15_minutes_for_an_agent() -> None:
    for each in both():
        assert each.inputs["stopOnDestroy"] is True


def test_the_timeout_for_the_agent_is_10_s() -> None:
    """bpg/terraform-provider-proxmox, issues 669 and 2091."""
    agent = machine().inputs["agent"]
    assert agent == {"enabled": True, "timeout": "10s", "waitForIp": {"disabled": True}}
    assert "agent" not in holder().inputs


def test_more_cores_or_memory_do_not_restart_the_machine() -> None:
    for each in both():
        assert each.inputs["rebootAfterUpdate"] is False


def test_a_replaced_machine_stays_in_the_backup_jobs() -> None:
    """bpg/terraform-provider-proxmox, issue 2118."""
    for each in both():
        assert each.inputs["purgeOnDestroy"] is False


def test_unreferenced_disks_are_not_deleted() -> None:
    """bpg/terraform-provider-proxmox, issue 1763."""
    for each in both():
        assert each.inputs["deleteUnreferencedDisksOnDestroy"] is False


def test_every_disk_has_a_fixed_interface_and_the_data_disk_a_serial() -> None:
    """bpg/terraform-provider-proxmox, issues 2218 and 2596: reused interfaces mix disks up."""
    boot, data = machine(data=DATA).inputs["disks"]
    assert (boot["interface"], data["interface"]) == ("scsi0", "scsi1")
    assert data["serial"] == DATA_SERIAL
    assert "serial" not in boot


def test_the_holder_of_the_data_disk_is_protected() -> None:
    """bpg/terraform-provider-proxmox, issue 2596: the provider would report a removed disk and leave it."""
    assert holder().request.protect


def test_id_and_name_are_set_because_the_provider_would_generate_them() -> None:
    assert machine().inputs["vmId"] == VM["vm_id"]
    assert machine().inputs["name"] == NAME
    assert holder().inputs["vmId"] == DATA["vm_id"]
    assert holder().inputs["name"] == f"{NAME}-data"


def test_every_datastore_is_set_because_the_default_is_local_lvm() -> None:
    found = machine(datastore="tank", data={**DATA, "datastore": "slow"})
    assert found.inputs["disks"][0]["datastoreId"] == "tank"
    assert found.inputs["disks"][1]["datastoreId"] == "slow"
    assert found.inputs["initialization"]["datastoreId"] == "tank"
    assert holder(datastore="tank").inputs["disks"][0]["datastoreId"] == "tank"


def test_no_input_needs_root_with_a_password() -> None:
    whole = every_key([each.inputs for each in both()])
    assert whole.isdisjoint(ROOT_ONLY)
    assert whole.isdisjoint({"affinity", "architecture", "hugepages", "keepHugepages", "upgrade", "fileMode"})


def test_no_deprecated_input_is_used() -> None:
    assert "enabled" not in machine().inputs["networkDevices"][0]


def test_the_guest_gets_no_password() -> None:
    assert "password" not in every_key(machine().inputs)


# The inputs of a machine.


def test_every_declared_key_reaches_the_machine() -> None:
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


def test_disks_discard_freed_blocks_and_have_an_io_thread() -> None:
    for each in both():
        assert each.inputs["scsiHardware"] == "virtio-scsi-single"
        for disk in each.inputs["disks"]:
            assert (disk["discard"], disk["iothread"], disk["ssd"]) == ("on", True, True)


def test_the_data_disk_belongs_to_a_holder_that_never_runs() -> None:
    found = holder().inputs
    assert (found["started"], found["onBoot"]) == (False, False)
    assert set(found).isdisjoint({"networkDevices", "initialization", "agent"})
    assert found["disks"][0]["size"] == DATA["gib"]
    used = machine(data=DATA).inputs["disks"][1]
    assert used["pathInDatastore"] == f"{NAME}-data-disk-0"


def test_the_data_disk_is_backed_up_only_with_the_machine_that_uses_it() -> None:
    assert machine(data=DATA).inputs["disks"][1]["backup"] is True
    assert holder().inputs["disks"][0]["backup"] is False


def test_a_machine_without_a_provider_is_an_error() -> None:
    declared = proxmox_declaration().machines[NAME].proxmox
    assert declared is not None

    def make() -> None:
        VirtualMachine(NAME, VirtualMachineArgs(name=NAME, declared=declared, description="", image=IMAGE))

    with pytest.raises(ValueError, match="needs a provider of Proxmox VE"):
        registered(make)
