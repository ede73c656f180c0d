"""Asks the machines of an environment whether their Docker answers: all at once, for a short while."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping

from ronron.adapters.docker_agents.connection import ask
from ronron.core.errors import BackupError
from ronron.core.inventory import Inventory

DEADLINE_SECONDS = 15.0
"""For all machines together. The way by ssh takes 1 s over a slow line; a dead address costs ssh its 10 s."""


class DockerMachines:
    """See ports.Machines.

    Args:
        deadline: seconds for all machines together.
    """

    def __init__(self, deadline: float = DEADLINE_SECONDS) -> None:
        self._deadline = deadline

    def unreachable(self, inventory: Inventory) -> Mapping[str, str]:
        """See ports.Machines."""
        names = sorted({service.machine for service in inventory.services.values()})
        answers: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        # Daemon threads: one that hangs must not keep a pass from going on, nor the process from ending.
        for name in names:
            threading.Thread(
                target=lambda asked: answers.put((asked, self._why(inventory, asked))),
                args=(name,),
                daemon=True,
            ).start()
        found: dict[str, str] = {}
        end = time.monotonic() + self._deadline
        while len(found) < len(names):
            try:
                name, why = answers.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                break
            found[name] = why
        late = {name: f"no answer within {self._deadline:g} s" for name in names if name not in found}
        return {name: why for name, why in (found | late).items() if why}

    def _why(self, inventory: Inventory, name: str) -> str:
        """Why a machine is silent; empty for one that answers."""
        machine = inventory.machines.get(name)
        if machine is None:
            return "the inventory does not say how it is reached"
        try:
            ask(name, machine, self._deadline)
        except BackupError as error:
            return error.message.removeprefix(f"cannot reach the Docker of {name}: ")
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody has answered
            return f"{type(error).__name__}: {error}"
        return ""
