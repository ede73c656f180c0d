"""Machines that are all reachable, except those that a test makes unreachable."""

from __future__ import annotations

from collections.abc import Mapping

from ronron.core.inventory import Inventory

NOWHERE = "the inventory does not say how it is reached"
"""As the real one."""


class FakeMachines:
    """See ports.Machines."""

    def __init__(self) -> None:
        self.asked = 0
        """How often they were asked."""
        self._silent: dict[str, str] = {}

    def silence(self, name: str, why: str = "connection refused") -> None:
        """Let a machine answer no more."""
        self._silent[name] = why

    def bring_back(self, name: str) -> None:
        """Let it answer again."""
        self._silent.pop(name, None)

    def unreachable(self, inventory: Inventory) -> Mapping[str, str]:
        """See ports.Machines."""
        self.asked += 1
        used = {service.machine for service in inventory.services.values()}
        unknown = dict.fromkeys(used - set(inventory.machines), NOWHERE)
        return {name: why for name, why in (self._silent | unknown).items() if name in used}
