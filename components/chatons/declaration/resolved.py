"""The resolved declaration: every default filled in, and every physical name.

Names of containers, networks and volumes are public: people and backups use them. They have the form
`<project>-<stack>-<service>[-<role>]` and do not depend on other values of the declaration.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from chatons import catalogue
from chatons.catalogue.description import DATABASE_PASSWORD, Context, DatabaseAddress, Description
from chatons.schema.backup_values import INSIDE, RECONCILER, RECONCILER_INSIDE, Repository
from chatons.schema.image_reference import ImageReference
from chatons.schema.models import (
    Backup,
    Collective,
    DatabaseDefaults,
    Edge,
    Machine,
    Members,
    Proxmox,
    Service,
)

BACKUP = "backup"
EDGE = "edge"
DATABASE = "database"
SERVICE_TYPE = "chatons:index:Service"
"""The type token of the component of one service."""

_HTTP, _HTTPS = 80, 443


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """The checked declaration of one stack; `declaration.load` returns it."""

    project: str
    stack: str
    collective: Collective
    machines: dict[str, Machine]
    services: dict[str, Service]
    proxmox: Proxmox | None
    edge: Edge | None
    database: DatabaseDefaults
    members: Members | None
    backup: Backup | None
    known_keys: Mapping[str, str] = field(default_factory=dict)
    """Host keys that virtual machines showed on first contact, from the last exported inventory."""
    held: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names of the lost volumes by service: the containers of these services are not created."""
    accepted: frozenset[str] = frozenset()
    """Services whose data a person accepted although they were recreated."""
    present: frozenset[str] = frozenset()
    """Services whose container exists already."""

    def reachable(self, machine: str) -> Machine:
        """A machine with its host key, declared or known from first contact, which a connection needs."""
        declared, known = self.machines[machine], self.known_keys.get(machine)
        if declared.host_key is not None or known is None or declared.proxmox is None:
            return declared
        return declared.model_copy(update={"host_key": known})

    def name(self, *parts: str) -> str:
        """The physical name of a container, network or volume of this stack."""
        return "-".join((self.project, self.stack, *parts))


@dataclass(frozen=True, kw_only=True)
class Volume:
    """A named volume and where it is mounted."""

    role: str
    name: str
    path: str
    holds: Literal["database", "files"]


@dataclass(frozen=True, kw_only=True)
class ResolvedDatabase:
    """The PostgreSQL of one service."""

    image: ImageReference
    major: int
    memory_mib: int
    cpus: float
    address: DatabaseAddress
    container: str
    volume: Volume


@dataclass(frozen=True, kw_only=True)
class ResolvedProbe:
    """A request to the public URL, and the answer of a healthy service."""

    url: str
    status: tuple[int, ...]
    contains: str | None


@dataclass(frozen=True, kw_only=True)
class ResolvedBackup:
    """The backups of one service.

    Attributes:
        declared: the settings that all services share.
        repository: the part of the repository for this service, as people write it.
        inside: the part of the repository for this service, as restic in the agent's container reads it.
        directories: directories of the machine that the agent writes to, by their path in its container.
        base: the image that the agent is built from.
        container: name of the agent's container.
        volume: name of the volume with the state of the agent.
        files: the volumes whose files are in each snapshot.
        sqlite: SQLite databases in these volumes, as paths in the agent's container.
        probe: a request inside the service's network, its URL without host; None when the service has no
            port.
    """

    declared: Backup
    repository: str
    inside: str
    directories: Mapping[str, str]
    base: ImageReference
    container: str
    volume: str
    files: tuple[Volume, ...]
    sqlite: tuple[str, ...]
    probe: ResolvedProbe | None


