"""Reads the stack output `inventory`: the one thing that a program tells the reconciler.

The document is described by docs/schemas/inventory.schema.json; a contract test holds both halves to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ronron.core.errors import ConfigError
from ronron.core.model import QUIET, Change

VERSION = 1


class _Part(BaseModel):
    # Unknown fields of a known version come from a newer program that stays compatible.
    model_config = ConfigDict(frozen=True, extra="ignore")


class Collective(_Part):
    """Who it belongs to."""

    name: str
    domain: str
    contact: str
    country: str


class DataDisk(_Part):
    """The second disk of a virtual machine, and the virtual machine that owns it."""

    vm_id: int
    gib: int
    datastore: str


class VirtualMachine(_Part):
    """Where a machine is on Proxmox VE, and the sizes of its disks in GiB."""

    node: str
    vm_id: int
    disk_gib: int
    data: DataDisk | None


class Machine(_Part):
    """A machine with Docker.

    Args:
        docker: the address of its engine.
        host_key: what ssh must find there.
        proxmox: the virtual machine that it is; None for one that was there already.
    """

    docker: str
    host_key: str | None = None
    proxmox: VirtualMachine | None = None


class Probe(_Part):
    """How to see that a service does its work: a URL, good statuses, a text that must be there."""

    url: str
    status: tuple[int, ...] = Field(min_length=1)
    contains: str | None


class Database(_Part):
    """A service's own database."""

    engine: str
    major: int
    image: str
    container: str
    name: str


class Volume(_Part):
    """A Docker volume that must last, the path it is mounted at, and what it holds: database or files."""

    name: str
    path: str
    holds: str


class InsideProbe(_Part):
    """How to see that a service does its work from within its own network, without the edge."""

    port: int
    path: str
    status: tuple[int, ...] = Field(min_length=1)
    contains: str | None


class Backup(_Part):
    """The backups of one service; see docs/backup-agent.md.

    Args:
        container: the agent's.
        repository: where the snapshots go; no secret in it.
        drill: how often one is restored: `daily`, `weekly` or `monthly`.
        network: the service's private one.
        volumes: physical names of the volumes of files, by role; the agent sees them as `/data/<role>`.
        uploaded: files that were written into a container outside its volumes, by container: a copy of the
            container needs them too.
        probe: None for a service that answers no HTTP.
    """

    container: str
    repository: str
    drill: Literal["daily", "weekly", "monthly"]
    network: str
    volumes: dict[str, str]
    uploaded: dict[str, tuple[str, ...]]
    probe: InsideProbe | None


class Service(_Part):
    """One service as it was last updated.

    Args:
        resource: URN of its component; None where the program does not say, and then every change
            counts as one of this service.
    """

    kind: str
    version: str
    image: str
    image_digest: str | None
    machine: str
    resource: str | None = None
    url: str | None
    probe: Probe | None
    containers: tuple[str, ...]
    database: Database | None
    volumes: tuple[Volume, ...]
    backup: Backup | None


class Inventory(_Part):
    """What a stack holds: machines and services by name."""

    version: Literal[1]
    collective: Collective
    machines: dict[str, Machine]
    services: dict[str, Service]


def read_inventory(output: object | None) -> Inventory | None:
    """The inventory that a stack exports, or None for a project without one.

    Raises:
        ConfigError: it is of another version, or not an inventory.
    """
    if output is None:
        return None
    version = output.get("version") if isinstance(output, dict) else None
    if isinstance(version, bool) or version != VERSION:
        raise ConfigError(
            f"cannot read the inventory: version {version!r}, this reconciler reads {VERSION}",
            where="stack output inventory",
            hint="use the same release of Ronron for the program and the reconciler",
        )
    try:
        return Inventory.model_validate(output)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ConfigError(
            f"cannot read the inventory: {'.'.join(map(str, first['loc']))}: {first['msg']}",
            where="stack output inventory",
            hint="compare it with docs/schemas/inventory.schema.json",
        ) from error


def touched(changes: Iterable[Change], inventory: Inventory) -> tuple[str, ...]:
    """Names of the services that an update may have disturbed, sorted.

    A change below a service's component touches that service. A change that is below no service (the
    edge, a machine) touches them all.
    """
    owner = {service.resource: name for name, service in inventory.services.items() if service.resource}
    found: set[str] = {name for name, service in inventory.services.items() if not service.resource}
    any_change = False
    for change in changes:
        if change.operation in QUIET or not change.custom:
            continue
        any_change = True
        names = {owner[urn] for urn in (change.urn, *change.ancestors) if urn in owner}
        if not names:
            return tuple(sorted(inventory.services))
        found |= names
    return tuple(sorted(found)) if any_change else ()


def reprobed(before: object | None, inventory: Inventory) -> tuple[str, ...]:
    """Names of the services that are probed otherwise than an earlier inventory said, sorted.

    Args:
        before: the stack output as it was; one that cannot be read says nothing of any service.
        inventory: as it is.
    """
    try:
        earlier = read_inventory(before)
    except ConfigError:
        earlier = None
    probes = {name: service.probe for name, service in earlier.services.items()} if earlier else {}
    return tuple(
        sorted(name for name, service in inventory.services.items() if service.probe != probes.get(name))
    )
