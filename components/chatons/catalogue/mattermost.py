"""Mattermost and its forks.

Source: mattermost/mattermost, `server/build/Dockerfile`; mattermost/docs, changelogs of v10 and v11.
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
from chatons.schema.models import MattermostService

_PORT = 8065


def describe(_service: MattermostService, surroundings: Surroundings) -> Description:
    """How to run Mattermost; what the declaration says wins over the System Console."""
    database, url = surroundings.database, surroundings.url
    if database is None or url is None:
        raise ValueError("Mattermost needs a PostgreSQL and a public URL")
    return Description(
        port=_PORT,
        user="2000:2000",
        environment={
            "TZ": "UTC",
            "MM_SERVICESETTINGS_SITEURL": url,
            "MM_SERVICESETTINGS_LISTENADDRESS": f":{_PORT}",
            # The health test below talks to this socket; only who is inside the container reaches it.
            "MM_SERVICESETTINGS_ENABLELOCALMODE": "true",
            "MM_SQLSETTINGS_DRIVERNAME": "postgres",
            "MM_LOGSETTINGS_ENABLEDIAGNOSTICS": "false",
            "MM_SERVICESETTINGS_ENABLESECURITYFIXALERT": "false",
        },
        sealed_environment={
            "MM_SQLSETTINGS_DATASOURCE": Template(f"{database.url.text}?sslmode=disable&connect_timeout=10")
        },
        storages=(
            Storage("config", "/mattermost/config"),
            Storage("data", "/mattermost/data"),
            Storage("logs", "/mattermost/logs", in_snapshots=False),
            Storage("plugins", "/mattermost/plugins"),
            Storage("client-plugins", "/mattermost/client/plugins"),
        ),
        # Newer images hold no shell and no curl; `mmctl` is in old and new ones.
        health=Health(test=("CMD", "/mattermost/bin/mmctl", "system", "status", "--local"), timeout=10),
        # Source: mattermost/mattermost, `server/channels/db/migrations/postgres`.
        counts=rows_of("users", "teams", "channels", "posts", "fileinfo"),
        probe=ProbeDefault(path="/api/v4/system/ping", open=True),
        upload_mib=128,
        start_seconds=300,
        grace_seconds=60,
    )
