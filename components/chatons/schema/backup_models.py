"""What a stack may declare about its backups: `ronron:backup`."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from chatons.schema.backup_values import MaxAge, Often, RepositoryHere, Schedule
from chatons.schema.values import Cpus, HostKey, Image, Mebibytes, SecretHere, Strict, refuse


class Keep(Strict):
    """How many snapshots stay."""

    daily: Annotated[int, Field(ge=0, le=366)] = Field(default=7, description="of as many days")
    weekly: Annotated[int, Field(ge=0, le=260)] = Field(default=4, description="of as many weeks")
    monthly: Annotated[int, Field(ge=0, le=240)] = Field(default=6, description="of as many months")


class Backup(Strict):
    """Where snapshots go, how often they are taken, and how long they are kept."""

    repository: RepositoryHere = Field(
        description="where the snapshots go: a directory of the machine, `sftp:`, `rest:` or `s3:` as restic "
        "writes them; each service gets `<project>-<stack>/<service>` below it"
    )
    schedule: Schedule = Field(description="when, in UTC: five fields as in cron")
    keep: Keep = Field(default=Keep(), description="how many of them stay: `daily`, `weekly`, `monthly`")
    check: Often = Field(
        default="weekly",
        description="how often the repository is checked, with a tenth of what is stored read back: `daily`, "
        "`weekly`, `monthly`",
    )
    drill: Often = Field(
        default="weekly",
        description="how often one is restored beside the service and proven: `daily`, `weekly`, `monthly`",
    )
    max_age: MaxAge | None = Field(
        default=None,
        description="maximum age of the newest snapshot, such as 26h or 2d; an older one is reported as "
        "overdue. Default: the longest interval of the schedule, plus two hours",
    )
    append_only: bool = Field(
        default=False,
        description="the repository only takes new snapshots; whoever keeps it removes old ones",
    )
    password: SecretHere = Field(default=None, description="of the repository; a secret, and needed")
    login: SecretHere = Field(
        default=None,
        description="`user:password` of a rest-server, `key:secret` of S3; a secret, and needed with `s3:`",
    )
    ssh_key: SecretHere = Field(
        default=None, description="private key for `sftp:`; a secret, and needed there"
    )
    host_key: HostKey | None = Field(
        default=None, description="public key of the host that keeps the snapshots; needed with `sftp:`"
    )
    image: Image | None = Field(
        default=None,
        description="what the agents of services without a database are built from, Debian inside; without "
        "it that of `ronron:database`",
    )
    memory_mib: Mebibytes = Field(default=256, description="limit of memory of each agent, without swap")
    cpus: Cpus = Field(default=1.0, description="limit of processor time of each agent, in processors")

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        way = self.repository.way
        if way == "sftp" and self.host_key is None:
            host = self.repository.sftp.host if self.repository.sftp else ""
            refuse(
                "a repository reached by ssh needs `host_key`, so that nobody can stand in its place",
                f"copy /etc/ssh/ssh_host_ed25519_key.pub of {host} from its console, without the name",
            )
        for key, value, ways in (
            ("host_key", self.host_key, ("sftp",)),
            ("ssh_key", self.ssh_key, ("sftp",)),
            ("login", self.login, ("rest", "s3")),
        ):
            if value is not None and way not in ways:
                refuse(
                    f"`{key}` has no meaning for {str(self.repository)!r}",
                    f"remove it: pulumi config rm --path 'ronron:backup.{key}'",
                )
        return self
