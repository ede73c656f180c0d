"""Arguments and options that several commands share, and how each command ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from ronron.commands.completion import environment_names
from ronron.commands.factories import PortFactories

Environment = Annotated[
    str,
    typer.Argument(
        metavar="ENV", help="Name of an environment of the policy.", autocompletion=environment_names
    ),
]
MaybeEnvironment = Annotated[
    str | None,
    typer.Argument(metavar="ENV", help="One environment; default all.", autocompletion=environment_names),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@dataclass(frozen=True)
class Options:
    """The options before the command's name, and the factories of the ports."""

    repository: str | None = None
    state: Path | None = None
    debug: bool = False
    factories: PortFactories = field(default_factory=PortFactories)


def end(code: int, **_options: object) -> NoReturn:
    """End the process with the exit code that a command returns; every Typer app here calls it."""
    raise typer.Exit(code)
