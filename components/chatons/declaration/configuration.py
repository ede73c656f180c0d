"""The root model: all keys under `ronron:`, with a service of every kind of the catalogue."""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from chatons import catalogue
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
from chatons.schema.values import Name, Strict

if TYPE_CHECKING:
    ServiceOfSomeKind = Service
else:
    ServiceOfSomeKind = Annotated[
        functools.reduce(operator.or_, (kind.model for kind in catalogue.kinds().values())),
        Field(discriminator="kind"),
    ]


class Configuration(Strict):
    """All keys under `ronron:` that are not secrets."""

    collective: Collective = Field(
        description="the collective that runs this stack: `name`, `domain`, `contact`, `country`"
    )
    machines: Annotated[dict[Name, Machine], Field(min_length=1)] = Field(
        description="the hosts that run Docker, by name"
    )
    services: dict[Name, ServiceOfSomeKind] = Field(description="the hosted services, by name")
    proxmox: Proxmox | None = Field(
        default=None,
        description="the Proxmox VE cluster that creates virtual machines; required when a machine has "
        "`proxmox`",
    )
    edge: Edge | None = Field(
        default=None,
        description="the reverse proxy of each machine; required when a service has a hostname",
    )
    database: DatabaseDefaults = Field(
        default=DatabaseDefaults(),
        description="defaults for the PostgreSQL of every service: `image`, `memory_mib`, `cpus`",
    )
    members: Members | None = Field(
        default=None,
        description="who may open services that are `members_only`; required when one is",
    )
    backup: Backup | None = Field(
        default=None, description="backups of every service; without this key no snapshots are taken"
    )
