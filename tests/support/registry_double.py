"""A registry of images that answers as a test says: what Debian's docker-registry cannot be made to do.

It keeps the contract of distribution's HTTP API: `/v2/<path>/manifests/<tag>`, bearer tokens from a token
service, and Basic authentication.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

MANIFEST = b'{"schemaVersion": 2}'
DIGEST = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"


@dataclass(frozen=True)
class Asked:
    """A request: its method, path, query and headers, their names in lower case."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]

    @property
    def authorization(self) -> str:
        """The header that proves who asks; empty for none."""
        return self.headers.get("authorization", "")


@dataclass(frozen=True)
class Reply:
    """An answer."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class RegistryDouble:
    """One that runs.

    Attributes:
        address: `host:port`.
        answer: gives the reply to each request.
        asked: every request, in order.
    """

    address: str
    answer: Callable[[Asked], Reply]
    asked: list[Asked] = field(default_factory=list)


def manifest(asked: Asked) -> Reply:
    """The answer of a registry that has every image and needs no login."""
    del asked
    return Reply(headers={"Docker-Content-Digest": DIGEST}, body=MANIFEST)


@contextmanager
def registry_double(
    answer: Callable[[Asked], Reply] = manifest, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> Iterator[RegistryDouble]:
    """A server on a free port of the loopback address."""
    doubles: list[RegistryDouble] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, parts.path, parse_qs(parts.query), headers)
            doubles[0].asked.append(asked)
            reply = doubles[0].answer(asked)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body)

        do_HEAD = do_GET  # noqa: N815 - the base class names it

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class has it
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    doubles.append(RegistryDouble(f"{host}:{server.server_port}", answer))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield doubles[0]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
