"""Finds the programs that the reconciler needs on this machine: their versions, places and remedies.

Nothing is installed or changed. Programs are looked up as they are run later: on the PATH of the engine.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
import shutil
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ronron.core.status import CheckResult
from ronron.installation import (
    ENGINE,
    ENGINE_VERSIONS,
    NO_DOWNLOADS,
    is_good_version,
    language_host,
    output_of,
    version_in,
)

OLDEST_PYTHON = (3, 11)

MAKE_SETUP = "run `make setup` in the clone"
INSTALL_ENGINE = "install Pulumi: https://www.pulumi.com/docs/install"
INSTALL_DOCKER = "install Docker Engine: https://docs.docker.com/engine/install, or set DOCKER_HOST"
JOIN_GROUP = "run `sudo usermod -aG docker $USER`, then log in again"

DOCKER_SOCKET = "unix:///var/run/docker.sock"
ANSWER_SECONDS = 3
"""How long a Docker engine may take to send its version."""


@dataclass(frozen=True)
class Installation:
    """Where to look for programs on this machine.

    Args:
        environ: variables of the engine's environment, PATH among them.
        plugins: the directories in which plugins are looked for, in order.
        clone: whether this runs from a clone of Ronron, where `make setup` gets what is missing.
    """

    environ: Mapping[str, str]
    plugins: tuple[Path, ...]
    clone: bool = False

    @classmethod
    def here(cls, environ: Mapping[str, str], plugins: Iterable[Path]) -> Installation:
        """This machine; `environ` and `plugins` as above."""
        return cls(environ, tuple(plugins), in_clone((Path.cwd(), Path(sys.prefix))))


def in_clone(places: Iterable[Path]) -> bool:
    """Whether one of these directories lies in a clone of Ronron."""
    return any(
        (directory / "toolchain" / "setup.sh").is_file()
        for place in places
        for directory in (place, *place.parents)
    )


def check_tools(installed: Installation) -> tuple[CheckResult, ...]:
    """Every program that the reconciler needs, in the order in which they build on each other.

    Takes up to 3 s where no Docker engine answers.
    """
    checks: tuple[Callable[[], tuple[CheckResult, ...]], ...] = (
        lambda: (check_python(), check_git(installed)),
        lambda: (*check_engine(installed), *check_plugins(installed)),
        lambda: (check_docker(installed),),
    )
    with ThreadPoolExecutor(max_workers=len(checks)) as pool:
        return tuple(each for found in pool.map(lambda check: check(), checks) for each in found)


# -- Python and git ----------------------------------------------------------------------------------------


def check_python(version: tuple[int, int] = sys.version_info[:2]) -> CheckResult:
    """The Python that runs this; tests give another version."""
    good = version >= OLDEST_PYTHON
    oldest = ".".join(map(str, OLDEST_PYTHON))
    return CheckResult(
        name="python",
        good=good,
        version=platform.python_version(),
        origin=sys.executable,
        remedy="" if good else f"install Python {oldest} or newer",
    )


def check_git(installed: Installation) -> CheckResult:
    """The first git on PATH."""
    path = _which("git", installed)
    version = version_in(output_of([path, "--version"], installed.environ)) if path else None
    if path is None or version is None:
        return CheckResult(name="git", good=False, remedy="install git: https://git-scm.com/downloads")
    return CheckResult(name="git", good=True, version=version, origin=path)


# -- the engine and its plugins ----------------------------------------------------------------------------


def check_engine(installed: Installation) -> tuple[CheckResult, CheckResult]:
    """The Pulumi engine, and its language host for programs in Python."""
    remedy = _remedy(installed, INSTALL_ENGINE)
    path = _which(ENGINE, installed)
    version = version_in(output_of([path, "version"], installed.environ)) if path else None
    host = language_host(path, installed.environ.get("PATH", os.defpath))
    about_host = CheckResult(
        name="language host", good=host is not None, origin=host or "", remedy="" if host else remedy
    )
    if path is None or version is None:
        return CheckResult(name="engine", good=False, origin=path or "", remedy=remedy), about_host
    good = is_good_version(version)
    if not good:
        first, beyond = ENGINE_VERSIONS
        wanted = f"{'.'.join(map(str, first))} or newer, below {beyond[0]}"
        remedy = f"use Pulumi {wanted}: {remedy}"
    about = CheckResult(name="engine", good=good, version=version, origin=path, remedy="" if good else remedy)
    return about, about_host


def check_plugins(installed: Installation) -> tuple[CheckResult, CheckResult]:
    """The plugins for Docker and for Proxmox VE, in the versions that the program's SDK asks for."""
    docker = _check_plugin("docker", "docker plugin", installed)
    proxmox = _check_plugin("proxmoxve", "proxmox plugin", installed)
    if not proxmox.good:
        # Only a stack with a machine on Proxmox VE needs it.
        get = "run `.venv/bin/python -m toolchain ensure proxmox`" if installed.clone else proxmox.remedy
        proxmox = proxmox.with_(
            good=True,
            origin="not installed; only a machine on Proxmox VE needs it",
            remedy=f"before you declare one, {get}",
        )
    return docker, proxmox


