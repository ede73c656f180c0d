"""Rules about more than one key of a declaration; each is a function that yields problems."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from dataclasses import replace

from chatons import catalogue
from chatons.declaration import machine_rules
from chatons.declaration.resolved import (
    BACKUP,
    EDGE,
    Declaration,
    agent_base,
    base_path,
    container_names,
    database_image,
    describe,
    is_backed_up,
    volume_names,
)
from chatons.schema.backup_values import RECONCILER
from chatons.schema.image_reference import LOCAL_REPOSITORIES, ImageReference
from chatons.schema.problems import KeyPath, Problem, unknown

_OLDEST_POSTGRESQL = 12
"""Older official images get no fixes any more, and no kind in the catalogue supports them."""

_LONGEST_HOSTNAME = 63
"""Characters of one label. Source: RFC 1035, 2.3.4; Linux allows 64."""

_PRIVATE_DOMAINS = ("localhost", "local", "internal", "test", "invalid")
"""Top-level domains that no public authority certifies. Source: RFC 6761, RFC 6762, ICANN 2024.07.29.06."""


def broken(declaration: Declaration, *, complete: bool) -> Iterator[Problem]:
    """Every problem that a rule finds in a declaration.

    Args:
        declaration: what could be read.
        complete: False when a part could not be read; rules about absent keys are then skipped, as the keys
            may be in that part.
    """
    for rule in _RULES:
        yield from rule(declaration)
    if complete:
        for rule in _RULES_ABOUT_ABSENCE:
            yield from rule(declaration)


def images(declaration: Declaration) -> Iterator[tuple[KeyPath, ImageReference]]:
    """Every declared image, with its path."""
    if declaration.edge is not None:
        yield ("edge", "image"), declaration.edge.image
    if declaration.database.image is not None:
        yield ("database", "image"), declaration.database.image
    if declaration.backup is not None and declaration.backup.image is not None:
        yield ("backup", "image"), declaration.backup.image
    for name, service in declaration.services.items():
        yield ("services", name, "image"), service.image
        if service.database is not None and service.database.image is not None:
            yield ("services", name, "database", "image"), service.database.image


def is_local(stack: str) -> bool:
    """Whether a stack is for the user's own machine, where images need no digest: `local`, `local-...`."""
    return stack == "local" or stack.startswith("local-")


def _unique_hostnames(declaration: Declaration) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for name, service in declaration.services.items():
        if service.hostname is None:
            continue
        first = seen.setdefault(service.hostname, name)
        if first != name:
            yield Problem(
                path=("services", name, "hostname"),
                problem=f"{service.hostname!r} already belongs to {first}",
                remedy="choose a different hostname for each service",
            )


def _unique_names(declaration: Declaration) -> Iterator[Problem]:
    taken: dict[tuple[str, str], str] = {("container", declaration.name(EDGE)): "the edge"}
    taken |= {("volume", declaration.name(EDGE, role)): "the edge" for role in ("certificates", "settings")}
    for name in declaration.services:
        things = [("container", physical) for physical in container_names(declaration, name)]
        things += [("volume", physical) for physical in volume_names(declaration, name)]
        for thing in things:
            owner = taken.setdefault(thing, name) if thing not in taken else taken[thing]
            if owner != name or things.count(thing) > 1:
                yield Problem(
                    path=("services", name),
                    problem=f"its {thing[0]} would be called {thing[1]}, as one of {owner}",
                    remedy="choose another name for the service or for its volume",
                )
                break


def _unique_machines(declaration: Declaration) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for name, machine in declaration.machines.items():
        if machine.docker is not None and seen.setdefault(machine.docker, name) != name:
            yield Problem(
                path=("machines", name, "docker"),
                problem=f"this is the Docker of {seen[machine.docker]}, and two edges cannot share its ports",
                remedy="declare each Docker once",
            )


def _different_ports(declaration: Declaration) -> Iterator[Problem]:
    edge = declaration.edge
    if edge is not None and edge.tls != "off" and edge.http_port == edge.https_port:
        yield Problem(
            path=("edge", "https_port"),
            problem=f"port {edge.https_port} is already the port of plain HTTP on {edge.bind}",
            remedy="choose another port",
        )


def _of_the_kind(declaration: Declaration) -> Iterator[Problem]:
    for name, service in declaration.services.items():
        for problem in catalogue.kind_of(service).problems(service):
            yield replace(problem, path=("services", name, *problem.path))


def _free_variables(declaration: Declaration) -> Iterator[Problem]:
    for name, service in declaration.services.items():
        reserved = describe(declaration, name).reserved
        for variable in service.environment:
            if variable in reserved:
                yield Problem(
                    path=("services", name, "environment", variable),
                    problem=f"the catalogue sets this variable for {service.kind}",
                    remedy="remove it; settings that may be changed have keys of their own",
                )


def _pinned_images(declaration: Declaration) -> Iterator[Problem]:
    if is_local(declaration.stack):
        return
    for path, image in images(declaration):
        if image.is_local:
            yield Problem(
                path=path,
                problem=f"images under {LOCAL_REPOSITORIES} exist only on the machine that built them",
                remedy="use an image of a registry, with its digest",
            )
        elif image.digest is None:
            yield Problem(
                path=path,
                problem=f"{str(image)!r} has no digest: its registry could deliver another image later",
                remedy=f"run ronron pin {declaration.stack}: it asks the registry, and writes the digest",
            )


