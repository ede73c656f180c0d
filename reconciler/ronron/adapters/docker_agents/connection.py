"""A connection to the Docker of a machine in the inventory: its socket here, or one forwarded by ssh.

Shared by the adapters that talk to Docker, and by no others.
"""

from __future__ import annotations

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

from ronron.core.errors import AgentUnreachableError, BackupError
from ronron.core.inventory import Inventory, Machine, Service

ANSWER_SECONDS = 60
"""One request: Docker that builds and removes much has been seen to take 15 s for an inspection."""

CONNECT_SECONDS = 20.0
"""Until ssh has a tunnel; ssh itself gives up a dead address after 10."""

_REMOTE_SOCKET = "/var/run/docker.sock"
_SSH_PORT = 22
_LONGEST_SAID = 300


@contextmanager
def connected(inventory: Inventory, name: str, service: Service, doing: str) -> Iterator[docker.DockerClient]:
    """A client for the Docker of the machine that a service runs on, for the block.

    Whatever Docker answers inside the block that nobody there expected comes out as one of ours. So does
    every OSError: what else can raise one has to be caught in the block.

    Args:
        inventory: knows the machine.
        name: of the service.
        service: as the inventory has it.
        doing: a verb for errors, as in `cannot <doing> pad`.

    Raises:
        AgentUnreachableError: there is no way to it, or it does not answer.
        BackupError: it answers that it will not do what was asked for.
    """
    machine = inventory.machines.get(service.machine)
    if machine is None:
        raise BackupError(
            f"cannot find the machine {service.machine} of {name} in the inventory",
            where=name,
            hint="update the environment, so that its inventory is whole",
        )
    with (
        _socket_of(machine.docker, machine.host_key, name) as path,
        translated(name, service.machine, doing),
        _client(path, ANSWER_SECONDS) as client,
    ):
        yield client


def ask(name: str, machine: Machine, seconds: float) -> None:
    """Ask the Docker of a machine for its version, and nothing else.

    Args:
        name: of the machine.
        machine: as the inventory has it.
        seconds: for Docker's answer, once there is a way to it.

    Raises:
        BackupError: as in `connected`.
    """
    with (
        _socket_of(machine.docker, machine.host_key, name) as path,
        translated(name, name, "ask the Docker of"),
        # The way in is an answer to a question of its own: which version do you speak.
        _client(path, seconds),
    ):
        pass


@contextmanager
def _client(path: Path, seconds: float) -> Iterator[docker.DockerClient]:
    # Tried by hand first: where nobody listens, docker-py leaves its own socket open.
    with closing(socket.socket(socket.AF_UNIX)) as tried:
        tried.settimeout(seconds)
        tried.connect(str(path))
    with closing(
        docker.DockerClient(base_url=f"unix://{path}", timeout=int(seconds), version="auto")
    ) as client:
        yield client


