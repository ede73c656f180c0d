"""`python -m toolchain ensure [WHAT] | env | report [--json] | images`: wires, prints, exits."""

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
    plugin,
    proxmoxve_plugin,
    s3_gateway,
    versions,
)
from toolchain.cache import Cache, Say, cache_root
from toolchain.errors import NotThisWay, ToolchainError
from toolchain.piece import Piece
from toolchain.report import report as all_pieces

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def ensure(
    what: Annotated[
        str,
        typer.Argument(
            help="`pieces`; `proxmox` for that plugin, `images` for images, too; `tests` for all."
        ),
    ] = "pieces",
) -> None:
    """Get or build what is missing; says what it does, and does nothing the second time."""
    if what not in {"pieces", "proxmox", "images", "tests"}:
        raise typer.BadParameter("say `pieces`, `proxmox`, `images` or `tests`")
    cache, say = Cache(cache_root()), _teller()
    # Building the engine keeps the processors busy, images mostly wait for packages: side by side is quicker.
    steps = [_ensure_pieces, _ensure_images] if what in {"images", "tests"} else [_ensure_pieces]
    errors = _side_by_side([partial(step, cache, say) for step in steps])
    later: list[Callable[[Cache, Say], object]] = []
    if what in {"proxmox", "tests"}:
        later.append(_ensure_proxmox)
    if what == "tests":
        later.append(s3_gateway.ensure)
    if later and not errors:
        errors = _side_by_side([partial(step, cache, say) for step in later])
    for error in errors:
        _show(error)
    if errors:
        raise typer.Exit(1)


@app.command("images")
def build_images(
    fresh: Annotated[bool, typer.Option(help="Build them again, with the packages of today.")] = False,
) -> None:
    """Build the images of the local stack here, also where a registry of images answers."""
    cache, say = Cache(cache_root()), _teller()
    images.ensure_images(cache, docker_engine.ensure(cache, say).host, say, always=True, fresh=fresh)


@app.command()
def env() -> None:
    """Print lines for `eval`: the environment in which the pieces find each other."""
    sys.stdout.write(environment.exports(environment.variables(Cache(cache_root()))))


@app.command()
def report(as_json: Annotated[bool, typer.Option("--json", help="Facts for programs.")] = False) -> None:
    """Say what is there, where it came from, and the remedy for the rest; exit 1 if something is missing."""
    pieces = all_pieces()
    if as_json:
        sys.stdout.write(json.dumps([piece.model_dump() for piece in pieces], indent=2) + "\n")
    else:
        Console(soft_wrap=True).print(_table(pieces))
    if not all(piece.ok for piece in pieces):
        raise typer.Exit(1)


def _ensure_pieces(cache: Cache, say: Say) -> None:
    places = _download_places(cache, say)
    if places:
        found = engine.ensure(cache, say, places=places)
        docker_plugin.PLUGIN.ensure(cache, say, downloader=found.engine.path)
        # The engine would get it before its first preview: the SDK is there, so it thinks that it is needed.
        with contextlib.suppress(NotThisWay):
            proxmoxve_plugin.PLUGIN.ensure(cache, say, downloader=found.engine.path, may_build=False)
        plugin.join(cache, environment.PLUGINS, say)
        return
    errors = _side_by_side(
        [
            partial(engine.ensure, cache, say, places=()),
            partial(docker_plugin.PLUGIN.ensure, cache, say, downloader=None),
        ]
    )
    if not errors:
        plugin.join(cache, environment.PLUGINS, say)
    for error in errors[1:]:
        _show(error)
    for error in errors:
        raise error


def _download_places(cache: Cache, say: Say) -> tuple[str, ...]:
    if engine.find(cache) and docker_plugin.PLUGIN.find(cache):
        return ()
    return _answering(say)


def _answering(say: Say) -> tuple[str, ...]:
    wanted = downloads.sites(versions.ENGINE)
    places = downloads.answering(versions.ENGINE, wanted)
    if not places:
        why = f"no answer from {', '.join(wanted)}" if wanted else f"{downloads.SITE_VARIABLE} says so"
        say(f"no downloads ({why}): what is missing is built from Go modules, once; minutes")
    return places


def _ensure_proxmox(cache: Cache, say: Say) -> None:
    found = engine.find(cache)
    missing = proxmoxve_plugin.PLUGIN.find(cache) is None
    downloader = found.engine.path if found and missing and _answering(say) else None
    proxmoxve_plugin.PLUGIN.ensure(cache, say, downloader=downloader)
    plugin.join(cache, environment.PLUGINS, say)


def _ensure_images(cache: Cache, say: Say) -> None:
    images.ensure_images(cache, docker_engine.ensure(cache, say).host, say)


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


def _teller() -> Say:
    begun = time.monotonic()
    one_at_a_time = threading.Lock()

    def say(line: str) -> None:
        with one_at_a_time:
            sys.stdout.write(f"[{time.monotonic() - begun:5.1f} s] {line}\n")
            sys.stdout.flush()

    return say


def _show(error: BaseException) -> None:
    sys.stderr.write(f"error: {error}\n")


def main() -> None:
    """Entry point: errors of the toolchain are a message; anything else is a bug and shows its traceback."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    try:
        app(prog_name="python -m toolchain")
    except ToolchainError as error:
        _show(error)
        sys.exit(1)


def _leave(number: int, _: FrameType | None) -> NoReturn:
    # Other threads may be in the middle of a call that nothing interrupts. What is half made was made aside,
    # and the next run clears it away.
    commands.stop_all()
    os.write(sys.stderr.fileno(), b"stopped; run it again, what is done already is kept\n")
    os._exit(128 + number)


if __name__ == "__main__":
    main()
