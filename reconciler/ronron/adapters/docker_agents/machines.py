"""Checks whether the Docker of each machine answers: all machines at once, within one deadline."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping

from ronron.core.errors import BackupError
from ronron.core.inventory import Inventory, Machine

DEADLINE_SECONDS = 15.0
"""For all machines together: ssh takes 1 s to connect on a slow line, and 10 s to find a dead address."""


class DockerMachines:
    """See ports.Machines.

    Args:
        deadline: seconds for all machines together.
    """

    def __init__(self, deadline: float = DEADLINE_SECONDS) -> None:
        self._deadline = deadline

    def unreachable(self, inventory: Inventory) -> Mapping[str, str]:
        """See ports.Machines."""
        # Docker's SDK takes a while to import, and most commands ask no machine.
        from ronron.adapters.docker_agents.connection import ask

        names = sorted({service.machine for service in inventory.services.values()})
        answers: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        # Daemon threads: one that hangs must stop neither the pass nor the end of the process.
        for name in names:
            threading.Thread(
                target=lambda asked: answers.put((asked, self._reason(inventory, asked, ask))),
                args=(name,),
                daemon=True,
            ).start()
        reasons: dict[str, str] = {}
        end = time.monotonic() + self._deadline
        while len(reasons) < len(names):
            try:
                name, reason = answers.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                break
            reasons[name] = reason
        late = {name: f"no answer within {self._deadline:g} s" for name in names if name not in reasons}
        return {name: reason for name, reason in (reasons | late).items() if reason}

    def _reason(self, inventory: Inventory, name: str, ask: Callable[[str, Machine, float], None]) -> str:
        """Why a machine is unreachable; empty for one that answers."""
        machine = inventory.machines.get(name)
        if machine is None:
            return "the inventory does not say how it is reached"
        try:
            ask(name, machine, self._deadline)
        except BackupError as error:
            return error.message.removeprefix(f"cannot reach the Docker of {name}: ")
        except Exception as error:  # noqa: BLE001 - whatever it is, the machine has not answered
            return f"{type(error).__name__}: {error}"
        return ""
