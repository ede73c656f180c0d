"""The command `ronron` as tests run it: in this process, with records of its own and a bare environment."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ronron.adapters.sql_store.store import SqlStore
from ronron.commands.arguments import Options
from ronron.commands.cli import app
from ronron.core.record import Record


@dataclass(frozen=True)
class Said:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def facts(self) -> Any:
        """What it printed with --json."""
        return json.loads(self.out)


def ran(state: Path, repository: str, *arguments: str, options: Options | None = None) -> Said:
    """Run a command.

    Args:
        state: directory of the records.
        repository: path of the git repository.
        arguments: the command and what belongs to it.
        options: such as factories of fake ports.
    """
    before = ("--state", str(state), "--repository", repository)
    result = CliRunner().invoke(app, [*before, *arguments], obj=options, catch_exceptions=False)
    return Said(result.exit_code, result.stdout, result.stderr)


class Records:
    """The records of the environment `production` in a state directory."""

    state: Path

    def keep(self, record: Record) -> None:
        with SqlStore(self.state) as store:
            store.save(record)

    @property
    def record(self) -> Record:
        with SqlStore(self.state) as store:
            return store.load("production")


def bare_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what would tell the command something that the test does not."""
    for name in list(os.environ):
        if name.startswith(("RONRON_", "PULUMI_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
