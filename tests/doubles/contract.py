"""What both doubles do: keep rows in PostgreSQL and files in a volume, and answer over HTTP.

GET  <health path>          200 while the database answers, else 500
POST /double/rows           the body becomes a row; 201
GET  /double/rows           every row, as a JSON list in order of writing
PUT  /double/files/<name>   the body becomes a file of the data volume; 201
GET  /double/files/<name>   that file
"""

from __future__ import annotations

import json
import re
import signal
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import psycopg2
from psycopg2 import sql

MOST_BYTES = 10_000_000
FILE = re.compile(r"/double/files/([a-z0-9._-]{1,60})")


class Rows:
    """A table in the service's database; each call connects anew, as a database may be restarted."""

    def __init__(self, url: str, table: str) -> None:
        self._url, self._table = url, table

    def wait(self, seconds: float) -> None:
        """Wait for the database and make the table."""
        until = time.monotonic() + seconds
        while True:
            try:
                self._run("CREATE TABLE IF NOT EXISTS {} (id serial PRIMARY KEY, text text NOT NULL)")
            except psycopg2.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.5)
            else:
                return

    def answers(self) -> bool:
        """Whether the database does."""
        try:
            self._run("SELECT 1")
        except psycopg2.Error:
            return False
        return True

    def add(self, text: str) -> None:
        """Write one row."""
        self._run("INSERT INTO {} (text) VALUES (%s)", text)

    def all(self) -> list[str]:
        """Every row, in order of writing."""
        return [row[0] for row in self._run("SELECT text FROM {} ORDER BY id")]

    def _run(self, statement: str, *values: str) -> list[tuple[str, ...]]:
        connection = psycopg2.connect(self._url, connect_timeout=5)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(sql.SQL(statement).format(sql.Identifier(self._table)), values)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()


def serve(
    port: int, health: str, rows: Rows, data: Path, title: str, started: Callable[[], None] = lambda: None
) -> None:
    """Answer until told to stop; `started` is called when the port is taken and before the first answer."""

    class Double(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        routes: ClassVar[dict[str, str]] = {}

        def do_GET(self) -> None:
            file = FILE.fullmatch(self.path)
            if self.path == health:
                good = rows.answers()
                self._answer(200 if good else 500, b'{"status":"OK"}' if good else b'{"status":"UNHEALTHY"}')
            elif self.path == "/double/rows":
                self._answer(200, json.dumps(rows.all()).encode())
            elif file and (data / file[1]).is_file():
                self._answer(200, (data / file[1]).read_bytes())
            elif self.path == "/":
                self._answer(200, f"<title>{title}</title>".encode())
            else:
                self._answer(404, b"")

        def do_POST(self) -> None:
            body = self._body()
            if self.path != "/double/rows":
                self._answer(404, b"")
                return
            rows.add(body.decode())
            self._answer(201, b"")

        def do_PUT(self) -> None:
            body, file = self._body(), FILE.fullmatch(self.path)
            if not file:
                self._answer(404, b"")
                return
            (data / file[1]).write_bytes(body)
            self._answer(201, b"")

        def _body(self) -> bytes:
            length = int(self.headers.get("Content-Length") or 0)
            return self.rfile.read(min(length, MOST_BYTES))

        def _answer(self, code: int, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("0.0.0.0", port), Double)  # noqa: S104  # inside its container
    started()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    rows.wait(60)
    server.serve_forever()
