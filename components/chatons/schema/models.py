"""What a stack may declare: the shape of every key, its default and its meaning.

Rules that need more than one key are in `declaration_rules`.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from chatons.schema.backup_models import Backup, Keep
from chatons.schema.backup_values import RelativePath
from chatons.schema.proxmox_models import (
    DataDisk,
    MachineBackups,
    Pbs,
    Proxmox,
    VirtualMachine,
    VirtualMachineImage,
)
from chatons.schema.values import (
    AbsolutePath,
    BindAddress,
    Capability,
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
    Page,
    Port,
    RunAs,
    Seconds,
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
    """Who hosts all this."""

    name: Line = Field(description="what people call the collective")
    domain: Hostname = Field(description="its main domain")
    contact: Mailbox = Field(description="a mailbox that somebody reads; certificate authorities write to it")
    country: Country = Field(description="ISO 3166 code, such as FR")


class Machine(Strict):
    """A host that runs Docker."""

    docker: DockerAddress | None = Field(
        default=None, description="unix:///var/run/docker.sock or ssh://user@host; tcp:// is refused"
    )
    host_key: HostKey | None = Field(
        default=None,
        description="public key of the ssh host; needed with ssh://. A machine on Proxmox does without: the "
        "key that it shows first is remembered",
    )
    proxmox: VirtualMachine | None = Field(
        default=None, description="a virtual machine on `ronron:proxmox`, made and kept as it says"
    )

    @property
    def docker_address(self) -> str:
        """Where its Docker answers; for one on Proxmox VE once it is made."""
        return self.docker or (f"ssh://{self.proxmox.user}@{self.proxmox.ip}" if self.proxmox else "")

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if (self.docker is None) == (self.proxmox is None):
            refuse("a machine is declared by exactly one of `docker` and `proxmox`", "keep one of the two")
        if self.docker is not None and self.docker.startswith("ssh://") and self.host_key is None:
            host = self.docker.rsplit("@", 1)[1]
            refuse(
                "a machine reached by ssh needs `host_key`, so that nobody can stand in its place",
                f"copy /etc/ssh/ssh_host_ed25519_key.pub of {host} from its console, without the name",
            )
        if self.host_key is not None and self.docker is not None and not self.docker.startswith("ssh://"):
            refuse("`host_key` has no meaning without ssh://", "remove `host_key`")
        return self


class Edge(Strict):
    """The public door of each machine: Caddy."""

    image: Image = Field(description="Caddy, 2.6 or newer")
    tls: Literal["off", "internal", "acme"] = Field(
        default="acme",
        description="acme: public certificates; internal: an authority of its own; off: plain HTTP",
    )
    http_port: Port = Field(default=80, description="for plain HTTP; with TLS it only leads to the other one")
    https_port: Port = Field(default=443, description="for HTTPS; unused with `tls: off`")
    bind: BindAddress = Field(
        default="127.0.0.1", description="the address that publishes the ports; 0.0.0.0 for everybody"
    )
    memory_mib: Mebibytes = Field(default=256, description="limit of memory, without swap")
    cpus: Cpus = Field(default=1.0, description="limit of processor time, in processors")


class DatabaseDefaults(Strict):
    """The PostgreSQL of every service that does not say otherwise."""

    image: Image | None = Field(
        default=None, description="PostgreSQL from 12 on; its tag begins with the version"
    )
    memory_mib: Mebibytes = Field(default=512, description="limit of memory, without swap")
    cpus: Cpus = Field(default=1.0, description="limit of processor time, in processors")


class Database(Strict):
    """What differs from `ronron:database` for one service."""

    image: Image | None = Field(default=None, description="without it that of `ronron:database`")
    memory_mib: Mebibytes | None = Field(default=None, description="likewise")
    cpus: Cpus | None = Field(default=None, description="likewise")


class DatabaseVariables(Strict):
    """The environment variables that tell a container where its database is."""

    host: Variable | None = Field(default=None, description="of the database")
    port: Variable | None = Field(default=None, description="of the database")
    name: Variable | None = Field(default=None, description="of the database")
    user: Variable | None = Field(default=None, description="of the database")
    password: Variable | None = Field(default=None, description="of that user; a secret")
    url: Variable | None = Field(default=None, description="all of these as `postgres://...`; a secret")


class ContainerDatabase(Database):
    """A PostgreSQL for a service that is not in the catalogue."""

    variables: DatabaseVariables = Field(
        default=DatabaseVariables(
            host="DATABASE_HOST",
            port="DATABASE_PORT",
            name="DATABASE_NAME",
            user="DATABASE_USER",
            password="DATABASE_PASSWORD",  # noqa: S106  # the name of a variable
            url="DATABASE_URL",
        ),
        description="the variables that tell the service: `host`, `port`, `name`, `user`, `password`, "
        "`url`; only those that are named are set",
    )


class BasicMembers(Strict):
    """One shared login; its password is the secret `ronron:members-password`."""

    user: Login = Field(description="the login that all members share")


class ForwardMembers(Strict):
    """Another service is asked about each request."""

    url: VerifyUrl = Field(description="asked with the headers of each request; 2xx lets it pass")
    copy_headers: tuple[Header, ...] = Field(
        default=(), description="headers of its answer, passed to the service"
    )


class Members(Strict):
    """Who may enter a service that is `members_only`."""

    basic: BasicMembers | None = Field(default=None, description="one shared login")
    forward_auth: ForwardMembers | None = Field(default=None, description="or: another service is asked")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.basic is None) == (self.forward_auth is None):
            refuse("members enter by exactly one of `basic` and `forward_auth`", "keep one of the two")
        return self


class Probe(Strict):
    """How to see from outside that a service does its work; the catalogue has a default for each kind."""

    path: UrlPath | None = Field(default=None, description="below the public address")
    status: Statuses | None = Field(default=None, description="the status of a healthy answer, or several")
    contains: Line | None = Field(default=None, description="text that the answer must hold")


class _Service(Strict):
    machine: Name = Field(description="a key of ronron:machines")
    hostname: Hostname | None = Field(
        default=None, description="public name; without one nobody outside gets in"
    )
    image: Image = Field(description="`repository:tag`; outside `local` stacks with `@sha256:digest`")
    members_only: bool = Field(default=False, description="the edge lets in only who ronron:members says")
    environment: dict[Variable, Text] = Field(
        default_factory=dict,
        description="plain variables; secret ones are keys `ronron:<service>-secret-<NAME>`",
    )
    memory_mib: Mebibytes = Field(default=512, description="limit of memory, without swap")
    cpus: Cpus = Field(default=1.0, description="limit of processor time, in processors")
    database: Database | None = Field(default=None, description="what differs from `ronron:database`")
    probe: Probe = Field(default=Probe(), description="how to see from outside that it works")
    backup: bool = Field(default=True, description="false takes it out of `ronron:backup`")
    snapshot_before_update: bool = Field(
        default=True,
        description="false lets it be changed without a snapshot; to mend a service that cannot be backed up",
    )


class EtherpadService(_Service):
    """Pads."""

    kind: Literal["etherpad"] = Field(description="`etherpad`")
    hostname: Hostname = Field(description="public name")
    memory_mib: Mebibytes = Field(default=1024, description="limit of memory, without swap")
    title: Line = Field(default="Etherpad", description="the title of the pages")
    default_text: Page = Field(default="Welcome to this pad.", description="what a new pad holds")


class MattermostService(_Service):
    """Team chat."""

    kind: Literal["mattermost"] = Field(description="`mattermost`")
    hostname: Hostname = Field(description="public name")
    memory_mib: Mebibytes = Field(default=2048, description="limit of memory, without swap")


class KanboardService(_Service):
    """Task boards."""

    kind: Literal["kanboard"] = Field(description="`kanboard`")
    hostname: Hostname = Field(description="public name")


class ContainerService(_Service):
    """Anything that is not in the catalogue."""

    kind: Literal["container"] = Field(description="`container`")
    port: Port | None = Field(default=None, description="where it listens; needed with a hostname")
    command: tuple[Text, ...] = Field(default=(), description="program and arguments, instead of the image's")
    volumes: dict[Name, AbsolutePath] = Field(
        default_factory=dict, description="every path that must last, by name"
    )
    database: ContainerDatabase | None = Field(
        default=None, description="a PostgreSQL of its own; `{}` for one as `ronron:database` says"
    )
    sqlite: dict[Name, tuple[RelativePath, ...]] = Field(
        default_factory=dict,
        description="databases of SQLite, by volume, as paths inside it: snapshots hold a whole copy of each",
    )
    health: tuple[Text, ...] = Field(
        default=(), description="a test as in Docker: [CMD, program, argument...]"
    )
    user: RunAs | None = Field(default=None, description="user and group, instead of the image's")
    read_only: bool = Field(default=False, description="nothing but volumes and `tmpfs` can be written to")
    tmpfs: tuple[AbsolutePath, ...] = Field(
        default=(), description="paths in memory, lost with the container"
    )
    capabilities: tuple[Capability, ...] = Field(
        default=(), description="given back after all were taken away"
    )
    upload_mib: Annotated[int, Field(ge=1, le=65_536)] = Field(default=64, description="largest request body")
    start_seconds: Seconds = Field(default=120, description="how long it may take to become healthy")
    grace_seconds: Seconds = Field(default=30, description="how long it may take to stop")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.hostname is not None and self.port is None:
            refuse(
                "a service with a hostname needs the `port` it listens on", "add `port`, such as port: 8000"
            )
        if self.health and (self.health[0] not in ("CMD", "CMD-SHELL") or len(self.health) == 1):
            refuse(
                "`health` is not a test",
                'write it as in Docker, such as ["CMD", "wget", "-q", "-O-", "http://..."]',
            )
        for volume in self.sqlite:
            if volume not in self.volumes:
                refuse(
                    f"`sqlite` names the volume {volume!r}, which is not among `volumes`",
                    "write it as it is called there",
                )
        return self


Service = EtherpadService | MattermostService | KanboardService | ContainerService
KINDS: dict[str, type[Service]] = {
    "etherpad": EtherpadService,
    "mattermost": MattermostService,
    "kanboard": KanboardService,
    "container": ContainerService,
}


class Configuration(Strict):
    """All keys under `ronron:` that are not secrets."""

    collective: Collective = Field(description="who hosts all this")
    machines: Annotated[dict[Name, Machine], Field(min_length=1)] = Field(
        description="the hosts that run Docker, by name"
    )
    services: dict[Name, Annotated[Service, Field(discriminator="kind")]] = Field(
        description="what is hosted, by name"
    )
    proxmox: Proxmox | None = Field(
        default=None,
        description="the cluster that virtual machines are made on; needed when a machine is one",
    )
    edge: Edge | None = Field(
        default=None, description="the public door of each machine; needed when a service has a hostname"
    )
    database: DatabaseDefaults = Field(
        default=DatabaseDefaults(), description="the PostgreSQL of every service that does not say otherwise"
    )
    members: Members | None = Field(
        default=None, description="who may enter what is `members_only`; needed when something is"
    )
    backup: Backup | None = Field(
        default=None, description="where snapshots of every service go; without it there are none"
    )
