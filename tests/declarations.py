"""Declarations for tests: one that can be used, and changes to it by path."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from components.declaration import Declaration, DeclarationError, StackConfiguration, load
from components.declaration_errors import Problem

Document = dict[str, Any]

DIGEST = "sha256:" + "ab" * 32
PASSWORD = "correct-horse-battery-staple"
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEmzQLw1hLQa06Z4nPCnbQIDYRYdFeVvqZxuFZnQmr6e"
REMOVED = object()
"""Stands for the absence of a key in `changed`."""


def document() -> Document:
    """A collective with one service of each kind, as below `ronron:` in a stack file."""
    return {
        "collective": {
            "name": "Picasoft", "domain": "picasoft.example", "contact": "tech@picasoft.example",
            "country": "FR",
        },
        "machines": {"laptop": {"docker": "unix:///var/run/docker.sock"}},
        "edge": {"image": "caddy:2.10.2", "tls": "off", "http_port": 8080},
        "database": {"image": "postgres:15.14"},
        "members": {"basic": {"user": "membres"}},
        "services": {
            "pad": {
                "kind": "etherpad", "machine": "laptop", "hostname": "pad.localhost",
                "image": "etherpad/etherpad:3.3.1",
            },
            "team": {
                "kind": "mattermost", "machine": "laptop", "hostname": "team.localhost",
                "image": "mattermost/mattermost-team-edition:11.7.3",
            },
            "backlog": {
                "kind": "kanboard", "machine": "laptop", "hostname": "backlog.localhost",
                "image": "kanboard/kanboard:v1.2.53", "members_only": True,
            },
            "wiki": {
                "kind": "container", "machine": "laptop", "hostname": "wiki.localhost",
                "image": "example/wiki:2.5", "port": 3000, "user": "1000:1000", "database": {},
                "volumes": {"content": "/content"}, "tmpfs": ["/cache"], "health": ["CMD", "true"],
            },
        },
    }  # fmt: skip


SECRETS = (
    "members-password",
    "backlog-database-password",
    "pad-admin-password",
    "pad-database-password",
    "team-database-password",
    "wiki-database-password",
)


def changed(changes: Mapping[str, object]) -> Document:
    """The usual document with values put at dotted paths, `services.pad.title`; `REMOVED` takes one away."""
    result = copy.deepcopy(document())
    for path, value in changes.items():
        *above, last = path.split(".")
        node: Any = result
        for key in above:
            node = node.setdefault(key, {})
        if value is REMOVED:
            del node[last]
        else:
            node[last] = value
    return result


def configuration(
    changes: Mapping[str, object] | None = None,
    *,
    stack: str = "local",
    secrets: Mapping[str, str | None] | None = None,
) -> StackConfiguration:
    """The usual configuration with changes; secrets are all there unless others are named."""
    given: Mapping[str, str | None] = dict.fromkeys(SECRETS, PASSWORD) if secrets is None else secrets
    return StackConfiguration(
        stack=stack,
        values=changed(changes or {}),
        secrets={key: None if value is None else SecretStr(value) for key, value in given.items()},
    )


def declared(changes: Mapping[str, object] | None = None, *, stack: str = "local") -> Declaration:
    """The usual declaration with changes."""
    return load(configuration(changes, stack=stack))


def problems(
    changes: Mapping[str, object] | None = None,
    *,
    stack: str = "local",
    secrets: Mapping[str, str | None] | None = None,
) -> list[Problem]:
    """What is wrong with the usual declaration once it is changed."""
    try:
        load(configuration(changes, stack=stack, secrets=secrets))
    except DeclarationError as error:
        return list(error.problems)
    return []
