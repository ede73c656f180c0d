"""`python -m toolchain ensure [images] | env | report [--json] | images [--fresh]`: wires, prints, exits."""

from __future__ import annotations

import json
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from toolchain import docker_engine, docker_plugin, downloads, engine, environment, images, versions
from toolchain.cache import Cache, Say, cache_root
from toolchain.errors import ToolchainError
from toolchain.piece import Piece
from toolchain.report import report as all_pieces

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def ensure(
    what: Annotated[str, typer.Argument(help="`pieces`, or `images` for pieces and images.")] = "pieces",
) -> None:
    """Get or build what is missing; says what it does, and does nothing the second time."""
    if what not in {"pieces", "images"}:
        raise typer.BadParameter("say `pieces` or `images`")
    cache, say = Cache(cache_root()), _teller()
    # Building the engine keeps the processors busy, images mostly wait for packages: side by side they cost no more.
    with ThreadPoolExecutor(max_workers=2) as pool:
        jobs: list[Future[None]] = [pool.submit(_ensure_pieces, cache, say)]
        if what == "images":
            jobs.append(pool.submit(_ensure_images, cache, say))
        errors = [error for job in jobs if (error := job.exception())]
    for error in errors:
        if not isinstance(error, ToolchainError):
            raise error
    if errors:
        for error in errors:
            _show(error)
        raise typer.Exit(1)


@app.command("images")
def build_images(
    fresh: Annotated[bool, typer.Option(help="Build them again, with the packages of today.")] = False,
) -> None:
    """Build the images of the local stack here, also where a registry of images answers."""
    cache, say = Cache(cache_root()), _teller()
    images.ensure_images(cache, docker_engine.ensure(cache, say).host, say, always=True, fresh=fresh)


@app.command()
def env(
    shell: Annotated[bool, typer.Option(help="As it is; kept for symmetry.", hidden=True)] = False,
) -> None:
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
    found = engine.ensure(cache, say)
    # An engine that had to be built is a sign that no site answers.
    worth_a_try = found.engine.origin != "built" and downloads.any_site_answers(versions.ENGINE)
    docker_plugin.ensure(cache, _program(found.engine), say, downloads_answer=worth_a_try)


def _ensure_images(cache: Cache, say: Say) -> None:
    images.ensure_images(cache, docker_engine.ensure(cache, say).host, say)


def _program(piece: Piece) -> str:
    if piece.path is None:
        raise ToolchainError(f"the {piece.name} is missing", environment.NOT_SET_UP)
    return piece.path


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
    """Entry point: errors of the toolchain are a message, everything else is a bug and shows its traceback."""
    try:
        app(prog_name="python -m toolchain")
    except ToolchainError as error:
        _show(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
