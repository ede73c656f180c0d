"""Etherpad, from 1.8 to 3.

Source: ether/etherpad, `Dockerfile`, `settings.json.docker` and `CHANGELOG.md` at v3.3.1 and v1.8.14.
"""

from __future__ import annotations

from chatons.catalogue.description import (
    ADMIN_PASSWORD,
    DATABASE_PASSWORD,
    Description,
    Health,
    ProbeDefault,
    SealedFile,
    Storage,
    Surroundings,
    Template,
)
from chatons.schema.models import EtherpadService

_ROOT = "/opt/etherpad-lite"
_PORT = 9001
_FIRST_WITH_HEALTH = (1, 9)
_FIRST_WITH_PLUGIN_PACKAGES = (2,)


def describe(service: EtherpadService, surroundings: Surroundings) -> Description:
    """How to run Etherpad; a tag that tells no version is taken for the newest."""
    database = surroundings.database
    if database is None:
        raise ValueError("Etherpad without PostgreSQL is for trials only, says its own documentation")
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
            # Addresses of visitors and the version stay private, and nothing calls home or updates itself:
            # what runs is what the repository says.
            "DISABLE_IP_LOGGING": "true",
            "EXPOSE_VERSION": "false",
            "SHOW_SETTINGS_IN_ADMIN_PAGE": "false",
            "PRIVACY_UPDATE_CHECK": "false",
            "PRIVACY_PLUGIN_CATALOG": "false",
            "UPDATES_TIER": "off",
        },
        sealed_environment={
            "DB_PASS": Template("{" + DATABASE_PASSWORD + "}"),
            "ADMIN_PASSWORD": Template("{" + ADMIN_PASSWORD + "}"),
        },
        # From 1.9 on cookies are signed with keys kept in the database. Before, the two keys are files beside
        # the program, which no volume can hold: derived ones are the same in each new container.
        files=()
        if has_health
        else tuple(
            SealedFile(
                path=f"{_ROOT}/{name}",
                content=Template("{" + f"{DATABASE_PASSWORD}/etherpad-{purpose}" + "}"),
            )
            for name, purpose in (("APIKEY.txt", "api-key"), ("SESSIONKEY.txt", "session-key"))
        ),
        storages=(
            Storage("var", f"{_ROOT}/var"),
            *((Storage("plugins", f"{_ROOT}/src/plugin_packages"),) if has_plugin_packages else ()),
        ),
        # The image has neither curl (since 2.7.3) nor, in every version, wget; it always has node.
        health=Health(
            test=(
                "CMD",
                "node",
                "-e",
                f"require('http').get('http://127.0.0.1:{_PORT}{status_path}',"
                "r=>process.exit(r.statusCode===200?0:1)).on('error',()=>process.exit(1))",
            )
        ),
        # A pad has a row of its own, and one for each revision and each line of its chat.
        # Source: ether/etherpad, `src/node/db/Pad.ts` and `AuthorManager.ts` (`.js` at v1.8.14); ueberdb2's
        # `databases/postgres_db` for the table.
        counts={
            "pads": "select count(*) from store where key like 'pad:%' and key not like 'pad:%:%'",
            "authors": "select count(*) from store where key like 'globalAuthor:%'",
        },
        probe=ProbeDefault(path=status_path if service.members_only else "/", open=service.members_only),
    )