def _readable_database_versions(declaration: Declaration) -> Iterator[Problem]:
    for path, image in images(declaration):
        is_database = path[0] == "database" or "database" in path[2:]
        if is_database and (not image.numbers or image.numbers[0] < _OLDEST_POSTGRESQL):
            yield Problem(
                path=path,
                problem=f"{image.tag!r} is not a version of PostgreSQL from {_OLDEST_POSTGRESQL} on",
                remedy="use a tag that begins with it, such as postgres:15.14",
            )


def _certifiable(declaration: Declaration) -> Iterator[Problem]:
    edge = declaration.edge
    if edge is None or edge.tls != "acme":
        return
    for name, service in declaration.services.items():
        if service.hostname is not None and service.hostname.rsplit(".", 1)[1] in _PRIVATE_DOMAINS:
            yield Problem(
                path=("services", name, "hostname"),
                problem=f"no public authority certifies {service.hostname!r}",
                remedy="use a public name, or set ronron:edge.tls to `internal` or `off`",
            )
    if ipaddress.ip_address(edge.bind).is_loopback:
        yield Problem(
            path=("edge", "bind"),
            problem=f"a public certificate authority cannot reach {edge.bind}",
            remedy="set `bind` to 0.0.0.0 or to the public address, or set `tls` to `internal` or `off`",
        )
    elif edge.http_port != 80 and edge.https_port != 443:
        yield Problem(
            path=("edge", "http_port"),
            problem="a certificate authority connects to port 80 or 443, and the edge listens on neither",
            remedy="set `http_port` to 80 or `https_port` to 443",
        )


def _known_machines(declaration: Declaration) -> Iterator[Problem]:
    for name, service in declaration.services.items():
        if service.machine not in declaration.machines:
            yield unknown("machine", service.machine, declaration.machines, ("services", name, "machine"))


def _edge_for_hostnames(declaration: Declaration) -> Iterator[Problem]:
    public = [name for name, service in declaration.services.items() if service.hostname is not None]
    if public and declaration.edge is None:
        yield Problem(
            path=("edge",),
            problem=f"{public[0]} has a hostname, and no edge is declared to serve it",
            remedy="add `ronron:edge` with the image of Caddy",
        )


def _members_for_members_only(declaration: Declaration) -> Iterator[Problem]:
    closed = [name for name, service in declaration.services.items() if service.members_only]
    if closed and declaration.members is None:
        yield Problem(
            path=("members",),
            problem=f"{closed[0]} is for members only, and nothing says who the members are",
            remedy="add `ronron:members` with `basic: {user: ...}` or `forward_auth: {url: ...}`",
        )


def _database_images(declaration: Declaration) -> Iterator[Problem]:
    for name, service in declaration.services.items():
        if service.has_database and database_image(declaration, name) is None:
            yield Problem(
                path=("database", "image"),
                problem=f"{name} needs a PostgreSQL, and no image is declared",
                remedy="add `ronron:database` with an image such as postgres:15.14",
            )
            return


def _agents_on_debian(declaration: Declaration) -> Iterator[Problem]:
    for name in declaration.services:
        base = agent_base(declaration, name) if is_backed_up(declaration, name) else None
        if base is not None and "alpine" in (base.tag or ""):
            yield Problem(
                path=base_path(declaration, name),
                problem=f"the backup agent of {name} would be built from {str(base)!r}, and it needs Debian "
                "packages",
                remedy="use that version without -alpine, such as postgres:15.14; move existing data by a "
                "dump",
            )


def _short_hostnames_of_agents(declaration: Declaration) -> Iterator[Problem]:
    for name in declaration.services:
        hostname = declaration.name(name, BACKUP)
        if is_backed_up(declaration, name) and len(hostname) > _LONGEST_HOSTNAME:
            yield Problem(
                path=("services", name),
                problem=f"the hostname of its backup agent, {hostname}, is longer than {_LONGEST_HOSTNAME} "
                "characters",
                remedy="choose a shorter name for the service, the stack or the project",
            )


def _free_part_of_the_repository(declaration: Declaration) -> Iterator[Problem]:
    if RECONCILER in declaration.services and is_backed_up(declaration, RECONCILER):
        yield Problem(
            path=("services", RECONCILER),
            problem=f"the reconciler stores its own snapshots under this name: {RECONCILER}",
            remedy="choose another name for the service, or set `backup: false` for it",
        )


def _agent_images(declaration: Declaration) -> Iterator[Problem]:
    for name in declaration.services:
        if is_backed_up(declaration, name) and agent_base(declaration, name) is None:
            yield Problem(
                path=("backup", "image"),
                problem=f"{name} has no database whose image its backup agent could be built from",
                remedy="add `image`, a PostgreSQL on Debian such as postgres:15.14, or set `backup: false`",
            )
            return


_RULES: tuple[Callable[[Declaration], Iterator[Problem]], ...] = (
    _unique_hostnames,
    _unique_names,
    _unique_machines,
    _different_ports,
    _of_the_kind,
    _free_variables,
    _pinned_images,
    _readable_database_versions,
    _certifiable,
    _agents_on_debian,
    _short_hostnames_of_agents,
    _free_part_of_the_repository,
    *machine_rules.RULES,
)
_RULES_ABOUT_ABSENCE: tuple[Callable[[Declaration], Iterator[Problem]], ...] = (
    _known_machines,
    *machine_rules.RULES_ABOUT_ABSENCE,
    _edge_for_hostnames,
    _members_for_members_only,
    _database_images,
    _agent_images,
)
