"""What a stack may declare about Proxmox VE: the cluster, its backups, and the machines on it."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from chatons.schema.backup_models import Keep
from chatons.schema.proxmox_values import (
    BridgeName,
    CalendarEvent,
    Checksum,
    CpuType,
    Endpoint,
    Fingerprint,
    GuestUser,
    ImageUrl,
    IpAddress,
    Ipv4Address,
    NetworkAddress,
    NodeName,
    PbsName,
    PbsNamespace,
    PbsServer,
    PbsUser,
    PoolName,
    PublicKeys,
    Snippet,
    StorageName,
    Tags,
    VmId,
)
from chatons.schema.values import Strict, refuse

Gibibytes = Annotated[int, Field(ge=1, le=65_536)]
DiskGibibytes = Annotated[int, Field(ge=4, le=65_536)]
"""The images of Debian and Ubuntu have 3 GiB to 3.5 GiB, and a disk cannot be smaller than its image."""
GuestMebibytes = Annotated[int, Field(ge=512, le=4_194_304)]
"""Debian asks for as much. Source: Debian 13 installation guide, 3.4."""


class VirtualMachineImage(Strict):
    """The disk image that a virtual machine starts from."""

    url: ImageUrl = Field(
        description="URL of the disk image: a dated build for cloud-init, as .qcow2, .img or .raw; a change "
        "affects only machines that are created later"
    )
    checksum: Checksum = Field(
        description="checksum of the disk image: `sha512:` or `sha256:` and the digits"
    )


class DataDisk(Strict):
    """A second disk for the data of Docker. It survives a replacement of the machine."""

    vm_id: VmId = Field(
        description="ID of a second virtual machine that owns the data disk and never starts; unique in the "
        "cluster"
    )
    gib: Gibibytes = Field(description="size of the data disk in GiB; it can grow, never shrink")
    datastore: StorageName | None = Field(
        default=None, description="storage of the data disk. Default: `datastore` of the machine"
    )


class VirtualMachine(Strict):
    """A virtual machine on Proxmox VE, created from an image and set up by cloud-init."""

    node: NodeName = Field(
        description="node of the cluster that runs the machine; a change migrates the machine"
    )
    vm_id: VmId = Field(description="ID of the virtual machine; unique in the cluster")
    cores: Annotated[int, Field(ge=1, le=512)] = Field(description="number of CPU cores")
    memory_mib: GuestMebibytes = Field(description="memory of the machine in MiB")
    disk_gib: DiskGibibytes = Field(description="size of the system disk in GiB; it can grow, never shrink")
    datastore: StorageName = Field(description="storage of the machine's disks, such as local-lvm")
    bridge: BridgeName = Field(description="network bridge of the node, such as vmbr0")
    vlan: Annotated[int, Field(ge=1, le=4094)] | None = Field(
        default=None, description="VLAN tag of the network interface. Default: none"
    )
    address: NetworkAddress = Field(
        description="IPv4 address of the machine with its prefix length, such as 192.0.2.11/24"
    )
    gateway: Ipv4Address = Field(description="IPv4 address of the default gateway, such as 192.0.2.1")
    dns: tuple[IpAddress, ...] = Field(
        default=(), strict=False, description="IP addresses of DNS resolvers. Default: those of the node"
    )
    image: VirtualMachineImage = Field(
        description="disk image that the machine is created from: `url`, `checksum`"
    )
    image_datastore: StorageName = Field(
        default="local",
        description="storage that the node downloads the disk image to; its contents must include `import`",
    )
    user: GuestUser = Field(
        default="ronron", description="login that is created on the machine; it may use sudo"
    )
    keys: PublicKeys = Field(
        description="public ssh keys that may log in as `user`, among them the key of the host that runs "
        "Ronron"
    )
    cpu_type: CpuType = Field(
        default="x86-64-v2-AES",
        description="CPU model that the machine sees; `host` is faster, but the machine can then only "
        "migrate to nodes with the same CPU",
    )
    data: DataDisk | None = Field(
        default=None, description="second disk for the data of Docker: `vm_id`, `gib`, `datastore`"
    )
    pool: PoolName | None = Field(default=None, description="resource pool of the machine")
    tags: Tags = Field(
        default=(), description="tags of the machine, shown in the web interface of Proxmox VE"
    )
    start_order: Annotated[int, Field(ge=1, le=9999)] | None = Field(
        default=None,
        description="position of the machine when the node boots: lower numbers start first. "
        "Default: no order",
    )
    user_data: Snippet | None = Field(
        default=None,
        description="cloud-init snippet that you stored on the node, such as local:snippets/first-boot.yaml; "
        "read at the first boot only, and not a place for secrets",
    )
    replace: VmId | None = Field(
        default=None,
        description="the `vm_id` of the running machine, to permit its destruction in a change that needs a "
        "new machine; remove this key afterwards",
    )

    @property
    def ip(self) -> str:
        """Its address alone, such as 192.0.2.11."""
        return str(ipaddress.IPv4Interface(self.address).ip)

    @property
    def data_datastore(self) -> str:
        """The storage of the data disk."""
        return (self.data and self.data.datastore) or self.datastore


class Pbs(Strict):
    """A Proxmox Backup Server that is added to the cluster.

    Its password is the secret `ronron:proxmox-pbs-password`.
    """

    server: PbsServer = Field(description="hostname or address of the backup server")
    datastore: PbsName = Field(description="datastore on the backup server")
    username: PbsUser = Field(description="login at the backup server: user@realm, or user@realm!token")
    fingerprint: Fingerprint | None = Field(
        default=None,
        description="SHA-256 fingerprint of the backup server's certificate; required unless a public "
        "authority signed it",
    )
    namespace: PbsNamespace | None = Field(default=None, description="namespace inside the datastore")


class MachineBackups(Strict):
    """Backups of whole machines by Proxmox VE, in addition to `ronron:backup`."""

    storage: StorageName = Field(
        description="storage of the cluster for the backups, with the content `backup`; with `pbs` the name "
        "of the storage to create"
    )
    schedule: CalendarEvent = Field(
        description="when machines are backed up, in the time zone of the node and in quotes: "
        '"02:30" or "sat 02:30"'
    )
    keep: Keep = Field(
        default=Keep(),
        description="how many backups of each machine are retained: `daily`, `weekly`, `monthly`",
    )
    mode: Literal["snapshot", "suspend", "stop"] = Field(
        default="snapshot",
        description="what happens to the machine during its backup: with `snapshot` it keeps running",
    )
    pbs: Pbs | None = Field(
        default=None,
        description="Proxmox Backup Server to add to the cluster as `storage`: `server`, `datastore`, "
        "`username`, `fingerprint`, `namespace`",
    )

    @model_validator(mode="after")
    def _keeps_something(self) -> Self:
        if not (self.keep.daily or self.keep.weekly or self.keep.monthly):
            refuse("`keep` would retain no backup", "set at least `daily: 1` in `keep`")
        return self


class Proxmox(Strict):
    """The Proxmox VE cluster that creates virtual machines.

    Its token is the secret `ronron:proxmox-token`.
    """

    endpoint: Endpoint = Field(
        description="URL of the API of one node, such as https://alice.picasoft.example:8006/"
    )
    insecure: bool = Field(
        default=False,
        description="true skips the check of the certificate; better add its authority to the trusted ones "
        "of the system",
    )
    backups: MachineBackups | None = Field(
        default=None,
        description="backups of whole machines by Proxmox VE: `storage`, `schedule`, `keep`, `mode`, `pbs`",
    )
