"""Every machine of a declaration that is made on Proxmox VE, from its image on."""

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
    """What there is of them once they are registered.

    Attributes:
        provider: the way to the cluster; None where no machine is on one.
        made: by name, in order.
    """

    provider: proxmox.Provider | None
    made: Mapping[str, VirtualMachine]


def make(declaration: Declaration, secret: Callable[[str], pulumi.Output[str]]) -> VirtualMachines:
    """Register them; none depends on another, so that one that fails stops no other.

    Args:
        declaration: a checked one.
        secret: where secrets come from.
    """
    # Without machines too: the state may still know some.
    hooks = machine_hooks.register(declaration, lambda: secret(PROXMOX_TOKEN))
    declared = {
        name: machine.proxmox
        for name, machine in sorted(declaration.machines.items())
        if machine.proxmox is not None
    }
    if declaration.proxmox is None or not declared:
        return VirtualMachines(provider=None, made={})
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
    return VirtualMachines(provider=provider, made=made)


def _provider(
    cluster: proxmox_models.Proxmox, secret: Callable[[str], pulumi.Output[str]]
) -> proxmox.Provider:
    """The way in; no ssh, as nothing here needs a shell at the node."""
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
                f"{name} may be destroyed and made anew, as `replace: {machine.replace}` says: "
                "remove that line once it is done"
            )
