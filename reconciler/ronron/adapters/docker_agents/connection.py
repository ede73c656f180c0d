"""A connection to the Docker of a machine in the inventory: a local socket, or one forwarded by ssh."""

from __future__ import annotations

import math
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException

from ronron.adapters.docker_agents.exec import last_line
from ronron.core.errors import AgentUnreachableError, BackupError
from ronron.core.inventory import Inventory, Machine, Service

ANSWER_SECONDS = 60
"""For one request: a busy Docker has taken 15 s for an inspection."""

CONNECT_SECONDS = 20.0
"""Until ssh has a tunnel; ssh itself needs 10 s to find a dead address."""

_REMOTE_SOCKET = "/var/run/docker.sock"
_SSH_PORT = 22


@contextmanager
def connected(inventory: Inventory, name: str, service: Service, doing: str) -> Iterator[docker.DockerClient]:
    """A client for the Docker of the machine that a service runs on, for the block.

    Docker's errors that the block does not catch are raised as errors of this project. So is every OSError:
    the block must catch those that have another cause.

    Args:
        inventory: knows the machine.
        name: of the service.
        service: as the inventory has it.
        doing: the verb for errors, as in `cannot <doing> pad`.

    Raises:
        AgentUnreachableError: there is no connection to Docker, or it does not answer.
        BackupError: Docker refuses the request.
    """
    machine = inventory.machines.get(service.machine)
    if machine is None:
        raise BackupError(
            f"cannot find the machine {service.machine} of {name} in the inventory",
            where=name,
            hint="update the environment: that completes its inventory",
        )
    with (
        _socket_of(machine.docker, machine.host_key, name) as path,
        translated(name, service.machine, doing),
        _client(path, ANSWER_SECONDS) as client,
    ):
        yield client


def ask(name: str, machine: Machine, seconds: float) -> None:
    """Ask the Docker of a machine for its version.

    Args:
        name: of the machine.
        machine: as the inventory has it.
        seconds: for Docker's answer, once there is a connection.

    Raises:
        BackupError: as in `connected`.
    """
    # The client itself asks for the version when it is made.
    with machine_client(name, machine, name, "ask the Docker of", seconds):
        pass


@contextmanager
def machine_client(
    name: str, machine: Machine, subject: str, doing: str, seconds: float = ANSWER_SECONDS
) -> Iterator[docker.DockerClient]:
    """A client for the Docker of a machine, for the block; errors as in `connected`.

    Args:
        name: of the machine.
        machine: as the inventory has it.
        subject: what the block is about, such as a container.
        doing: the verb for errors, as in `cannot <doing> <subject>`.
        seconds: for each answer of Docker.
    """
    with (
        _socket_of(machine.docker, machine.host_key, subject) as path,
        translated(subject, name, doing, seconds),
        _client(path, seconds) as client,
    ):
        yield client


@contextmanager
def _client(path: Path, seconds: float) -> Iterator[docker.DockerClient]:
    # A trial connection: if nobody listens, docker-py leaves its own socket open.
    with closing(socket.socket(socket.AF_UNIX)) as trial:
        trial.settimeout(seconds)
        trial.connect(str(path))
    with closing(
        docker.DockerClient(base_url=f"unix://{path}", timeout=math.ceil(seconds), version="auto")
    ) as client:
        yield client


