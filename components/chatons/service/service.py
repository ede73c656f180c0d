"""One service: its network, its database, its volumes, the agent of its backups, its container."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi
import pulumi_docker as docker

from chatons.backup.agent import Backup, BackupArgs
from chatons.catalogue.description import DATABASE_PASSWORD, Template
from chatons.declaration.resolved import BACKUP, DATABASE, SERVICE_TYPE, ResolvedService
from chatons.docker.containers import (
    Attachment,
    ContainerArgs,
    Mount,
    container,
    data_volume,
    image,
    private_network,
    require_provider,
)
from chatons.service.database import Database, DatabaseArgs


@dataclass(frozen=True, kw_only=True)
class ServiceBackup:
    """What a service whose snapshots are taken is given for its agent."""

    document: str
    """The agent's configuration, in clear."""
    secrets: Mapping[str, pulumi.Output[str]]
    """`password`, and as far as they are needed `login` and `ssh_key`."""
    hook: pulumi.ResourceHook
    """Takes a snapshot before a container with data changes."""
    data_hook: pulumi.ResourceHook
    """Lets no container be created on data that were recreated."""
    built_before: pulumi.Resource | None = None
    """Another agent's image from the same base on the same machine."""


@dataclass(frozen=True, kw_only=True)
class ServiceArgs:
    """Arguments of a Service."""

    resolved: ResolvedService
    secrets: Mapping[str, pulumi.Output[str]]
    """By role; every role that the service needs."""
    variables: Mapping[str, pulumi.Output[str]] = field(default_factory=dict)
    """Secret environment variables of the user's own, by name."""
    labels: Mapping[str, str] = field(default_factory=dict)
    backup: ServiceBackup | None = None
    """None where no snapshots are taken."""
    held: bool = False
    """Create no container, because the service's data were lost."""


class Service(pulumi.ComponentResource):
    """One service, on a private network that nothing but the edge shares."""

    network: pulumi.Output[str]
    """Physical name of the private network."""
    container: docker.Container | None
    """None where the service is held back."""
    backup: Backup | None
    """The agent; None where no snapshots are taken."""

    def __init__(self, name: str, args: ServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(SERVICE_TYPE, name, {}, opts)
        require_provider(self)
        resolved = args.resolved
        declared = resolved.declared
        labels = {**args.labels, "ronron.service": name, "ronron.machine": declared.machine}
        network = private_network(name, resolved.network, parent=self)
        self.network = network.name
        database = self._database(name, args, labels)
        volumes = {
            volume.role: data_volume(f"{name}-{volume.role}", volume.name, parent=self).name
            for volume in resolved.volumes
        }
        self.backup = self._backup(name, args, labels, volumes, database)
        self.container = None if args.held else self._container(name, args, labels, volumes, database)
        created = {"container": self.container.name} if self.container is not None else {}
        self.register_outputs({**created, "network": self.network})

    def _container(
        self,
        name: str,
        args: ServiceArgs,
        labels: Mapping[str, str],
        volumes: Mapping[str, pulumi.Input[str]],
        database: Database | None,
    ) -> docker.Container:
        resolved, description, declared = args.resolved, args.resolved.description, args.resolved.declared
        return container(
            name,
            ContainerArgs(
                name=resolved.container,
                image=image(name, declared.image, parent=self).image_id,
                labels={**labels, **_told_before_a_change(resolved), "ronron.role": "service"},
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
                mounts=[Mount(volumes[volume.role], volume.path) for volume in resolved.volumes],
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
            # After the agent: it still exists when the service is deleted, and a broken one is fixed before
            # it takes a snapshot.
            depends_on=[
                *([database.container] if database else []),
                *([self.backup.container] if self.backup else []),
            ],
            hooks=_hooks(args, creates=True),
        )

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
                hooks=_hooks(args),
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _backup(
        self,
        name: str,
        args: ServiceArgs,
        labels: Mapping[str, str],
        volumes: Mapping[str, pulumi.Input[str]],
        database: Database | None,
    ) -> Backup | None:
        resolved, given = args.resolved.backup, args.backup
        if resolved is None or given is None:
            return None
        secrets = dict(given.secrets)
        if database is not None:
            secrets["database"] = args.secrets[DATABASE_PASSWORD]
        return Backup(
            f"{name}-{BACKUP}",
            BackupArgs(
                resolved=resolved,
                document=given.document,
                secrets=secrets,
                volumes=volumes,
                network=self.network,
                database=database.container if database else None,
                database_image=database.image if database else None,
                built_before=given.built_before,
                labels=labels,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )


def _hooks(args: ServiceArgs, *, creates: bool = False) -> pulumi.ResourceHookBinding | None:
    if args.backup is None:
        return None
    return pulumi.ResourceHookBinding(
        before_create=[args.backup.data_hook] if creates else None,
        before_update=[args.backup.hook],
        before_delete=[args.backup.hook],
    )


def _told_before_a_change(resolved: ResolvedService) -> dict[str, str]:
    """What a snapshot says of the version that it was taken of: read from the container that goes."""
    image = resolved.declared.image
    return {"ronron.image": str(image), "ronron.version": image.version}


def _environment(args: ServiceArgs) -> list[pulumi.Input[str]]:
    """`NAME=value`, in order of name: set by the catalogue, added by the declaration, and the secret ones."""
    description = args.resolved.description
    values: dict[str, pulumi.Input[str]] = {**description.environment, **args.resolved.declared.environment}
    values |= args.variables
    values |= {
        name: _filled(template, args.secrets) for name, template in description.secret_environment.items()
    }
    return [_assignment(name, values[name]) for name in sorted(values)]


def _assignment(name: str, value: pulumi.Input[str]) -> pulumi.Input[str]:
    if isinstance(value, str):
        return f"{name}={value}"
    return pulumi.Output.concat(name, "=", value)


def _filled(template: Template, secrets: Mapping[str, pulumi.Output[str]]) -> pulumi.Output[str]:
    needed = {role: secrets[role] for role in sorted(template.roles)}
    return pulumi.Output.secret(pulumi.Output.all(**needed).apply(template.fill))
