"""The Docker engine: finds the one that answers; as root on Debian or Ubuntu installs and starts one."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain import commands, debian, versions
from toolchain.cache import Cache, Progress
from toolchain.errors import ToolchainError

if TYPE_CHECKING:
    from docker import APIClient

DEFAULT_HOST = "unix:///var/run/docker.sock"
ANSWER_SECONDS = 3
"""How long an engine may take to send its version."""

START_SECONDS = 90.0
"""How long a started engine may take to answer; on a slow disk the first start takes half a minute."""

INSTALL_REMEDY = (
    "install Docker Engine (https://docs.docker.com/engine/install) and start it, or set DOCKER_HOST"
)
GROUP_REMEDY = "run `sudo usermod -aG docker $USER`, log in again, and run it again"


@dataclass(frozen=True)
class Answer:
    """A reachable engine."""

    host: str
    """As DOCKER_HOST has it: `unix:///var/run/docker.sock`."""
    version: str
    api: str


@dataclass(frozen=True)
class NoAnswer:
    """No engine is reachable."""

    reason: str
    """What was tried and what happened; lower case, without a full stop."""
    remedy: str


def find(environ: Mapping[str, str] | None = None) -> Answer | NoAnswer:
    """The engine that the settings name: DOCKER_HOST, else the Docker context, else the usual sockets."""
    environ = os.environ if environ is None else environ
    silence = NoAnswer("no Docker engine answers", INSTALL_REMEDY)
    for host in hosts(environ):
        answer = ask(host)
        if isinstance(answer, Answer):
            return answer
        if answer.remedy != INSTALL_REMEDY or silence.reason == "no Docker engine answers":
            silence = answer
    return silence


def hosts(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The addresses to try, in order. An address that somebody chose is the only one."""
    chosen = environ.get("DOCKER_HOST") or _context_host(environ)
    if chosen:
        return (chosen,)
    rootless = environ.get("XDG_RUNTIME_DIR")
    return (DEFAULT_HOST, *([f"unix://{rootless}/docker.sock"] if rootless else []))


def ask(host: str) -> Answer | NoAnswer:
    """Ask one engine for its version."""
    import docker
    import requests

    if host.startswith("unix://"):
        silence = _knock(Path(host.removeprefix("unix://")))
        if silence:
            return silence
    try:
        api = client(host, timeout=ANSWER_SECONDS)
        try:
            version = api.version()
        finally:
            api.close()
    except (docker.errors.DockerException, requests.RequestException, OSError) as error:
        first_line = (str(error).splitlines() or [type(error).__name__])[0][:200]
        return NoAnswer(f"no Docker engine answers at {host}: {first_line}", INSTALL_REMEDY)
    return Answer(host, str(version["Version"]), str(version["ApiVersion"]))


def _knock(address: Path) -> NoAnswer | None:
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.settimeout(ANSWER_SECONDS)
            made.connect(str(address))
    except FileNotFoundError:
        return NoAnswer(f"no Docker engine answers: {address} does not exist", INSTALL_REMEDY)
    except PermissionError:
        return NoAnswer(f"permission denied: the Docker engine at {address}", GROUP_REMEDY)
    except OSError as error:
        return NoAnswer(f"no Docker engine answers at unix://{address}: {error}", INSTALL_REMEDY)
    return None


def client(host: str, *, timeout: int) -> APIClient:
    """A connection to the engine at this address, in the newest API that both sides know.

    Args:
        host: as DOCKER_HOST has it.
        timeout: seconds without a byte after which a call fails.
    """
    import docker
    from docker.constants import DEFAULT_DOCKER_API_VERSION, MINIMUM_DOCKER_API_VERSION
    from docker.utils import kwargs_from_env

    settings: dict[str, Any] = dict(kwargs_from_env()) if host == os.environ.get("DOCKER_HOST") else {}
    settings["base_url"] = host
    if host.startswith("ssh://"):
        settings["use_ssh_client"] = True
    # Negotiated here and not by the library, whose client leaves its connection open where that fails.
    with closing(docker.APIClient(**settings, version=MINIMUM_DOCKER_API_VERSION, timeout=timeout)) as asking:
        served = str(asking.version(api_version=False)["ApiVersion"])
    common = min(served, DEFAULT_DOCKER_API_VERSION, key=versions.parsed)
    return docker.APIClient(**settings, version=common, timeout=timeout)


