"""The inventory: the description of a stack that it exports as its output `inventory`.

Format: docs/schemas/inventory.schema.json, version 1. It contains no secret. A preview shows all of it except
    the
host keys of new machines, which are known only after the update.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from chatons.declaration.resolved import SERVICE_TYPE, Declaration, ResolvedBackup, ResolvedService, resolve
from chatons.schema.models import Machine
from chatons.schema.proxmox_models import VirtualMachine
from chatons.service.database import PASSWORD_FILE

VERSION = 1


def inventory(
    declaration: Declaration, host_keys: Mapping[str, pulumi.Input[str]] | None = None
) -> dict[str, Any]:
    """Describe the machines and services of a declaration, for the reconciler and other readers.

    Args:
        declaration: a checked one.
        host_keys: host keys of the machines that this stack creates, by name, from first contact.
    """
    collective = declaration.collective
    return {
        "version": VERSION,
        "collective": {
            "name": collective.name,
            "domain": collective.domain,
            "contact": collective.contact,
            "country": collective.country,
        },
        "machines": {
            name: _machine(machine, (host_keys or {}).get(name))
            for name, machine in sorted(declaration.machines.items())
        },
        "services": {service.name: _service(declaration, service) for service in resolve(declaration)},
    }


def _machine(machine: Machine, host_key: pulumi.Input[str] | None) -> dict[str, Any]:
    declared = machine.proxmox
    if isinstance(host_key, pulumi.Output):
        # Public, whatever it was learned with: one secret would hide the whole output from its readers.
        host_key = pulumi.Output.unsecret(host_key)
    return {
        "docker": machine.docker_address,
        "host_key": host_key if host_key is not None else machine.host_key,
        "proxmox": _virtual(declared) if declared is not None else None,
    }


def _virtual(declared: VirtualMachine) -> dict[str, Any]:
    data = declared.data
    return {
        "node": declared.node,
        "vm_id": declared.vm_id,
        "disk_gib": declared.disk_gib,
        "data": {"vm_id": data.vm_id, "gib": data.gib, "datastore": declared.data_datastore}
        if data is not None
        else None,
    }


def _service(declaration: Declaration, service: ResolvedService) -> dict[str, Any]:
    declared, database, probe = service.declared, service.database, service.probe
    held = declaration.held.get(service.name)
    volumes = [*service.volumes, *([database.volume] if database else [])]
    return {
        "kind": declared.kind,
        "version": declared.image.version,
        "image": str(declared.image),
        "image_digest": declared.image.digest,
        "machine": declared.machine,
        # A component without a parent, so its name in the engine follows from these alone.
        "resource": f"urn:pulumi:{declaration.stack}::{declaration.project}::{SERVICE_TYPE}::{service.name}",
        "url": service.url,
        "probe": {"url": probe.url, "status": list(probe.status), "contains": probe.contains}
        if probe
        else None,
        "containers": [service.container, *([database.container] if database else [])],
        "database": {
            "engine": "postgresql",
            "major": database.major,
            "image": str(database.image),
            "container": database.container,
            "name": database.address.name,
        }
        if database
        else None,
        "volumes": [{"name": v.name, "path": v.path, "holds": v.holds} for v in volumes],
        "backup": _backup(service, service.backup) if service.backup else None,
        "held": {"volumes": list(held)} if held is not None else None,
    }


def _backup(service: ResolvedService, backup: ResolvedBackup) -> dict[str, Any]:
    database, probe = service.database, backup.probe
    uploaded = {service.container: [file.path for file in service.description.files]}
    if database is not None:
        uploaded[database.container] = [PASSWORD_FILE]
    return {
        "container": backup.container,
        "repository": backup.repository,
        "drill": backup.declared.drill,
        "network": service.network,
        "volumes": {volume.role: volume.name for volume in backup.files},
        "uploaded": {container: files for container, files in uploaded.items() if files},
        "probe": {
            "port": service.description.port,
            "path": probe.url,
            "status": list(probe.status),
            "contains": probe.contains,
        }
        if probe
        else None,
    }
