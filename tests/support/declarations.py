"""Declarations for tests: one that can be used, and one edit away from it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import SecretStr

from chatons.declaration.load import ENCRYPTED, Declaration, DeclarationError, StackConfiguration, load
from chatons.schema.problems import Problem

Document = dict[str, Any]
Edits = Mapping[Any, object]
"""New values by path."""

PASSWORD = "correct-horse-battery"
"""Fits every role."""
DIGEST = "@sha256:" + "1f" * 32
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
"""Of no machine: its key is the numbers from 0 to 31."""

EVERY_KIND: Document = {
    "collective": {
        "name": "A test", "domain": "test.example", "contact": "tech@test.example", "country": "FR",
    },
    "machines": {"here": {"docker": "unix:///var/run/docker.sock"}},
    "edge": {"image": "caddy:2.10.2", "tls": "off", "http_port": 8080, "bind": "127.0.0.1"},
    "database": {"image": "postgres:15.14"},
    "members": {"basic": {"user": "members"}},
    "services": {
        "pad": {
            "kind": "etherpad", "machine": "here", "hostname": "pad.test.example",
            "image": "etherpad/etherpad:3.3.1",
        },
        "team": {
            "kind": "mattermost", "machine": "here", "hostname": "team.test.example",
            "image": "mattermost/mattermost-team-edition:11.7.3",
        },
        "board": {
            "kind": "kanboard", "machine": "here", "hostname": "board.test.example",
            "image": "kanboard/kanboard:v1.2.53", "members_only": True,
        },
        "wiki": {
            "kind": "container", "machine": "here", "hostname": "wiki.test.example", "image": "wiki:1.0.0",
            "port": 8000, "volumes": {"pages": "/srv/pages"}, "database": {},
            "health": ["CMD", "true"], "user": "1000:1000", "read_only": True, "tmpfs": ["/run/wiki"],
            "capabilities": ["NET_RAW"],
        },
    },
}  # fmt: skip
"""One service of each kind, on one machine."""

SECRETS = (
    "pad-database-password", "pad-admin-password", "team-database-password", "board-database-password",
    "wiki-database-password", "members-password",
)  # fmt: skip

BACKUP: Document = {
    "repository": "/srv/backups", "schedule": "0 3 * * *", "password": ENCRYPTED,
}  # fmt: skip
"""Of every service that has something to keep."""
OFF_SITE: Document = {
    "repository": "sftp://backup@vault.test.example:2222//srv/backups", "schedule": "30 2 * * *",
    "host_key": HOST_KEY, "password": ENCRYPTED, "ssh_key": ENCRYPTED, "max_age": "2d", "append_only": True,
}  # fmt: skip
"""The same by ssh to another host."""

PROXMOX: Document = {
    "endpoint": "https://alice.test.example:8006/",
    "backups": {"storage": "vault", "schedule": "02:30", "keep": {"daily": 7, "weekly": 4, "monthly": 6}},
}  # fmt: skip
"""A cluster that keeps whole machines too."""
VM: Document = {
    "node": "alice", "vm_id": 101, "cores": 4, "memory_mib": 8192, "disk_gib": 64, "datastore": "local-lvm",
    "bridge": "vmbr0", "address": "192.0.2.11/24", "gateway": "192.0.2.1",
    "image": {
        "url": "https://cloud.debian.org/images/cloud/trixie/20251117-2299/"
        "debian-13-genericcloud-amd64-20251117-2299.qcow2",
        "checksum": "sha512:" + "8e" * 64,
    },
    "keys": [HOST_KEY],
}  # fmt: skip
"""A machine on it, as short as it can be."""
DATA: Document = {"vm_id": 1101, "gib": 100}

ABSENT = object()
"""Put in the place of a value, it takes the key away."""


def edited(base: Document, edits: Edits) -> Document:
    """A copy with values put at paths; `ABSENT` removes the key."""
    document = copy.deepcopy(base)
    for path, value in edits.items():
        node: Any = document
        for key in path[:-1]:
            node = node[key]
        if value is ABSENT:
            del node[path[-1]]
        else:
            node[path[-1]] = copy.deepcopy(value)
    return document


def configuration(
    edits: Edits | None = None,
    *,
    stack: str = "local",
    secrets: Iterable[str] = SECRETS,
    base: Document = EVERY_KIND,
) -> StackConfiguration:
    """What the engine would hand over for a stack file."""
    return StackConfiguration(
        stack=stack,
        values=edited(base, edits or {}),
        secrets={key: SecretStr(PASSWORD) for key in secrets},
    )


def declaration(
    edits: Edits | None = None, *, stack: str = "local", base: Document = EVERY_KIND
) -> Declaration:
    """A checked declaration, secrets aside."""
    return load(configuration(edits, stack=stack, secrets=(), base=base), ask_for_secrets=False)


def proxmox_document(machines: Mapping[str, Document] | None = None) -> Document:
    """Every kind of service on the first of some virtual machines.

    Args:
        machines: what differs from `VM`, by name; without it `vm01`, with a data disk.
    """
    declared = machines or {"vm01": {"data": DATA}}
    machine = {name: {"proxmox": copy.deepcopy(VM | more)} for name, more in declared.items()}
    document = edited(EVERY_KIND, {("proxmox",): PROXMOX, ("machines",): machine})
    for service in document["services"].values():
        service["machine"] = next(iter(declared))
    return document


def proxmox_declaration(
    edits: Edits | None = None, *, stack: str = "local", machines: Mapping[str, Document] | None = None
) -> Declaration:
    """A checked declaration of services on virtual machines, secrets aside."""
    return declaration(edits, stack=stack, base=proxmox_document(machines))


def problems(stack: StackConfiguration, *, ask_for_secrets: bool = True) -> tuple[Problem, ...]:
    """Everything that is wrong with a configuration; empty when it can be used."""
    try:
        load(stack, ask_for_secrets=ask_for_secrets)
    except DeclarationError as error:
        return error.problems
    return ()


def pinned(base: Document = EVERY_KIND) -> Document:
    """The same declaration with a digest on every image, as it is needed outside `local`."""
    document = copy.deepcopy(base)
    for part in (document["edge"], document["database"], *document["services"].values()):
        part["image"] += DIGEST
    return document
