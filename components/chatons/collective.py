"""From a declaration to its resources, in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pulumi

from chatons import machines
from chatons.backup import agent_files
from chatons.backup import data_hook as backup_data_hook
from chatons.backup import hook as backup_hook
from chatons.declaration import secrets
from chatons.declaration.resolved import EDGE, Declaration, ResolvedService, resolve
from chatons.docker.host import DockerHost
from chatons.service.caddyfile import Route
from chatons.service.edge import Edge, EdgeArgs
from chatons.service.service import Service, ServiceArgs, ServiceBackup

SecretSource = Callable[[str], pulumi.Output[str]]
"""Gives the value of a secret, as a secret output, by its key without the namespace; `backup.<role>` for one
inside `ronron:backup`."""


def make(
    declaration: Declaration, secret: SecretSource, secret_keys: Mapping[str, object]
) -> Mapping[str, pulumi.Output[str]]:
    """Register the resources of a declaration: machines, then services, then edges.

    Edges depend only on the networks of their services, so that a service that does not start leaves the
    others reachable.

    Args:
        declaration: a checked one.
        secret: gives the values of secrets.
        secret_keys: the keys of all secrets, needed or not.

    Returns:
        The host keys of the virtual machines, by name.
    """
    hook = backup_hook.register(declaration)
    data_hook = backup_data_hook.register(declaration)
    built: dict[tuple[str, str], pulumi.Resource] = {}
    there = machines.make(declaration, secret)
    hosts = there.hosts
    made: dict[str, list[tuple[ResolvedService, Service]]] = {name: [] for name in hosts}
    for resolved in resolve(declaration):
        machine = resolved.declared.machine
        base = (machine, str(resolved.backup.base)) if resolved.backup else None
        backup = _backup(declaration, resolved, secret, hook, data_hook, built.get(base) if base else None)
        service = _service(declaration, resolved, hosts[machine], secret, secret_keys, backup)
        if base is not None and service.backup is not None:
            built[base] = service.backup.image
        made[machine].append((resolved, service))
    for machine, services in made.items():
        _edge(declaration, machine, hosts[machine], services, secret)
    return there.host_keys


def _service(
    declaration: Declaration,
    resolved: ResolvedService,
    host: DockerHost,
    secret: SecretSource,
    secret_keys: Mapping[str, object],
    backup: ServiceBackup | None,
) -> Service:
    name = resolved.name
    variables = secrets.secret_variables(name, secret_keys)
    return Service(
        name,
        ServiceArgs(
            resolved=resolved,
            secrets={role: secret(f"{name}-{role}") for role in resolved.roles},
            variables={variable: secret(key) for variable, key in variables.items()},
            labels=_labels(declaration),
            backup=backup,
            held=name in declaration.held,
        ),
        opts=pulumi.ResourceOptions(providers={"docker": host.provider}),
    )


def _backup(
    declaration: Declaration,
    resolved: ResolvedService,
    secret: SecretSource,
    hook: pulumi.ResourceHook,
    data_hook: pulumi.ResourceHook,
    built_before: pulumi.Resource | None,
) -> ServiceBackup | None:
    backup = resolved.backup
    if backup is None:
        return None
    return ServiceBackup(
        document=agent_files.document(declaration, resolved, backup),
        secrets={
            role: secret(secrets.backup_key(role))
            for role in secrets.BACKUP_ROLES
            if getattr(backup.declared, role) is not None
        },
        hook=hook,
        data_hook=data_hook,
        built_before=built_before,
    )


def _edge(
    declaration: Declaration,
    machine: str,
    host: DockerHost,
    services: list[tuple[ResolvedService, Service]],
    secret: SecretSource,
) -> None:
    public = [(resolved, service) for resolved, service in services if resolved.url is not None]
    if declaration.edge is None or not public:
        return
    shared_login = secrets.members_password_needed(declaration)
    closed = any(resolved.declared.members_only for resolved, _ in public)
    Edge(
        f"{EDGE}-{machine}",
        EdgeArgs(
            declared=declaration.edge,
            collective=declaration.collective,
            routes=[_route(resolved) for resolved, _ in public],
            networks=[service.network for _, service in public],
            members=declaration.members,
            members_password=secret(secrets.MEMBERS_PASSWORD) if shared_login and closed else None,
            name=declaration.name(EDGE),
            labels=_labels(declaration),
        ),
        opts=pulumi.ResourceOptions(providers={"docker": host.provider}),
    )


def _route(resolved: ResolvedService) -> Route:
    hostname, port = resolved.declared.hostname, resolved.description.port
    if hostname is None or port is None:
        raise ValueError(f"{resolved.name} has no hostname or port, which the declaration refuses")
    return Route(
        hostname=hostname,
        upstream=f"{resolved.container}:{port}",
        members_only=resolved.declared.members_only,
        open_paths=resolved.open_paths,
        upload_mib=resolved.description.upload_mib,
    )


def _labels(declaration: Declaration) -> dict[str, str]:
    return {"ronron.project": declaration.project, "ronron.stack": declaration.stack}