@contextmanager
def translated(name: str, machine: str, doing: str) -> Iterator[None]:
    """Whatever Docker and the way to it raise in the block comes out as one of ours. As in `connected`."""
    try:
        yield
    except APIError as error:
        raise BackupError(
            f"cannot {doing} {name}: Docker on {machine} refuses it ({_plain(error)})",
            where=name,
            hint=f"look at what the Docker of {machine} says: journalctl -u docker",
        ) from error
    except (DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise _silent(name, machine, _cause(error)) from error


def _silent(name: str, machine: str, why: str) -> AgentUnreachableError:
    return AgentUnreachableError(
        f"cannot reach the Docker of {machine}: {why}",
        where=name,
        hint=f"see whether it runs and lets you in: on {machine}, docker version",
    )


@contextmanager
def _socket_of(address: str, host_key: str | None, name: str) -> Iterator[Path]:
    parts = urlsplit(address)
    if parts.scheme == "unix":
        yield Path(parts.path)
        return
    if parts.scheme != "ssh" or not parts.hostname or not parts.username or not host_key:
        raise BackupError(
            f"cannot reach Docker at {address}: that is no unix:///path, nor ssh://user@host with a host key",
            where=name,
            hint="declare the machine so, with its `host_key`, and update the environment",
        )
    with _tunnel(parts.username, parts.hostname, parts.port or _SSH_PORT, host_key, name) as path:
        yield path


@contextmanager
def _tunnel(user: str, host: str, port: int, host_key: str, name: str) -> Iterator[Path]:
    """A socket in a directory of its own that ends at the remote Docker, until the block ends."""
    place = Path(tempfile.mkdtemp(prefix="ronron-"))  # 0700; short, as a socket's path has to be
    try:
        path, said = place / "docker.sock", place / "said"
        with said.open("wb") as errors, _ssh(user, host, port, host_key, path, errors.fileno()) as child:
            _await(path, child, said, name, f"{user}@{host}:{port}")
            try:
                yield path
            except AgentUnreachableError as error:
                why = _last_line(said.read_text(errors="replace"))
                if "open failed" in why:
                    error.message = f"cannot reach {_REMOTE_SOCKET} through {user}@{host}: {why}"
                    error.hint = f"let {user} use Docker there: on {host}, sudo usermod -aG docker {user}"
                raise
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _ssh(
    user: str, host: str, port: int, host_key: str, path: Path, errors: int
) -> Iterator[subprocess.Popen[bytes]]:
    known_as = host if port == _SSH_PORT else f"[{host}]:{port}"
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": "10",
        "ServerAliveInterval": "15",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": "/dev/null",
        "GlobalKnownHostsFile": "/dev/null",
        "KnownHostsCommand": f"/bin/echo {known_as} {host_key}",
        "ControlMaster": "no",
        "ControlPath": "none",
        "ExitOnForwardFailure": "yes",
        "StreamLocalBindMask": "0177",
        "ClearAllForwardings": "no",
        # At this level it says why the other end opens no channel to Docker.
        "LogLevel": "INFO",
    }
    words = [word for option, value in options.items() for word in ("-o", f"{option}={value}")]
    try:
        child = subprocess.Popen(
            ["ssh", "-T", *words, "-L", f"{path}:{_REMOTE_SOCKET}", "-l", user, "-p", str(port),
             # It reads what we never write: when this process dies, however it dies, the pipe ends it too.
             "--", host, "exec cat >/dev/null"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            # A Ctrl-C of the terminal is for us; the way to Docker has to outlive it for the clearing up.
            start_new_session=True,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise AgentUnreachableError(
            f"cannot reach {host}: there is no program `ssh` here",
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


def _await(path: Path, child: subprocess.Popen[bytes], said: Path, name: str, address: str) -> None:
    """Wait until ssh listens on the socket; it binds that only after it was let in."""
    end = time.monotonic() + CONNECT_SECONDS
    while not path.is_socket():
        ended = child.poll() is not None
        if not ended and time.monotonic() < end:
            time.sleep(0.02)
            continue
        text = said.read_text(errors="replace")
        why = _last_line(text) or f"no connection within {CONNECT_SECONDS:g} s"
        changed = "host key" in text.lower() and "verification failed" in text.lower()
        if changed:
            raise AgentUnreachableError(
                f"cannot reach {address} by ssh: it shows another host key than the declared one",
                where=name,
                hint="ask whoever runs that machine why; where it is right, declare the new `host_key`",
            )
        raise AgentUnreachableError(
            f"cannot reach {address} by ssh: {why}",
            where=name,
            hint=f"try it by hand: ssh -o BatchMode=yes {address.rpartition(':')[0]} docker version",
        )


def _cause(error: BaseException) -> str:
    """The innermost reason: libraries wrap `connection refused` three times."""
    while error.__cause__ is not None or error.__context__ is not None:
        error = error.__cause__ or error.__context__ or error
    if isinstance(error, TimeoutError):
        return f"no answer within {ANSWER_SECONDS} s"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return _last_line(str(error)) or type(error).__name__


def _plain(error: APIError) -> str:
    return _last_line(str(error.explanation or error))


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:_LONGEST_SAID] if lines else ""
