"""The machines that an update skipped because they are unreachable, and the services on them. A value."""

from __future__ import annotations

from collections.abc import Mapping

from ronron.core.value import Value


class Excluded(Value):
    """Unreachable machines that an update skipped.

    Args:
        machines: why each is unreachable, by its name; at least one.
        services: names of the services on them, sorted; the update left them as they are.
    """

    machines: Mapping[str, str]
    services: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the machines, sorted."""
        return tuple(sorted(self.machines))

    @property
    def why(self) -> str:
        """One sentence: `pica02 is unreachable (connection refused); pad, team wait for it`."""
        unreachable = " and ".join(f"{name} is unreachable ({self.machines[name]})" for name in self.names)
        if not self.services:
            return unreachable
        wait = "waits" if len(self.services) == 1 else "wait"
        return (
            f"{unreachable}; {', '.join(self.services)} {wait} for {'it' if len(self.names) == 1 else 'them'}"
        )
