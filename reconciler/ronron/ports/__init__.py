"""What the reconciler needs from the outside, as protocols; adapters and fakes pass the same tests.

Every method may also raise what its port says in `Raises`; nothing else may come out of an adapter.
Fakes of all of them are public, in `ronron.testing`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Protocol

from ronron.core.backups import BackupStatus, BackupSummary, DrillResult, OwnBackup, Restored, Snapshot
from ronron.core.inventory import Inventory, Probe
from ronron.core.model import (
    Commit,
    Outcome,
    Pass,
    Preview,
    ProbeResult,
    ProcessMark,
    Request,
    Revision,
    StackState,
    Updated,
    Value,
)
from ronron.core.record import Record
from ronron.core.status import CheckResult


class Source(Protocol):
    """A git repository that holds desired state.

    Calls may come from several threads. A revision that `resolve` gave stays readable until the next
    `refresh` at least.
    """

    def refresh(self) -> bool:
        """Look at the repository once: its references, and the objects that are new.

        Returns:
            Whether any reference moved, appeared or went since the last look.

        Raises:
            SourceUnavailableError: no answer, or not before the deadline.
            AuthenticationError: it refuses us.
            RevisionNotFoundError: it is empty.
        """
        ...

    def resolve(self, reference: str) -> Revision:
        """The commit at which a reference stood at the last `refresh`.

        Args:
            reference: a branch (`main`), a full name (`refs/heads/main`), a tag pattern
                (`refs/tags/v*`: the highest by version order; annotated tags are peeled to their commit),
                or `HEAD` for the repository's default branch.

        Raises:
            RevisionNotFoundError: there is none; the hint names the ones that are near.
        """
        ...

    def entries(self, revision: Revision, directory: str) -> Mapping[str, str]:
        """The entries of a directory, name -> git object id; empty where it is not there."""
        ...

    def read(self, revision: Revision, path: str) -> str | None:
        """A file's text as it is in a revision, or None where it is not there.

        Raises:
            SourceError: it is not UTF-8 text, or larger than 1 MiB.
        """
        ...

    def checkout(self, revision: Revision) -> AbstractContextManager[Path]:
        """A throw-away directory with a revision's files, removed at the end of the block.

        Raises:
            SourceError: it cannot be written (a full disk, an object that is missing).
        """
        ...


class Program(Value):
    """A Pulumi project that lies in a checkout, and the stack it is run for.

    Args:
        directory: where its Pulumi.yaml is.
        stack: the stack's name.
        work: a private directory of this pass, for the saved plan, events and the engine's output.
        revision: what the checkout holds.
        digest: see `core.digest.digest`; goes into the preview's identity.
        create_stack: make the stack where the backend has none.
        running: the commit that is live before this, where anybody knows; the program sees it as
            `RONRON_REVISION`, so that a snapshot taken before an update can say what it is of.
        excluded: names of the excluded machines, sorted: nothing is touched that goes through a
            provider of such a name, and nothing deleted anywhere. The program sees it as `RONRON_EXCLUDE`.
    """

    directory: Path
    stack: str
    work: Path
    revision: Revision
    digest: str
    create_stack: bool = False
    running: Commit | None = None
    excluded: tuple[str, ...] = ()


class Engine(Protocol):
    """Pulumi: previews and updates one stack of one checkout.

    Raises, from every method:
        EngineMissingError, StackLockedError, StackNotFoundError, PassphraseError, ProgramError,
        EngineTimeoutError, EngineInterruptedError, or a plain EngineError for what nobody recognised;
        ConfigError for a stack file that cannot be read.
    """

    def version(self) -> str:
        """The engine's version, such as `3.274.1`."""
        ...

    def preview(self, program: Program) -> Preview:
        """Compute the changes and save the plan; no effect, no lock."""
        ...

    def refresh_failed(self, program: Program) -> tuple[str, ...]:
        """Look again at what an update left half-made, so that the next preview has what is still to do.

        Only the state changes. What belongs to a machine that the program does without is not looked at.

        Returns:
            Names of what was looked at; nothing where nothing is half-made, or there is no such stack.

        Raises:
            UpdateFailedError: it could not be looked at, and stays as it was.
        """
        ...

    def checks(self, program: Program) -> tuple[CheckResult, ...]:
        """Have the program check what it depends on, such as machines and clusters; no effect.

        Returns:
            Its results, in order; empty where the program has no such checks, and then it can be previewed
            at least.
        """
        ...

    def update(self, program: Program, preview: Preview, started: Callable[[ProcessMark], None]) -> Updated:
        """Carry out the plan of `preview`, and nothing else.

        Args:
            program: the same directory and stack that were previewed.
            preview: what was judged.
            started: called with the engine's process before it can have had any effect.

        Raises:
            PlanViolatedError: it would do something else; nothing of that was done.
            PendingOperationsError: an earlier update left operations of which nobody knows the end.
            UpdateFailedError: resources failed; the message holds their own errors first.
        """
        ...

    def state(self, program: Program) -> StackState:
        """What the backend holds of the stack; `exists` is false where there is none."""
        ...

    def export(self, program: Program) -> str | None:
        """The whole state as a JSON document of the engine's own; None where there is no such stack.

        Secrets in it are encrypted.
        """
        ...

    def import_state(self, program: Program, state: str) -> None:
        """Put an exported state into a stack that is not there, or is empty; the stack is made for it.

        One that has just the same resources stays as it is.

        Args:
            program: its stack file has to be the one that the state was made with.
            state: what `export` gave.

        Raises:
            ConfigError: the stack has other resources; nothing was changed.
        """
        ...

    def recover_from_crash(self, program: Program, left: ProcessMark | None) -> str:
        """Clean up after an update whose owner died, and say in one sentence what was found.

        A process that is still alive is stopped with one SIGINT and waited for; a lock of the backend is
        removed only when its owner is proven dead on this host.

        Raises:
            StackLockedError: a lock is held by an owner that is alive or cannot be proven dead.
            PendingOperationsError: the dead update left something half-created.
        """
        ...

    def interrupt(self) -> None:
        """Ask whatever runs now to stop cleanly (one SIGINT); returns at once. For signals and drains."""
        ...


