"""PostgreSQL, the database beside a service. It is no kind of service: nobody declares one alone."""

from __future__ import annotations

from chatons.catalogue.versions import Jump

NAME = "postgresql"

JUMPS = (
    Jump(
        change="major",
        because="a major version cannot read the files of another, and the database would not start",
        instead="keep the major version; to change it, dump the database, remove its volume, and restore the "
        "dump",
        see="https://www.postgresql.org/docs/current/upgrading.html",
    ),
)