@dataclass(frozen=True, kw_only=True)
class ResolvedService:
    """One service with every default filled in.

    Attributes:
        backup: None when no snapshots are taken of it.
        open_paths: paths of a members-only service that the edge serves to everybody.
    """

    name: str
    declared: Service
    description: Description
    database: ResolvedDatabase | None
    container: str
    network: str
    volumes: tuple[Volume, ...]
    backup: ResolvedBackup | None
    url: str | None
    probe: ResolvedProbe | None
    open_paths: tuple[str, ...]

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles of the secrets that this service needs, sorted."""
        own = {DATABASE_PASSWORD} if self.database else set()
        return tuple(sorted(self.description.roles | own))


def vm_description(declaration: Declaration, machine: str) -> str:
    """The line in the description of a virtual machine that identifies it as this machine of this stack."""
    return f"Made by Ronron: {declaration.name(machine)}"


def public_url(edge: Edge | None, hostname: str | None) -> str | None:
    """The public URL of a hostname, without a slash at the end."""
    if edge is None or hostname is None:
        return None
    scheme, port, usual = (
        ("http", edge.http_port, _HTTP) if edge.tls == "off" else ("https", edge.https_port, _HTTPS)
    )
    return f"{scheme}://{hostname}" + ("" if port == usual else f":{port}")


def describe(declaration: Declaration, name: str) -> Description:
    """The catalogue's description of one declared service."""
    service = declaration.services[name]
    address = _address(name) if service.has_database else None
    url = public_url(declaration.edge, service.hostname)
    if url is None and service.hostname is not None:
        url = f"https://{service.hostname}"  # no edge is declared, which is refused elsewhere
    description: Description = catalogue.kind_of(service).describe(
        service, Context(url=url, database=address)
    )
    return description


def resolve(declaration: Declaration) -> Iterator[ResolvedService]:
    """Every service of a declaration, in order of name."""
    for name in sorted(declaration.services):
        yield _service(declaration, name)


def data_path(major: int) -> str:
    """The path at which the official image stores the data of a major version of PostgreSQL.

    Source: docker-library/postgres, pull request 1259: from 18 on PGDATA is a directory of the major version
    below /var/lib/postgresql, and a volume one level deeper would be left unused.
    """
    return "/var/lib/postgresql" if major >= 18 else "/var/lib/postgresql/data"


def database_image(declaration: Declaration, name: str) -> ImageReference | None:
    """The image of a service's PostgreSQL; None when none is declared."""
    own = declaration.services[name].database
    return own.image if own and own.image else declaration.database.image


def volume_names(declaration: Declaration, name: str) -> list[str]:
    """The physical names of all volumes of one service."""
    roles = [storage.name for storage in describe(declaration, name).storages]
    if declaration.services[name].has_database:
        roles.append(DATABASE)
    if is_backed_up(declaration, name):
        roles.append(BACKUP)
    return [declaration.name(name, role) for role in roles]


def container_names(declaration: Declaration, name: str) -> list[str]:
    """The physical names of all containers of one service."""
    roles: list[tuple[str, ...]] = [(name,)]
    if declaration.services[name].has_database:
        roles.append((name, DATABASE))
    if is_backed_up(declaration, name):
        roles.append((name, BACKUP))
    return [declaration.name(*parts) for parts in roles]


def is_backed_up(declaration: Declaration, name: str) -> bool:
    """Whether snapshots of a service are taken: it has data, and is not excluded."""
    service = declaration.services[name]
    if declaration.backup is None or not service.backup:
        return False
    return service.has_database or any(
        storage.in_snapshots for storage in describe(declaration, name).storages
    )


def agent_base(declaration: Declaration, name: str) -> ImageReference | None:
    """The image that the agent of a service is built from: that of its database, so that versions match."""
    if declaration.services[name].has_database:
        return database_image(declaration, name)
    return (
        declaration.backup.image
        if declaration.backup and declaration.backup.image
        else declaration.database.image
    )


def base_path(declaration: Declaration, name: str) -> tuple[str, ...]:
    """The path of the key that names the image which the agent of a service is built from."""
    service = declaration.services[name]
    if service.database is not None and service.database.image is not None:
        return ("services", name, "database", "image")
    if not service.has_database and declaration.backup is not None and declaration.backup.image is not None:
        return ("backup", "image")
    return ("database", "image")


