"""A second machine for tests: a socket of its own that ends at this machine's Docker, and can fall silent."""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DOCKER = Path("/var/run/docker.sock")
_PIECE = 64 * 1024


class Forwarder:
    """Listens on a socket and passes everything on to Docker, both ways.

    Args:
        path: of the socket; short, as a socket's path has to be.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listening: socket.socket | None = None
        self._open: list[socket.socket] = []

    @property
    def address(self) -> str:
        """As a declaration names it."""
        return f"unix://{self.path}"

    def start(self) -> None:
        """Be there from now on."""
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self.path))
        self._listening.listen()
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def hang(self) -> None:
        """Take connections from now on, and say nothing."""
        self.stop()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self.path))
        self._listening.listen()

    def stop(self) -> None:
        """Be gone, with every connection that there was."""
        if self._listening is not None:
            with suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
            self._listening = None
            self.path.unlink()
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open = []

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                visitor, _ = listening.accept()
            except OSError:
                return
            docker = socket.socket(socket.AF_UNIX)
            docker.connect(str(DOCKER))
            self._open += [visitor, docker]
            for one, other in ((visitor, docker), (docker, visitor)):
                threading.Thread(target=_pass_on, args=(one, other), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(_PIECE):
            sink.sendall(piece)
        # Half closed, as whoever reads to the end of an answer has it.
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def forwarder() -> Iterator[Forwarder]:
    """One that is there, for the block."""
    place = Path(tempfile.mkdtemp(prefix="ronron-test-"))
    made = Forwarder(place / "docker.sock")
    made.start()
    try:
        yield made
    finally:
        made.stop()
        shutil.rmtree(place)
