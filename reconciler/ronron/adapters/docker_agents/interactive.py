"""Runs a program inside a container for a person: its streams are ours, and a terminal where we have one."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
import termios
import threading
import time
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BufferedReader
from types import FrameType
from typing import TYPE_CHECKING, Any, BinaryIO

from docker.errors import APIError

from ronron.adapters.docker_agents.exec import hijacked
from ronron.core.errors import BackupError
from ronron.ports.services import Streams

if TYPE_CHECKING:
    import docker

_CHUNK = 32 * 1024
_STDERR = 2
_EXIT_SECONDS = 10.0


def execute(client: docker.DockerClient, container: str, words: Sequence[str], streams: Streams) -> int:
    """See ports.ServiceContainers.

    Raises:
        BackupError: it ended with its container.
    """
    environment = {"TERM": os.environ.get("TERM", "xterm")} if streams.tty else None
    made = client.api.exec_create(
        container, list(words), stdin=streams.stdin is not None, tty=streams.tty, environment=environment
    )
    identity = str(made["Id"])
    raw: Any = client.api.exec_start(identity, socket=True, tty=streams.tty)
    with hijacked(raw) as (sock, reader), _terminal(client, identity, streams):
        # A person may think for a long time.
        sock.settimeout(None)
        if streams.stdin is not None:
            threading.Thread(target=_feed, args=(streams.stdin, sock), name="stdin", daemon=True).start()
        if streams.tty:
            _copy(reader, streams.stdout)
        else:
            _split(reader, streams)
    return _exit_code(client, identity, container, words)


def _feed(stdin: int, sock: socket.socket) -> None:
    """Write our standard input to the program's, and close that at the end."""
    with suppress(OSError):  # the program has ended
        while chunk := os.read(stdin, _CHUNK):
            sock.sendall(chunk)
        sock.shutdown(socket.SHUT_WR)


def _copy(reader: BufferedReader, to: BinaryIO) -> None:
    with suppress(ConnectionResetError):
        while chunk := reader.read1(_CHUNK):
            to.write(chunk)
            to.flush()


def _split(reader: BufferedReader, streams: Streams) -> None:
    """Docker's frames. Source: its API, `Attach to a container`, Stream format."""
    with suppress(ConnectionResetError):
        while len(header := reader.read(8)) == 8:
            stream, size = struct.unpack(">BxxxL", header)
            to = streams.stderr if stream == _STDERR else streams.stdout
            while size and (chunk := reader.read(min(size, _CHUNK))):
                size -= len(chunk)
                to.write(chunk)
            to.flush()


def _exit_code(client: docker.DockerClient, identity: str, container: str, words: Sequence[str]) -> int:
    until = time.monotonic() + _EXIT_SECONDS
    while (state := client.api.exec_inspect(identity))["Running"] and time.monotonic() < until:
        time.sleep(0.02)
    code = state["ExitCode"]
    if code is None:
        raise BackupError(f"cannot tell how `{words[0]}` ended in {container}: its container ended")
    return int(code)


@contextmanager
def _terminal(client: docker.DockerClient, identity: str, streams: Streams) -> Iterator[None]:
    """Hand every key to the program, and tell it the size of the terminal."""
    if not streams.tty or streams.stdin is None:
        yield
        return

    def resize(_number: int = 0, _frame: FrameType | None = None) -> None:
        columns, rows = shutil.get_terminal_size()
        with suppress(APIError):  # it has ended
            client.api.exec_resize(identity, height=rows, width=columns)

    before = termios.tcgetattr(streams.stdin)
    handler = signal.signal(signal.SIGWINCH, resize)
    try:
        tty.setraw(streams.stdin, termios.TCSADRAIN)  # what was typed ahead is kept
        resize()
        yield
    finally:
        termios.tcsetattr(streams.stdin, termios.TCSADRAIN, before)
        signal.signal(signal.SIGWINCH, handler)