class Store(Protocol):
    """Records, history, requests and approvals: what survives a restart.

    Calls may come from several threads and processes. Raises, from every method:
        StoreError: it cannot be read or written. RecordCorruptError: what is there is not ours.
    """

    def load(self, environment: str) -> Record:
        """The record of an environment; a fresh one where there is none."""
        ...

    def environments(self) -> tuple[str, ...]:
        """Names of all environments with a record, sorted."""
        ...

    def save(self, record: Record) -> None:
        """Write a record.

        Of a record that is there, `backups` and `kept` stay as they are, whatever this one says: they are
        written by `save_backups`, while a pass has its own record in hand. So in `finish`.
        """
        ...

    def save_backups(
        self, environment: str, backups: Mapping[str, BackupSummary], kept: OwnBackup | None
    ) -> None:
        """Write what was seen of the backups of an environment into its record, and nothing else."""
        ...

    def copy(self, place: Path) -> None:
        """Write everything that is here, as it is at one moment, into a new file for us alone.

        Raises:
            StoreError: it cannot be written, or the database is a server's, which has its own backups.
        """
        ...

    def begin(self, pass_: Pass) -> int:
        """Write a pass that begins, and give its number."""
        ...

    def finish(self, pass_id: int, outcome: Outcome, finished: datetime, record: Record) -> None:
        """Write how a pass ended together with the record after it, both or neither."""
        ...

    def history(self, environment: str | None = None, limit: int = 20) -> tuple[Pass, ...]:
        """The newest passes first, of one environment or of all."""
        ...

    def ask(self, environment: str, by: str, at: datetime) -> Request:
        """Write a manual ask for a pass; numbers rise."""
        ...

    def asked(self, environment: str) -> Request | None:
        """The newest manual ask, served or not."""
        ...

    def approve(self, environment: str, identity: str, by: str, at: datetime) -> None:
        """Write a person's yes to one plan identity."""
        ...

    def approvals(self, environment: str) -> frozenset[str]:
        """Every identity that was approved."""
        ...

    def lock(self, stack: str) -> AbstractContextManager[None]:
        """Keep a stack to ourselves for the block, against other threads and processes.

        It is given up by the system when the process dies, however it dies.

        Raises:
            StackLockedError: another live process or thread has it; the message says which and since when.
        """
        ...


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
        self, inventory: Inventory, service: str, reason: str = "asked", revision: str | None = None
    ) -> Snapshot:
        """Take a snapshot and verify it; returns when both are done."""
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
        caller probes the service and sets `healthy`.

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
