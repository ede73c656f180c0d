"""A group of commands whose modules are imported when one of their commands is called.

Help and completion of the group use a table, so that neither imports what the commands need.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

Command = TyperCommand | TyperGroup


@dataclass(frozen=True)
class Entry:
    """One command in the table.

    Args:
        name: as a person types it.
        module: has a function `register`, which adds this command to a Typer app.
        panel: heading of the help under which it stands.
        help: the first line of the command's own help.
    """

    name: str
    module: str
    panel: str
    help: str


def settings() -> dict[str, Any]:
    """Arguments of `typer.Typer` that every app of the command line shares."""
    # Plain text: Rich would take as long to import as everything else that `--help` needs.
    return {"rich_markup_mode": None, "no_args_is_help": True}


class LazyGroup(TyperGroup):
    """A Typer group over the entries of a table; a subclass sets `entries`."""

    entries: ClassVar[Sequence[Entry]] = ()

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands = {entry.name: TyperCommand(entry.name, help=entry.help) for entry in self.entries}

    def load(self, name: str) -> Command:
        """The command itself; imports its module."""
        (module,) = (entry.module for entry in self.entries if entry.name == name)
        app = typer.Typer(**settings())
        app.callback()(_nothing)  # a Typer app with one command and no callback is that command
        importlib.import_module(module).register(app)
        command: Command = _commands(app)[name]
        return command

    # Typer carries a Click of its own, which it does not export: its types are Any here.
    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """See Click: the command that the arguments begin with, and the other arguments."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, self.load(name) if name is not None else command, rest

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """See Click: write the commands under their headings, in the order of the table."""
        del ctx
        for panel in dict.fromkeys(entry.panel for entry in self.entries):
            with formatter.section(panel):
                formatter.write_dl(_rows(self.entries, panel))


def _rows(entries: Iterable[Entry], panel: str) -> list[tuple[str, str]]:
    return [(entry.name, entry.help.removesuffix(".")) for entry in entries if entry.panel == panel]


def _commands(app: typer.Typer) -> Mapping[str, Any]:
    found: Mapping[str, Any] = typer.main.get_group(app).commands
    return found


def _nothing() -> None:
    pass
