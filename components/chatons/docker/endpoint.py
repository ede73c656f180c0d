"""The program's own connection to the Docker of a machine, used before the engine changes anything there."""

from __future__ import annotations

import re
import shlex
import socket
import struct
import subprocess
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, Protocol

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from chatons.machine.ssh import SshAddress, ssh_options
from chatons.schema.errors import ChatonsError
from chatons.schema.image_reference import ImageReference
from chatons.schema.models import Machine

_ANSWER_SECONDS = 30
"""A Docker that is dead refuses at once; one that builds and removes much has been seen to take 15 s."""
_REGISTRY_SECONDS = 30
_LARGEST = 1_048_576
"""Bytes of an answer that are read; an agent's answer is a thousandth of it."""
_SSH_FAILED = 255
_OUT, _ERR = 1, 2
"""Numbers of the two streams."""


class EndpointError(ChatonsError):
    """Docker gave no answer; the text says why, in a few words."""


class NoContainerError(EndpointError):
    """There is no container of that name."""


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What a program did inside a container: exit code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def last_words(self) -> str:
        """The last line that it wrote to its standard error, or else to its standard output."""
        lines = [line.strip() for line in (self.err or self.out).splitlines() if line.strip()]
        return lines[-1][:300] if lines else ""


@dataclass(frozen=True, kw_only=True)
class Names:
    """Names of everything on a machine that has data or runs."""

    volumes: frozenset[str]
    containers: frozenset[str]


class Endpoint(Protocol):
    """One Docker."""

    def names(self) -> Names:
        """The names of all volumes and of all containers, running or not.

        Raises:
            EndpointError: it does not answer.
        """

    def version(self) -> str:
        """The version of the engine.

        Raises:
            EndpointError: it does not answer.
        """

    def has(self, image: ImageReference) -> bool:
        """Whether the image is on the machine already.

        Raises:
            EndpointError: it does not answer.
        """

    def why_not_pulled(self, image: ImageReference) -> str | None:
        """Why the image's registry would not hand it out; None when it would. Nothing is pulled.

        Raises:
            EndpointError: Docker itself does not answer.
        """

    def run_inside(self, container: str, command: Sequence[str], seconds: float) -> Ran:
        """Run a program inside a running container, to its end.

        Args:
            container: its name.
            command: program and arguments; no shell reads them there.
            seconds: time limit without output; not a limit for the whole run.

        Raises:
            NoContainerError: there is none of that name.
            EndpointError: Docker does not answer, or the container does not run.
        """


def endpoint(machine: Machine) -> Endpoint:
    """The Docker of a declared machine. No connection is made yet.

    Raises:
        EndpointError: the host key of the machine is not known yet.
    """
    address = machine.docker_address
    if not address.startswith("ssh://"):
        return SocketEndpoint(address)
    if machine.host_key is None:
        raise EndpointError("its host key is not known before first contact")
    return SshEndpoint(address, machine.host_key)


class SocketEndpoint:
    """A Docker on a local socket. See Endpoint."""

    def __init__(self, address: str) -> None:
        self._address = address

    def version(self) -> str:
        """See Endpoint."""
        try:
            with closing(self._client(_ANSWER_SECONDS)) as client:
                return str(client.version()["Version"])
        except (DockerException, requests.RequestException) as error:
            raise EndpointError(_cause(error)) from error

    def names(self) -> Names:
        """See Endpoint."""
        try:
            with closing(self._client(_ANSWER_SECONDS)) as client:
                volumes = client.api.volumes().get("Volumes") or ()
                containers = client.api.containers(all=True)
        except (DockerException, requests.RequestException) as error:
            raise EndpointError(_cause(error)) from error
        return Names(
            volumes=frozenset(str(each["Name"]) for each in volumes),
            containers=frozenset(
                str(name).removeprefix("/") for each in containers for name in each.get("Names") or ()
            ),
        )

    def has(self, image: ImageReference) -> bool:
        """See Endpoint."""
        try:
            with closing(self._client(_ANSWER_SECONDS)) as client:
                client.images.get(str(image))
        except ImageNotFound:
            return False
        except (DockerException, requests.RequestException) as error:
            raise EndpointError(_cause(error)) from error
        return True

    def why_not_pulled(self, image: ImageReference) -> str | None:
        """See Endpoint."""
        try:
            with closing(self._client(_REGISTRY_SECONDS)) as client:
                client.images.get_registry_data(str(image))
        except APIError as error:
            return _first_line(str(error.explanation or error))
        except (DockerException, requests.RequestException) as error:
            raise EndpointError(_cause(error)) from error
        return None

    def run_inside(self, container: str, command: Sequence[str], seconds: float) -> Ran:
        """See Endpoint."""
        try:
            with closing(self._client(max(1, int(seconds)))) as client:
                started = str(client.api.exec_create(container, list(command))["Id"])
                out, err = _written(client.api.exec_start(started, socket=True))
                code = _exit_code(client, started)
        except NotFound as error:
            raise NoContainerError(_first_line(str(error.explanation or error))) from error
        except APIError as error:
            raise EndpointError(_first_line(str(error.explanation or error))) from error
        except (DockerException, requests.RequestException, OSError) as error:
            raise EndpointError(_cause(error)) from error
        return Ran(code=code, out=out, err=err)

    def _client(self, timeout: int) -> docker.DockerClient:
        # Tried by hand first: where nobody listens, docker-py leaves its own socket open.
        with closing(socket.socket(socket.AF_UNIX)) as tried:
            tried.settimeout(timeout)
            try:
                tried.connect(self._address.removeprefix("unix://"))
            except OSError as error:
                raise EndpointError(_cause(error)) from error
        return docker.DockerClient(base_url=self._address, timeout=timeout, version="auto")


