"""One service: its network, its database, its volumes, its container."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi
import pulumi_docker as docker

from components.catalogue.description import DATABASE_PASSWORD, Template
from components.containers import (
    Attachment,
    ContainerArgs,
    Mount,
    container,
    data_volume,
    image,
    private_network,
    require_provider,
)
from components.database import Database, DatabaseArgs
from components.resolved import DATABASE, SERVICE_TYPE, ResolvedService


@dataclass(frozen=True, kw_only=True)
class ServiceArgs:
    """Arguments of a Service."""

    resolved: ResolvedService
    secrets: Mapping[str, pulumi.Output[str]]
    """By role; every role that the service needs."""
    variables: Mapping[str, pulumi.Output[str]] = field(default_factory=dict)
    """Secret environment variables of the user's own, by name."""
    labels: Mapping[str, str] = field(default_factory=dict)


class Service(pulumi.ComponentResource):
    """One service, on a private network that nothing but the edge shares."""

    network: pulumi.Output[str]
    """Physical name of the private network."""
    container: docker.Container

    def __init__(self, name: str, args: ServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(SERVICE_TYPE, name, {}, opts)
        require_provider(self)
        resolved, description = args.resolved, args.resolved.description
        declared = resolved.declared
        labels = {**args.labels, "ronron.service": name}
        network = private_network(name, resolved.network, parent=self)
        self.network = network.name
        database = self._database(name, args, labels)
        mounts = [
            Mount(data_volume(f"{name}-{volume.role}", volume.name, parent=self).name, volume.path)
            for volume in resolved.volumes
        ]
        self.container = container(
            name,
            ContainerArgs(
                name=resolved.container,
                image=image(name, declared.image, parent=self).image_id,
                labels={**labels, "ronron.role": "service"},
                networks=[Attachment(self.network)],
                environment=_environment(args),
                uploads=[
                    docker.ContainerUploadArgs(
                        file=file.path,
                        content=_filled(file.content, args.secrets),
                        permissions="0440",
                    )
                    for file in description.files
                ],
                mounts=mounts,
                user=description.user,
                command=description.command,
                capabilities=description.capabilities,
                read_only=description.read_only,
                tmpfs=description.tmpfs,
                memory_mib=declared.memory_mib,
                cpus=declared.cpus,
                health=description.health,
                wait_seconds=description.start_seconds,
                grace_seconds=description.grace_seconds,
            ),
            parent=self,
            depends_on=[database.container] if database else [],
        )
        self.register_outputs({"container": self.container.name, "network": self.network})

    def _database(self, name: str, args: ServiceArgs, labels: Mapping[str, str]) -> Database | None:
        if args.resolved.database is None:
            return None
        return Database(
            f"{name}-{DATABASE}",
            DatabaseArgs(
                resolved=args.resolved.database,
                password=args.secrets[DATABASE_PASSWORD],
                network=self.network,
                labels=labels,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )


def _environment(args: ServiceArgs) -> list[pulumi.Input[str]]:
    """`NAME=value`, in order of name: set by the catalogue, added by the declaration, and the secret ones."""
    description = args.resolved.description
    values: dict[str, pulumi.Input[str]] = {**description.environment, **args.resolved.declared.environment}
    values |= args.variables
    values |= {
        name: _filled(template, args.secrets) for name, template in description.sealed_environment.items()
    }
    return [_assignment(name, values[name]) for name in sorted(values)]


def _assignment(name: str, value: pulumi.Input[str]) -> pulumi.Input[str]:
    if isinstance(value, str):
        return f"{name}={value}"
    return pulumi.Output.concat(name, "=", value)


def _filled(template: Template, secrets: Mapping[str, pulumi.Output[str]]) -> pulumi.Output[str]:
    needed = {role: secrets[role] for role in sorted(template.roles)}
    return pulumi.Output.secret(pulumi.Output.all(**needed).apply(template.fill))
