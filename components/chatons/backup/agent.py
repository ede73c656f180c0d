"""The backups of one service: a container with the agent that takes, checks and restores snapshots."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from chatons.backup import agent_files
from chatons.catalogue.description import Health
from chatons.declaration.resolved import BACKUP, ResolvedBackup, data_path
from chatons.docker.containers import (
    Attachment,
    ContainerArgs,
    HostDirectory,
    Mount,
    built_image,
    container,
    data_volume,
    image,
    require_provider,
)

_FILES = {
    "repository-password": "password",
    "repository-login": "login",
    "ssh-key": "ssh_key",
    "database-password": "database",
}
"""The agent's secret files, and their keys in `BackupArgs.secrets`."""

_GRACE_SECONDS = 60
"""Time for a running backup to stop and to remove its locks."""


@dataclass(frozen=True, kw_only=True)
class BackupArgs:
    """Arguments of a Backup."""

    resolved: ResolvedBackup
    document: str
    """The agent's configuration, in plain text."""
    secrets: Mapping[str, pulumi.Output[str]]
    """`password`, and where needed `login`, `ssh_key` and `database`."""
    volumes: Mapping[str, pulumi.Input[str]]
    """Names of the service's volumes, by role."""
    network: pulumi.Input[str]
    """The private network of the service."""
    database: pulumi.Resource | None
    """The container of the service's database, which starts before the agent."""
    database_image: pulumi.Resource | None
    """The base of the agent's image; None where the service has no database."""
    built_before: pulumi.Resource | None
    """Another agent's image on the same base, built before this one, so that Docker uses its cache."""
    labels: Mapping[str, str]


class Backup(pulumi.ComponentResource):
    """The agent of one service. It has no access to Docker, and sees the service's files read-only."""

    container: docker.Container
    image: docker.RemoteImage

    def __init__(self, name: str, args: BackupArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("chatons:index:Backup", name, {}, opts)
        require_provider(self)
        resolved = args.resolved
        base = args.database_image or image(f"{name}-base", resolved.base, parent=self)
        self.image = built_image(
            name,
            agent_files.image_name(resolved.base),
            # Relative to the working directory of the engine and its plugins: the same in every checkout.
            os.path.relpath(agent_files.CONTEXT),
            {"BASE": str(resolved.base)},
            parent=self,
            depends_on=[base, *([args.built_before] if args.built_before else [])],
        )
        state = data_volume(name, resolved.volume, parent=self)
        self.container = container(
            name,
            ContainerArgs(
                name=resolved.container,
                hostname=resolved.container,
                # Init reaps the restic of a command that was killed.
                init=True,
                image=self.image.image_id,
                labels={**args.labels, "ronron.role": BACKUP},
                networks=[Attachment(args.network)],
                uploads=_uploads(args),
                mounts=[
                    Mount(state.name, agent_files.STATE),
                    *(
                        Mount(args.volumes[volume.role], f"{agent_files.DATA}/{volume.role}", read_only=True)
                        for volume in resolved.files
                    ),
                    *(HostDirectory(path, inside) for inside, path in sorted(resolved.directories.items())),
                ],
                # Root with this capability alone reads every file, whoever owns it, and changes none.
                user="0:0",
                capabilities=("CAP_DAC_READ_SEARCH",),
                # The root file system is writable: Docker uploads no file into a read-only one. The tmpfs
                # covers the base image's data folder, or each agent would have an anonymous volume.
                tmpfs={data_path(_major(resolved)): "rw,noexec,nosuid,nodev,size=1m"},
                memory_mib=resolved.declared.memory_mib,
                cpus=resolved.declared.cpus,
                health=Health(test=("CMD", "ronron-agent", "health"), timeout=10, start_period=30),
                wait_seconds=120,
                grace_seconds=_GRACE_SECONDS,
            ),
            parent=self,
            depends_on=[args.database] if args.database else [],
        )
        self.register_outputs({"container": self.container.name, "volume": state.name})


def _uploads(args: BackupArgs) -> list[docker.ContainerUploadArgs]:
    files = [
        docker.ContainerUploadArgs(file=agent_files.CONFIGURATION, content=args.document, permissions="0444")
    ]
    for file, role in _FILES.items():
        if role in args.secrets:
            content = args.secrets[role].apply(lambda value: value.strip("\n") + "\n")
            files.append(
                docker.ContainerUploadArgs(
                    file=f"{agent_files.SECRETS}/{file}",
                    content=pulumi.Output.secret(content),
                    permissions="0400",
                )
            )
    return files


def _major(resolved: ResolvedBackup) -> int:
    return resolved.base.numbers[0] if resolved.base.numbers else 0
