"""A virtual machine on Proxmox VE that no edit of its declaration replaces, unless `replace` permits it.

Each option below avoids a known defect of pulumi-proxmoxve 8.6 (provider bpg/proxmox 0.111), and each has a
test. Inputs that need root with a password at the node (`affinity`, `rngs`, `upgrade` and others) are not
supported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_proxmoxve as proxmox

from chatons.declaration.machine_rules import DATA
from chatons.schema import proxmox_models

VM_TYPE = "proxmoxve:index/vmLegacy:VmLegacy"
"""`Vm` is marked "do not use" upstream, and `cloned.Vm` knows neither cloud-init nor the guest agent."""

OWN_TAG = "ronron"
DATA_SERIAL = "ronron-data"
"""Serial of the data disk: the guest has it as /dev/disk/by-id/*_ronron-data."""

_BOOT, _DATA = 0, 1
"""Positions of the disks. Position and interface never change: reused ones mix disks up."""

_CONTROLLER = "virtio-scsi-single"
_AGENT_SECONDS = 10
"""Long enough for a running guest agent. Without an agent, each refresh and each stop waits this long; the
provider's default is 15 minutes."""

_PRESERVED: dict[str, Any] = {
    "protection": True,
    "migrate": True,
    "stop_on_destroy": True,
    "purge_on_destroy": False,
    "delete_unreferenced_disks_on_destroy": False,
    "reboot_after_update": False,
}
"""Inputs that preserve the machine, its disks and its backups; the provider's defaults would not."""

_HOLDER_MEMORY_MIB = 128
"""Memory of the holder of a data disk, which never runs."""


@dataclass(frozen=True, kw_only=True)
class VirtualMachineArgs:
    """Arguments of a VirtualMachine."""

    name: str
    """The name in Proxmox VE, and the host name of the guest."""
    declared: proxmox_models.VirtualMachine
    description: str
    """The line in the notes that marks the machine as ours."""
    image: pulumi.Input[str]
    """The image of the boot disk, as `datastore:import/file`; read at the creation of the machine."""
    hooks: pulumi.ResourceHookBinding | None = None
    """Resource hooks; see `chatons.proxmox.hooks`."""


class VirtualMachine(pulumi.ComponentResource):
    """A virtual machine, and with `data` a second one, the holder, which owns the data disk and never runs.

    Image, first-boot file (`user_data`) and user are read at the creation of the machine: an edit of them
    does not change an existing machine. Cores, memory, processor type, keys, address and DNS change in place,
    with effect at the next restart of the machine, which people do. A larger disk grows at once. The provider
    refuses to grow a disk together with a change that needs a restart: make that two edits. The guest sees a
    larger data disk after its next restart. Disks cannot shrink.

    The engine (`protect`) and Proxmox VE (`protection`) refuse another `vm_id` and every other edit that
    would replace the machine. `replace: <vm_id>` permits the replacement of this one machine; it happens when
    the id, the image or the first-boot file has changed. The replacement deletes the system disk. The data
    disk stays with its holder, which is always protected.

    An edit of `node` cannot move a machine with a data disk: Proxmox VE does not move a disk of another
    machine.
    """

    vm: proxmox.VmLegacy
    ready: pulumi.Output[int]
    """The id, once the machine is created and started. The guest may still be booting."""
    identity: pulumi.Output[str]
    """Id and hardware address of the machine; changes when the machine is replaced."""

    def __init__(
        self, name: str, args: VirtualMachineArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("chatons:index:VirtualMachine", name, {}, opts)
        if self.get_provider(VM_TYPE) is None:
            raise ValueError(
                "this component needs a provider of Proxmox VE: pass "
                "pulumi.ResourceOptions(providers={'proxmoxve': ...})"
            )
        disks = [_boot_disk(args)]
        if args.declared.data is not None:
            disks.append(
                _attached(args.declared.data, _holder(f"{name}-{DATA}", args, args.declared.data, self))
            )
        self.vm = _machine(name, args, disks, self)
        self.ready = self.vm.vm_id
        self.identity = pulumi.Output.concat(
            self.ready.apply(str), "/", self.vm.network_devices.apply(lambda cards: _hardware_address(cards))
        )
        self.register_outputs({"vmId": self.ready})


def _hardware_address(cards: Sequence[proxmox.outputs.VmLegacyNetworkDevice] | None) -> str:
    return str(cards[0].mac_address) if cards else ""


def _machine(
    name: str,
    args: VirtualMachineArgs,
    disks: Sequence[proxmox.VmLegacyDiskArgs],
    parent: pulumi.Resource,
) -> proxmox.VmLegacy:
    declared = args.declared
    is_replaceable = declared.replace is not None
    return proxmox.VmLegacy(
        name,
        node_name=declared.node,
        vm_id=declared.vm_id,
        name=args.name,
        description=args.description,
        tags=tags(declared),
        pool_id=declared.pool,
        cpu=proxmox.VmLegacyCpuArgs(cores=declared.cores, sockets=1, type=declared.cpu_type),
        # Equal values: the guest always has all of its memory, and the balloon device reports the usage.
        memory=proxmox.VmLegacyMemoryArgs(dedicated=declared.memory_mib, floating=declared.memory_mib),
        scsi_hardware=_CONTROLLER,
        disks=disks,
        boot_orders=["scsi0"],
        network_devices=[
            proxmox.VmLegacyNetworkDeviceArgs(bridge=declared.bridge, model="virtio", vlan_id=declared.vlan)
        ],
        initialization=_first_boot(declared),
        # The address is declared. The agent would also report the addresses of Docker's networks.
        agent=proxmox.VmLegacyAgentArgs(
            enabled=True,
            timeout=f"{_AGENT_SECONDS}s",
            wait_for_ip=proxmox.VmLegacyAgentWaitForIpArgs(disabled=True),
        ),
        operating_system=proxmox.VmLegacyOperatingSystemArgs(type="l26"),
        # Cloud images of Debian write boot messages there, and some wait for the device.
        serial_devices=[proxmox.VmLegacySerialDeviceArgs(device="socket")],
        startup=None
        if declared.start_order is None
        else proxmox.VmLegacyStartupArgs(order=declared.start_order),
        started=True,
        on_boot=True,
        **_PRESERVED,
        opts=pulumi.ResourceOptions(
            parent=parent,
            protect=not is_replaceable,
            # The id is taken until the old machine is deleted.
            delete_before_replace=True,
            ignore_changes=[*_ignored(len(disks)), *([] if is_replaceable else READ_AT_CREATION)],
            replace_on_changes=list(READ_AT_CREATION) if is_replaceable else None,
            hooks=args.hooks,
        ),
    )


READ_AT_CREATION = (f"disks[{_BOOT}].importFrom", "initialization.vendorDataFileId")
"""Inputs that are read at the creation. Only with `replace` does a change of them have an effect."""


def tags(declared: proxmox_models.VirtualMachine) -> list[str]:
    """The tags as Proxmox VE returns them: sorted, without duplicates."""
    return sorted({OWN_TAG, *declared.tags})


def _ignored(disks: int) -> list[str]:
    """Inputs that are not set here, and that would show a permanent difference or replace the machine.

    Each disk has its number: the engine does not support `disks[*]` here.
    """
    each = [
        f"disks[{index}].{key}"
        for index in range(disks)
        # Keep limits that people set at the node. An empty `speed` would also show a permanent difference.
        for key in ("speed", "fileId")
    ]
    # The disk belongs to the holder: only the holder can move or grow it.
    attached = [
        f"disks[{index}].{key}"
        for index in range(_DATA, disks)
        for key in ("pathInDatastore", "size", "importFrom", "fileFormat")
    ]
    return [
        *each,
        *attached,
        "clone",
        "initialization.datastoreId",
        "initialization.type",
        "initialization.userDataFileId",
        "initialization.networkDataFileId",
        "initialization.metaDataFileId",
    ]


def _boot_disk(args: VirtualMachineArgs) -> proxmox.VmLegacyDiskArgs:
    return proxmox.VmLegacyDiskArgs(
        interface="scsi0",
        datastore_id=args.declared.datastore,
        import_from=args.image,
        size=args.declared.disk_gib,
        discard="on",
        iothread=True,
        ssd=True,
    )


def _attached(data: proxmox_models.DataDisk, holder: proxmox.VmLegacy) -> proxmox.VmLegacyDiskArgs:
    return proxmox.VmLegacyDiskArgs(
        interface="scsi1",
        datastore_id=holder.disks.apply(lambda disks: _only(disks).datastore_id),
        path_in_datastore=holder.disks.apply(lambda disks: _only(disks).path_in_datastore),
        size=data.gib,
        serial=DATA_SERIAL,
        discard="on",
        iothread=True,
        ssd=True,
        backup=True,
    )


def _only(disks: Sequence[proxmox.outputs.VmLegacyDisk] | None) -> proxmox.outputs.VmLegacyDisk:
    (disk,) = disks or ()
    return disk


def _holder(
    name: str, args: VirtualMachineArgs, data: proxmox_models.DataDisk, parent: pulumi.Resource
) -> proxmox.VmLegacy:
    """The machine that owns the data disk and never runs.

    Proxmox VE deletes a machine with the disks that it owns, so the data disk survives the machine that uses
    it. The backup of that machine includes the disk; a backup of the holder would read the disk while it is
    in use.
    """
    declared = args.declared
    return proxmox.VmLegacy(
        name,
        node_name=declared.node,
        vm_id=data.vm_id,
        name=f"{args.name}-{DATA}",
        description=f"{args.description}-{DATA}",
        tags=tags(declared),
        pool_id=declared.pool,
        cpu=proxmox.VmLegacyCpuArgs(cores=1, sockets=1, type=declared.cpu_type),
        memory=proxmox.VmLegacyMemoryArgs(dedicated=_HOLDER_MEMORY_MIB),
        scsi_hardware=_CONTROLLER,
        disks=[
            proxmox.VmLegacyDiskArgs(
                interface="scsi0",
                datastore_id=declared.data_datastore,
                size=data.gib,
                serial=DATA_SERIAL,
                discard="on",
                iothread=True,
                ssd=True,
                backup=False,
            )
        ],
        operating_system=proxmox.VmLegacyOperatingSystemArgs(type="l26"),
        started=False,
        on_boot=False,
        **_PRESERVED,
        opts=pulumi.ResourceOptions(
            parent=parent,
            protect=True,
            delete_before_replace=True,
            ignore_changes=["disks[0].speed", "disks[0].fileId", "disks[0].importFrom", "clone"],
            hooks=args.hooks,
        ),
    )


def _first_boot(declared: proxmox_models.VirtualMachine) -> proxmox.VmLegacyInitializationArgs:
    """The settings for cloud-init, all through the API: a file upload would need ssh as root to the node.

    `user_data` names an existing file, which cloud-init merges with these settings.
    """
    ip = proxmox.VmLegacyInitializationIpConfigIpv4Args(address=declared.address, gateway=declared.gateway)
    return proxmox.VmLegacyInitializationArgs(
        datastore_id=declared.datastore,
        dns=proxmox.VmLegacyInitializationDnsArgs(servers=list(declared.dns)) if declared.dns else None,
        ip_configs=[proxmox.VmLegacyInitializationIpConfigArgs(ipv4=ip)],
        user_account=proxmox.VmLegacyInitializationUserAccountArgs(
            username=declared.user, keys=list(declared.keys)
        ),
        vendor_data_file_id=declared.user_data,
    )
