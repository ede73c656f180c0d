"""Runs a program inside a running container, with limits for its input, its output and its time.

docker-py's own `exec_run` has neither a deadline nor an input, and loses what Docker sends together with
the headers of its answer.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from typing import TYPE_CHECKING, Any, BinaryIO

from docker.errors import APIError, NotFound

from ronron.core.errors import AgentUnreachableError, BackupError

if TYPE_CHECKING:
    import docker

LARGEST_OUTPUT = 8 * 1024 * 1024
"""Bytes of standard output that are read into memory: enough for a list of ten thousand snapshots."""

_LARGEST_ERRORS = 64 * 1024
_LONGEST_LINE = 300
_CHUNK = 64 * 1024
_STDOUT = 1
_STDERR = 2
_EXIT_SECONDS = 10.0


@dataclass(frozen=True)
class Ended:
    """The end of a program; `errors` is the end of its standard error."""

    code: int
    output: bytes
    errors: str


class Execution:
    """A running program: iterate over its `output`, then call `ended`.

    For one thread only.
    """

    def __init__(self, client: docker.DockerClient, container: str, words: Sequence[str], end: float) -> None:
        self._client, self._container, self._words, self._end = client, container, list(words), end
        self._errors = bytearray()
        self._id = ""
        self._connection = ExitStack()
        self._sock: socket.socket | None = None
        self._reader: BufferedReader | None = None
        self._fed = False

    def start(self, *, with_input: bool) -> None:
        """Start it.

        Raises:
            AgentUnreachableError: the container is not there, or does not run.
        """
        try:
            made = self._client.api.exec_create(self._container, self._words, stdin=with_input)
            self._id = str(made["Id"])
            raw: Any = self._client.api.exec_start(self._id, socket=True)
        except NotFound as error:
            # Removed between the two requests, the container takes the execution with it.
            why = f"it was removed before `{self._words[0]}` began" if self._id else "it does not exist"
            raise unreachable(self._container, why) from error
        except APIError as error:
            if error.status_code == 409:
                raise unreachable(self._container, "it is not running") from error
            raise
        self._sock, self._reader = self._connection.enter_context(hijacked(raw))

    def close(self) -> None:
        """Close the connection. The program goes on until it ends: Docker has no way to stop it."""
        self._connection.close()

    def feed(self, source: BinaryIO) -> None:
        """Write all of `source` to its standard input, and close that."""
        if self._sock is None:
            raise RuntimeError("feed() before start()")
        self._fed = True
        try:
            while chunk := source.read(_CHUNK):
                self._sock.settimeout(self._left())
                self._sock.sendall(chunk)
            self._sock.shutdown(socket.SHUT_WR)
        except TimeoutError as error:
            raise self._late() from error
        except OSError:
            # It ended before it had read everything; its output says why.
            return

    def output(self) -> Iterator[bytes]:
        """Its standard output, in the chunks in which it arrives."""
        while (header := self._read(8)) is not None:
            stream, size = struct.unpack(">BxxxL", header)
            while size:
                chunk = self._read(min(size, _CHUNK))
                if chunk is None:
                    return
                size -= len(chunk)
                if stream == _STDOUT:
                    yield chunk
                elif stream == _STDERR:
                    self._errors += chunk
                    del self._errors[:-_LARGEST_ERRORS]

    def ended(self, output: bytes = b"") -> Ended:
        """Its end; all of its output must have been read."""
        until = time.monotonic() + _EXIT_SECONDS
        while True:
            try:
                state = self._client.api.exec_inspect(self._id)
            except NotFound as error:
                raise unreachable(self._container, f"it was removed while `{self._words[0]}` ran") from error
            if not state["Running"]:
                break
            if time.monotonic() > until:
                raise unreachable(
                    self._container, f"`{self._words[0]}` closed its output and is still running"
                )
            time.sleep(0.02)
        code = state["ExitCode"]
        if code is None:
            raise unreachable(self._container, f"`{self._words[0]}` ended with its container")
        return Ended(int(code), output, self._errors.decode(errors="replace"))

    def _read(self, size: int) -> bytes | None:
        """Exactly `size` bytes; None at the end."""
        if self._sock is None or self._reader is None:
            raise RuntimeError("output() before start()")
        read = bytearray()
        while len(read) < size:
            self._sock.settimeout(self._left())
            try:
                chunk = self._reader.read1(size - len(read))
            except TimeoutError as error:
                raise self._late() from error
            except OSError as error:
                if self._fed:
                    # It ended before it had read its input: Docker then resets the connection.
                    return None
                raise unreachable(self._container, "the connection was lost") from error
            if not chunk:
                return None
            read += chunk
        return bytes(read)

    def _left(self) -> float:
        left = self._end - time.monotonic()
        if left <= 0:
            raise self._late()
        return left

    def _late(self) -> AgentUnreachableError:
        return unreachable(self._container, f"`{' '.join(self._words[:2])}` did not end in time")


@contextmanager
def hijacked(raw: Any) -> Iterator[tuple[socket.socket, BufferedReader]]:
    """The socket and the reader of a connection that Docker has handed over to a program in a container.

    The reader is the buffered one of the HTTP answer: it has what came together with the headers.

    Args:
        raw: as docker-py gives it. Its parts cannot be closed in another way, and have no types.
    """
    response, ends = raw._response, raw._sock
    reader = response.raw._fp.fp
    try:
        yield ends, reader
    finally:
        with suppress(OSError):
            ends.shutdown(socket.SHUT_RDWR)
        response.close()
        reader.close()
        ends.close()


@contextmanager
def running(
    client: docker.DockerClient,
    container: str,
    words: Sequence[str],
    *,
    seconds: float,
    source: BinaryIO | None = None,
) -> Iterator[Execution]:
    """Start a program in a container and write its input, for the block.

    Args:
        client: of the Docker that the container is on.
        container: its name.
        words: the program and its arguments; no shell is involved.
        seconds: until the last output must have been read.
        source: its standard input; None for none.

    Raises:
        AgentUnreachableError: the container does not run, or the time has run out.
    """
    execution = Execution(client, container, words, time.monotonic() + seconds)
    try:
        execution.start(with_input=source is not None)
        if source is not None:
            execution.feed(source)
        yield execution
    finally:
        execution.close()


def run(
    client: docker.DockerClient,
    container: str,
    words: Sequence[str],
    *,
    seconds: float,
    source: BinaryIO | None = None,
) -> Ended:
    """Run a program in a container to its end. Arguments and errors as in `running`.

    Raises:
        BackupError: it writes more than 8 MiB.
    """
    with running(client, container, words, seconds=seconds, source=source) as execution:
        output = bytearray()
        for chunk in execution.output():
            output += chunk
            if len(output) > LARGEST_OUTPUT:
                raise BackupError(
                    f"cannot read the answer of {container}: more than {LARGEST_OUTPUT // 1024**2} MiB",
                    hint=f"find out what is wrong with it: docker logs {container}",
                )
        return execution.ended(bytes(output))


def unreachable(container: str, why: str) -> AgentUnreachableError:
    """The error for a container that does not answer."""
    return AgentUnreachableError(
        f"cannot reach the container {container}: {why}",
        hint="ronron drift ENV shows what is wrong; ronron update ENV puts a missing container back",
    )


def last_line(text: str) -> str:
    """The last line of a program's output that is not empty, cut to 300 characters."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:_LONGEST_LINE] if lines else ""
