"""The ports to what an environment runs on and to the process itself: services, machines, agents, time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Protocol

from ronron.core.backups import BackupStatus, DrillResult, Restored, Snapshot
from ronron.core.inventory import Inventory, Probe
from ronron.core.model import ProbeResult, ProcessMark


class Prober(Protocol):
    """Asks a service through its public URL."""

    def probe(self, service: str, probe: Probe) -> ProbeResult:
        """One try; never raises, and never takes longer than 10 seconds."""
        ...


class Machines(Protocol):
    """The machines of an environment."""

    def unreachable(self, inventory: Inventory) -> Mapping[str, str]:
        """Why machines that run a service do not answer, by name; never raises, takes 15 s at most."""
        ...


class Backups(Protocol):
    """The backup agents of an environment's services, and restores beside and over them.

    Every method takes an inventory and the name of one of its services that has a backup. Calls may come
    from several threads. Raises, from every method:
        BackupError: the agent, its repository or the restore failed; carries the agent's own message and
        remedy. AgentUnreachableError: the agent's container or its Docker does not answer.
    """

    def status(self, inventory: Inventory, service: str) -> BackupStatus:
        """What the agent says of its repository and its last runs."""
        ...

    def snapshot(
        self, inventory: Inventory, service: str, reason: str = "asked", revision: str | None = None
    ) -> Snapshot:
        """Take a snapshot and verify it; returns when both are done."""
        ...

    def snapshots(self, inventory: Inventory, service: str) -> tuple[Snapshot, ...]:
        """Every whole snapshot, the newest first."""
        ...

    def restore(
        self,
        inventory: Inventory,
        service: str,
        snapshot: Snapshot,
        *,
        keep: bool = True,
        told: Callable[[str], None],
    ) -> Restored:
        """Put a snapshot in the place of what a service has now.

        What is there now becomes a snapshot first, while the service runs; the service is stopped, database
        and files are restored beside the old ones and then take their place, and the same container is
        started. The probe is the caller's, who fills `healthy` in.

        Args:
            inventory: of the environment.
            service: its name there.
            snapshot: what is put in place.
            keep: False to do without a snapshot of what is there now, which may not be readable any more.
            told: is given a line for each step.

        Raises:
            SnapshotUnfitError: it is another service's, of a newer major version of the database, or of a
                newer version of the service than the one that runs; nothing was touched.
        """
        ...

    def export(self, inventory: Inventory, service: str, snapshot: Snapshot, place: Path) -> None:
        """Write what is in a snapshot into a new directory: manifest, dump and files.

        Raises:
            ConfigError: the place exists and is not empty.
        """
        ...

    def drill(
        self, inventory: Inventory, service: str, snapshot: Snapshot, told: Callable[[str], None]
    ) -> DrillResult:
        """Restore a snapshot into a throw-away place beside the running service, and prove it there.

        Its own network without a way out, its own volumes and database, the service's own image on them.
        Counts and a probe are compared; the result is told to the agent; everything is removed, also when
        it fails or is interrupted. A drill that finds something wrong is a result, not an error.
        """
        ...

    def keep(self, inventory: Inventory, service: str, bundle: Path) -> str:
        """Put a tar of the reconciler's own store and states beside a service's snapshots; returns its id."""
        ...


class Clock(Protocol):
    """Time, so that tests own it."""

    def now(self) -> datetime:
        """Now, in UTC."""
        ...

    def wait(self, seconds: float, until: Event | None = None) -> bool:
        """Let time pass, or less where the event is set; returns whether it was."""
        ...


class Progress(Protocol):
    """Is told what a pass does, as it does it: a terminal, a log, or nothing."""

    def log(self, environment: str, line: str) -> None:
        """One plain line; redacted by whoever shows it."""
        ...


class Processes(Protocol):
    """What this machine says about processes; the proof that an owner is dead."""

    def mark(self) -> ProcessMark:
        """Our own process."""
        ...

    def mark_of(self, pid: int) -> ProcessMark | None:
        """The process of this host that has this id now; None where there is none."""
        ...

    def name_of(self, pid: int) -> str | None:
        """The program that runs under this id on this host now, as the kernel names it; None for none."""
        ...

    def in_session(self, pid: int) -> tuple[int, ...]:
        """Ids of the processes that live in the session which the process `pid` began.

        They can outlive it. While one of them lives, the kernel gives `pid` to no other process.
        """
        ...

    def alive(self, mark: ProcessMark) -> bool | None:
        """Whether exactly that process lives; None where this host cannot know (another host's).

        One that has ended and was not waited for by its parent (a zombie) is dead.
        """
        ...
