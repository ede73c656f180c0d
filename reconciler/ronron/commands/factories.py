"""Makes the adapters behind the ports that a command needs, and asks the person at the terminal.

An adapter is imported when it is made, because HTTPX takes more start-up time than most commands need. Those
for Docker import its SDK when they are first used.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from ronron.ports import Backups, Clock, ContainerFailures, Containers, ImageRegistry, Machines, Prober
    from ronron.ports.services import ServiceContainers


def docker_backups() -> Backups:
    """The adapter that talks to the backup agents."""
    from ronron.adapters.docker_agents.backups import DockerBackups

    return DockerBackups()


def docker_containers() -> Containers:
    """The adapter that describes the containers of machines."""
    from ronron.adapters.docker_agents.containers import DockerContainers

    return DockerContainers()


def docker_machines() -> Machines:
    """The adapter that checks whether machines are reachable."""
    from ronron.adapters.docker_agents.machines import DockerMachines

    return DockerMachines()


def docker_failures() -> ContainerFailures:
    """The adapter that finds out why containers failed."""
    from ronron.adapters.docker_agents.failures import DockerContainerFailures

    return DockerContainerFailures()


def docker_services() -> ServiceContainers:
    """The adapter for the containers of services."""
    from ronron.adapters.docker_agents.services import DockerServiceContainers

    return DockerServiceContainers()


def ask(question: str) -> bool | None:
    """Ask the person at the terminal; None where standard input is not a terminal."""
    return typer.confirm(question, err=True) if sys.stdin.isatty() else None


def http_prober() -> Prober:
    """The adapter that requests the public URLs of services."""
    from ronron.adapters.http_prober import HttpProber

    return HttpProber()


def image_registries() -> ImageRegistry:
    """The adapter that asks the registries of images."""
    from ronron.adapters.image_registry import HttpImageRegistry

    return HttpImageRegistry()


def system_clock() -> Clock:
    """The adapter that reads the time of this machine."""
    from ronron.adapters.system_clock import SystemClock

    return SystemClock()


@dataclass(frozen=True)
class PortFactories:
    """One factory for each port; tests put the public fakes here.

    Args:
        backups: makes the port that talks to the backup agents.
        prober: makes the port that requests public URLs.
        clock: makes the port that reads the time.
        ask: asks the person a question; None where nobody is at the terminal.
        machines: makes the port that checks whether machines are reachable.
        failures: makes the port that finds out why containers failed.
        services: makes the port to the containers of services.
        image_registry: makes the port that asks the registries of images.
        containers: makes the port that describes containers.
    """

    backups: Callable[[], Backups] = docker_backups
    prober: Callable[[], Prober] = http_prober
    clock: Callable[[], Clock] = system_clock
    ask: Callable[[str], bool | None] = ask
    machines: Callable[[], Machines] = docker_machines
    failures: Callable[[], ContainerFailures] = docker_failures
    services: Callable[[], ServiceContainers] = docker_services
    image_registry: Callable[[], ImageRegistry] = image_registries
    containers: Callable[[], Containers] = docker_containers
