"""Reports which pieces are installed, in which version, from where, and the remedy for the rest."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from toolchain import commands, docker_engine, docker_plugin, engine, go_build, images, proxmoxve_plugin
from toolchain.cache import Cache, cache_root
from toolchain.image_recipes import LOCAL
from toolchain.piece import Piece

PYTHON_MINIMUM = (3, 11)


def report(environ: Mapping[str, str] | None = None) -> list[Piece]:
    """Every piece, in the order in which they build on each other; takes up to 3 s, and changes nothing."""
    environ = os.environ if environ is None else environ
    cache = Cache(cache_root(environ))
    parts: tuple[Callable[[], list[Piece]], ...] = (
        lambda: [_python(), _git()],
        lambda: _pulumi(cache, environ),
        lambda: _docker(environ),
    )
    with ThreadPoolExecutor(max_workers=len(parts)) as pool:
        return [piece for pieces in pool.map(lambda part: part(), parts) for piece in pieces]


def _python() -> Piece:
    ok = sys.version_info[:2] >= PYTHON_MINIMUM
    wanted = ".".join(str(number) for number in PYTHON_MINIMUM)
    remedy = None if ok else f"install Python {wanted} or newer"
    return Piece(
        name="python",
        ok=ok,
        version=platform.python_version(),
        origin="machine",
        path=sys.executable,
        remedy=remedy,
    )


def _git() -> Piece:
    path = shutil.which("git")
    text = commands.output_of(["git", "--version"]) if path else None
    if text is None:
        return Piece(name="git", ok=False, remedy="install git")
    return Piece(name="git", ok=True, version=text.split()[2], origin="machine", path=path)


def _pulumi(cache: Cache, environ: Mapping[str, str]) -> list[Piece]:
    found = engine.find(cache, environ)
    plugin = docker_plugin.PLUGIN.find(cache, environ)
    missing = [name for name, piece in (("engine", found), ("docker plugin", plugin)) if piece is None]
    pieces = [_go(needed=bool(missing))]
    if found:
        pieces += [found.engine, found.language_host]
    else:
        pieces += [Piece(name=name, ok=False, remedy=engine.REMEDY) for name in ("engine", "language host")]
    pieces.append(plugin or Piece(name="docker plugin", ok=False, remedy="run `make setup` in the clone"))
    proxmox = proxmoxve_plugin.PLUGIN.find(cache, environ)
    # Most stacks do without it, so that it is not missing where it is not there.
    pieces.append(proxmox or Piece(name="proxmox plugin", ok=True, remedy=proxmoxve_plugin.REMEDY))
    return pieces


def _go(*, needed: bool) -> Piece:
    version = go_build.go_version()
    remedy = go_build.go_remedy(version, os.environ.get("GOTOOLCHAIN"))
    return Piece(
        name="go",
        ok=remedy is None or not needed,  # only for building what cannot be downloaded
        version=version,
        origin="machine" if version else None,
        path=shutil.which("go"),
        remedy=remedy if needed else None,
    )


def _docker(environ: Mapping[str, str]) -> list[Piece]:
    found = docker_engine.find(environ)
    if isinstance(found, docker_engine.NoAnswer):
        unknown = "start a Docker engine first"
        return [
            Piece(name="docker engine", ok=False, remedy=f"{found.remedy} ({found.reason})"),
            Piece(name="image registry", ok=False, remedy=unknown),
            Piece(name="local images", ok=False, remedy=unknown),
        ]
    version = f"{found.version} (API {found.api})"
    answers = images.registry_answers(found.host)
    with closing(docker_engine.client(found.host, timeout=docker_engine.ANSWER_SECONDS)) as api:
        present = images.present(api)
    return [
        Piece(name="docker engine", ok=True, version=version, origin="machine", path=found.host),
        _registry(answers=answers, all_built=len(present) == len(LOCAL)),
        _images(present, answers=answers),
    ]


def _registry(*, answers: bool, all_built: bool) -> Piece:
    # Without a registry the stack uses the images that were built here.
    remedy = None if answers or all_built else "run `make images` in the clone to build the images here"
    return Piece(
        name="image registry",
        ok=answers or all_built,
        version="reachable" if answers else "unreachable",
        remedy=remedy,
    )


def _images(present: Mapping[str, bool], *, answers: bool) -> Piece:
    """The images that were built here: needed only where no registry answers."""
    stale = [tag for tag, current in present.items() if not current]
    missing = [recipe.tag for recipe in LOCAL.values() if recipe.tag not in present]
    needed = not answers or bool(present)
    wrong = stale or (missing if needed else [])
    return Piece(
        name="local images",
        ok=not (missing and not answers),
        version=f"{len(present)} of {len(LOCAL)}",
        origin="built" if present else None,
        path=", ".join(present) or None,
        remedy=f"run `make images` in the clone to build {', '.join(wrong)}" if wrong else None,
    )
