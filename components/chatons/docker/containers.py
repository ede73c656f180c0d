"""Containers, images and volumes, made the way that all of them are made here.

Each default below keeps a known trap shut; the traps are those of pulumi-docker 5.2 with the Terraform
provider kreuzwerker/docker 4.5, tried on Docker 20.10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_docker as docker

from chatons.catalogue.description import Health
from chatons.schema.image_reference import ImageReference

_CONTAINER_TYPE = "docker:index/container:Container"
_LOG_LIMITS = {"max-file": "3", "max-size": "10m"}

REPLACED_FOR = ("healthcheck", "init", "tmpfs", "cpuPeriod", "cpuQuota")
"""Inputs whose change the provider writes into its state only: the container would keep the old value.
Source: kreuzwerker/terraform-provider-docker, issue 988."""


@dataclass(frozen=True)
class Mount:
    """A named volume and where it goes."""

    volume: pulumi.Input[str]
    path: str
    read_only: bool = False


@dataclass(frozen=True)
class HostDirectory:
    """A directory of the machine and where it goes; Docker makes it where it is not there."""

    host_path: str
    path: str


@dataclass(frozen=True)
class Attachment:
    """A network, and the names by which the container is known there besides its own."""

    network: pulumi.Input[str]
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ContainerArgs:
    """What differs from one container to the next.

    Attributes:
        name: the physical name.
        environment: `NAME=value`; secret ones as secret outputs.
        uploads: files written before the start.
        hostname: None for one of Docker's own.
        init: whether Docker puts a process in front that buries what others leave behind.
        wait_seconds: how long the first start may take until it is healthy.
        grace_seconds: how long a clean stop may take; unset, the provider would kill at once.
        shm_mib: size of /dev/shm; None for Docker's default.
    """

    name: str
    image: pulumi.Input[str]
    labels: Mapping[str, str]
    networks: Sequence[Attachment]
    memory_mib: int
    cpus: float
    health: Health | None
    wait_seconds: int
    grace_seconds: int
    environment: Sequence[pulumi.Input[str]] = ()
    uploads: Sequence[docker.ContainerUploadArgs] = ()
    mounts: Sequence[Mount | HostDirectory] = ()
    ports: Sequence[docker.ContainerPortArgs] = ()
    user: str | None = None
    command: Sequence[str] = ()
    capabilities: Sequence[str] = ()
    read_only: bool = False
    tmpfs: Mapping[str, str] = field(default_factory=dict)
    shm_mib: int | None = None
    hostname: str | None = None
    init: bool = False


def require_provider(component: pulumi.ComponentResource) -> None:
    """Refuse a component that was given no Docker: the engine would quietly take the local one.

    Raises:
        ValueError: neither `provider` nor `providers` nor a parent names a Docker provider.
    """
    if component.get_provider(_CONTAINER_TYPE) is None:
        raise ValueError(
            "no Docker is named for this component: pass pulumi.ResourceOptions(providers={'docker': ...})"
        )


def image(name: str, reference: ImageReference, parent: pulumi.Resource) -> docker.RemoteImage:
    """An image on the machine; pulled only when it is not there, and left there afterwards.

    It is pulled before the container is replaced, so a pull that fails leaves the old container running.
    """
    return docker.RemoteImage(
        name,
        name=str(reference),
        keep_locally=True,
        opts=pulumi.ResourceOptions(parent=parent),
    )


def built_image(
    name: str,
    physical_name: str,
    context: str,
    arguments: Mapping[str, str],
    parent: pulumi.Resource,
    depends_on: Sequence[pulumi.Resource],
) -> docker.RemoteImage:
    """An image that is built on the machine from a directory beside the program; left there afterwards.

    Args:
        name: of the resource.
        physical_name: repository and tag; must differ wherever what is built differs.
        context: the directory, relative to the program's: every input of a build replaces the image, and each
            checkout has another absolute path.
        arguments: of the build.
        parent: of the resource.
        depends_on: what must be there before, such as the image that this one is built from.
    """
    return docker.RemoteImage(
        name,
        name=physical_name,
        keep_locally=True,
        build=docker.RemoteImageBuildArgs(
            context=context,
            build_args=dict(arguments),
            # buildx is a program that need not be where the engine is.
            use_legacy_builder=True,
        ),
        opts=pulumi.ResourceOptions(parent=parent, depends_on=list(depends_on)),
    )


def data_volume(name: str, physical_name: str, parent: pulumi.Resource) -> docker.Volume:
    """A volume whose data no edit of the declaration can remove.

    Every input of a volume replaces it, and a replacement under a fixed name is a deletion. So the engine may
    not delete it (`protect`), retains it on the machine when it is removed from the state
    (`retain_on_delete`), and does not look at what could change in it.
    """
    return docker.Volume(
        name,
        name=physical_name,
        opts=pulumi.ResourceOptions(
            parent=parent,
            protect=True,
            retain_on_delete=True,
            ignore_changes=["labels", "driver", "driverOpts"],
        ),
    )


def private_network(name: str, physical_name: str, parent: pulumi.Resource) -> docker.Network:
    """A network; a change of any of its inputs would recreate every container on it, so it has but a name."""
    return docker.Network(
        name,
        name=physical_name,
        driver="bridge",
        opts=pulumi.ResourceOptions(parent=parent, ignore_changes=["labels"]),
    )


def container(
    name: str,
    args: ContainerArgs,
    parent: pulumi.Resource,
    depends_on: Sequence[pulumi.Resource] = (),
    hooks: pulumi.ResourceHookBinding | None = None,
) -> docker.Container:
    """A container with limits, without privileges, that stops cleanly and is healthy before others go on."""
    return docker.Container(
        name,
        name=args.name,
        image=args.image,
        hostname=args.hostname,
        init=True if args.init else None,
        envs=list(args.environment),
        uploads=list(args.uploads),
        labels=[docker.ContainerLabelArgs(label=k, value=v) for k, v in sorted(args.labels.items())],
        user=args.user,
        command=list(args.command) or None,
        read_only=args.read_only,
        tmpfs=dict(args.tmpfs) or None,
        capabilities=docker.ContainerCapabilitiesArgs(drops=["ALL"], adds=sorted(args.capabilities)),
        security_opts=["no-new-privileges:true"],
        memory=args.memory_mib,
        # Equal means no swap. Unset, each preview shows a change, and raising the memory fails.
        memory_swap=args.memory_mib,
        # As the provider reads it back ("1.0", not "1"): else each preview would replace the container.
        cpus=str(float(args.cpus)),
        shm_size=args.shm_mib,
        log_driver="json-file",
        log_opts=_LOG_LIMITS,
        network_mode="bridge",
        networks_advanced=[
            docker.ContainerNetworksAdvancedArgs(name=each.network, aliases=list(each.aliases))
            for each in args.networks
        ],
        volumes=[_mounted(each) for each in args.mounts],
        ports=list(args.ports) or None,
        healthcheck=_healthcheck(args.health) if args.health else None,
        # Waiting without a health check is an error.
        wait=args.health is not None,
        wait_timeout=args.wait_seconds,
        must_run=True,
        restart="unless-stopped",
        destroy_grace_seconds=args.grace_seconds,
        opts=pulumi.ResourceOptions(
            parent=parent,
            depends_on=list(depends_on),
            # The name is fixed, so the new one cannot be made beside the old one.
            delete_before_replace=True,
            replace_on_changes=list(REPLACED_FOR),
            hooks=hooks,
        ),
    )


def go_duration(seconds: int) -> str:
    """Seconds as Go prints a duration: `1m0s`, not `60s`.

    That is how the provider reads it back; written otherwise, each preview would replace the container.
    """
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _mounted(mount: Mount | HostDirectory) -> docker.ContainerVolumeArgs:
    if isinstance(mount, HostDirectory):
        return docker.ContainerVolumeArgs(host_path=mount.host_path, container_path=mount.path)
    return docker.ContainerVolumeArgs(
        volume_name=mount.volume, container_path=mount.path, read_only=True if mount.read_only else None
    )


def _healthcheck(health: Health) -> docker.ContainerHealthcheckArgs:
    return docker.ContainerHealthcheckArgs(
        tests=list(health.test),
        interval=go_duration(health.interval),
        timeout=go_duration(health.timeout),
        retries=health.retries,
        start_period=go_duration(health.start_period),
    )