@contextmanager
def translated(name: str, machine: str, doing: str, seconds: float = ANSWER_SECONDS) -> Iterator[None]:
    """Raise Docker's errors, and those of the connection, as our own.

    Args:
        name: as in `connected`.
        machine: name of the machine.
        doing: as in `connected`.
        seconds: the limit of each request in the block, for the message of one that timed out.
    """
    try:
        yield
    except APIError as error:
        raise BackupError(
            f"cannot {doing} {name}: Docker on {machine} refuses it ({_plain(error)})",
            where=name,
            hint=f"read the log of Docker on {machine}: journalctl -u docker",
        ) from error
    except (DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise _unreachable(name, machine, _cause(error, seconds)) from error


def _unreachable(name: str, machine: str, why: str) -> AgentUnreachableError:
    return AgentUnreachableError(
        f"cannot reach the Docker of {machine}: {why}",
        where=name,
        hint=f"check that it runs and that you may use it: on {machine}, docker version",
    )


@contextmanager
def _socket_of(address: str, host_key: str | None, name: str) -> Iterator[Path]:
    parts = urlsplit(address)
    if parts.scheme == "unix":
        yield Path(parts.path)
        return
    if parts.scheme != "ssh" or not parts.hostname or not parts.username or not host_key:
        raise BackupError(
            f"cannot reach Docker at {address}: the address is neither unix:///path nor ssh://user@host with"
            " a host key",
            where=name,
            hint="declare such an address, with its `host_key`, and update the environment",
        )
    with _tunnel(parts.username, parts.hostname, parts.port or _SSH_PORT, host_key, name) as path:
        yield path


@contextmanager
def _tunnel(user: str, host: str, port: int, host_key: str, name: str) -> Iterator[Path]:
    """A local socket that is forwarded to the remote Docker, for the block."""
    directory = Path(tempfile.mkdtemp(prefix="ronron-"))  # 0700; short, as the path of a socket must be
    try:
        path, errors = directory / "docker.sock", directory / "errors"
        with errors.open("wb") as file, _ssh(user, host, port, host_key, path, file.fileno()) as child:
            _await(path, child, errors, name, f"{user}@{host}:{port}")
            try:
                yield path
            except AgentUnreachableError as error:
                why = last_line(errors.read_text(errors="replace"))
                if "open failed" in why:
                    error.message = f"cannot reach {_REMOTE_SOCKET} through {user}@{host}: {why}"
                    error.hint = f"allow {user} to use Docker: on {host}, sudo usermod -aG docker {user}"
                raise
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def ssh_options(host: str, port: int, host_key: str) -> dict[str, str]:
    """Options of the tunnel: they ask nobody, trust one key, and share no connection. OpenSSH 8.5."""
    known_host = host if port == _SSH_PORT else f"[{host}]:{port}"
    return {
        "BatchMode": "yes",
        "ConnectTimeout": "10",
        "ServerAliveInterval": "15",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": "/dev/null",
        "GlobalKnownHostsFile": "/dev/null",
        "KnownHostsCommand": f"/bin/echo {known_host} {host_key}",
        "ControlMaster": "no",
        "ControlPath": "none",
        "ExitOnForwardFailure": "yes",
        "StreamLocalBindMask": "0177",
        "ClearAllForwardings": "no",
        # At this level ssh prints why the other end opens no channel to Docker.
        "LogLevel": "INFO",
    }


@contextmanager
def _ssh(
    user: str, host: str, port: int, host_key: str, path: Path, errors: int
) -> Iterator[subprocess.Popen[bytes]]:
    words = [
        word
        for option, value in ssh_options(host, port, host_key).items()
        for word in ("-o", f"{option}={value}")
    ]
    try:
        child = subprocess.Popen(
            ["ssh", "-T", *words, "-L", f"{path}:{_REMOTE_SOCKET}", "-l", user, "-p", str(port),
             # It reads a pipe that nobody writes to: the pipe closes when this process dies, and ends it.
             "--", host, "exec cat >/dev/null"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            # Ctrl-C in the terminal is for this process: it needs the tunnel to remove clones.
            start_new_session=True,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise AgentUnreachableError(
            f"cannot reach {host}: no program `ssh` on this machine",
            hint="install it: apt install openssh-client",
        ) from error
    try:
        yield child
    finally:
        if child.stdin is not None:
            with suppress(OSError):
                child.stdin.close()
        child.terminate()
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _await(path: Path, child: subprocess.Popen[bytes], errors: Path, name: str, address: str) -> None:
    """Wait until ssh listens on the socket; it binds that only after it was authenticated."""
    end = time.monotonic() + CONNECT_SECONDS
    while not path.is_socket():
        ended = child.poll() is not None
        if not ended and time.monotonic() < end:
            time.sleep(0.02)
            continue
        text = errors.read_text(errors="replace")
        why = last_line(text) or f"no connection within {CONNECT_SECONDS:g} s"
        changed = "host key" in text.lower() and "verification failed" in text.lower()
        if changed:
            raise AgentUnreachableError(
                f"cannot reach {address} by ssh: its host key differs from the declared one",
                where=name,
                hint="ask the administrator of that machine why; if it is right, declare it as `host_key`",
            )
        raise AgentUnreachableError(
            f"cannot reach {address} by ssh: {why}",
            where=name,
            hint=f"try it yourself: ssh -o BatchMode=yes {address.rpartition(':')[0]} docker version",
        )


def _cause(error: BaseException, seconds: float) -> str:
    """The innermost cause: libraries wrap `connection refused` three times."""
    while error.__cause__ is not None or error.__context__ is not None:
        error = error.__cause__ or error.__context__ or error
    if isinstance(error, TimeoutError):
        return f"no answer within {seconds:g} s"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return last_line(str(error)) or type(error).__name__


def _plain(error: APIError) -> str:
    return last_line(str(error.explanation or error))
