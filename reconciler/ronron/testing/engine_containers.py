"""The containers that the programs of a fake engine make, where they run for looks at Docker."""

from __future__ import annotations

from ronron.core.containers import MadeContainer
from ronron.core.model import Change, Operation
from ronron.testing.containers import FakeContainers
from ronron.testing.things import CONTAINER, FakeStack, Thing, urn_of


class EngineContainers:
    """Runs the containers of all stacks of an engine, and knows the ID of each.

    Attributes:
        ids: of the containers that the states name, by stack and name of the thing.
    """

    def __init__(self) -> None:
        self.ids: dict[tuple[str, str], str] = {}

    def run(self, docker: FakeContainers | None, stack: str, change: Change, thing: Thing) -> None:
        """Run a container that was made; one that is only changed goes on.

        Args:
            docker: where it runs; None: nowhere.
            stack: name of its stack.
            change: how it was made.
            thing: what was made; anything but a container that names a machine is passed over.
        """
        is_new = change.operation in {Operation.CREATE, Operation.REPLACE}
        if docker is not None and thing.type == CONTAINER and thing.machine and is_new:
            settings = {key: str(value) for key, value in thing.inputs.items()}
            made = docker.run(thing.machine, thing.name, settings=settings)
            self.ids[stack, thing.name] = made.id

    def of(self, name: str, stack: FakeStack) -> tuple[MadeContainer, ...]:
        """The containers in the state of a stack.

        Args:
            name: of the stack.
            stack: its state.
        """
        return tuple(
            MadeContainer(
                urn=urn_of(name, thing),
                name=thing.name,
                id=self.ids[name, thing.name],
                machine=thing.machine,
                volumes=thing.volumes,
                networks=thing.networks,
            )
            for thing in stack.things.values()
            if (name, thing.name) in self.ids
        )
