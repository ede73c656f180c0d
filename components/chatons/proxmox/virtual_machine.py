"""A virtual machine on Proxmox VE that outlives every edit of its declaration but those that say otherwise.

Each default below keeps a known trap of pulumi-proxmoxve 8.6 (provider bpg/proxmox 0.111) shut; there is a
test for each. What needs root by password at the node (`affinity`, `rngs`, `upgrade` and the like) is not
offered.
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
"""What the guest sees of the data disk: /dev/disk/by-id/*_ronron-data."""

_BOOT, _DATA = 0, 1
"""Positions of the disks. A disk keeps its place and its interface for ever: re-used ones mix disks up."""

_CONTROLLER = "virtio-scsi-single"
_AGENT_SECONDS = 10
"""Long enough for an agent that runs. Without one each refresh and each stop waits this long, 15 minutes
unless it is said."""

_STAYS: dict[str, Any] = {
    "protection": True,
    "migrate": True,
    "stop_on_destroy": True,
    "purge_on_destroy": False,
    "delete_unreferenced_disks_on_destroy": False,
    "reboot_after_update": False,
}
"""Inputs that keep any machine, its disks and its backups where a default of the provider would not."""

_HOLDER_MEMORY_MIB = 128
"""Of a machine that never runs."""


@dataclass(frozen=True, kw_only=True)
class VirtualMachineArgs:
    """Arguments of a VirtualMachine."""

    name: str
    """The physical one, and the host name of the guest."""
    declared: proxmox_models.VirtualMachine
    description: str
    """One line by which our own machine is known again."""
    image: pulumi.Input[str]
    """What the boot disk is imported from, as `datastore:import/file`; read when the machine is made."""
    hooks: pulumi.ResourceHookBinding | None = None
    """Called by the engine around changes; see `machine_hooks`."""


class VirtualMachine(pulumi.ComponentResource):
    """A virtual machine, and with `data` a second one that never runs and holds its data disk.

    Image, first-boot file (`user_data`) and user are read when the machine is made: an edit of them changes
    nothing in one that is there. Cores, memory, processor type, keys, address and DNS are changed in place
    and take effect at the machine's next restart, which is left to people; a larger disk is grown at once,
    unless something that waits for a restart is edited with it: then the provider refuses it, so grow it in
    an edit of its own. A larger data disk is seen by the guest after its next restart. Disks do not shrink.

    Another `vm_id`, and whatever else would have to make the machine anew, is refused by the engine
    (`protect`) and by Proxmox VE (`protection`). With `replace: <vm_id>` this one machine may be made anew,
    and is when its id, its image or its first-boot file differ from what it was made of. Its system disk
    goes then; the data disk stays with its holder, which nothing here lets go.

    A machine with a data disk does not move to another node by an edit of `node`: Proxmox VE moves no disk of
    another machine.
    """

    vm: proxmox.VmLegacy
    ready: pulumi.Output[int]
    """The id, once the machine is there and started. Nothing of the guest is known then."""
    identity: pulumi.Output[str]
    """Another one when the machine was made anew: its id, and the hardware address that it was given."""

    def __init__(
        self, name: str, args: VirtualMachineArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("chatons:index:VirtualMachine", name, {}, opts)
        if self.get_provider(VM_TYPE) is None:
            raise ValueError(
                "no Proxmox VE is named for this component: pass "
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
    may_go = declared.replace is not None
    return proxmox.VmLegacy(
        name,
        node_name=declared.node,
        vm_id=declared.vm_id,
        name=args.name,
        description=args.description,
        tags=tags(declared),
        pool_id=declared.pool,
        cpu=proxmox.VmLegacyCpuArgs(cores=declared.cores, sockets=1, type=declared.cpu_type),
        # Both the same: the guest keeps all of it, and the balloon tells how much it uses.
        memory=proxmox.VmLegacyMemoryArgs(dedicated=declared.memory_mib, floating=declared.memory_mib),
        scsi_hardware=_CONTROLLER,
        disks=disks,
        boot_orders=["scsi0"],
        network_devices=[
            proxmox.VmLegacyNetworkDeviceArgs(bridge=declared.bridge, model="virtio", vlan_id=declared.vlan)
        ],
        initialization=_first_boot(declared),
        # Its address is declared, not asked of the agent: that one also tells those of Docker's networks.
        agent=proxmox.VmLegacyAgentArgs(
            enabled=True,
            timeout=f"{_AGENT_SECONDS}s",
            wait_for_ip=proxmox.VmLegacyAgentWaitForIpArgs(disabled=True),
        ),
        operating_system=proxmox.VmLegacyOperatingSystemArgs(type="l26"),
        # Images of Debian for the cloud write their boot messages there, and some wait for it.
        serial_devices=[proxmox.VmLegacySerialDeviceArgs(device="socket")],
        startup=None
        if declared.start_order is None
        else proxmox.VmLegacyStartupArgs(order=declared.start_order),
        started=True,
        on_boot=True,
        **_STAYS,
        opts=pulumi.ResourceOptions(
            parent=parent,
            protect=not may_go,
            # The id is taken as long as the old one is there.
            delete_before_replace=True,
            ignore_changes=[*_ignored(len(disks)), *([] if may_go else READ_AT_CREATION)],
            replace_on_changes=list(READ_AT_CREATION) if may_go else None,
            hooks=args.hooks,
        ),
    )


READ_AT_CREATION = (f"disks[{_BOOT}].importFrom", "initialization.vendorDataFileId")
"""What a machine is made of. `replace` alone makes it count in one that is there."""


def tags(declared: proxmox_models.VirtualMachine) -> list[str]:
    """As Proxmox VE gives them back: sorted, each once."""
    return sorted({OWN_TAG, *declared.tags})


def _ignored(disks: int) -> list[str]:
    """Inputs that would show a change for ever, or make a machine anew, and which nobody here sets.

    Each disk by its number: the engine knows no `disks[*]` here.
    """
    each = [
        f"disks[{index}].{key}"
        for index in range(disks)
        # Limits that people set at the node stay: an empty `speed` reads back as none, and differs for ever.
        for key in ("speed", "fileId")
    ]
    # Of another machine, which alone may move or grow it; the provider refuses to for this one.
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
    """The machine that the data disk belongs to: what belongs to a machine goes with it.

    Proxmox VE leaves out of a deletion what another machine owns, so that the disk outlives the one that
    uses it. Backups take it with that one, while it is in use; a backup of the holder would read it behind
    its back.
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
        **_STAYS,
        opts=pulumi.ResourceOptions(
            parent=parent,
            protect=True,
            delete_before_replace=True,
            ignore_changes=["disks[0].speed", "disks[0].fileId", "disks[0].importFrom", "clone"],
            hooks=args.hooks,
        ),
    )


def _first_boot(declared: proxmox_models.VirtualMachine) -> proxmox.VmLegacyInitializationArgs:
    """What cloud-init is told, all of it by the API: a file would need root by ssh at the node.

    `user_data` names a file that is there already, and is merged with the rest.
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
