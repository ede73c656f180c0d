"""The port to the containers of one service, for a person who works on it: log, restart, programs inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol

from ronron.core.containers import Observation
from ronron.core.inventory import Inventory


@dataclass(frozen=True)
class Streams:
    """What a program inside a container reads from and writes to.

    Args:
        stdin: file descriptor of its standard input; None for none.
        stdout, stderr: where its output goes.
        tty: give it a terminal; `stdin` is one then, and both outputs are one.
    """

    stdin: int | None
    stdout: BinaryIO
    stderr: BinaryIO
    tty: bool = False


class ServiceContainers(Protocol):
    """The containers of services, on machines by socket and by ssh.

    Every method takes an inventory, a machine in it and the name of a container. Raises, from every method:
        BackupError: there is no such machine or container, or Docker refuses the request.
        AgentUnreachableError: the Docker of the machine does not answer.
    """

    def look(self, inventory: Inventory, machine: str, container: str) -> Observation:
        """What Docker says of the container; it may be missing."""
        ...

    def edge(self, inventory: Inventory, machine: str, container: str) -> str | None:
        """Name of the container of the edge that publishes a service; None where there is none.

        Args:
            inventory: describes the machine.
            machine: its name.
            container: the service's own.
        """
        ...

    def log(
        self,
        inventory: Inventory,
        machine: str,
        container: str,
        write: Callable[[str], None],
        *,
        lines: int,
        since: datetime | None = None,
        follow: bool = False,
    ) -> None:
        """Hand over the last lines of a container's log, the oldest first.

        They are without terminal control codes and the values of the container's secret variables.

        Args:
            inventory: describes the machine.
            machine: its name.
            container: its name.
            write: is called with each line.
            lines: how many at most, of those that are there.
            since: only what was written from then on; None for all.
            follow: go on with what it writes, until it ends.
        """
        ...

    def restart(self, inventory: Inventory, machine: str, container: str) -> None:
        """Stop the container cleanly, within 2 minutes, and start it again; returns when it was started."""
        ...

    def execute(
        self, inventory: Inventory, machine: str, container: str, words: Sequence[str], streams: Streams
    ) -> int:
        """Run a program inside the container to its end, and return its exit code.

        126 and 127 are Docker's for a program that cannot be executed or does not exist.
        """
        ...
