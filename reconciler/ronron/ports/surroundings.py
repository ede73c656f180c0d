"""The ports to what an environment runs on and to the process itself: services, machines, agents, time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Protocol

from ronron.core.backups import BackupStatus, DrillResult, Restored, Snapshot
from ronron.core.containers import Look
from ronron.core.failed_containers import FailedContainer
from ronron.core.inventory import Inventory, Probe
from ronron.core.model import ProbeResult, ProcessMark
from ronron.core.operations import ContainerPlace


class Prober(Protocol):
    """Asks a service through its public URL."""

    def probe(self, service: str, probe: Probe) -> ProbeResult:
        """One try; never raises, and never takes longer than 10 seconds."""
        ...


class Machines(Protocol):
    """The machines of an environment."""

    def unreachable(self, inventory: Inventory) -> Mapping[str, str]:
        """The machines that run a service and are unreachable: the reason by name; empty where all answer.

        Never raises; takes 15 s at most.
        """
        ...


class Containers(Protocol):
    """The containers of an environment, as the Docker of each machine describes them."""

    def look(self, inventory: Inventory, wanted: Mapping[str, Collection[str]]) -> Look:
        """Describe containers, and change nothing; a name without a container is one that is missing.

        Never raises; takes 30 s at most. Machines are asked at the same time.

        Args:
            inventory: describes the machines.
            wanted: names of containers, by machine.
        """
        ...

    def remove_stray(self, inventory: Inventory, machine: str, container: str, id: str) -> None:  # noqa: A002
        """Stop and remove exactly one container, which no update made; its volumes stay.

        Does nothing where the container of that id is gone or has another name.

        Args:
            inventory: describes the machine.
            machine: its name.
            container: its name.
            id: its own, in full.

        Raises:
            BackupError: there is no such machine, or Docker refuses the request.
            AgentUnreachableError: the Docker of the machine does not answer.
        """
        ...

    def logs(
        self,
        inventory: Inventory,
        machine: str,
        container: str,
        *,
        lines: int = 20,
        since: datetime | None = None,
    ) -> tuple[str, ...]:
        """The last lines that a container wrote to its standard output and error, the oldest first.

        They are not redacted.

        Args:
            inventory: describes the machine.
            machine: its name.
            container: its name.
            lines: how many at most.
            since: only what was written from then on; None for all.

        Raises:
            BackupError: there is no such machine or container, or Docker refuses the request.
            AgentUnreachableError: the Docker of the machine does not answer.
        """
        ...


class ContainerWatch(Protocol):
    """Watches the containers that an update starts, so that one which fails leaves its reason."""

    def begun(self, place: ContainerPlace) -> None:
        """Watch a container that is about to be started; returns at once and never raises.

        From here on its reason is known even if it is restarted or removed after it failed.
        """
        ...

    def reason(
        self,
        place: ContainerPlace,
        *,
        service: str = "",
        secrets: Iterable[str] = (),
        even_if_well: bool = True,
    ) -> FailedContainer | None:
        """What Docker says of a container that failed, with the end of its log, redacted and bounded.

        Never raises: where Docker gives no answer, the result says so. Takes up to a minute then.

        Args:
            place: where the container is.
            service: that it belongs to.
            secrets: values that are redacted, besides the container's own secret variables.
            even_if_well: also describe one that runs, is not unhealthy and was never restarted.

        Returns:
            None where `even_if_well` is false and nothing is wrong with it.
        """
        ...


class ContainerFailures(Protocol):
    """Finds out why containers failed."""

    def watch(self) -> AbstractContextManager[ContainerWatch]:
        """A watch for one update."""
        ...


class Backups(Protocol):
    """The backup agents of an environment's services, and the restores and drills of their snapshots.

    Every method takes an inventory and the name of one of its services that has a backup. Calls may come
    from several threads. Raises, from every method:
        BackupError: the agent, its repository or the restore failed; has the agent's own message and hint.
        AgentUnreachableError: the agent's container or its Docker does not answer.
    """

    def status(self, inventory: Inventory, service: str) -> BackupStatus:
        """The state of the agent's repository and its last runs."""
        ...

    def snapshot(
        self,
        inventory: Inventory,
        service: str,
        reason: str = "asked",
        revision: str | None = None,
        *,
        recreated: bool = False,
    ) -> Snapshot:
        """Take a snapshot and verify it; returns when both are done.

        Args:
            inventory: of the environment.
            service: its name there.
            reason: `asked`, `update` or `restore`.
            revision: the commit that is live; None where it is unknown.
            recreated: whether to take one of volumes that were recreated, too.

        Raises:
            RecreatedError: volumes were recreated while snapshots of the data before exist, and the reason is
                `asked`, without `recreated`.
        """
        ...

    def check(self, inventory: Inventory, service: str) -> None:
        """Check the repository of a service, and read back the next tenth of its data."""
        ...

    def prune(self, inventory: Inventory, service: str) -> None:
        """Remove the snapshots of a service that are not retained, and free their space."""
        ...

    def accept_data(self, inventory: Inventory, service: str) -> None:
        """Accept the present data of a service, even where they are empty.

        From then on its agent takes snapshots of them by schedule. An agent of an earlier version does so in
        any case.
        """
        ...

    def snapshots(self, inventory: Inventory, service: str) -> tuple[Snapshot, ...]:
        """Every complete snapshot, the newest first."""
        ...

    def restore(
        self,
        inventory: Inventory,
        service: str,
        snapshot: Snapshot,
        *,
        safety_snapshot: bool = True,
        log: Callable[[str], None],
    ) -> Restored:
        """Replace a service's data by that of a snapshot.

        Takes a safety snapshot of the present data while the service runs, stops the service, restores
        database and files beside the old ones, replaces these, and starts the same container again. The
        caller probes the service and sets `healthy`. A service that an update holds back has no container:
        its data are restored, and the next update creates it.

        Args:
            inventory: of the environment.
            service: its name there.
            snapshot: what is restored.
            safety_snapshot: False to take none: the present data may not be readable any more.
            log: is called with one line for each step.

        Raises:
            SnapshotUnfitError: it is another service's, of a newer major version of the database, or of a
                newer version of the service than the one that runs; nothing was changed.
        """
        ...

    def export(self, inventory: Inventory, service: str, snapshot: Snapshot, directory: Path) -> None:
        """Write the contents of a snapshot into a new directory: manifest, dump and files.

        Raises:
            ConfigError: the directory exists and is not empty.
        """
        ...

    def drill(
        self, inventory: Inventory, service: str, snapshot: Snapshot, log: Callable[[str], None]
    ) -> DrillResult:
        """Restore a snapshot into throw-away containers beside the running service, and check the result.

        They have a network without a way out, volumes and a database of their own, and run the service's own
        image. The drill compares the counts of rows, probes the service, records the result with the agent
        and removes everything that it made, also when it fails or is interrupted. A drill that finds
        something wrong returns a result and raises no error.
        """
        ...

    def back_up_bundle(self, inventory: Inventory, service: str, bundle: Path) -> str:
        """Store a tar of the reconciler's own records and states beside a service's snapshots.

        Returns:
            The id of the snapshot that has it.
        """
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

    def doing(self, environment: str, what: str) -> None:
        """What is going on right now, in one line that replaces the last one; only a terminal shows it."""
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
