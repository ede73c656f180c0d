"""Kanboard, from 1.2.

Source: kanboard/kanboard, `Dockerfile`, `docker/` and `ChangeLog` at v1.2.53; its administrator's guide.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from chatons.catalogue.description import (
    Context,
    Description,
    Health,
    ProbeDefault,
    Storage,
    Template,
    rows_of,
)
from chatons.catalogue.kind import Kind
from chatons.catalogue.versions import Jump
from chatons.schema.models import Service
from chatons.schema.values import Hostname

_FIRST_WITH_HEALTH = (1, 2, 46)


class KanboardService(Service):
    """Kanboard: task boards.

    The first login is admin/admin, and no variable changes that: set `members_only` until somebody has
    changed the password.
    """

    kind: Literal["kanboard"] = Field(description="kind of the service: `kanboard`")
    hostname: Hostname = Field(description="public hostname of Kanboard")


def describe(service: KanboardService, context: Context) -> Description:
    """How to run Kanboard.

    Raises:
        ValueError: there is no database.
    """
    database = context.database
    if database is None:
        raise ValueError("Kanboard's guide advises against SQLite in Docker")
    version = service.image.numbers
    status_path = "/healthcheck.php" if not version or version >= _FIRST_WITH_HEALTH else "/robots.txt"
    return Description(
        port=80,
        # The entrypoint runs as root: at each start it gives data and plugins to the web server's user.
        user=None,
        capabilities=(
            "CAP_CHOWN",
            "CAP_DAC_OVERRIDE",
            "CAP_FOWNER",
            "CAP_KILL",
            "CAP_NET_BIND_SERVICE",
            "CAP_SETGID",
            "CAP_SETUID",
        ),
        environment={"PLUGIN_INSTALLER": "false"},
        secret_environment={"DATABASE_URL": Template(database.url.text)},
        storages=(
            Storage("data", "/var/www/app/data"),
            Storage("plugins", "/var/www/app/plugins"),
            # The image creates a self-signed certificate when there is none; the edge has the public one.
            Storage("ssl", "/etc/nginx/ssl", in_snapshots=False),
        ),
        health=Health(test=("CMD", "curl", "-fsS", "-o", "/dev/null", f"http://127.0.0.1{status_path}")),
        # Source: kanboard/kanboard, `app/Schema/Postgres.php`.
        counts=rows_of("projects", "tasks", "users", "comments", "task_has_files"),
        probe=ProbeDefault(path=status_path, open=True),
        # The web server of the image has the same limit.
        upload_mib=32,
    )


def warnings(name: str, service: KanboardService) -> Iterator[str]:
    """Warn of the well-known first login."""
    if not service.members_only:
        yield (
            f"{name} starts with the login admin/admin: change its password now, or set `members_only` until "
            "it is changed"
        )


KIND = Kind(
    model=KanboardService,
    describe=describe,
    image="kanboard/kanboard:v1.2.53",
    warnings=warnings,
    jumps=(
        Jump(
            change="downgrade",
            because="its database migrations go forward only",
            instead="restore the snapshot that was taken before the upgrade, together with the old version",
            see="https://docs.kanboard.org/v1/admin/upgrade/",
        ),
    ),
)
