"""The Pulumi engine and its Python language host: on the machine, downloaded, or built from Go modules."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolchain import commands, downloads, go_build, versions
from toolchain.cache import Cache, Progress
from toolchain.errors import NotThisWay
from toolchain.piece import Piece, Where

ENGINE = "pulumi"
HOST = "pulumi-language-python"
HOST_SCRIPT = "pulumi-language-python-exec"
"""The language host runs this script with the program's Python; it has to be beside it."""
DYNAMIC = "pulumi-resource-pulumi-python"
"""The engine runs this for resources whose provider is written in the program itself (`pulumi.dynamic`)."""
_DYNAMIC_SCRIPT = '#!/bin/sh\nexec python3 -u -m pulumi.dynamic "$@"\n'

_ENGINE_PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
_HOST_MODULE = "github.com/pulumi/pulumi/sdk/v3"
_HOST_FOLDER = "python/cmd"
_VERSION_VARIABLE = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"
REMEDY = "run `make setup` in the clone, or install the engine (https://www.pulumi.com/docs/install)"


@dataclass(frozen=True)
class Engine:
    """Engine and language host; both are there."""

    engine: Piece
    language_host: Piece

    @property
    def folders(self) -> tuple[Path, ...]:
        """What has to be on PATH, in this order."""
        found = (self.language_host.path, self.engine.path)
        return tuple(dict.fromkeys(Path(path).parent for path in found if path))


def find(cache: Cache, environ: Mapping[str, str] | None = None) -> Engine | None:
    """What there is, without making anything; None where the engine or the language host is missing."""
    return on_machine(cache, environ) or _in_cache(cache)


def ensure(
    cache: Cache, progress: Progress, *, places: Sequence[str], environ: Mapping[str, str] | None = None
) -> Engine:
    """Engine and language host; obtained now if they are missing.

    Args:
        cache: where they are kept.
        progress: prints what is done.
        places: where to download from, in order; where there is none they are built.
        environ: where the machine's own engine is looked for.

    Raises:
        ToolchainError: they cannot be built here.
    """
    found = find(cache, environ)
    if found:
        engine = found.engine
        progress(f"engine: {engine.version} ({engine.origin}), {engine.path}")
        return found
    cache.obtain(
        _engine_key(),
        [ENGINE],
        lambda folder: _make_engine(cache, folder, progress, places),
        piece="engine",
        progress=progress,
    )
    if _in_cache(cache) is None:  # the official archive holds all that is beside it, too
        built = cache.obtain(
            _host_key(),
            [HOST, HOST_SCRIPT],
            lambda folder: _build_host(cache, folder, progress),
            piece="language host",
            progress=progress,
        )
        _put_beside(cache, built, progress)
    made = _in_cache(cache)
    if made is None:
        raise AssertionError("the cache has no engine although it was just made")
    for piece in (made.engine, made.language_host):
        progress(f"{piece.name}: {piece.version} ({piece.origin}), {piece.path}")
    return made


def on_machine(cache: Cache, environ: Mapping[str, str] | None = None) -> Engine | None:
    """An engine on PATH that is good enough and has the Python language host beside it; None otherwise."""
    environ = os.environ if environ is None else environ
    for folder in environ.get("PATH", "").split(os.pathsep):
        if not folder or Path(folder).is_relative_to(cache.root):
            continue
        program = shutil.which(ENGINE, path=folder)
        if program is None:
            continue
        beside = Path(program).resolve().parent
        version = commands.output_of([program, "version"])
        if version is None or not all((beside / name).is_file() for name in (HOST, HOST_SCRIPT, DYNAMIC)):
            continue
        try:
            good = versions.is_good_engine(version)
        except ValueError:
            continue
        if good:
            return _pieces(Path(program), version, "machine", beside / HOST, version, "machine")
    return None


def _in_cache(cache: Cache) -> Engine | None:
    folder = cache.find(_engine_key(), [ENGINE, HOST, HOST_SCRIPT, DYNAMIC])
    if folder is None:
        return None
    # The official archive comes with the language host of the same version.
    built = cache.find(_host_key(), [HOST, HOST_SCRIPT])
    engine_from, host_from = cache.origin(folder), cache.origin(built or folder)
    return _pieces(
        folder / ENGINE, engine_from.version, _where(engine_from.origin),
        folder / HOST, host_from.version, _where(host_from.origin),
    )  # fmt: skip


def _put_beside(cache: Cache, built: Path, progress: Progress) -> None:
    """Put the language host and what runs dynamic resources where the engine looks first.

    Taken from PATH, each command would warn of it.
    """
    with cache.lock(_engine_key(), progress=progress):
        for name in (HOST_SCRIPT, HOST):
            place = cache.root / _engine_key() / name
            if not place.exists():
                place.hardlink_to(built / name)
        script = cache.root / _engine_key() / DYNAMIC
        if not script.exists():
            script.write_text(_DYNAMIC_SCRIPT)
            script.chmod(0o755)


def _pieces(
    engine: Path, version: str, origin: Where, host: Path, host_version: str, host_origin: Where
) -> Engine:
    return Engine(
        Piece(name="engine", ok=True, version=version.removeprefix("v"), origin=origin, path=str(engine)),
        Piece(
            name="language host",
            ok=True,
            version=host_version.removeprefix("v"),
            origin=host_origin,
            path=str(host),
        ),
    )


def _where(origin: str) -> Where:
    return "download" if origin == "download" else "built"


def _engine_key() -> str:
    return f"engine-{versions.ENGINE}-{go_build.module_key('engine')}"


def _host_key() -> str:
    return f"language-host-{versions.LANGUAGE_HOST}-{go_build.module_key('language_host')}"


def _make_engine(cache: Cache, folder: Path, progress: Progress, places: Sequence[str]) -> tuple[str, str]:
    if places:
        progress(f"engine: downloading {versions.ENGINE}")
        try:
            downloads.fetch_engine(versions.ENGINE, folder, places)
        except NotThisWay as reason:
            progress(f"engine: no download ({reason})")
        else:
            progress(f"engine: {versions.ENGINE} downloaded, checksum verified")
            return versions.ENGINE, "download"
    go_build.build(
        "engine",
        _ENGINE_PACKAGE,
        folder / ENGINE,
        stamp={_VERSION_VARIABLE: f"v{versions.ENGINE}"},
        log=cache.logs / "engine.log",
        progress=progress,
    )
    return versions.ENGINE, "built"


def _build_host(cache: Cache, folder: Path, progress: Progress) -> tuple[str, str]:
    log = cache.logs / "language-host.log"
    go_build.build(
        "language_host",
        f"{_HOST_MODULE}/{_HOST_FOLDER}/{HOST}",
        folder / HOST,
        stamp={_VERSION_VARIABLE: f"v{versions.LANGUAGE_HOST}"},
        log=log,
        progress=progress,
    )
    source = go_build.module_folder("language_host", _HOST_MODULE, log=log)
    shutil.copyfile(source / _HOST_FOLDER / HOST_SCRIPT, folder / HOST_SCRIPT)
    (folder / HOST_SCRIPT).chmod(0o755)
    return versions.LANGUAGE_HOST, "built"
