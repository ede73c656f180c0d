"""Kanboard, from 1.2.

Source: kanboard/kanboard, `Dockerfile`, `docker/` and `ChangeLog` at v1.2.53; its administrator's guide.
"""

from __future__ import annotations

from chatons.catalogue.description import (
    Description,
    Health,
    ProbeDefault,
    Storage,
    Surroundings,
    Template,
    rows_of,
)
from chatons.schema.models import KanboardService

_FIRST_WITH_HEALTH = (1, 2, 46)


def describe(service: KanboardService, surroundings: Surroundings) -> Description:
    """How to run Kanboard. Its first login is admin/admin, and no variable changes that."""
    database = surroundings.database
    if database is None:
        raise ValueError("Kanboard's guide advises against SQLite in Docker")
    version = service.image.numbers
    status_path = "/healthcheck.php" if not version or version >= _FIRST_WITH_HEALTH else "/robots.txt"
    return Description(
        port=80,
        # The entrypoint is root: it hands data and plugins to the web server at each start, then steps down.
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
        sealed_environment={"DATABASE_URL": Template(database.url.text)},
        storages=(
            Storage("data", "/var/www/app/data"),
            Storage("plugins", "/var/www/app/plugins"),
            # A certificate that the image makes for itself where there is none; the edge has the real one.
            Storage("ssl", "/etc/nginx/ssl", in_snapshots=False),
        ),
        health=Health(test=("CMD", "curl", "-fsS", "-o", "/dev/null", f"http://127.0.0.1{status_path}")),
        # Source: kanboard/kanboard, `app/Schema/Postgres.php`.
        counts=rows_of("projects", "tasks", "users", "comments", "task_has_files"),
        probe=ProbeDefault(path=status_path, open=True),
        # The image itself stops at 32 MiB.
        upload_mib=32,
    )
