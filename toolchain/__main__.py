"""`python -m toolchain ensure [WHAT] | env | report [--json] | images | repository PLACE`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from toolchain import (
    commands,
    docker_engine,
    docker_plugin,
    downloads,
    engine,
    environment,
    images,
    new_repository,
    plugin,
    proxmoxve_plugin,
    s3_gateway,
    versions,
)
from toolchain.cache import Cache, Progress, cache_root
from toolchain.errors import NotThisWay, ToolchainError
from toolchain.piece import Piece
from toolchain.report import report as all_pieces

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def ensure(
    what: Annotated[
        str,
        typer.Argument(
            help="`pieces`; `proxmox`: also that plugin; `images`: also images; `tests`: everything."
        ),
    ] = "pieces",
) -> None:
    """Get or build what is missing; a second run does nothing."""
    if what not in {"pieces", "proxmox", "images", "tests"}:
        raise typer.BadParameter("choose `pieces`, `proxmox`, `images` or `tests`")
    cache, progress = Cache(cache_root()), _progress_printer()
    # Building the engine keeps the processors busy, images mostly wait for packages: side by side is quicker.
    steps = [_ensure_pieces, _ensure_images] if what in {"images", "tests"} else [_ensure_pieces]
    errors = _side_by_side([partial(step, cache, progress) for step in steps])
    later: list[Callable[[Cache, Progress], object]] = []
    if what in {"proxmox", "tests"}:
        later.append(_ensure_proxmox)
    if what == "tests":
        later.append(s3_gateway.ensure)
    if later and not errors:
        errors = _side_by_side([partial(step, cache, progress) for step in later])
    for error in errors:
        _show(error)
    if errors:
        raise typer.Exit(1)
    if environment.write_installation(cache):
        progress(f"ronron: {Path(sys.executable).with_name('ronron')} finds all of this")


@app.command("images")
def build_images(
    fresh: Annotated[bool, typer.Option(help="Build them again with the newest packages.")] = False,
) -> None:
    """Build the images of the local stack here, even where an image registry is reachable."""
    cache, progress = Cache(cache_root()), _progress_printer()
    images.ensure_images(
        cache, docker_engine.ensure(cache, progress).host, progress, always=True, fresh=fresh
    )


@app.command()
def env() -> None:
    """Print the environment for the tools, as lines for `eval`."""
    sys.stdout.write(environment.exports(environment.variables(Cache(cache_root()))))


@app.command()
def repository(
    place: Annotated[Path, typer.Argument(help="An empty folder, or one that does not exist.")],
    remote: Annotated[str, typer.Option(help="URL of the empty repository on your forge.")] = "",
) -> None:
    """Make a repository for a collective, with a lock file that pins the `chatons` of this clone."""
    cache = Cache(cache_root())
    at = new_repository.places(place, cache.logs / "repository.log")
    new_repository.make_repository(at, remote, _progress_printer())


@app.command()
def report(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """Report what is installed, from where, and the remedy for the rest; exit 1 if something is missing."""
    pieces = all_pieces()
    if as_json:
        sys.stdout.write(json.dumps([piece.model_dump() for piece in pieces], indent=2) + "\n")
    else:
        Console(soft_wrap=True).print(_table(pieces))
    if not all(piece.ok for piece in pieces):
        raise typer.Exit(1)


def _ensure_pieces(cache: Cache, progress: Progress) -> None:
    places = _download_places(cache, progress)
    if places:
        found = engine.ensure(cache, progress, places=places)
        docker_plugin.PLUGIN.ensure(cache, progress, downloader=found.engine.path)
        # The engine would download it before its first preview, as its SDK is installed.
        with contextlib.suppress(NotThisWay):
            proxmoxve_plugin.PLUGIN.ensure(cache, progress, downloader=found.engine.path, may_build=False)
        plugin.join(cache, environment.PLUGINS, progress)
        return
    errors = _side_by_side(
        [
            partial(engine.ensure, cache, progress, places=()),
            partial(docker_plugin.PLUGIN.ensure, cache, progress, downloader=None),
        ]
    )
    if not errors:
        plugin.join(cache, environment.PLUGINS, progress)
    for error in errors[1:]:
        _show(error)
    for error in errors:
        raise error


def _download_places(cache: Cache, progress: Progress) -> tuple[str, ...]:
    if engine.find(cache) and docker_plugin.PLUGIN.find(cache):
        return ()
    return _answering(progress)


def _answering(progress: Progress) -> tuple[str, ...]:
    wanted = downloads.sites(versions.ENGINE)
    places = downloads.answering(versions.ENGINE, wanted)
    if not places:
        why = f"no answer from {', '.join(wanted)}" if wanted else f"{downloads.SITE_VARIABLE} is `none`"
        progress(f"no downloads ({why}): building what is missing from Go modules, once; this takes minutes")
    return places


def _ensure_proxmox(cache: Cache, progress: Progress) -> None:
    found = engine.find(cache)
    missing = proxmoxve_plugin.PLUGIN.find(cache) is None
    downloader = found.engine.path if found and missing and _answering(progress) else None
    proxmoxve_plugin.PLUGIN.ensure(cache, progress, downloader=downloader)
    plugin.join(cache, environment.PLUGINS, progress)


def _ensure_images(cache: Cache, progress: Progress) -> None:
    images.ensure_images(cache, docker_engine.ensure(cache, progress).host, progress)


def _side_by_side(steps: Sequence[Callable[[], object]]) -> list[ToolchainError]:
    with ThreadPoolExecutor(max_workers=len(steps)) as pool:
        jobs = [pool.submit(step) for step in steps]
        errors = [error for job in jobs if (error := job.exception())]
    for error in errors:
        if not isinstance(error, ToolchainError):
            raise error
    return [error for error in errors if isinstance(error, ToolchainError)]


def _table(pieces: list[Piece]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("", "piece", "version", "from", "where", "remedy"):
        table.add_column(heading)
    for piece in pieces:
        mark = "ok" if piece.ok else "missing"
        table.add_row(mark, piece.name, piece.version, piece.origin, piece.path, piece.remedy)
    return table


def _progress_printer() -> Progress:
    begun = time.monotonic()
    one_at_a_time = threading.Lock()

    def progress(line: str) -> None:
        with one_at_a_time:
            sys.stdout.write(f"[{time.monotonic() - begun:5.1f} s] {line}\n")
            sys.stdout.flush()

    return progress


def _show(error: BaseException) -> None:
    sys.stderr.write(f"error: {error}\n")


def main() -> None:
    """Entry point: an error of the toolchain is a message; anything else is a bug, with a traceback."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    try:
        app(prog_name="python -m toolchain")
    except ToolchainError as error:
        _show(error)
        sys.exit(1)


def _leave(number: int, _: FrameType | None) -> NoReturn:
    # Other threads may be in a call that nothing interrupts. Unfinished pieces lie in folders of their own,
    # which the next run removes.
    commands.stop_all()
    os.write(sys.stderr.fileno(), b"stopped; run it again, finished pieces are reused\n")
    os._exit(128 + number)


if __name__ == "__main__":
    main()
