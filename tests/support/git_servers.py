"""Servers that git talks to in tests: real git behind them, and ways to be unreachable in front."""

from __future__ import annotations

import base64
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

from tests.support.repositories import ENVIRONMENT


@contextmanager
def silent() -> Iterator[int]:
    """A port that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


@contextmanager
def closed() -> Iterator[int]:
    """A port on which nothing listens: it is bound all the time, so that nobody else can take it."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        yield int(server.getsockname()[1])


@dataclass
class Daemon:
    """A git:// server whose answers can be cut short.

    Args:
        port: on the loopback address.
        after: bytes of one answer after which nothing more comes, until `go_on`; None lets all through.
        stalled: set when an answer was cut.
        go_on: lets a cut answer end, without the rest.
    """

    port: int
    after: int | None = None
    stalled: Event = field(default_factory=Event)
    go_on: Event = field(default_factory=Event)

    def url(self, path: Path) -> str:
        return f"git://127.0.0.1:{self.port}{path}"


@contextmanager
def daemon() -> Iterator[Daemon]:
    """Serve every repository of this machine by `git daemon`, one process for each connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        serving = Daemon(int(server.getsockname()[1]))
        threads: list[Thread] = []
        connections: list[socket.socket] = []

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connections.append(connection)
                    threads.append(Thread(target=_one, args=(serving, connection)))
                    threads[-1].start()

        accepting = Thread(target=serve)
        accepting.start()
        try:
            yield serving
        finally:
            serving.go_on.set()
            server.shutdown(socket.SHUT_RDWR)
            accepting.join(30)
            for connection in connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(30)


def _one(serving: Daemon, connection: socket.socket) -> None:
    command = ["git", "daemon", "--inetd", "--export-all", "--log-destination=none"]
    with (
        connection,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=ENVIRONMENT,
            # `git daemon` is a child of git, and has one of its own: they are ended together.
            start_new_session=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        question = Thread(target=_pump_in, args=(connection, process.stdin.fileno(), process))
        question.start()
        sent = 0
        with suppress(OSError):
            while chunk := os.read(process.stdout.fileno(), 1 << 14):
                if serving.after is not None and sent + len(chunk) > serving.after:
                    serving.stalled.set()
                    serving.go_on.wait(120)
                    break
                connection.sendall(chunk)
                sent += len(chunk)
            connection.shutdown(socket.SHUT_RDWR)
        _end(process)
        question.join(30)


def _pump_in(connection: socket.socket, pipe: int, process: subprocess.Popen[bytes]) -> None:
    with suppress(OSError):
        while chunk := connection.recv(1 << 14):
            os.write(pipe, chunk)
    _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a server with all that it started; it is reaped later, so its number is still its own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@dataclass
class Web:
    """A smart HTTP server, by `git http-backend`.

    Args:
        port: on the loopback address.
        root: below it are the repositories.
        credentials: `user:password` that it asks for; None lets everybody in.
        status: answered to everything instead, where it is set.
        location: where that status redirects to.
        body: what comes with that status.
        authorizations: the Authorization header of every request.
    """

    port: int
    root: Path
    credentials: str | None = None
    status: int | None = None
    location: str = ""
    body: bytes = b""
    authorizations: list[str] = field(default_factory=list)

    def url(self, name: str, credentials: str = "") -> str:
        return f"http://{credentials}{'@' if credentials else ''}127.0.0.1:{self.port}/{name}"


@contextmanager
def web(root: Path) -> Iterator[Web]:
    """Serve the repositories below a directory over HTTP."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Tests do not chat."""

        def _answer(self) -> None:
            given = self.headers.get("Authorization", "")
            serving.authorizations.append(given)
            if serving.status is not None:
                self.send_response(serving.status)
                if serving.location:
                    self.send_header("Location", serving.location + self.path)
                self.end_headers()
                self.wfile.write(serving.body)
                return
            if serving.credentials is not None:
                wanted = "Basic " + base64.b64encode(serving.credentials.encode()).decode()
                if given != wanted:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="forge"')
                    self.end_headers()
                    return
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            done = subprocess.run(
                ["git", "http-backend"],
                env={
                    **ENVIRONMENT,
                    "CONTENT_LENGTH": str(len(body)),
                    "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                    "GIT_HTTP_EXPORT_ALL": "1",
                    "GIT_PROJECT_ROOT": str(serving.root),
                    "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                    "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                    "PATH_INFO": path,
                    "QUERY_STRING": query,
                    "REQUEST_METHOD": self.command,
                },
                input=body,
                capture_output=True,
                check=False,
                timeout=60,
            )
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
            self.send_response(int(headers.pop("Status", "200").split()[0]))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = False
        serving = Web(server.server_address[1], root)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield serving
        finally:
            server.shutdown()
            thread.join(30)
