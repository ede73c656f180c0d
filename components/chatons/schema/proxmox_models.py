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
"""The images of Debian and Ubuntu hold 3 GiB to 3.5 GiB, and a disk is never made smaller than its image."""
GuestMebibytes = Annotated[int, Field(ge=512, le=4_194_304)]
"""Debian asks for as much. Source: Debian 13 installation guide, 3.4."""


class VirtualMachineImage(Strict):
    """The disk image that a virtual machine starts from."""

    url: ImageUrl = Field(
        description="where it is downloaded from: a dated build for cloud-init, as .qcow2, .img or .raw; "
        "another one changes only machines that are made later"
    )
    checksum: Checksum = Field(description="what must come: `sha512:` or `sha256:` and the digits")


class DataDisk(Strict):
    """A second disk, for what Docker keeps. It outlives the machine's system."""

    vm_id: VmId = Field(
        description="of a second virtual machine that only owns this disk and never starts; unique in the "
        "cluster"
    )
    gib: Gibibytes = Field(description="its size in GiB; it can grow, never shrink")
    datastore: StorageName | None = Field(
        default=None, description="where it is; without it `datastore` of the machine"
    )


class VirtualMachine(Strict):
    """A virtual machine on Proxmox VE, made from an image by cloud-init."""

    node: NodeName = Field(description="of the cluster; another one moves the machine there")
    vm_id: VmId = Field(description="unique in the cluster")
    cores: Annotated[int, Field(ge=1, le=512)] = Field(description="of the processor")
    memory_mib: GuestMebibytes = Field(description="of memory")
    disk_gib: DiskGibibytes = Field(description="of the system's disk; it can grow, never shrink")
    datastore: StorageName = Field(description="where the disks are, such as local-lvm")
    bridge: BridgeName = Field(description="of the network, such as vmbr0")
    vlan: Annotated[int, Field(ge=1, le=4094)] | None = Field(
        default=None, description="tag of the network; without it none"
    )
    address: NetworkAddress = Field(
        description="of its own, with the length of the prefix, such as 192.0.2.11/24"
    )
    gateway: Ipv4Address = Field(description="out of the network, such as 192.0.2.1")
    dns: tuple[IpAddress, ...] = Field(default=(), description="resolvers; without them those of the node")
    image: VirtualMachineImage = Field(description="the disk image it starts from: `url`, `checksum`")
    image_datastore: StorageName = Field(
        default="local", description="where the image is kept; its contents must hold `import`"
    )
    user: GuestUser = Field(default="ronron", description="the user that is made; may become root by sudo")
    keys: PublicKeys = Field(
        description="public ssh keys of all who get in as `user`, that of what runs Ronron among them"
    )
    cpu_type: CpuType = Field(
        default="x86-64-v2-AES",
        description="of the processor as the machine sees it; `host` is faster, and ties it to equal nodes",
    )
    data: DataDisk | None = Field(
        default=None, description="a second disk for what Docker keeps: `vm_id`, `gib`, `datastore`"
    )
    pool: PoolName | None = Field(default=None, description="the pool that it belongs to")
    tags: Tags = Field(default=(), description="for people who look at the cluster")
    start_order: Annotated[int, Field(ge=1, le=9999)] | None = Field(
        default=None, description="when the node starts: lower ones first; without it whenever"
    )
    user_data: Snippet | None = Field(
        default=None,
        description="a snippet of cloud-init that a person put on the node, such as "
        "local:snippets/first-boot.yaml; read at the very first start only, and no place for secrets",
    )
    replace: VmId | None = Field(
        default=None,
        description="the `vm_id` that may be destroyed for one change that needs a new machine; remove it "
        "afterwards",
    )

    @property
    def ip(self) -> str:
        """Its address alone, such as 192.0.2.11."""
        return str(ipaddress.IPv4Interface(self.address).ip)

    @property
    def data_datastore(self) -> str:
        """Where the second disk is."""
        return (self.data and self.data.datastore) or self.datastore


class Pbs(Strict):
    """A Proxmox Backup Server, made known to the cluster; its password is `ronron:proxmox-pbs-password`."""

    server: PbsServer = Field(description="host")
    datastore: PbsName = Field(description="of the backup server")
    username: PbsUser = Field(description="user@realm, or user@realm!token")
    fingerprint: Fingerprint | None = Field(
        default=None,
        description="of its certificate, SHA-256; needed unless a public authority vouches for it",
    )
    namespace: PbsNamespace | None = Field(default=None, description="inside the datastore")


class MachineBackups(Strict):
    """Backups of whole machines, made by Proxmox VE itself: a second layer below `ronron:backup`."""

    storage: StorageName = Field(
        description="where they go: a storage of the cluster with the content `backup`; with `pbs` the "
        "one that is made"
    )
    schedule: CalendarEvent = Field(
        description='when, in the time of the node, in quotes: "02:30", or "sat 02:30"'
    )
    keep: Keep = Field(default=Keep(), description="how many of them stay: `daily`, `weekly`, `monthly`")
    mode: Literal["snapshot", "suspend", "stop"] = Field(
        default="snapshot", description="what the machine does meanwhile: with `snapshot` it goes on"
    )
    pbs: Pbs | None = Field(
        default=None,
        description="a Proxmox Backup Server to be made known as `storage`: `server`, `datastore`, "
        "`username`, `fingerprint`, `namespace`",
    )

    @model_validator(mode="after")
    def _keeps_something(self) -> Self:
        if not (self.keep.daily or self.keep.weekly or self.keep.monthly):
            refuse("nothing would be kept", "let `keep` hold at least `daily: 1`")
        return self


class Proxmox(Strict):
    """The cluster that virtual machines are made on; its token is the secret `ronron:proxmox-token`."""

    endpoint: Endpoint = Field(
        description="address of one node's API, such as https://alice.picasoft.example:8006/"
    )
    insecure: bool = Field(
        default=False,
        description="true does not check the certificate; better make its authority known to the system",
    )
    backups: MachineBackups | None = Field(
        default=None,
        description="of whole machines, by Proxmox VE itself: `storage`, `schedule`, `keep`, `mode`, `pbs`",
    )
