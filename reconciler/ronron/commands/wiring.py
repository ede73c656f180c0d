"""Puts the parts together for one command.

Only this module, the factories and the checks of this machine know adapters. Commands that read the local
records need none of git, the engine and HTTP; their adapters are imported when they are made.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from ronron.adapters.sql_store.store import SqlStore
from ronron.commands.arguments import Options
from ronron.commands.factories import PortFactories
from ronron.commands.screen import Screen
from ronron.core.errors import ConfigError, ReconcilerError
from ronron.core.status import code_of
from ronron.policy.notations import nearest, quoted
from ronron.settings import Settings, load_settings

if TYPE_CHECKING:
    from ronron.passes.reconcile import Ports, Target
    from ronron.passes.targets import Targets
    from ronron.ports import Source, VirtualEnvironments


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
        from ronron.adapters.processes import LinuxProcesses
        from ronron.adapters.pulumi_engine.engine import PulumiEngine
        from ronron.passes.reconcile import Ports

        settings = parts.settings
        processes = LinuxProcesses()
        source = source_of(settings)
        packages = packages_of(settings, parts.screen)
        ports = Ports(
            source=source,
            engine=PulumiEngine(settings.engine(), processes, packages=packages),
            store=parts.store,
            prober=parts.factories.prober(),
            backups=parts.factories.backups(),
            machines=parts.factories.machines(),
            failures=parts.factories.failures(),
            containers=parts.factories.containers(),
            clock=parts.factories.clock(),
            processes=processes,
            progress=parts.screen,
            packages=packages,
            work=settings.state / "passes",
        )
        yield Wired(settings, ports, targets_of(source, settings), parts.screen)


def source_of(settings: Settings) -> Source:
    """The repository that the settings name."""
    from ronron.adapters.git_source.source import GitSource
    from ronron.adapters.processes import LinuxProcesses

    return GitSource(settings.repository, settings.state, LinuxProcesses(), timeout=settings.git_timeout)


def packages_of(settings: Settings, screen: Screen) -> VirtualEnvironments:
    """The virtual environments in which programs with a lock file run."""
    from ronron.adapters.processes import LinuxProcesses
    from ronron.adapters.virtual_environments.environments import UvEnvironments

    return UvEnvironments(
        settings.state / "virtual-environments",
        LinuxProcesses(),
        screen,
        find_links=settings.find_links,
        deadline=settings.preview_deadline,
    )


def targets_of(source: Source, settings: Settings) -> Targets:
    """The environments of the policy, read from the source each time."""
    from ronron.passes.targets import Targets

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
