"""What both doubles do: keep rows in PostgreSQL and files in a volume, and answer over HTTP."""

from __future__ import annotations

import json
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import psycopg2
from psycopg2 import sql
from psycopg2.extras import RealDictCursor

MOST_BYTES = 64_000_000

Row = dict[str, Any]


class NotThereError(Exception):
    """Nothing has this id."""


class Database:
    """The service's database; each call connects again, as a database may be restarted, or be another."""

    def __init__(self, url: str) -> None:
        self._url = url

    def wait(self, schema: str, seconds: float) -> None:
        """Wait for the database and make the tables that are not there."""
        until = time.monotonic() + seconds
        while True:
            try:
                self.rows(schema)
            except psycopg2.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.5)
            else:
                return

    def answers(self) -> bool:
        """Whether the database does."""
        try:
            self.rows("SELECT 1")
        except psycopg2.Error:
            return False
        return True

    def rows(self, statement: str | sql.Composed, *values: object) -> list[Row]:
        """Run one statement in a transaction of its own; the rows that it gives."""
        connection = psycopg2.connect(self._url, connect_timeout=5)
        try:
            with connection, connection.cursor(cursor_factory=RealDictCursor) as cursor:
                cursor.execute(statement, values or None)
                return [dict(row) for row in cursor.fetchall()] if cursor.description else []
        finally:
            connection.close()

    def one(self, statement: str | sql.Composed, *values: object) -> Row:
        """The one row that a statement gives.

        Raises:
            NotThereError: it gives none.
        """
        found = self.rows(statement, *values)
        if not found:
            raise NotThereError
        return found[0]

    def insert(self, table: str, **row: object) -> Row:
        """Write one row; the whole of it, with what the database adds."""
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING *").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, row)),
            sql.SQL(", ").join([sql.Placeholder()] * len(row)),
        )
        return self.one(statement, *row.values())


@dataclass(frozen=True)
class Request:
    """What a visitor sent; `words` are the parts of the path that its route leaves open."""

    words: tuple[str, ...]
    query: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as a document."""
        return json.loads(self.body)


Route = tuple[str, str, Callable[[Request], object]]
"""Method, regular expression of the whole path, and what is done: bytes as they are, all else as JSON."""


def serve(
    port: int,
    health: str,
    database: Database,
    schema: str,
    routes: Sequence[Route],
    title: str,
    started: Callable[[], None] = lambda: None,
) -> None:
    """Answer until told to stop; `started` is called when the port is taken and before the first answer."""
    known = [(method, re.compile(path), do) for method, path, do in routes]

    class Double(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._do("GET")

        def do_POST(self) -> None:
            self._do("POST")

        def _do(self, method: str) -> None:
            body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), MOST_BYTES))
            asked = urlsplit(self.path)
            if asked.path == health:
                good = database.answers()
                self._answer(200 if good else 500, {"status": "OK" if good else "UNHEALTHY"})
                return
            if asked.path == "/":
                self._answer(200, f"<title>{title}</title>".encode())
                return
            for known_method, path, do in known:
                match = path.fullmatch(asked.path)
                if match and known_method == method:
                    self._try(do, Request(match.groups(), dict(parse_qsl(asked.query)), body))
                    return
            self._answer(404, {"message": "no such call"})

        def _try(self, do: Callable[[Request], object], request: Request) -> None:
            try:
                answer = do(request)
            except NotThereError:
                self._answer(404, {"message": "not there"})
            except (KeyError, ValueError, psycopg2.DataError, psycopg2.IntegrityError) as error:
                self._answer(400, {"message": repr(error)})
            except (OSError, psycopg2.Error) as error:
                traceback.print_exc()
                self._answer(500, {"message": repr(error)})
            else:
                self._answer(200, answer)

        def _answer(self, code: int, answer: object) -> None:
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(code)
            kind = "application/octet-stream" if isinstance(answer, bytes) else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("0.0.0.0", port), Double)  # noqa: S104  # inside its container
    started()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    database.wait(schema, 60)
    server.serve_forever()
