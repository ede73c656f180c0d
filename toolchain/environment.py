"""The shell environment in which the pieces of the toolchain find each other."""

from __future__ import annotations

import json
import os
import shlex
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from toolchain import docker_engine, docker_plugin, engine, plugin, proxmoxve_plugin
from toolchain.cache import Cache
from toolchain.errors import ToolchainError
from toolchain.piece import Piece

INSTALLATION_VARIABLE = "RONRON_INSTALLATION"
"""Environment variable: another file for what `write_installation` writes."""

NOT_SET_UP = "run `make setup` in the clone"

PLUGINS = (docker_plugin.PLUGIN, proxmoxve_plugin.PLUGIN)
"""In this order: the first is needed, the others are taken along where they are there."""


def variables(cache: Cache, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """What to set so that `pulumi`, `ronron` and the tests work, by name.

    The Python in whose environment this runs comes first on PATH: the language host that is built here runs
    programs with the first `python` there.

    Raises:
        ToolchainError: a piece is missing.
    """
    environ = os.environ if environ is None else environ
    found, docker, plugins = _found(cache, environ)
    first = [str(Path(sys.executable).parent), *(str(folder) for folder in found.folders)]
    rest = [folder for folder in environ.get("PATH", os.defpath).split(os.pathsep) if folder not in first]
    chosen = {
        "PATH": os.pathsep.join([*first, *rest]),
        "RONRON_PULUMI_PLUGINS": plugins,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    if docker.origin == "built":
        # It was built because no download answered: without this each command of the engine waits for one.
        chosen["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
    answer = docker_engine.find(environ)
    if isinstance(answer, docker_engine.Answer) and answer.host != docker_engine.DEFAULT_HOST:
        chosen["DOCKER_HOST"] = answer.host
    return chosen


def write_installation(cache: Cache, environ: Mapping[str, str] | None = None) -> Path | None:
    """Write where engine and plugins are into the file that `ronron` reads, in this virtual environment.

    `reconciler/ronron/installation.py` documents the file; its variable names another place.

    Returns:
        The file; None where this Python is in no virtual environment, and no other place is named.

    Raises:
        ToolchainError: a piece is missing, or the file cannot be written.
    """
    environ = os.environ if environ is None else environ
    chosen = environ.get(INSTALLATION_VARIABLE)
    if not chosen and sys.prefix == sys.base_prefix:
        return None
    file = Path(chosen) if chosen else Path(sys.prefix) / "share" / "ronron" / "installation.json"
    found, docker, plugins = _found(cache, environ)
    document = {
        "version": 1,
        "engine": found.engine.path,
        "plugins": plugins,
        "downloads": docker.origin != "built",
    }
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=".", delete=False) as written:
            written.write(json.dumps(document, indent=2) + "\n")
        Path(written.name).chmod(0o644)
        Path(written.name).replace(file)
    except OSError as error:
        hint = "take ownership of that folder (sudo chown -R), and run it again"
        raise ToolchainError(f"cannot write {file}: {error.strerror}", hint) from error
    return file


def exports(values: Mapping[str, str]) -> str:
    """Lines for a POSIX shell, sorted by name."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(values.items()))


def _found(cache: Cache, environ: Mapping[str, str]) -> tuple[engine.Engine, Piece, str]:
    """Engine, Docker plugin, and the folder of all plugins."""
    found = engine.find(cache, environ)
    if found is None:
        raise ToolchainError("the Pulumi engine or its Python language host is missing", NOT_SET_UP)
    docker = docker_plugin.PLUGIN.find(cache, environ)
    if docker is None or docker.path is None:
        raise ToolchainError("the Docker plugin of the Pulumi engine is missing", NOT_SET_UP)
    return found, docker, plugin.together(cache, PLUGINS, environ) or docker.path
