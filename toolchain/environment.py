"""The shell environment in which the pieces of the toolchain find each other."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from toolchain import docker_engine, docker_plugin, engine, plugin, proxmoxve_plugin
from toolchain.cache import Cache
from toolchain.errors import ToolchainError

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
    found = engine.find(cache, environ)
    if found is None:
        raise ToolchainError("the Pulumi engine or its Python language host is missing", NOT_SET_UP)
    docker = docker_plugin.PLUGIN.find(cache, environ)
    if docker is None or docker.path is None:
        raise ToolchainError("the Docker plugin of the Pulumi engine is missing", NOT_SET_UP)
    first = [str(Path(sys.executable).parent), *(str(folder) for folder in found.folders)]
    rest = [folder for folder in environ.get("PATH", os.defpath).split(os.pathsep) if folder not in first]
    chosen = {
        "PATH": os.pathsep.join([*first, *rest]),
        "RONRON_PULUMI_PLUGINS": plugin.together(cache, PLUGINS, environ) or docker.path,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    if docker.origin == "built":
        # It was built because no download answered: without this each command of the engine waits for one.
        chosen["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
    answer = docker_engine.find(environ)
    if isinstance(answer, docker_engine.Answer) and answer.host != docker_engine.DEFAULT_HOST:
        chosen["DOCKER_HOST"] = answer.host
    return chosen


def exports(values: Mapping[str, str]) -> str:
    """Lines for a POSIX shell, sorted by name."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(values.items()))
