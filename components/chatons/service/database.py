"""One PostgreSQL for one service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from chatons.catalogue.description import Health
from chatons.declaration.resolved import DATABASE, ResolvedDatabase
from chatons.docker.containers import (
    Attachment,
    ContainerArgs,
    Mount,
    container,
    data_volume,
    image,
    require_provider,
)

PASSWORD_FILE = "/run/postgresql-password"  # noqa: S105  # a path
"""Written into the container, where its entrypoint looks for it."""

_POSTGRES_USER_ID = "999"
"""Of the official Debian-based images. Their entrypoint is root and can read the file whoever owns it."""

_GRACE_SECONDS = 120
"""A checkpoint of a busy database on a slow disk takes this long; a kill costs a recovery afterwards."""

_SHM_MIB = 128
"""Parallel queries fail with Docker's default of 64. Source: docker-library/docs, postgres, Caveats."""


@dataclass(frozen=True, kw_only=True)
class DatabaseArgs:
    """Arguments of a Database."""

    resolved: ResolvedDatabase
    password: pulumi.Input[str]
    """A secret."""
    network: pulumi.Input[str]
    """The private network of the service."""
    labels: Mapping[str, str]
    hooks: pulumi.ResourceHookBinding | None = None
    """What happens before the container changes."""


class Database(pulumi.ComponentResource):
    """One PostgreSQL for one service, on the service's private network only."""

    container: docker.Container
    image: docker.RemoteImage

    def __init__(self, name: str, args: DatabaseArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("chatons:index:Database", name, {}, opts)
        require_provider(self)
        resolved = args.resolved
        volume = data_volume(name, resolved.volume.name, parent=self)
        self.image = image(name, resolved.image, parent=self)
        self.container = container(
            name,
            ContainerArgs(
                name=resolved.container,
                image=self.image.image_id,
                labels={**args.labels, "ronron.role": DATABASE},
                networks=[Attachment(args.network, (DATABASE,))],
                environment=[
                    f"POSTGRES_DB={resolved.address.name}",
                    f"POSTGRES_PASSWORD_FILE={PASSWORD_FILE}",
                    f"POSTGRES_USER={resolved.address.user}",
                ],
                uploads=[
                    docker.ContainerUploadArgs(
                        file=PASSWORD_FILE,
                        content=pulumi.Output.secret(args.password),
                        permissions="0400",
                        owner=_POSTGRES_USER_ID,
                        group=_POSTGRES_USER_ID,
                    )
                ],
                mounts=[Mount(volume.name, resolved.volume.path)],
                memory_mib=resolved.memory_mib,
                cpus=resolved.cpus,
                shm_mib=_SHM_MIB,
                # For the entrypoint, which gives an empty volume to the database's own user and becomes it.
                capabilities=("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_SETGID", "CAP_SETUID"),
                # Asked over TCP: while the entrypoint prepares a new cluster only the socket answers.
                health=Health(
                    test=(
                        "CMD",
                        "pg_isready",
                        "-h",
                        "127.0.0.1",
                        "-U",
                        resolved.address.user,
                        "-d",
                        resolved.address.name,
                    ),
                    interval=5,
                ),
                wait_seconds=180,
                grace_seconds=_GRACE_SECONDS,
            ),
            parent=self,
            hooks=args.hooks,
        )
        self.register_outputs({"container": self.container.name, "volume": volume.name})
