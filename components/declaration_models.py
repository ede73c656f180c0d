"""What a stack may declare: the shape of every key, its default and its meaning.

Rules that need more than one key are in `declaration_rules`.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from components.declared_values import (
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
    Schedule,
    Seconds,
    SecretHere,
    Statuses,
    Strict,
    Text,
    UrlPath,
    Variable,
    VerifyUrl,
    refuse,
)


class Collective(Strict):
    """Who hosts all this."""

    name: Line = Field(description="what people call the collective")
    domain: Hostname = Field(description="its main domain")
    contact: Mailbox = Field(description="a mailbox that somebody reads; certificate authorities write to it")
    country: Country = Field(description="ISO 3166 code, such as FR")


class VirtualMachineImage(Strict):
    """The disk image that a virtual machine starts from."""

    url: Line
    checksum: Line


class VirtualMachine(Strict):
    """A virtual machine on Proxmox. Validated; this version cannot make one yet."""

    node: Name
    vm_id: Annotated[int, Field(ge=100, le=999_999_999)]
    cores: Annotated[int, Field(ge=1, le=512)]
    memory_mib: Mebibytes
    disk_gib: Annotated[int, Field(ge=1, le=65_536)]
    datastore: Line
    bridge: Line
    address: Line
    gateway: Line
    image: VirtualMachineImage


class Machine(Strict):
    """A host that runs Docker."""

    docker: DockerAddress | None = Field(
        default=None, description="unix:///var/run/docker.sock or ssh://user@host; tcp:// is refused"
    )
    host_key: HostKey | None = Field(
        default=None, description="public key of the ssh host; needed with ssh://"
    )
    proxmox: VirtualMachine | None = None

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
        if self.host_key is not None and not (self.docker or "").startswith("ssh://"):
            refuse("`host_key` has no meaning without ssh://", "remove `host_key`")
        return self


class Edge(Strict):
    """The public door of each machine: Caddy."""

    image: Image
    tls: Literal["off", "internal", "acme"] = Field(
        default="acme",
        description="acme: public certificates; internal: an authority of its own; off: plain HTTP",
    )
    http_port: Port = 80
    https_port: Port = 443
    bind: BindAddress = Field(default="127.0.0.1", description="the address that publishes the ports")
    memory_mib: Mebibytes = 256
    cpus: Cpus = 1.0


class DatabaseDefaults(Strict):
    """The PostgreSQL of every service that does not say otherwise."""

    image: Image | None = None
    memory_mib: Mebibytes = 512
    cpus: Cpus = 1.0


class Database(Strict):
    """What differs from `ronron:database` for one service."""

    image: Image | None = None
    memory_mib: Mebibytes | None = None
    cpus: Cpus | None = None


class DatabaseVariables(Strict):
    """The environment variables that tell a container where its database is."""

    host: Variable | None = None
    port: Variable | None = None
    name: Variable | None = None
    user: Variable | None = None
    password: Variable | None = None
    url: Variable | None = None


class ContainerDatabase(Database):
    """A PostgreSQL for a service that is not in the catalogue."""

    variables: DatabaseVariables = DatabaseVariables(
        host="DATABASE_HOST",
        port="DATABASE_PORT",
        name="DATABASE_NAME",
        user="DATABASE_USER",
        password="DATABASE_PASSWORD",  # noqa: S106  # the name of a variable
        url="DATABASE_URL",
    )


class BasicMembers(Strict):
    """One shared login; its password is the secret `ronron:members-password`."""

    user: Login


class ForwardMembers(Strict):
    """Another service is asked about each request."""

    url: VerifyUrl
    copy_headers: tuple[Header, ...] = Field(
        default=(), description="headers of its answer, passed to the service"
    )


class Members(Strict):
    """Who may enter a service that is `members_only`."""

    basic: BasicMembers | None = None
    forward_auth: ForwardMembers | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.basic is None) == (self.forward_auth is None):
            refuse("members enter by exactly one of `basic` and `forward_auth`", "keep one of the two")
        return self


class Probe(Strict):
    """How to see from outside that a service does its work; the catalogue has a default for each kind."""

    path: UrlPath | None = None
    status: Statuses | None = None
    contains: Line | None = Field(default=None, description="text that the answer must hold")


class _Service(Strict):
    machine: Name = Field(description="a key of ronron:machines")
    hostname: Hostname | None = Field(
        default=None, description="public name; without one nobody outside gets in"
    )
    image: Image
    members_only: bool = Field(default=False, description="the edge lets in only who ronron:members says")
    environment: dict[Variable, Text] = Field(
        default_factory=dict,
        description="plain variables; secret ones are keys ronron:<service>-secret-<NAME>",
    )
    memory_mib: Mebibytes = 512
    cpus: Cpus = 1.0
    database: Database | None = None
    probe: Probe = Probe()


class EtherpadService(_Service):
    """Pads."""

    kind: Literal["etherpad"]
    hostname: Hostname
    memory_mib: Mebibytes = 1024
    title: Line = Field(default="Etherpad", description="the title of the pages")
    default_text: Page = Field(default="Welcome to this pad.", description="what a new pad holds")


class MattermostService(_Service):
    """Team chat."""

    kind: Literal["mattermost"]
    hostname: Hostname
    memory_mib: Mebibytes = 2048


class KanboardService(_Service):
    """Task boards."""

    kind: Literal["kanboard"]
    hostname: Hostname


class ContainerService(_Service):
    """Anything that is not in the catalogue."""

    kind: Literal["container"]
    port: Port | None = Field(default=None, description="where it listens; needed with a hostname")
    command: tuple[Text, ...] = ()
    volumes: dict[Name, AbsolutePath] = Field(
        default_factory=dict, description="every path that must last, by name"
    )
    database: ContainerDatabase | None = None
    health: tuple[Text, ...] = Field(
        default=(), description="a test as in Docker: [CMD, program, argument...]"
    )
    user: RunAs | None = None
    read_only: bool = False
    tmpfs: tuple[AbsolutePath, ...] = ()
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
        return self


Service = EtherpadService | MattermostService | KanboardService | ContainerService
KINDS: dict[str, type[Service]] = {
    "etherpad": EtherpadService,
    "mattermost": MattermostService,
    "kanboard": KanboardService,
    "container": ContainerService,
}


class Keep(Strict):
    """How many snapshots stay."""

    daily: Annotated[int, Field(ge=0, le=366)] = 7
    weekly: Annotated[int, Field(ge=0, le=260)] = 4
    monthly: Annotated[int, Field(ge=0, le=240)] = 6


class Backup(Strict):
    """Where snapshots go. Validated; this version does not make them yet."""

    repository: Line
    schedule: Schedule = Field(description="five fields as in cron")
    keep: Keep = Keep()
    drill: Literal["daily", "weekly", "monthly"] = "weekly"
    password: SecretHere


class Configuration(Strict):
    """All keys under `ronron:` that are not secrets."""

    collective: Collective
    machines: Annotated[dict[Name, Machine], Field(min_length=1)]
    services: dict[Name, Annotated[Service, Field(discriminator="kind")]]
    edge: Edge | None = None
    database: DatabaseDefaults = DatabaseDefaults()
    members: Members | None = None
    backup: Backup | None = None
