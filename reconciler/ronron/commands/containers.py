"""The commands for the containers of one service: `logs`, `restart`, `exec`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

import typer

from ronron.commands.arguments import Environment
from ronron.commands.completion import service_names
from ronron.commands.wiring import Opened, opened
from ronron.core.errors import ConfigError
from ronron.core.hints import naming
from ronron.core.inventory import Inventory, read_inventory
from ronron.core.inventory import Service as Described
from ronron.core.record import Record
from ronron.core.status import ExitCode
from ronron.passes.restarts import restart_service
from ronron.policy.notations import NotationError, nearest, quoted, read_duration
from ronron.ports.services import ServiceContainers, Streams


class Which(StrEnum):
    """One of the containers of a service."""

    APP = "app"
    DATABASE = "database"
    AGENT = "agent"
    EDGE = "edge"


Service = Annotated[
    str,
    typer.Argument(
        metavar="SERVICE", help="Name of a service of the environment.", autocompletion=service_names
    ),
]
Container = Annotated[
    Which, typer.Option("--container", help="Its own container, its database, its backup agent, or the edge.")
]


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(logs)
    app.command()(restart)
    app.command(name="exec")(exec_)


def logs(
    context: typer.Context,
    environment: Environment,
    service: Service,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="Number of last lines.")] = 100,
    since: Annotated[str | None, typer.Option(help="Only lines of this long ago or later, as 10m.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines.")] = False,
    container: Container = Which.APP,
) -> ExitCode:
    """Show the log of a service.

    Secrets in it are masked as far as they are known.
    """
    with _selected(context, environment, service) as one:
        at = None if since is None else one.parts.factories.clock().now() - _duration(since)
        console = one.parts.screen.facts

        def write(line: str) -> None:
            console.out(one.parts.screen.redacted(line), highlight=False)

        with suppress(KeyboardInterrupt):
            one.containers.log(
                one.inventory, one.described.machine, one.container(container), write,
                lines=lines, since=at, follow=follow,
            )  # fmt: skip
        return ExitCode.DONE


def restart(
    context: typer.Context,
    environment: Environment,
    service: Service,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    container: Container = Which.APP,
) -> ExitCode:
    """Restart a service, and wait until it is healthy.

    Stops it cleanly first. No update of the environment may run meanwhile.
    """
    with _selected(context, environment, service) as one:
        parts = one.parts
        name = one.container(container)
        if not yes and not _confirmed(parts, f"restart {service} ({name})?"):
            parts.screen.print("nothing was restarted")
            return ExitCode.DONE
        with (
            parts.store.lock(one.record.stack or environment),
            parts.screen.working(f"restarting {service}"),
        ):
            result = restart_service(
                one.inventory,
                service,
                [name],
                one.containers,
                parts.factories.prober(),
                parts.factories.clock(),
                lambda line: parts.screen.log(environment, f"restart: {line}"),
            )
        if result is not None and not result.healthy:
            parts.screen.print(f"unhealthy: {service} was restarted: {result.detail}")
            return ExitCode.FAILED
        parts.screen.print(f"restarted: {service}{'' if result is None else ' is healthy'}")
        return ExitCode.DONE


def exec_(
    context: typer.Context,
    environment: Environment,
    service: Service,
    command: Annotated[
        list[str], typer.Argument(metavar="-- COMMAND...", help="A program in its container, and arguments.")
    ],
    container: Container = Which.APP,
) -> int:
    """Run a program in the container of a service.

    Passes on the terminal, standard input and the exit code. Write -- before a program with options.
    """
    with _selected(context, environment, service) as one:
        tty = sys.stdin.isatty() and sys.stdout.isatty()
        try:
            stdin: int | None = sys.stdin.fileno()
        except (OSError, ValueError):  # it is closed, or no file
            stdin = None
        sys.stdout.flush()
        streams = Streams(stdin, sys.stdout.buffer, sys.stderr.buffer, tty)
        return one.containers.execute(
            one.inventory, one.described.machine, one.container(container), command, streams
        )


@dataclass(frozen=True)
class _Selected:
    """One service of an environment.

    Args:
        parts: settings, records, screen.
        environment: its name.
        record: the environment's.
        inventory: from the record.
        name: of the service.
        described: the service in the inventory.
        containers: the port to its containers.
    """

    parts: Opened
    environment: str
    record: Record
    inventory: Inventory
    name: str
    described: Described
    containers: ServiceContainers

    def container(self, which: Which) -> str:
        """The name of one of its containers.

        Raises:
            ConfigError: the service has no such container.
        """
        service = self.described
        found: str | None
        match which:
            case Which.APP:
                found = service.containers[0] if service.containers else None
            case Which.DATABASE:
                found = service.database.container if service.database is not None else None
            case Which.AGENT:
                found = service.backup.container if service.backup is not None else None
            case Which.EDGE:
                own = service.containers[0] if service.containers else ""
                found = self.containers.edge(self.inventory, service.machine, own)
        if found is None:
            raise ConfigError(
                f"cannot find a container {which} of {self.name}: it has none",
                hint=f"leave out --container: ronron logs {self.environment} {self.name}",
            )
        return found


@contextmanager
def _selected(context: typer.Context, environment: str, service: str) -> Iterator[_Selected]:
    """A service of an environment as its record has it, for the block.

    Raises:
        ConfigError: there is no such environment or service.
    """
    with opened(context, as_json=False) as parts, naming(environment):
        record = parts.store.load(parts.known(environment))
        inventory = read_inventory(record.inventory)
        if inventory is None:
            raise ConfigError(
                f"cannot find the services of {environment}: no update has succeeded yet",
                hint=f"run ronron explain {environment}: it shows why, and what failed containers wrote",
            )
        if service not in inventory.services:
            near = nearest(service, inventory.services)
            some = f"use one of: {', '.join(sorted(inventory.services)) or 'none is declared'}"
            raise ConfigError(
                f"cannot find the service {quoted(service)} in {environment}",
                hint=f"use {near}" if near else some,
            )
        described = inventory.services[service]
        yield _Selected(parts, environment, record, inventory, service, described, parts.factories.services())


def _duration(text: str) -> timedelta:
    try:
        return read_duration(text)
    except NotationError as error:
        raise ConfigError(error.what, where="--since", hint=error.remedy) from error


def _confirmed(parts: Opened, question: str) -> bool:
    answer = parts.factories.ask(question)
    if answer is None:
        raise ConfigError(
            "cannot ask for confirmation: standard input is not a terminal", hint="confirm with --yes"
        )
    return answer
