"""Reads the stack output `inventory`, through which a program describes its stack to the reconciler.

docs/schemas/inventory.schema.json describes the document; a contract test compares both halves with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ronron.core.errors import ConfigError
from ronron.core.model import QUIET, Change

VERSION = 1


class _Part(BaseModel):
    # Unknown fields of a known version come from a newer program that stays compatible.
    model_config = ConfigDict(frozen=True, extra="ignore")


class Collective(_Part):
    """The collective that the stack belongs to."""

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
        host_key: the key that ssh must find there; None for a machine that is reached by a local socket.
        proxmox: its virtual machine; None for a machine that the program did not make.
    """

    docker: str
    host_key: str | None = None
    proxmox: VirtualMachine | None = None


class Probe(_Part):
    """How to probe a service: a public URL, the good statuses, and a text that the answer must contain."""

    url: str
    status: tuple[int, ...] = Field(min_length=1)
    contains: str | None


class Database(_Part):
    """The database of one service."""

    engine: str
    major: int
    image: str
    container: str
    name: str


class Volume(_Part):
    """A Docker volume with data: its name, the path at which it is mounted, and `database` or `files`."""

    name: str
    path: str
    holds: str


class InsideProbe(_Part):
    """How to probe a service on its private network, without the edge."""

    port: int
    path: str
    status: tuple[int, ...] = Field(min_length=1)
    contains: str | None


class Backup(_Part):
    """The backups of one service; see docs/backup-agent.md.

    Args:
        container: the agent's.
        repository: address of the snapshots' repository, without secrets.
        drill: how often one is restored: `daily`, `weekly` or `monthly`.
        network: the service's private one.
        volumes: physical names of the volumes of files, by role; the agent sees them as `/data/<role>`.
        uploaded: files that were written into a container outside of its volumes, by container: a clone needs
            them too.
        probe: None for a service without HTTP.
    """

    container: str
    repository: str
    drill: Literal["daily", "weekly", "monthly"]
    network: str
    volumes: dict[str, str]
    uploaded: dict[str, tuple[str, ...]]
    probe: InsideProbe | None


class Held(_Part):
    """A service that has no container, because its data were lost and nobody has restored or accepted them.

    Args:
        volumes: physical names of the volumes that were recreated.
    """

    volumes: tuple[str, ...]


class Service(_Part):
    """One service as of the last update.

    Args:
        resource: URN of its component; None if the program does not give it: then every change counts as a
            change of this service.
        held: why the update created no container of it; None for a service that runs.
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
    held: Held | None = None


class Inventory(_Part):
    """The machines and services of a stack, by name."""

    version: Literal[1]
    collective: Collective
    machines: dict[str, Machine]
    services: dict[str, Service]


def read_inventory(output: object | None) -> Inventory | None:
    """The inventory that a stack exports; None for a project without one.

    Raises:
        ConfigError: it has another version, or is not an inventory.
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


def held_services(inventory: Inventory | None) -> dict[str, Held]:
    """The services that are held back, by name."""
    services = inventory.services if inventory is not None else {}
    return {name: one.held for name, one in services.items() if one.held is not None}


def probes_of(inventory: Inventory | None) -> Mapping[str, Probe]:
    """The probes of an inventory by the name of their service.

    A service without one is left out, and so is one that is held back: it has no container.
    """
    services = inventory.services if inventory is not None else {}
    return {
        name: service.probe
        for name, service in services.items()
        if service.probe is not None and service.held is None
    }


def touched(changes: Iterable[Change], inventory: Inventory) -> tuple[str, ...]:
    """Names of the services that an update may affect, sorted.

    A change below the component of a service affects that service. A change below none (the edge, a machine)
    affects all services.
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


def changed_probes(before: object | None, inventory: Inventory) -> tuple[str, ...]:
    """Names of the services whose probe differs from that in an earlier inventory, sorted.

    Args:
        before: the earlier stack output; if it cannot be read, every service with a probe counts.
        inventory: the present one.
    """
    try:
        earlier = read_inventory(before)
    except ConfigError:
        earlier = None
    probes = {name: service.probe for name, service in earlier.services.items()} if earlier else {}
    return tuple(
        sorted(name for name, service in inventory.services.items() if service.probe != probes.get(name))
    )
