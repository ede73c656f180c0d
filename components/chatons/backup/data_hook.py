"""Lets no service be created on data that were recreated, and tells its agent that a person accepted them.

The engine calls the hook before it creates a service's container: by then volumes, database and agent exist.
It finds what the checks before the update cannot know, such as the snapshots of a stack whose state was lost.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pulumi

from chatons.backup import lost_data
from chatons.declaration.resolved import Declaration, ResolvedService, resolve
from chatons.docker.endpoint import Endpoint, EndpointError, endpoint
from chatons.schema.by_hand import ENVIRONMENT
from chatons.schema.errors import ChatonsError
from chatons.schema.models import Machine

NAME = "ronron-data-before-create"
"""Stands in the state of every container that has the hook, so it must never change."""

_NOT_UNDERSTOOD = 2


class RecreatedError(ChatonsError):
    """The data of a service were recreated, while snapshots of the data before exist."""


@dataclass(frozen=True, kw_only=True)
class DataBeforeCreate:
    """Asks the agent of a service before its container is created.

    Attributes:
        services: the declared services with a backup, by the name of their container.
        machines: the declared machines by name.
        accepted: names of the services whose data a person accepted.
        environment: the environment's name, for hints; empty where nobody knows it.
        connect: returns the Docker endpoint of a machine.
        warn: takes one line for a person.
    """

    services: Mapping[str, ResolvedService]
    machines: Mapping[str, Machine]
    accepted: frozenset[str] = frozenset()
    environment: str = ""
    connect: Callable[[Machine], Endpoint] = endpoint
    warn: Callable[[str], object] = pulumi.log.warn

    def check(self, container: str) -> None:
        """Ask the agent, or tell it that the data are accepted.

        Raises:
            RecreatedError: nobody has restored or accepted yet.
        """
        service = self.services.get(container)
        if service is None:
            return
        docker = self.connect(self.machines[service.declared.machine])
        if service.name in self.accepted:
            self._accept(service, docker)
            return
        said = lost_data.answer(service, docker)
        if said is None:
            self.warn(
                f"cannot ask the backup agent of {service.name} whether its data were recreated: its "
                "repository or its database does not answer"
            )
        elif said.waits:
            raise RecreatedError(self._refusal(service, said))

    def _accept(self, service: ResolvedService, docker: Endpoint) -> None:
        assert service.backup is not None  # noqa: S101
        try:
            ran = docker.run_inside(
                service.backup.container, ["ronron-agent", "accept-data"], lost_data.ANSWER_SECONDS
            )
        except EndpointError as error:
            raise RecreatedError(
                f"cannot tell the backup agent of {service.name} that its data are accepted: {error}"
            ) from error
        if ran.code not in {0, _NOT_UNDERSTOOD}:
            raise RecreatedError(
                f"cannot tell the backup agent of {service.name} that its data are accepted: {ran.last_words}"
            )

    def _refusal(self, service: ResolvedService, said: lost_data.Answer) -> str:
        name = service.name
        volumes = ", ".join(lost_data.places(service, said.recreated))
        if self.environment:
            restore = (
                f"ronron update {self.environment}, which holds {name} back, then "
                f"ronron restore {self.environment} {name}"
            )
            accept = f"ronron update {self.environment} --accept-empty {name}"
        else:
            restore = f"pulumi up, which holds {name} back, then ronron restore"
            accept = f"{lost_data.ACCEPT}={name} pulumi up"
        newest = f"; the newest is {said.newest}" if said.newest else ""
        return (
            f"{name} is not created: its data ({volumes}) were recreated, and there are snapshots of the "
            f"data before{newest}\n  -> to restore one: {restore}\n  -> if empty is right: {accept}"
        )


def register(declaration: Declaration) -> pulumi.ResourceHook:
    """Register the hook with the engine."""
    # A container that exists is replaced: that its data were recreated is a condition of its backups then.
    services = [
        each
        for each in resolve(declaration)
        if each.backup is not None and each.name not in declaration.present
    ]
    hook = DataBeforeCreate(
        services={each.container: each for each in services},
        machines={name: declaration.reachable(name) for name in declaration.machines},
        accepted=declaration.accepted,
        environment=os.environ.get(ENVIRONMENT, ""),
    )

    async def before_create(args: pulumi.ResourceHookArgs) -> None:
        container = str((args.new_inputs or {}).get("name"))
        # In a thread: asking takes seconds, and other resources are registered meanwhile.
        await asyncio.to_thread(hook.check, container)

    return pulumi.ResourceHook(NAME, before_create)
