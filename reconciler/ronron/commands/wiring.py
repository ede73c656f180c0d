"""Puts the parts together for one command. It and the command line alone know the adapters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import typer

from ronron.adapters.git_source.source import GitSource
from ronron.adapters.processes import LinuxProcesses
from ronron.adapters.sql_store.store import SqlStore
from ronron.commands.factories import PortFactories
from ronron.commands.screen import Screen
from ronron.core.errors import ConfigError, ReconcilerError
from ronron.core.status import code_of
from ronron.passes.reconcile import Ports, Target
from ronron.passes.targets import Targets
from ronron.policy.notations import nearest, quoted
from ronron.ports import Source
from ronron.settings import Settings, load_settings


@dataclass(frozen=True)
class Options:
    """The options before the command's name, and the factories of the ports."""

    repository: str | None = None
    state: Path | None = None
    debug: bool = False
    factories: PortFactories = field(default_factory=PortFactories)


@dataclass
class Opened:
    """What every command has: settings, records, a screen, and the factories of the ports."""

    settings: Settings
    store: SqlStore
    screen: Screen
    factories: PortFactories

    def known(self, name: str) -> str:
        """The name of an environment of which there is a record.

        Raises:
            ConfigError: there is none.
        """
        names = self.store.environments()
        if name not in names:
            near = nearest(name, names)
            some = f"use one of: {', '.join(sorted(names))}" if names else f"run ronron update {name} first"
            raise ConfigError(
                f"cannot find a record of the environment {quoted(name)}",
                hint=f"use {near}" if near else some,
            )
        return name


@dataclass
class Wired:
    """All the parts, put together for one command."""

    settings: Settings
    ports: Ports
    targets: Targets
    screen: Screen

    def target(self, name: str) -> Target:
        """An environment of the policy as it stands in the source now.

        Raises:
            ConfigError: the policy has no such environment.
            SourceError: the repository cannot be read.
        """
        self.ports.source.refresh()
        targets = self.targets()
        if name not in targets:
            near = nearest(name, targets)
            raise ConfigError(
                f"cannot find the environment {quoted(name)}",
                where=self.settings.policy_file,
                hint=f"use {near}" if near else f"use one of: {', '.join(sorted(targets))}",
            )
        return targets[name]


@contextmanager
def opened(context: typer.Context, as_json: bool, **options: object) -> Iterator[Opened]:
    """Settings, records and a screen for the block; an error of ours ends the process with its exit code."""
    before: Options = context.obj
    screen = Screen(as_json=as_json)
    with errors(screen, before.debug):
        given = {"repository": before.repository, "state": before.state, "debug": before.debug or None}
        settings = load_settings(**given, **options)
        screen.keep_secret(settings.secrets())
        with SqlStore(settings.state, secrets=settings.secrets()) as store:
            yield Opened(settings, store, screen, before.factories)


@contextmanager
def wired(context: typer.Context, as_json: bool, **options: object) -> Iterator[Wired]:
    """All the parts for the block."""
    with opened(context, as_json, **options) as parts:
        # Imported here: commands that only read records start faster without it.
        from ronron.adapters.pulumi_engine.engine import PulumiEngine

        settings = parts.settings
        processes = LinuxProcesses()
        source = source_of(settings)
        ports = Ports(
            source=source,
            engine=PulumiEngine(settings.engine(), processes),
            store=parts.store,
            prober=parts.factories.prober(),
            backups=parts.factories.backups(),
            machines=parts.factories.machines(),
            clock=parts.factories.clock(),
            processes=processes,
            progress=parts.screen,
            work=settings.state / "passes",
        )
        yield Wired(settings, ports, targets_of(source, settings), parts.screen)


def source_of(settings: Settings) -> GitSource:
    """The repository that the settings name."""
    return GitSource(settings.repository, settings.state, LinuxProcesses(), timeout=settings.git_timeout)


def targets_of(source: Source, settings: Settings) -> Targets:
    """The environments of the policy, read from the source each time."""
    return Targets(source, settings.policy_reference, settings.policy_file)


@contextmanager
def errors(screen: Screen, debug: bool) -> Iterator[None]:
    """Show an error of ours and exit with its code; with `debug` let it through."""
    try:
        yield
    except ReconcilerError as error:
        if debug:
            raise
        screen.error(error)
        raise typer.Exit(code_of(error)) from error