def _check_plugin(package: str, name: str, installed: Installation) -> CheckResult:
    wanted = _asked_for(package)
    for plugins in installed.plugins:
        for version in [wanted] if wanted else _versions_of(package, plugins):
            folder = plugins / f"resource-{package}-v{version}"
            unfinished = folder.with_name(f"{folder.name}.partial").exists()  # the engine's own mark
            program = folder / f"pulumi-resource-{package}"
            if program.is_file() and not unfinished:
                origin = program.resolve().parent.parent if program.is_symlink() else plugins
                return CheckResult(name=name, good=True, version=version, origin=str(origin))
    on_path = _which(f"pulumi-resource-{package}", installed)
    if on_path is not None:
        return CheckResult(name=name, good=True, origin=on_path)
    if wanted is None:
        return CheckResult(name=name, good=True, origin="not installed; no SDK here asks for it")
    if installed.environ.get(NO_DOWNLOADS, "").lower() not in {"1", "true"}:
        return CheckResult(
            name=name, good=True, origin=f"not installed; Pulumi downloads {wanted} when needed"
        )
    download = f"unset {NO_DOWNLOADS}: the engine then downloads {package} {wanted}"
    return CheckResult(name=name, good=False, remedy=_remedy(installed, download))


def _asked_for(package: str) -> str | None:
    """Version of the plugin that the installed SDK asks for; None where no SDK is installed."""
    # Found without importing it: an SDK takes seconds.
    spec = importlib.util.find_spec(f"pulumi_{package}")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        try:
            return str(
                json.loads((Path(place) / "pulumi-plugin.json").read_text(encoding="utf-8"))["version"]
            )
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def _versions_of(package: str, plugins: Path) -> list[str]:
    prefix = f"resource-{package}-v"
    return sorted((found.name.removeprefix(prefix) for found in plugins.glob(f"{prefix}*/")), reverse=True)


# -- Docker ------------------------------------------------------------------------------------------------


def check_docker(installed: Installation) -> CheckResult:
    """The Docker engine that commands here would use: DOCKER_HOST, the current context, the usual sockets."""
    problems = []
    for host in docker_hosts(installed.environ):
        try:
            version = _docker_version(host, installed.environ)
        except PermissionError:
            problems.append((f"permission denied: {host}", JOIN_GROUP))
        except OSError as error:
            problems.append((f"{host}: {_cause(error)}", INSTALL_DOCKER))
        else:
            return CheckResult(name="docker engine", good=True, version=version, origin=host)
    # An engine that refuses this user is nearer than one that is not there.
    why, remedy = next((each for each in problems if each[1] == JOIN_GROUP), problems[0])
    return CheckResult(name="docker engine", good=False, origin=why, remedy=remedy)


def docker_hosts(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The addresses to try, in order. An address that somebody chose is the only one."""
    chosen = environ.get("DOCKER_HOST") or _context_host(environ)
    if chosen:
        return (chosen,)
    rootless = environ.get("XDG_RUNTIME_DIR")
    return (DOCKER_SOCKET, *([f"unix://{rootless}/docker.sock"] if rootless else []))


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


def _docker_version(host: str, environ: Mapping[str, str]) -> str:
    """The version of a Docker engine and of its API.

    Raises:
        OSError: no answer, or none that Docker gives.
    """
    import docker
    from docker.constants import MINIMUM_DOCKER_API_VERSION
    from docker.utils import kwargs_from_env

    if host.startswith("unix://"):
        # Tried by hand first: where nobody listens, docker-py leaves its own socket open.
        with closing(socket.socket(socket.AF_UNIX)) as tried:
            tried.settimeout(ANSWER_SECONDS)
            tried.connect(host.removeprefix("unix://"))
    settings: dict[str, Any] = {"version": MINIMUM_DOCKER_API_VERSION, "timeout": ANSWER_SECONDS}
    if host.startswith("ssh://"):
        settings["use_ssh_client"] = True
    try:
        if host == environ.get("DOCKER_HOST"):
            settings |= kwargs_from_env(environment=dict(environ))  # its certificates too
        # Every engine knows the oldest API version. Where docker-py negotiates another and gets no answer,
        # it leaves its connection open.
        with closing(docker.APIClient(**{**settings, "base_url": host})) as client:
            answer = client.version(api_version=False)
    except docker.errors.DockerException as error:
        raise OSError(str(error)) from error
    return f"{answer['Version']} (API {answer['ApiVersion']})"


def _cause(error: BaseException) -> str:
    """The innermost reason: libraries wrap `connection refused` three times."""
    while error.__cause__ is not None or error.__context__ is not None:
        error = error.__cause__ or error.__context__ or error
    if isinstance(error, TimeoutError):
        return f"no answer within {ANSWER_SECONDS} s"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


# -- programs ----------------------------------------------------------------------------------------------


def _remedy(installed: Installation, elsewhere: str) -> str:
    return MAKE_SETUP if installed.clone else elsewhere


def _which(program: str, installed: Installation) -> str | None:
    return shutil.which(program, path=installed.environ.get("PATH", os.defpath))
