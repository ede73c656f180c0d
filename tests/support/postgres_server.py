"""A real PostgreSQL server with the database `pad`: of one test, or shared by tests that leave it running."""

from __future__ import annotations

import secrets

from docker.models.containers import Container

from tests.support.containers import Containers, runs, until

PASSWORD = "pass word'$x:\\"

# Random letters do not compress: pg_dump is at work for some seconds.
_BLOB = """
create table blob as
select n, (select string_agg(md5(random()::text || n || g), '') from generate_series(1, 400) g) as text
from generate_series(1, 6000) n
"""
_STORE = (
    "create table store (key text primary key, value text)",
    "insert into store select 'pad:' || n, 'text of ' || n from generate_series(1, 3) n",
)


class PostgresServer:
    """A server that listens in a network of its own.

    Its database `pad` has a table `store` with three rows; each test gets a copy of a template.

    Args:
        here: what it is made with.
        image: the database's.
    """

    def __init__(self, here: Containers, image: str) -> None:
        self.network = here.network()
        self.container: Container = here.start(
            image,
            network=self.network,
            hostname=f"database-{secrets.token_hex(3)}",
            environment={"POSTGRES_USER": "pad", "POSTGRES_PASSWORD": PASSWORD, "POSTGRES_DB": "pad"},
        )
        self.await_ready()
        self._template("store_template", *_STORE)
        self._filled = False
        self.empty_and_begin()

    def await_ready(self) -> None:
        """Wait until it takes connections, as a client has them."""
        words = ("psql", "-h", "127.0.0.1", "-qAtX", "-U", "pad", "-d", "postgres", "-c", "select 1")
        until(
            lambda: runs(self.container, *words, environment={"PGPASSWORD": PASSWORD})[0] == 0, self.container
        )

    def sql(self, *statements: str, name: str = "pad") -> str:
        """Run SQL in a database, each statement in a transaction of its own; what it says."""
        words = [word for statement in statements for word in ("-c", statement)]
        code, output = runs(
            self.container, "psql", "-v", "ON_ERROR_STOP=1", "-qAtX", "-U", "pad", "-d", name, *words
        )
        assert code == 0, output
        return output.strip()

    def empty_and_begin(self) -> None:
        """Remove every database that a test has left, and make `pad` as it is at first."""
        left = self.sql(
            "select quote_ident(datname) from pg_database where not datistemplate and datname <> 'postgres'",
            name="postgres",
        )
        drops = [f"drop database {name} with (force)" for name in left.splitlines()]
        self.sql(*drops, "create database pad template store_template", name="postgres")

    def fill(self) -> None:
        """Make `pad` again with the same rows and so much more that a dump of it takes some seconds."""
        if not self._filled:
            self._template("filled_template", *_STORE, _BLOB)
            self._filled = True
        self.sql(
            "drop database pad with (force)",
            "create database pad template filled_template strategy file_copy",
            name="postgres",
        )

    def _template(self, name: str, *statements: str) -> None:
        self.sql(f"create database {name}", name="postgres")
        self.sql(*statements, name=name)
        self.sql(f"alter database {name} is_template true", name="postgres")
