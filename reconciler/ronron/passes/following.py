"""Follows an update: logs its operations as they begin and end, and finds out why its containers failed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ronron.core.errors import EngineError
from ronron.core.failed_containers import FailedContainer
from ronron.core.inventory import Inventory, Service
from ronron.core.model import QUIET, Change, Operation, Outcome
from ronron.core.operations import ContainerPlace, OperationEvent, Operations, Phase
from ronron.passes.target import Ports
from ronron.ports import ContainerWatch, Program, Progress

__all__ = ["Following", "log_details", "reasons_of_services"]

LOG_LINES_LOGGED = 5
"""How many of the last lines of a failed container are in the log of the pass; `explain` shows them all."""

_STARTS = frozenset({Operation.CREATE, Operation.CREATE_REPLACEMENT, Operation.UPDATE})


class Following:
    """Follows one update.

    Args:
        environment: name, for the log.
        ports: everything outside.
        watch: of the containers that the update starts.
        inventory: before the update; None where there is none.
    """

    def __init__(
        self, environment: str, ports: Ports, watch: ContainerWatch, inventory: Inventory | None
    ) -> None:
        self._environment, self._ports, self._watch, self._inventory = environment, ports, watch, inventory
        services = inventory.services.values() if inventory is not None else ()
        self._operations = Operations(
            kinds={service.resource: service.kind for service in services if service.resource}
        )
        self._under_way: dict[str, tuple[Change, ContainerPlace]] = {}
        self._failed: dict[str, tuple[Change, ContainerPlace]] = {}
        self.done: list[Change] = []
        """The changes that were carried out, in order."""
        self.failed: list[Change] = []
        """The changes that failed, in order."""

    def follow(self, events: Sequence[OperationEvent]) -> None:
        """See ports.Follow."""
        now = self._ports.clock.now()
        for event in events:
            self._note(event)
        self._operations, lines = self._operations.after(events, now)
        for line in lines:
            self._ports.progress.log(self._environment, f"update: {line}")
        doing = self._operations.now(now)
        if doing:
            self._ports.progress.doing(self._environment, doing)

    def reasons(self, program: Program) -> tuple[FailedContainer, ...]:
        """Why the containers failed that the update could not start, or was starting when it ended."""
        places = {**self._failed, **self._under_way}
        if not places:
            return ()
        secrets = known_secrets(self._environment, self._ports, program)
        found = (
            self._watch.reason(place, service=self._service_of(change), secrets=secrets or ())
            for change, place in places.values()
        )
        return without_text(found, known=secrets is not None)

    @property
    def resources(self) -> tuple[str, ...]:
        """Names of the resources of these containers, in the order of `reasons`."""
        return tuple(change.name for change, _ in {**self._failed, **self._under_way}.values())

    def _note(self, event: OperationEvent) -> None:
        change = event.change
        if event.phase is Phase.DONE and change.operation not in QUIET:
            self.done.append(change)
        if event.phase is Phase.FAILED:
            self.failed.append(change)
        if event.place is None or change.operation not in _STARTS:
            return
        place = self._reached(event.place)
        self._under_way.pop(place.name, None)
        match event.phase:
            case Phase.BEGUN:
                self._under_way[place.name] = (change, place)
                self._watch.begun(place)
            case Phase.FAILED:
                self._failed[place.name] = (change, place)
            case Phase.DONE:
                pass

    def _reached(self, place: ContainerPlace) -> ContainerPlace:
        """The place with the address of its machine: of the inventory, where the update does not say it."""
        machine = self._inventory.machines.get(place.machine) if self._inventory is not None else None
        if place.docker or machine is None:
            return place
        return place.with_(docker=machine.docker, host_key=machine.host_key)

    def _service_of(self, change: Change) -> str:
        services = self._inventory.services if self._inventory is not None else {}
        owners = {service.resource: name for name, service in services.items() if service.resource}
        return next((owners[urn] for urn in change.ancestors if urn in owners), "")


def reasons_of_services(
    environment: str, ports: Ports, program: Program, inventory: Inventory, names: Iterable[str]
) -> tuple[FailedContainer, ...]:
    """What is wrong with the containers of unhealthy services.

    Where nothing is wrong with any container of a service, its first one is described: its log may say more.
    """
    wanted = [(name, inventory.services[name]) for name in names if name in inventory.services]
    if not wanted:
        return ()
    secrets = known_secrets(environment, ports, program)
    found: list[FailedContainer] = []
    with ports.failures.watch() as watch:
        for name, service in wanted:
            found += _of_service(watch, inventory, name, service, secrets or frozenset())
    return without_text(found, known=secrets is not None)


def log_details(environment: str, progress: Progress, outcome: Outcome) -> None:
    """Log what the failed containers of an outcome wrote last; the outcome's message has their reasons."""
    for one in outcome.containers:
        details = one.details(LOG_LINES_LOGGED)
        if details:
            progress.log(environment, f"last lines of container {one.name}:")
        for line in details:
            progress.log(environment, f"  {line}")


def known_secrets(environment: str, ports: Ports, program: Program) -> frozenset[str] | None:
    """The secrets of the stack, to redact them; None where they cannot be read."""
    try:
        return ports.engine.secrets(program)
    except EngineError as error:
        ports.progress.log(
            environment,
            f"the logs of failed containers are left out: cannot read the secrets to redact: {error.message}",
        )
        return None


def without_text(reasons: Iterable[FailedContainer | None], *, known: bool) -> tuple[FailedContainer, ...]:
    """The reasons; without what the containers wrote, where it is not known what is secret in it."""
    found = tuple(one for one in reasons if one is not None)
    return found if known else tuple(one.with_(health="", log=()) for one in found)


def _of_service(
    watch: ContainerWatch, inventory: Inventory, name: str, service: Service, secrets: frozenset[str]
) -> list[FailedContainer]:
    machine = inventory.machines.get(service.machine)
    places = [
        ContainerPlace(
            name=container,
            machine=service.machine,
            docker=machine.docker if machine is not None else "",
            host_key=machine.host_key if machine is not None else None,
        )
        for container in service.containers
    ]
    found = [watch.reason(place, service=name, secrets=secrets, even_if_well=False) for place in places]
    wrong = [one for one in found if one is not None]
    if wrong or not places:
        return wrong
    first = watch.reason(places[0], service=name, secrets=secrets)
    return [first] if first is not None else []
