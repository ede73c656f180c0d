"""What a stack may declare about its backups: `ronron:backup`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from chatons.schema.backup_values import MaxAge, Often, RepositoryHere, Schedule
from chatons.schema.by_hand import pulumi_command
from chatons.schema.values import Cpus, HostKey, Image, Mebibytes, SecretHere, Strict, refuse


class Keep(Strict):
    """Retention: how many snapshots, or backups of a machine, are retained."""

    daily: Annotated[int, Field(ge=0, le=366)] = Field(
        default=7, description="number of days of which the newest snapshot is retained"
    )
    weekly: Annotated[int, Field(ge=0, le=260)] = Field(
        default=4, description="number of weeks of which the newest snapshot is retained"
    )
    monthly: Annotated[int, Field(ge=0, le=240)] = Field(
        default=6, description="number of months of which the newest snapshot is retained"
    )


class Moved(Strict):
    """What became of the snapshots when the repository was changed."""

    repository: RepositoryHere = Field(description="the repository before, as it was declared")
    snapshots: Literal["copied", "left"] = Field(
        description="`copied`: its snapshots were copied into the new one with restic; `left`: they stay "
        "there, and the new repository begins empty"
    )


class Backup(Strict):
    """Where snapshots are stored, when they are taken, and how many are retained."""

    repository: RepositoryHere = Field(
        description="restic repository for the snapshots: a directory of the machine, `sftp:`, `rest:` or "
        "`s3:`; each service uses `<project>-<stack>/<service>` below it"
    )
    schedule: Schedule = Field(
        description="when snapshots are taken, in UTC: five fields as in cron, such as 0 3 * * *"
    )
    keep: Keep = Field(
        default=Keep(),
        description="how many snapshots of each service are retained: `daily`, `weekly`, `monthly`",
    )
    check: Often = Field(
        default="weekly",
        description="how often the repository is checked, reading back a tenth of its data: `daily`, "
        "`weekly`, `monthly`",
    )
    drill: Often = Field(
        default="weekly",
        description="how often the newest snapshot is restored beside the service to prove that it can be: "
        "`daily`, `weekly`, `monthly`",
    )
    max_age: MaxAge | None = Field(
        default=None,
        description="maximum age of the newest snapshot, such as 26h or 2d; an older one is reported as "
        "overdue. Default: the longest interval of the schedule, plus two hours",
    )
    append_only: bool = Field(
        default=False,
        description="true for a repository that accepts new snapshots only; its host removes old ones",
    )
    password: SecretHere = Field(default=None, description="password of the repository; a secret, required")
    login: SecretHere = Field(
        default=None,
        description="login at the repository: `user:password` of a rest-server, `key:secret` of S3; a "
        "secret, required with `s3:`",
    )
    ssh_key: SecretHere = Field(
        default=None, description="private ssh key for an `sftp:` repository; a secret, required there"
    )
    host_key: HostKey | None = Field(
        default=None, description="public ssh host key of an `sftp:` repository's host; required there"
    )
    moved: Moved | None = Field(
        default=None,
        description="the repository before this one, and what became of its snapshots; required when "
        "`repository` changes",
    )
    image: Image | None = Field(
        default=None,
        description="image to build the backup agents of services without a database from, based on Debian. "
        "Default: `image` of `ronron:database`",
    )
    memory_mib: Mebibytes = Field(
        default=256, description="memory limit of each backup agent in MiB, without swap"
    )
    cpus: Cpus = Field(default=1.0, description="CPU limit of each backup agent, in CPUs")

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        way = self.repository.way
        if way == "sftp" and self.host_key is None:
            host = self.repository.sftp.host if self.repository.sftp else ""
            refuse(
                "a repository reached by ssh needs `host_key`, so that no other host can impersonate it",
                f"copy /etc/ssh/ssh_host_ed25519_key.pub of {host} from its console, without the name",
            )
        for key, value, ways in (
            ("host_key", self.host_key, ("sftp",)),
            ("ssh_key", self.ssh_key, ("sftp",)),
            ("login", self.login, ("rest", "s3")),
        ):
            if value is not None and way not in ways:
                remove = pulumi_command(f"config rm --path 'ronron:backup.{key}'")
                refuse(f"`{key}` has no meaning for {str(self.repository)!r}", f"remove it: {remove}")
        return self
