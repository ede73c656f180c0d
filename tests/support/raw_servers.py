"""Servers of this machine that speak TCP and answer as a test says: badly, late, or never."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from threading import Event, Thread

Talk = Callable[[socket.socket, bytes], None]
"""Answers a peer that sent a request."""

OK = b"HTTP/1.1 200 OK\r\n"


class RawServers:
    """Starts servers; each reads one request of a connection and leaves the rest to the test.

    Args:
        stack: closes the servers when it ends.
    """

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def __call__(self, talk: Talk, context: ssl.SSLContext | None = None) -> int:
        """Start a server, with TLS where there is a context; give its port."""
        listener = self._stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.settimeout(0.05)
        over = Event()

        def answer(plain: socket.socket) -> None:
            with suppress(OSError), closing(plain), ExitStack() as stack:
                plain.settimeout(20)
                peer = stack.enter_context(context.wrap_socket(plain, server_side=True)) if context else plain
                talk(peer, peer.recv(65536))

        def accept() -> None:
            with ExitStack() as threads:
                while not over.is_set():
                    with suppress(TimeoutError):
                        peer, _ = listener.accept()
                        thread = Thread(target=answer, args=(peer,))
                        thread.start()
                        threads.callback(thread.join)

        thread = Thread(target=accept)
        thread.start()
        self._stack.callback(thread.join)
        self._stack.callback(over.set)
        return int(listener.getsockname()[1])


@contextmanager
def raw_servers(stop: Event) -> Iterator[RawServers]:
    """Servers for one test.

    Args:
        stop: is set at the end, so that an answer that waits for it ends.
    """
    with ExitStack() as stack:
        yield RawServers(stack)
        stop.set()
