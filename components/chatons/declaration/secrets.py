"""The secrets that a declaration needs: their keys, and which values are accepted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import SecretStr

from chatons import catalogue
from chatons.catalogue.description import ADMIN_PASSWORD, DATABASE_PASSWORD
from chatons.declaration.resolved import Declaration, describe
from chatons.schema.by_hand import pulumi_command
from chatons.schema.problems import NAMESPACE, Problem

BACKUP_PASSWORD = "password"  # noqa: S105 - the name of a key
"""Inside `ronron:backup`."""
MEMBERS_PASSWORD = "members-password"  # noqa: S105  # the name of a key
PROXMOX_TOKEN = "proxmox-token"  # noqa: S105  # the name of a key
PROXMOX_PBS_PASSWORD = "proxmox-pbs-password"  # noqa: S105  # the name of a key
ROLES: Mapping[str, str] = {
    DATABASE_PASSWORD: "password of the service's PostgreSQL: 12 to 128 letters, digits, dots, dashes, "
    "underscores or tildes",
    **{role: meaning for kind in catalogue.kinds().values() for role, meaning in kind.secrets.items()},
}
"""What each secret of a service is, by its role. Its key is `<service>-<role>`."""

COMMON: Mapping[str, str] = {
    MEMBERS_PASSWORD: "password that all members share, with `members.basic`: 12 to 72 bytes",
    PROXMOX_TOKEN: "token of an API user, with a machine on Proxmox VE: `user@realm!name=secret`",
    PROXMOX_PBS_PASSWORD: "password of `proxmox.backups.pbs.username`, or the secret of its token",
}
"""What each secret is that belongs to no service, by its key."""

BACKUP_ROLES = {
    "password": "the password of the backup repository",
    "login": "the login at the backup repository, `user:password` or `key:secret`",
    "ssh_key": "the private ssh key for the backup repository",
}
"""What each secret inside `ronron:backup` is, by its key there."""

_BCRYPT_LIMIT = 72
"""Bytes. bcrypt ignores further ones, and Caddy refuses longer passwords."""
_DATABASE_PASSWORD = re.compile(r"(?!0[xX])(?=.*[A-Za-z].*[A-Za-z])[A-Za-z0-9._~-]{12,128}", re.ASCII)
_OF_A_SERVICE = re.compile(
    rf"[a-z](?:[a-z0-9-]{{0,28}}[a-z0-9])?-(?:{'|'.join(sorted(ROLES))}|secret-[A-Za-z_][A-Za-z0-9_]*)",
    re.ASCII,
)
_TOKEN = re.compile(
    r"[^\s:/@!=]+@[A-Za-z][\w.-]+![A-Za-z][\w.-]+=[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    re.ASCII,
)
"""Source: Proxmox VE, PVE::AccessControl, and its administration guide, API Tokens."""


@dataclass(frozen=True, kw_only=True)
class SecretKey:
    """One secret.

    Attributes:
        key: without the namespace.
        purpose: what it is.
        service: the service that it belongs to, and whose secret may be any random text that `unfit` accepts;
            None for one that belongs to no service, and that only a person knows.
    """

    key: str
    purpose: str
    service: str | None = None


def command(stack: str, key: str) -> str:
    """The command that sets a secret."""
    return pulumi_command(f"config set --secret {NAMESPACE}:{key}", stack=stack)


def backup_command(stack: str, role: str) -> str:
    """The command that sets a secret inside `ronron:backup`."""
    given = " < KEYFILE" if role == "ssh_key" else ""
    return pulumi_command(f"config set --secret --path '{NAMESPACE}:backup.{role}'{given}", stack=stack)


def backup_key(role: str) -> str:
    """The key by which the value of a secret inside `ronron:backup` is requested."""
    return f"backup.{role}"


def backup_roles(declaration: Declaration) -> list[str]:
    """The secrets inside `ronron:backup` that the declaration needs, in order."""
    if declaration.backup is None:
        return []
    more = {"sftp": ["ssh_key"], "s3": ["login"]}.get(declaration.backup.repository.way, [])
    return [BACKUP_PASSWORD, *more]


def required(declaration: Declaration) -> Iterator[SecretKey]:
    """Every secret that the declaration needs, in order of key."""
    if members_password_needed(declaration):
        yield SecretKey(key=MEMBERS_PASSWORD, purpose="the shared password of the members")
    cluster = declaration.proxmox
    if cluster is not None and any(machine.proxmox for machine in declaration.machines.values()):
        if cluster.backups is not None and cluster.backups.pbs is not None:
            pbs = cluster.backups.pbs
            yield SecretKey(
                key=PROXMOX_PBS_PASSWORD, purpose=f"the password of {pbs.username} on {pbs.server}"
            )
        yield SecretKey(key=PROXMOX_TOKEN, purpose=f"the token of an API user of {cluster.endpoint}")
    for name in sorted(declaration.services):
        roles = set(describe(declaration, name).roles)
        if declaration.services[name].has_database:
            roles.add(DATABASE_PASSWORD)
        for role in sorted(roles):
            yield SecretKey(key=f"{name}-{role}", purpose=f"{role.replace('-', ' ')} of {name}", service=name)


def members_password_needed(declaration: Declaration) -> bool:
    """Whether a service uses the shared login of the members."""
    basic = declaration.members is not None and declaration.members.basic is not None
    return basic and any(service.members_only for service in declaration.services.values())


def secret_variables(service: str, keys: Mapping[str, object]) -> dict[str, str]:
    """The secret environment variables of a service: key of the secret by name of the variable."""
    prefix = f"{service}-secret-"
    return {key.removeprefix(prefix): key for key in sorted(keys) if key.startswith(prefix)}


def is_secret_key(key: str, services: Mapping[str, object]) -> bool:
    """Whether a key has the form of a secret, needed or not: a common one, or one of a service."""
    return key in COMMON or any(
        key in {f"{name}-{role}" for role in ROLES} or key.startswith(f"{name}-secret-") for name in services
    )


def is_retained(key: str) -> bool:
    """Whether a key has the form of a secret of any service.

    The secrets of a service that was removed stay in the stack file: its data stays on the machine, and a
    database can be opened with its password alone.
    """
    return _OF_A_SERVICE.fullmatch(key) is not None


def unfit(key: str, secret: SecretStr, stack: str) -> Problem | None:
    """The problem of the value of a secret; does not contain the value."""
    value = secret.get_secret_value()
    free = "-secret-" in key  # an environment variable of the user: keys in PEM have line breaks
    if not value or "\0" in value or not (free or value.isprintable()):
        return Problem(
            path=(key,),
            problem="this secret is empty or contains line breaks or control characters",
            remedy=f"set it again: {command(stack, key)}",
        )
    if key.endswith(f"-{ADMIN_PASSWORD}") and (len(value) < 8 or not re.search("[A-Za-z].*[A-Za-z]", value)):
        return Problem(
            path=(key,),
            problem="an administrator's password needs 8 characters or more, at least two of them letters",
            remedy=f"choose a longer one: {command(stack, key)}",
        )
    if key == PROXMOX_TOKEN and not _TOKEN.fullmatch(value):
        return Problem(
            path=(key,),
            problem="this is not a token of Proxmox VE, which has the form user@realm!name=secret",
            remedy=f"join token ID and secret, such as ronron@pve!ronron=UUID: {command(stack, key)}",
        )
    if key == MEMBERS_PASSWORD and not 12 <= len(value.encode()) <= _BCRYPT_LIMIT:
        return Problem(
            path=(key,),
            problem=f"the members' password must have 12 to {_BCRYPT_LIMIT} bytes",
            remedy=f"choose another one: {command(stack, key)}",
        )
    if key.endswith(f"-{DATABASE_PASSWORD}") and not _DATABASE_PASSWORD.fullmatch(value):
        # It is part of URLs, and Etherpad reads what looks like a number as a number.
        return Problem(
            path=(key,),
            problem="a database password needs 12 to 128 letters, digits, dots, dashes, underscores or "
            "tildes, "
            "at least two of them letters",
            remedy=f"make one: openssl rand -hex 24 | {command(stack, key)}",
        )
    return None


def unfit_for_backup(role: str, secret: SecretStr, stack: str) -> Problem | None:
    """The problem of the value of a secret inside `ronron:backup`; does not contain the value."""
    value = secret.get_secret_value().strip("\n")
    if role == "ssh_key":
        wrong = None if "PRIVATE KEY" in value else "this is not a private ssh key"
    elif not value or not value.isprintable():
        wrong = "this secret is empty or contains line breaks or control characters"
    elif role == "login" and not re.fullmatch(r"[^:]+:.+", value):
        wrong = "this is not a login, which has the form user:password or key:secret"
    else:
        wrong = None
    if wrong is None:
        return None
    return Problem(
        path=("backup", role), problem=wrong, remedy=f"set it again: {backup_command(stack, role)}"
    )
