"""What an update did without: machines that do not answer, and the services on them. A value."""

from __future__ import annotations

from collections.abc import Mapping

from ronron.core.value import Value


class Excluded(Value):
    """Machines that did not answer, so that an update went on without what is on them.

    Args:
        machines: why each is silent, by its name; at least one.
        services: names of the services on them, sorted; they stay as they are.
    """

    machines: Mapping[str, str]
    services: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the machines, sorted."""
        return tuple(sorted(self.machines))

    @property
    def why(self) -> str:
        """One sentence: `pica02 does not answer (connection refused); pad, team wait for it`."""
        silent = " and ".join(f"{name} does not answer ({self.machines[name]})" for name in self.names)
        if not self.services:
            return silent
        wait = "waits" if len(self.services) == 1 else "wait"
        return f"{silent}; {', '.join(self.services)} {wait} for {'it' if len(self.names) == 1 else 'them'}"
