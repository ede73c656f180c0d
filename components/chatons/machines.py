"""The machines of a declaration: existing ones, and those that are created on Proxmox VE."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pulumi

from chatons.declaration.resolved import Declaration
from chatons.declaration.secrets import PROXMOX_PBS_PASSWORD, PROXMOX_TOKEN
from chatons.docker.host import DockerHost, DockerHostArgs
from chatons.docker.preflight import used_machines
from chatons.machine.access import MachineAccess, MachineAccessArgs
from chatons.machine.setup import MachineSetup, MachineSetupArgs
from chatons.proxmox import virtual_machines
from chatons.proxmox.machine_backup import MachineBackup, MachineBackupArgs
from chatons.proxmox.virtual_machine import DATA_SERIAL, VirtualMachine
from chatons.proxmox.virtual_machines import VirtualMachines
from chatons.schema import proxmox_models

_SSH = 22
"""The port of ssh in cloud images."""


@dataclass(frozen=True)
class Machines:
    """The registered machines.

    Attributes:
        hosts: every machine that runs a service, and every one on Proxmox VE, in order of name.
        host_keys: host keys of the machines on Proxmox VE, declared or from first contact, by name.
    """

    hosts: Mapping[str, DockerHost]
    host_keys: Mapping[str, pulumi.Output[str]]


def make(declaration: Declaration, secret: Callable[[str], pulumi.Output[str]]) -> Machines:
    """Register the machines.

    A machine on Proxmox VE is created even when it runs no service. An existing machine is registered only
    when it runs one, as it costs a connection.

    Args:
        declaration: a checked one.
        secret: gives the values of secrets.
    """
    virtual = virtual_machines.make(declaration, secret)
    hosts: dict[str, DockerHost] = {}
    host_keys: dict[str, pulumi.Output[str]] = {}
    for name, made in virtual.made.items():
        declared = declaration.machines[name].proxmox
        if declared is None:
            raise ValueError(f"{name} was made and is no virtual machine")
        access = _access(declaration, name, declared, made)
        hosts[name] = _set_up(declaration, name, declared, made, access)
        # Only once its Docker answers: readers of the inventory rely on that.
        host_keys[name] = pulumi.Output.all(access.host_key, hosts[name].provider.urn).apply(
            lambda known: str(known[0])
        )
    _backups(declaration, virtual, secret)
    for name in used_machines(declaration):
        machine = declaration.machines[name]
        if machine.docker is not None:
            hosts[name] = DockerHost(name, DockerHostArgs(docker=machine.docker, host_key=machine.host_key))
    return Machines(hosts=dict(sorted(hosts.items())), host_keys=host_keys)


def open_ports(declaration: Declaration, machine: str) -> list[int]:
    """The ports of a machine that the public may reach besides ssh: those of its edge, unless it is local."""
    edge = declaration.edge
    public = any(
        service.machine == machine and service.hostname is not None
        for service in declaration.services.values()
    )
    if edge is None or not public or edge.bind.startswith("127."):
        return []
    return [edge.http_port] if edge.tls == "off" else sorted([edge.http_port, edge.https_port])


def _access(
    declaration: Declaration, name: str, declared: proxmox_models.VirtualMachine, made: VirtualMachine
) -> MachineAccess:
    return MachineAccess(
        name,
        MachineAccessArgs(
            address=declared.ip,
            port=_SSH,
            user=declared.user,
            host_key=declaration.machines[name].host_key,
            identity=made.identity,
        ),
        opts=pulumi.ResourceOptions(parent=made, depends_on=[made.vm]),
    )


def _set_up(
    declaration: Declaration,
    name: str,
    declared: proxmox_models.VirtualMachine,
    made: VirtualMachine,
    access: MachineAccess,
) -> DockerHost:
    setup = MachineSetup(
        name,
        MachineSetupArgs(
            address=declared.ip,
            port=_SSH,
            user=declared.user,
            host_key=access.host_key,
            data_serial=DATA_SERIAL if declared.data is not None else None,
            open_ports=open_ports(declaration, name),
            identity=made.identity,
        ),
        opts=pulumi.ResourceOptions(parent=access),
    )
    return DockerHost(name, DockerHostArgs(docker=setup.docker, host_key=access.host_key))


def _backups(
    declaration: Declaration, virtual: VirtualMachines, secret: Callable[[str], pulumi.Output[str]]
) -> None:
    """Register the backups of whole machines. The owners of data disks are excluded.

    A data disk is in the backup of the machine that uses it. A backup of the owner would start it to read the
    disk, which the other machine has open.
    """
    cluster = declaration.proxmox
    if cluster is None or cluster.backups is None or not virtual.made:
        return
    pbs = cluster.backups.pbs
    MachineBackup(
        "machines",
        MachineBackupArgs(
            scope=declaration.name(),
            cluster=cluster,
            token=secret(PROXMOX_TOKEN),
            vm_ids=[
                machine.proxmox.vm_id
                for machine in declaration.machines.values()
                if machine.proxmox is not None
            ],
            pbs_password=secret(PROXMOX_PBS_PASSWORD) if pbs is not None else None,
        ),
    )
