"""Reasons of failed containers that a test writes down."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from ronron.core.containers import Observation, missing
from ronron.core.failed_containers import FailedContainer, failed_container, is_at_fault
from ronron.core.operations import ContainerPlace


class FakeContainerFailures:
    """See ports.ContainerFailures. A container of which the test says nothing does not exist."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        """Names of the containers that an update started, in order."""
        self._seen: dict[str, tuple[Observation, tuple[str, ...]]] = {}
        self._silent: dict[str, str] = {}

    def set(self, seen: Observation, *log: str) -> None:
        """Set what Docker says of a container, and what it wrote."""
        self._seen[seen.name] = (seen, log)

    def silence(self, machine: str, why: str) -> None:
        """Let the Docker of a machine answer no more."""
        self._silent[machine] = why

    @contextmanager
    def watch(self) -> Iterator[FakeContainerWatch]:
        """See ports.ContainerFailures."""
        yield FakeContainerWatch(self)

    def look(self, place: ContainerPlace) -> tuple[Observation, tuple[str, ...]] | str:
        """What the test has set, or why the machine is unreachable."""
        if place.machine in self._silent:
            return self._silent[place.machine]
        return self._seen.get(place.name, (missing(place.name), ()))


class FakeContainerWatch:
    """See ports.ContainerWatch."""

    def __init__(self, failures: FakeContainerFailures) -> None:
        self._failures = failures

    def begun(self, place: ContainerPlace) -> None:
        """See ports.ContainerWatch."""
        self._failures.begun.append(place.name)

    def reason(
        self,
        place: ContainerPlace,
        *,
        service: str = "",
        secrets: Iterable[str] = (),
        even_if_well: bool = True,
    ) -> FailedContainer | None:
        """See ports.ContainerWatch."""
        found = self._failures.look(place)
        if isinstance(found, str):
            return FailedContainer(name=place.name, service=service, machine=place.machine, unknown=found)
        seen, log = found
        if not even_if_well and not is_at_fault(seen):
            return None
        return failed_container(seen, log, service=service, machine=place.machine, secrets=secrets)