class SshEndpoint:
    """A Docker behind ssh. See Endpoint."""

    def __init__(self, address: str, host_key: str) -> None:
        self._address = SshAddress.parse(address)
        self._host_key = host_key

    def version(self) -> str:
        """See Endpoint."""
        answer = self._ask(["docker", "version", "--format", "{{.Server.Version}}"], _ANSWER_SECONDS)
        if answer.returncode != 0:
            raise EndpointError(_first_line(answer.stderr) or f"ssh ended with {answer.returncode}")
        return answer.stdout.strip()

    def names(self) -> Names:
        """See Endpoint."""
        return Names(
            volumes=self._lines(["docker", "volume", "ls", "--format", "{{.Name}}"]),
            containers=self._lines(["docker", "ps", "--all", "--format", "{{.Names}}"]),
        )

    def has(self, image: ImageReference) -> bool:
        """See Endpoint."""
        return self._ask(["docker", "image", "inspect", str(image)], _ANSWER_SECONDS).returncode == 0

    def why_not_pulled(self, image: ImageReference) -> str | None:
        """See Endpoint."""
        answer = self._ask(["docker", "manifest", "inspect", str(image)], _REGISTRY_SECONDS)
        return None if answer.returncode == 0 else _first_line(answer.stderr) or "no reason was given"

    def run_inside(self, container: str, command: Sequence[str], seconds: float) -> Ran:
        """See Endpoint."""
        answer = self._ask(["docker", "exec", container, *command], seconds)
        if answer.returncode != 0 and not answer.stdout.strip():
            reason = _first_line(answer.stderr)
            if re.search("no such container", reason, re.IGNORECASE):
                raise NoContainerError(reason)
            # 255 is ssh's own; Docker says of itself that it answers.
            if answer.returncode == _SSH_FAILED or reason.startswith(("Error", "Cannot connect")):
                raise EndpointError(reason or f"ssh ended with {answer.returncode}")
        return Ran(code=answer.returncode, out=answer.stdout[:_LARGEST], err=answer.stderr[:_LARGEST])

    def _lines(self, command: list[str]) -> frozenset[str]:
        answer = self._ask(command, _ANSWER_SECONDS)
        if answer.returncode != 0:
            raise EndpointError(_first_line(answer.stderr) or f"ssh ended with {answer.returncode}")
        return frozenset(answer.stdout.split())

    def _ask(self, command: list[str], timeout: float) -> subprocess.CompletedProcess[str]:
        # The socket of the shared connection is there, and ssh fails when the directory is missing.
        Path.home().joinpath(".ssh").mkdir(mode=0o700, exist_ok=True)
        address = self._address
        words = ["ssh", *ssh_options(address, self._host_key), "-l", address.user, "-p", str(address.port)]
        try:
            return subprocess.run(
                [*words, "--", address.host, shlex.join(command)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                text=True,
                errors="replace",
                timeout=timeout,
            )
        except FileNotFoundError as error:
            raise EndpointError("there is no program `ssh` here") from error
        except subprocess.TimeoutExpired as error:
            raise EndpointError(f"no answer within {timeout:g} seconds") from error


def _written(raw: Any) -> tuple[str, str]:
    """Both outputs of a program, to their end; of each the first `_LARGEST` bytes.

    Docker-py's own way to read them leaves its socket open. Source of the frames: Docker's API, `Attach to a
    container`, Stream format.
    """
    response, sock = raw._response, raw._sock
    # The buffered reader, not the socket: what came together with the headers is in its buffer.
    reader: BufferedReader = response.raw._fp.fp
    whole = {_OUT: bytearray(), _ERR: bytearray()}
    try:
        while len(header := reader.read(8)) == 8:
            stream, size = struct.unpack(">BxxxL", header)
            read = whole.get(stream, bytearray())
            while size and (part := reader.read(min(size, 65_536))):
                size -= len(part)
                read.extend(part[: max(0, _LARGEST - len(read))])
    finally:
        response.close()
        response.raw._fp.close()
        sock.close()
    return whole[_OUT].decode(errors="replace"), whole[_ERR].decode(errors="replace")


def _exit_code(client: docker.DockerClient, started: str) -> int:
    """Of a program whose outputs have ended; -1 where its container died under it."""
    end = time.monotonic() + _ANSWER_SECONDS
    while (state := client.api.exec_inspect(started))["Running"]:
        if time.monotonic() > end:
            raise EndpointError("the program closed its output and does not end")
        time.sleep(0.02)
    return -1 if state["ExitCode"] is None else int(state["ExitCode"])


def _cause(error: BaseException) -> str:
    """The innermost reason: libraries wrap `connection refused` three times."""
    while error.__cause__ is not None or error.__context__ is not None:
        error = error.__cause__ or error.__context__ or error
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return _first_line(str(error)) or type(error).__name__


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0][:300] if lines else ""
