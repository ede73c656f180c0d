"""Etherpad, from 1.8 to 3.

Source: ether/etherpad, `Dockerfile`, `settings.json.docker` and `CHANGELOG.md` at v3.3.1 and v1.8.14.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from chatons.catalogue.description import (
    ADMIN_PASSWORD,
    DATABASE_PASSWORD,
    Context,
    Description,
    Health,
    ProbeDefault,
    SecretFile,
    Storage,
    Template,
)
from chatons.catalogue.kind import Kind
from chatons.schema.models import Service
from chatons.schema.values import Hostname, Line, Mebibytes, Page

_ROOT = "/opt/etherpad-lite"
_PORT = 9001
_FIRST_WITH_HEALTH = (1, 9)
_FIRST_WITH_PLUGIN_PACKAGES = (2,)


class EtherpadService(Service):
    """Etherpad: pads that several people write at the same time.

    Before Etherpad 1.9 its API key and its session key are derived from the database password and change with
    it.
    """

    kind: Literal["etherpad"] = Field(description="kind of the service: `etherpad`")
    hostname: Hostname = Field(description="public hostname of Etherpad")
    memory_mib: Mebibytes = Field(
        default=1024, description="memory limit of Etherpad's container in MiB, without swap"
    )
    title: Line = Field(default="Etherpad", description="title of Etherpad's pages")
    default_text: Page = Field(default="Welcome to this pad.", description="text of a new pad")


def describe(service: EtherpadService, context: Context) -> Description:
    """How to run Etherpad. A tag without a version is run as the newest one.

    Raises:
        ValueError: there is no database.
    """
    database = context.database
    if database is None:
        raise ValueError("Etherpad's documentation advises against running it without PostgreSQL")
    version = service.image.numbers
    has_health = not version or version >= _FIRST_WITH_HEALTH
    has_plugin_packages = not version or version >= _FIRST_WITH_PLUGIN_PACKAGES
    # `/api` is the oldest route that answers without touching a pad.
    status_path = "/health" if has_health else "/api"
    return Description(
        port=_PORT,
        user="5001:0",
        environment={
            "NODE_ENV": "production",
            "PORT": str(_PORT),
            "TITLE": service.title,
            "DEFAULT_PAD_TEXT": service.default_text,
            "TRUST_PROXY": "true",
            "DB_TYPE": "postgres",
            "DB_HOST": database.host,
            "DB_PORT": str(database.port),
            "DB_NAME": database.name,
            "DB_USER": database.user,
            "DB_CHARSET": "utf8mb4",
            # Keep visitors' addresses and the version private, and let nothing call home or update itself:
            # the repository decides what runs.
            "DISABLE_IP_LOGGING": "true",
            "EXPOSE_VERSION": "false",
            "SHOW_SETTINGS_IN_ADMIN_PAGE": "false",
            "PRIVACY_UPDATE_CHECK": "false",
            "PRIVACY_PLUGIN_CATALOG": "false",
            "UPDATES_TIER": "off",
        },
        secret_environment={
            "DB_PASS": Template("{" + DATABASE_PASSWORD + "}"),
            "ADMIN_PASSWORD": Template("{" + ADMIN_PASSWORD + "}"),
        },
        # From 1.9 on the keys that sign cookies are in the database. Before, the two keys are files beside
        # the program, where no volume can be mounted: derived keys are equal in each new container.
        files=()
        if has_health
        else tuple(
            SecretFile(
                path=f"{_ROOT}/{name}",
                content=Template("{" + f"{DATABASE_PASSWORD}/etherpad-{purpose}" + "}"),
            )
            for name, purpose in (("APIKEY.txt", "api-key"), ("SESSIONKEY.txt", "session-key"))
        ),
        storages=(
            Storage("var", f"{_ROOT}/var"),
            *((Storage("plugins", f"{_ROOT}/src/plugin_packages"),) if has_plugin_packages else ()),
        ),
        # Not every version of the image has curl (gone in 2.7.3) or wget; every version has node.
        health=Health(
            test=(
                "CMD",
                "node",
                "-e",
                f"require('http').get('http://127.0.0.1:{_PORT}{status_path}',"
                "r=>process.exit(r.statusCode===200?0:1)).on('error',()=>process.exit(1))",
            )
        ),
        # A pad has one row, and one more for each revision and each line of its chat.
        # Source: ether/etherpad, `src/node/db/Pad.ts` and `AuthorManager.ts` (`.js` at v1.8.14); ueberdb2's
        # `databases/postgres_db` for the table.
        counts={
            "pads": "select count(*) from store where key like 'pad:%' and key not like 'pad:%:%'",
            "authors": "select count(*) from store where key like 'globalAuthor:%'",
        },
        probe=ProbeDefault(path=status_path if service.members_only else "/", open=service.members_only),
    )


KIND = Kind(
    model=EtherpadService,
    describe=describe,
    image="etherpad/etherpad:3.3.1",
    secrets={ADMIN_PASSWORD: "password of Etherpad's administrator: 8 characters or more"},
)
