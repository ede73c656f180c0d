"""The port to the virtual environments that programs run in."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from ronron.core.packages import KeptEnvironment, VirtualEnvironment


class VirtualEnvironments(Protocol):
    """One virtual environment for each lock file, made when a program needs it and kept for the next one.

    Calls may come from several threads and processes.
    """

    def of(self, project: Path) -> AbstractContextManager[VirtualEnvironment | None]:
        """What the program of a project runs in, for the block; made first where it is missing.

        Args:
            project: where its Pulumi.yaml and its lock file are.

        Returns:
            None for a project that runs without: it has no lock file, names its own Python, is in another
            language, or brings the package `chatons`.

        Raises:
            PackagesError: the packages of the lock file cannot be installed.
            PackagesUnavailableError: not now: the network, the index or the disk.
            EngineInterruptedError: see `interrupt`.
        """
        ...

    def kept(self) -> tuple[KeptEnvironment, ...]:
        """All that are on this machine, those that were never finished too."""
        ...

    def remove(self, name: str) -> bool:
        """Remove one; false where it is in use, or is not there."""
        ...

    def interrupt(self) -> None:
        """Stop what is being made; returns at once. For signal handlers."""
        ...
