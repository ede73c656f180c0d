"""The engine's Docker plugin: on the machine, downloaded by the engine, or built from Go modules."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from toolchain import commands, go_build, versions
from toolchain.cache import Cache, Say
from toolchain.errors import NotThisWay, ToolchainError
from toolchain.piece import Piece, Where

FOLDER = f"resource-docker-v{versions.DOCKER_PLUGIN}"
PROGRAM = "pulumi-resource-docker"
INSTALL_SECONDS = 60.0
"""For the engine's own download of the plugin (40 MB)."""

NICENESS = 10
"""Where engine and plugin are both built, the plugin takes what the engine leaves of the processors (while it
waits for downloads and links), and what both need is mostly compiled once."""


def find(cache: Cache, environ: Mapping[str, str] | None = None) -> Piece | None:
    """The plugin, without making anything. Its `path` is the folder of plugins that it is in."""
    environ = os.environ if environ is None else environ
    on_machine = machine_plugins(environ)
    half_made = (on_machine / f"{FOLDER}.partial").exists()  # the engine's own sign
    if (on_machine / FOLDER / PROGRAM).is_file() and not half_made:
        return _piece(on_machine, "machine")
    folder = cache.find(_key(), [f"{FOLDER}/{PROGRAM}"])
    if folder is None:
        return None
    return _piece(folder, "download" if cache.origin(folder).origin == "download" else "built")


def machine_plugins(environ: Mapping[str, str]) -> Path:
    """Where the engine keeps plugins on this machine."""
    return Path(environ.get("HOME") or Path.home()) / ".pulumi" / "plugins"


def ensure(
    cache: Cache, say: Say, *, downloader: str | None, environ: Mapping[str, str] | None = None
) -> Piece:
    """The plugin; obtained now if it is missing.

    Args:
        cache: where it is kept.
        say: told what is done.
        downloader: the engine, which downloads plugins; None where that is not worth a try.
        environ: where the machine's plugins are looked for.

    Raises:
        ToolchainError: it cannot be built here.
    """
    found = find(cache, environ)
    if found is None:
        cache.obtain(
            _key(),
            [f"{FOLDER}/{PROGRAM}"],
            lambda folder: _make(cache, folder, say, downloader),
            piece="docker plugin",
            say=say,
        )
        found = find(cache, environ)
    if found is None:
        raise AssertionError("the cache has no docker plugin although it was just made")
    say(f"docker plugin: {found.version} ({found.origin}), {found.path}")
    return found


def _make(cache: Cache, folder: Path, say: Say, downloader: str | None) -> tuple[str, str]:
    log = cache.logs / "docker-plugin.log"
    if downloader:
        say(f"docker plugin: downloading {versions.DOCKER_PLUGIN}")
        try:
            _install(folder, downloader, log)
        except NotThisWay as reason:
            say(f"docker plugin: no download ({reason})")
        else:
            return versions.DOCKER_PLUGIN, "download"
    (folder / FOLDER).mkdir()
    go_build.build(
        "docker_plugin",
        ".",
        folder / FOLDER / PROGRAM,
        stamp={"main.version": versions.DOCKER_PLUGIN},
        log=log,
        say=say,
        niceness=NICENESS,
    )
    return versions.DOCKER_PLUGIN, "built"


def _install(folder: Path, engine: str, log: Path) -> None:
    home = folder / "home"
    try:
        commands.run(
            [engine, "plugin", "install", "resource", "docker", versions.DOCKER_PLUGIN],
            environment={"PULUMI_HOME": str(home), "PULUMI_SKIP_UPDATE_CHECK": "true"},
            log=log,
            deadline=INSTALL_SECONDS,
            hint="",
        )
        (home / "plugins" / FOLDER).rename(folder / FOLDER)
    except (ToolchainError, OSError) as error:
        shutil.rmtree(folder / FOLDER, ignore_errors=True)
        raise NotThisWay("the engine cannot download it") from error
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _key() -> str:
    return f"plugins-docker-{versions.DOCKER_PLUGIN}-{go_build.module_key('docker_plugin')}"


def _piece(folder: Path, origin: Where) -> Piece:
    return Piece(
        name="docker plugin", ok=True, version=versions.DOCKER_PLUGIN, origin=origin, path=str(folder)
    )