def ensure(cache: Cache, progress: Progress, environ: Mapping[str, str] | None = None) -> Answer:
    """An engine that answers; as root on Debian or Ubuntu one is installed and started if need be.

    Raises:
        ToolchainError: none answers and none can be started here, with what a person has to do.
    """
    found = find(environ)
    if isinstance(found, NoAnswer):
        environ = os.environ if environ is None else environ
        chosen_elsewhere = hosts(environ)[0] != DEFAULT_HOST
        if chosen_elsewhere or found.remedy == GROUP_REMEDY or not debian.can_install():
            raise ToolchainError(f"cannot use Docker: {found.reason}", found.remedy)
        with cache.lock("docker-engine", progress=progress):  # two runs at once start one
            if shutil.which("dockerd") is None:
                debian.install(["docker.io"], cache=cache, progress=progress)
            found = _started(cache, progress)
    progress(f"docker engine: {found.version} (API {found.api}), {found.host}")
    return found


def _started(cache: Cache, progress: Progress) -> Answer:
    found = ask(DEFAULT_HOST)  # Debian's package starts it where systemd runs
    if isinstance(found, Answer):
        return found
    if Path("/run/systemd/system").is_dir():
        progress("docker engine: starting it (systemctl enable --now docker)")
        commands.run(
            ["systemctl", "enable", "--now", "docker"],
            log=cache.logs / "systemctl-docker.log",
            deadline=START_SECONDS,
            hint="read `journalctl -u docker` and start it again",
        )
        return wait_for(DEFAULT_HOST, process=None, log=cache.logs / "systemctl-docker.log")
    log = cache.logs / "dockerd.log"
    progress(f"docker engine: starting dockerd in the background, with its log in {log}")
    return start(["dockerd"], DEFAULT_HOST, log=log)


def start(arguments: Sequence[str], host: str, *, log: Path, seconds: float = START_SECONDS) -> Answer:
    """Start an engine that outlives this process and wait until it answers.

    Args:
        arguments: `dockerd` and its options.
        host: where it will answer.
        log: where its output goes.
        seconds: within which it has to answer.

    Raises:
        ToolchainError: it ends or does not answer in time; a process that does not answer is stopped.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            arguments,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        return wait_for(host, process=process, log=log, seconds=seconds)
    except ToolchainError:
        process.terminate()
        process.wait()
        raise


def wait_for(
    host: str, *, process: subprocess.Popen[bytes] | None, log: Path, seconds: float = START_SECONDS
) -> Answer:
    """Wait until an engine that is starting answers.

    Raises:
        ToolchainError: its process ended or the time is over.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = ask(host)
        if isinstance(found, Answer):
            return found
        if process is not None and process.poll() is not None:
            text = f"dockerd ended at once (exit code {process.returncode})\n{commands.tail(log)}"
            raise ToolchainError(text, "fix what its log names, or install Docker Engine another way")
        time.sleep(0.2)
    raise ToolchainError(
        f"dockerd does not answer at {host} after {seconds:.0f} s\n{commands.tail(log)}",
        "fix what its log names and run it again",
    )


def _context_host(environ: Mapping[str, str]) -> str | None:
    """The address of the Docker context in use; None for the default one or an unreadable one."""
    folder = Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME") or Path.home()) / ".docker")
    try:
        name = environ.get("DOCKER_CONTEXT") or json.loads((folder / "config.json").read_text()).get(
            "currentContext"
        )
        if not name or name == "default":
            return None
        # The docker command line names the folder of a context by the hash of its name.
        meta = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json"
        host = json.loads(meta.read_text())["Endpoints"]["docker"]["Host"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return str(host) or None
