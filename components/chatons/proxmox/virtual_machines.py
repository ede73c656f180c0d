"""The virtual machines of a declaration on Proxmox VE, with their images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pulumi
import pulumi_proxmoxve as proxmox

from chatons.declaration.resolved import Declaration, vm_description
from chatons.declaration.secrets import PROXMOX_TOKEN
from chatons.proxmox import hooks as machine_hooks
from chatons.proxmox.image import MachineImage, downloaded
from chatons.proxmox.virtual_machine import VirtualMachine, VirtualMachineArgs
from chatons.schema import proxmox_models


@dataclass(frozen=True)
class VirtualMachines:
    """The registered virtual machines.

    Attributes:
        made: the machines by name, in order of name.
    """

    made: Mapping[str, VirtualMachine]


def make(declaration: Declaration, secret: Callable[[str], pulumi.Output[str]]) -> VirtualMachines:
    """Register the virtual machines. None depends on another, so one failure does not block the others.

    Args:
        declaration: a checked one.
        secret: gives the value of a secret by its key.
    """
    # Always, even without machines: the state may still have some.
    hooks = machine_hooks.register(declaration, lambda: secret(PROXMOX_TOKEN))
    declared = {
        name: machine.proxmox
        for name, machine in sorted(declaration.machines.items())
        if machine.proxmox is not None
    }
    if declaration.proxmox is None or not declared:
        return VirtualMachines(made={})
    provider = _provider(declaration.proxmox, secret)
    images = {
        image: downloaded(image, provider).id
        for image in dict.fromkeys(_image(declaration, each) for each in declared.values())
    }
    made = {
        name: VirtualMachine(
            name,
            VirtualMachineArgs(
                name=name,
                declared=each,
                description=vm_description(declaration, name),
                image=images[_image(declaration, each)],
                hooks=hooks,
            ),
            opts=pulumi.ResourceOptions(providers={"proxmoxve": provider}),
        )
        for name, each in declared.items()
    }
    _warn(declared)
    return VirtualMachines(made=made)


def _provider(
    cluster: proxmox_models.Proxmox, secret: Callable[[str], pulumi.Output[str]]
) -> proxmox.Provider:
    """The provider for the cluster, without ssh: nothing here needs a shell at the node."""
    return proxmox.Provider(
        "proxmox",
        endpoint=cluster.endpoint,
        api_token=secret(PROXMOX_TOKEN),
        insecure=cluster.insecure,
    )


def _image(declaration: Declaration, declared: proxmox_models.VirtualMachine) -> MachineImage:
    return MachineImage(
        scope=declaration.name(),
        node=declared.node,
        datastore=declared.image_datastore,
        url=declared.image.url,
        checksum=declared.image.checksum,
    )


def _warn(declared: Mapping[str, proxmox_models.VirtualMachine]) -> None:
    for name, machine in declared.items():
        if machine.replace is not None:
            pulumi.log.warn(
                f"{name} may be replaced, as `replace: {machine.replace}` permits: remove that line after "
                "the update"
            )
