"""What a stack may declare: the shape, default and meaning of every key.

The kinds of services are in `chatons.catalogue`, the root model is `chatons.declaration.configuration`, and
rules about more than one key are in `chatons.declaration.rules`. Descriptions are shown by editors one at a
time, so each stands alone.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from chatons.schema.backup_models import Backup, Keep
from chatons.schema.proxmox_models import (
    DataDisk,
    MachineBackups,
    Pbs,
    Proxmox,
    VirtualMachine,
    VirtualMachineImage,
)
from chatons.schema.values import (
    BindAddress,
    Country,
    Cpus,
    DockerAddress,
    Header,
    HostKey,
    Hostname,
    Image,
    Line,
    Login,
    Mailbox,
    Mebibytes,
    Name,
    Port,
    Statuses,
    Strict,
    Text,
    UrlPath,
    Variable,
    VerifyUrl,
    refuse,
)

__all__ = [
    "Backup",
    "DataDisk",
    "Keep",
    "MachineBackups",
    "Pbs",
    "Proxmox",
    "VirtualMachine",
    "VirtualMachineImage",
]


class Collective(Strict):
    """The collective that runs this stack."""

    name: Line = Field(description="name of the collective, as people know it")
    domain: Hostname = Field(description="main domain of the collective")
    contact: Mailbox = Field(
        description="email address that somebody reads; certificate authorities write to it"
    )
    country: Country = Field(description="country of the collective: ISO 3166 code, such as FR")


class Machine(Strict):
    """A host that runs Docker."""

    docker: DockerAddress | None = Field(
        default=None,
        description="address of Docker on an existing machine: unix:///var/run/docker.sock or "
        "ssh://user@host; tcp:// is refused",
    )
    host_key: HostKey | None = Field(
        default=None,
        description="public ssh host key of the machine; required with ssh://. On Proxmox VE the default is "
        "the key that the machine shows on first contact",
    )
    proxmox: VirtualMachine | None = Field(
        default=None, description="virtual machine to create on the cluster `ronron:proxmox`"
    )

    @property
    def docker_address(self) -> str:
        """Where its Docker listens; on Proxmox VE, once the machine is created."""
        return self.docker or (f"ssh://{self.proxmox.user}@{self.proxmox.ip}" if self.proxmox else "")

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if (self.docker is None) == (self.proxmox is None):
            refuse("a machine is declared by exactly one of `docker` and `proxmox`", "keep one of the two")
        if self.docker is not None and self.docker.startswith("ssh://") and self.host_key is None:
            host = self.docker.rsplit("@", 1)[1]
            refuse(
                "a machine reached by ssh needs `host_key`, so that no other host can impersonate it",
                f"copy /etc/ssh/ssh_host_ed25519_key.pub of {host} from its console, without the name",
            )
        if self.host_key is not None and self.docker is not None and not self.docker.startswith("ssh://"):
            refuse("`host_key` has no meaning without ssh://", "remove `host_key`")
        return self


class Edge(Strict):
    """The reverse proxy of each machine, Caddy: it terminates TLS and holds the public ports."""

    image: Image = Field(description="image of Caddy, 2.6 or newer", examples=["caddy:2.10.2"])
    tls: Literal["off", "internal", "acme"] = Field(
        default="acme",
        description="certificates of the edge: acme (from a public authority), internal (from an authority "
        "of its own), off (plain HTTP)",
    )
    http_port: Port = Field(default=80, description="port for HTTP; with TLS it only redirects to HTTPS")
    https_port: Port = Field(default=443, description="port for HTTPS; unused with `tls: off`")
    bind: BindAddress = Field(
        default="127.0.0.1",
        description="address of the machine on which the edge publishes its ports; 0.0.0.0 for all addresses",
    )
    memory_mib: Mebibytes = Field(default=256, description="memory limit of the edge in MiB, without swap")
    cpus: Cpus = Field(default=1.0, description="CPU limit of the edge, in CPUs")


class DatabaseDefaults(Strict):
    """Defaults for the PostgreSQL of every service."""

    image: Image | None = Field(
        default=None,
        description="image of PostgreSQL, 12 or newer, for every service that names no other; its tag begins "
        "with the version",
    )
    memory_mib: Mebibytes = Field(
        default=512, description="memory limit of each service's PostgreSQL in MiB, without swap"
    )
    cpus: Cpus = Field(default=1.0, description="CPU limit of each service's PostgreSQL, in CPUs")


class Database(Strict):
    """The PostgreSQL of one service, where it differs from `ronron:database`."""

    image: Image | None = Field(
        default=None,
        description="image of PostgreSQL for this service. Default: `image` of `ronron:database`",
    )
    memory_mib: Mebibytes | None = Field(
        default=None,
        description="memory limit of this service's PostgreSQL in MiB, without swap. Default: `memory_mib` "
        "of `ronron:database`",
    )
    cpus: Cpus | None = Field(
        default=None,
        description="CPU limit of this service's PostgreSQL, in CPUs. Default: `cpus` of `ronron:database`",
    )


class BasicMembers(Strict):
    """One shared login for all members; its password is the secret `ronron:members-password`."""

    user: Login = Field(description="login name that all members share")


class ForwardMembers(Strict):
    """Forward authentication: another service decides on each request."""

    url: VerifyUrl = Field(
        description="URL that receives the headers of each request; a 2xx answer lets the request pass"
    )
    copy_headers: tuple[Header, ...] = Field(
        default=(),
        strict=False,
        description="headers of the authentication answer that the edge passes on to the service",
    )


class Members(Strict):
    """Who may open a service that is `members_only`."""

    basic: BasicMembers | None = Field(default=None, description="one login shared by all members: `user`")
    forward_auth: ForwardMembers | None = Field(
        default=None,
        description="instead of `basic`: a service that is asked about each request: `url`, `copy_headers`",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.basic is None) == (self.forward_auth is None):
            refuse("members are declared by exactly one of `basic` and `forward_auth`", "keep one of the two")
        return self


class Probe(Strict):
    """The request that checks a service through its public URL; each kind has its own default."""

    path: UrlPath | None = Field(
        default=None, description="path to request, below the public URL. Default: that of the kind"
    )
    status: Statuses | None = Field(
        default=None,
        description="HTTP status of a healthy answer, or a list of them. Default: that of the kind",
    )
    contains: Line | None = Field(default=None, description="text that a healthy answer contains")


class Service(Strict):
    """The keys that every kind of service has."""

    kind: str = Field(description="kind of the service, which decides what other keys it has")
    machine: Name = Field(description="machine that runs the service: a key of `ronron:machines`")
    hostname: Hostname | None = Field(
        default=None, description="public hostname; without one the service is not reachable from outside"
    )
    image: Image = Field(
        description="image of the service: `repository:tag`, outside `local` stacks with `@sha256:digest`",
        examples=["etherpad/etherpad:3.3.1"],
    )
    members_only: bool = Field(
        default=False, description="true lets the edge admit only those that `ronron:members` names"
    )
    environment: dict[Variable, Text] = Field(
        default_factory=dict,
        description="environment variables that are not secret; set secret ones as "
        "`ronron:<service>-secret-<NAME>`",
    )
    memory_mib: Mebibytes = Field(
        default=512, description="memory limit of the service's container in MiB, without swap"
    )
    cpus: Cpus = Field(default=1.0, description="CPU limit of the service's container, in CPUs")
    database: Database | None = Field(
        default=None,
        description="settings of this service's PostgreSQL that differ from `ronron:database`: `image`, "
        "`memory_mib`, `cpus`",
    )
    probe: Probe = Field(
        default=Probe(),
        description="request that checks the service through its public URL: `path`, `status`, `contains`",
    )
    backup: bool = Field(default=True, description="false excludes the service from `ronron:backup`")
    snapshot_before_update: bool = Field(
        default=True,
        description="false lets an update change the service without a snapshot, to fix one that cannot be "
        "backed up",
    )

    @property
    def has_database(self) -> bool:
        """Whether the service gets a PostgreSQL of its own."""
        return True