def _address(name: str) -> DatabaseAddress:
    identifier = name.replace("-", "_")
    return DatabaseAddress(host=DATABASE, name=identifier, user=identifier)


def _service(declaration: Declaration, name: str) -> ResolvedService:
    service = declaration.services[name]
    description = describe(declaration, name)
    url = public_url(declaration.edge, service.hostname)
    probe, open_paths = _probe(declaration, service, description, url)
    volumes = tuple(
        Volume(role=s.name, name=declaration.name(name, s.name), path=s.path, holds="files")
        for s in description.storages
    )
    return ResolvedService(
        name=name,
        declared=service,
        description=description,
        database=_database(declaration, name) if service.has_database else None,
        container=declaration.name(name),
        network=declaration.name(name),
        volumes=volumes,
        backup=_backup(declaration, name, description, volumes),
        url=url,
        probe=probe,
        open_paths=open_paths,
    )


def _database(declaration: Declaration, name: str) -> ResolvedDatabase:
    image = database_image(declaration, name)
    if image is None:
        raise ValueError(f"{name} has no image of PostgreSQL, which the declaration's rules refuse")
    own, common = declaration.services[name].database, declaration.database
    major = image.numbers[0]
    volume = declaration.name(name, DATABASE)
    return ResolvedDatabase(
        image=image,
        major=major,
        memory_mib=own.memory_mib if own and own.memory_mib else common.memory_mib,
        cpus=own.cpus if own and own.cpus else common.cpus,
        address=_address(name),
        container=declaration.name(name, DATABASE),
        volume=Volume(role=DATABASE, name=volume, path=data_path(major), holds="database"),
    )


def _backup(
    declaration: Declaration, name: str, description: Description, volumes: tuple[Volume, ...]
) -> ResolvedBackup | None:
    declared, base = declaration.backup, agent_base(declaration, name)
    if declared is None or base is None or not is_backed_up(declaration, name):
        return None
    repository: Repository = declared.repository
    scope, service = declaration.name(), declaration.services[name]
    saved = {storage.name for storage in description.storages if storage.in_snapshots}
    asked = service.probe
    # Inside the network no login is needed, so a status declared for the closed public URL does not apply.
    status = description.probe.status if service.members_only else asked.status or description.probe.status
    answers = service.hostname is not None and description.port is not None
    return ResolvedBackup(
        declared=declared,
        repository=repository.part(scope, name),
        inside=repository.inside(scope, name),
        directories={
            INSIDE: repository.part(scope, name),
            RECONCILER_INSIDE: repository.part(scope, RECONCILER),
        }
        if repository.way == "local"
        else {},
        base=base,
        container=declaration.name(name, BACKUP),
        volume=declaration.name(name, BACKUP),
        files=tuple(volume for volume in volumes if volume.role in saved),
        sqlite=tuple(
            f"/data/{role}/{path}" for role, paths in sorted(description.sqlite.items()) for path in paths
        ),
        probe=ResolvedProbe(url=asked.path or description.probe.path, status=status, contains=asked.contains)
        if answers
        else None,
    )


def _probe(
    declaration: Declaration, service: Service, description: Description, url: str | None
) -> tuple[ResolvedProbe | None, tuple[str, ...]]:
    """The probe, and the paths that the edge must serve to everybody for it.

    A members-only service is probed at a path that reveals nothing, if its kind has one. Otherwise the
    request for a login is the healthy answer.
    """
    if url is None:
        return None, ()
    default, asked = description.probe, service.probe
    path = asked.path or default.path
    status = default.status
    open_paths: tuple[str, ...] = ()
    if service.members_only:
        if default.open and path == default.path:
            open_paths = (path,)
        else:
            basic = declaration.members is not None and declaration.members.basic is not None
            status = (401,) if basic else (200, 302, 303, 307, 401, 403)
    return ResolvedProbe(url=url + path, status=asked.status or status, contains=asked.contains), open_paths
