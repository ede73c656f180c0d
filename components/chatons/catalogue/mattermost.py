"""Mattermost and its forks.

Source: mattermost/mattermost, `server/build/Dockerfile`; mattermost/docs, changelogs of v10 and v11.
"""

from __future__ import annotations

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
from chatons.catalogue.versions import Jump, Requirement
from chatons.schema.models import Service
from chatons.schema.values import Hostname, Mebibytes

_PORT = 8065


_REQUIREMENTS = "https://docs.mattermost.com/deployment-guide/software-hardware-requirements.html"


class MattermostService(Service):
    """Mattermost: team chat. Settings made here override those of the System Console."""

    kind: Literal["mattermost"] = Field(description="kind of the service: `mattermost`")
    hostname: Hostname = Field(description="public hostname of Mattermost")
    memory_mib: Mebibytes = Field(
        default=2048, description="memory limit of Mattermost's container in MiB, without swap"
    )


def describe(_service: MattermostService, context: Context) -> Description:
    """How to run Mattermost.

    Raises:
        ValueError: there is no database, or no public URL.
    """
    database, url = context.database, context.url
    if database is None or url is None:
        raise ValueError("Mattermost needs a PostgreSQL and a public URL")
    return Description(
        port=_PORT,
        user="2000:2000",
        environment={
            "TZ": "UTC",
            "MM_SERVICESETTINGS_SITEURL": url,
            "MM_SERVICESETTINGS_LISTENADDRESS": f":{_PORT}",
            # The health check below uses this socket, which is reachable only inside the container.
            "MM_SERVICESETTINGS_ENABLELOCALMODE": "true",
            "MM_SQLSETTINGS_DRIVERNAME": "postgres",
            "MM_LOGSETTINGS_ENABLEDIAGNOSTICS": "false",
            "MM_SERVICESETTINGS_ENABLESECURITYFIXALERT": "false",
        },
        secret_environment={
            "MM_SQLSETTINGS_DATASOURCE": Template(f"{database.url.text}?sslmode=disable&connect_timeout=10")
        },
        storages=(
            Storage("config", "/mattermost/config"),
            Storage("data", "/mattermost/data"),
            Storage("logs", "/mattermost/logs", in_snapshots=False),
            Storage("plugins", "/mattermost/plugins"),
            Storage("client-plugins", "/mattermost/client/plugins"),
        ),
        # Newer images have neither shell nor curl; `mmctl` is in old and new ones.
        health=Health(test=("CMD", "/mattermost/bin/mmctl", "system", "status", "--local"), timeout=10),
        # Source: mattermost/mattermost, `server/channels/db/migrations/postgres`.
        counts=rows_of("users", "teams", "channels", "posts", "fileinfo"),
        probe=ProbeDefault(path="/api/v4/system/ping", open=True),
        upload_mib=128,
        start_seconds=300,
        grace_seconds=60,
    )


KIND = Kind(
    model=MattermostService,
    describe=describe,
    image="mattermost/mattermost-team-edition:11.7.3",
    jumps=(
        Jump(
            before=">=10.11.17,<11",
            after=">=11,<=11.7.2",
            because="both versions use the same numbers for different database migrations, and the server "
            "stops half way through them",
            instead="go to 11.7.3 or later",
            see="https://github.com/mattermost/mattermost/issues/36594",
        ),
        Jump(
            before=">=11",
            after="<11",
            because="10 cannot check passwords that 11 has stored, so users who logged in since could not "
            "log in again",
            instead="restore the snapshot that was taken before the upgrade, together with the old version",
            see="https://docs.mattermost.com/product-overview/mattermost-v11-changelog.html",
        ),
    ),
    requirements=(
        Requirement(version=">=10.6", postgresql=">=13", see=_REQUIREMENTS),
        Requirement(version=">=11", postgresql=">=14", see=_REQUIREMENTS),
    ),
)
