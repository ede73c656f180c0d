"""The port to Pulumi, and the program that it is run on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Protocol

from ronron.core.model import Commit, Preview, ProcessMark, Revision, StackState, Updated, Value
from ronron.core.operations import OperationEvent
from ronron.core.status import CheckResult


class Program(Value):
    """A Pulumi project that lies in a checkout, and the stack it is run for.

    Args:
        directory: where its Pulumi.yaml is.
        stack: the stack's name.
        work: a private directory of this pass, for the saved plan, events and the engine's output.
        revision: of the checkout.
        digest: see `core.digest.digest`; goes into the preview's identity.
        create_stack: make the stack where the backend has none, and none was updated before (`running`).
        running: the commit that is live before this, where anybody knows; the program sees it as
            `RONRON_REVISION`, so that a snapshot taken before an update can say what it is of.
        excluded: names of the excluded machines, sorted: nothing is touched that goes through a
            provider of such a name, and nothing deleted anywhere. The program sees it as `RONRON_EXCLUDE`.
        going_back: names of services that go back from a revision that failed, and that have a snapshot from
            before it, sorted: an earlier version of them is no mistake. The program sees it as
            `RONRON_GOING_BACK`.
        replace: URNs of resources that previews and updates replace although no input differs: containers
            that drifted. Each is in the state.
        repaired: names of the containers that are replaced without a snapshot, sorted: a part of their
            service does not work. The program sees it as `RONRON_REPAIR`.
        accept_empty: names of the services whose data a person accepted although they were recreated. The
            program sees it as `RONRON_ACCEPT_EMPTY`.
        environment: the environment's name, for hints; empty where nobody knows it. The program sees it as
            `RONRON_ENVIRONMENT`.
    """

    directory: Path
    stack: str
    work: Path
    revision: Revision
    digest: str
    create_stack: bool = False
    running: Commit | None = None
    excluded: tuple[str, ...] = ()
    going_back: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    repaired: tuple[str, ...] = ()
    accept_empty: tuple[str, ...] = ()
    environment: str = ""


Follow = Callable[[Sequence[OperationEvent]], None]
"""Is called with what an update does; see `Engine.update`."""


class Engine(Protocol):
    """Pulumi: previews and updates one stack of one checkout.

    Raises, from every method:
        EngineMissingError, StackLockedError, StackNotFoundError, PassphraseError, ProgramError,
        EngineTimeoutError, EngineInterruptedError, or a plain EngineError for an error of no known kind;
        ConfigError for a stack file that cannot be read.
    """

    def version(self) -> str:
        """The engine's version, such as `3.274.1`."""
        ...

    def preview(self, program: Program) -> Preview:
        """Compute the changes and save the plan; no effect, no lock.

        Raises:
            EngineError: `protected` has the URNs of what is protected and would be deleted, if nothing else
                is wrong.
        """
        ...

    def refresh_failed(self, program: Program) -> tuple[str, ...]:
        """Refresh the resources with init errors, so that the next preview has what is still to do.

        Only the state changes. Resources on excluded machines are not refreshed.

        Returns:
            Names of the refreshed resources; empty where none has init errors, or there is no such stack.

        Raises:
            UpdateFailedError: they could not be refreshed, and the state stays as it was.
        """
        ...

    def release(self, program: Program, retain: Collection[str], remove: Collection[str] = ()) -> None:
        """Let the next update delete resources from the state without being stopped. Only the state changes.

        The program's hooks before and after their deletion do not run then. URNs that the state does not have
        are ignored.

        Args:
            program: says which stack.
            retain: URNs; these stay in the world when they leave the state, and are not protected any more.
            remove: URNs; these are deleted, unless they are protected.

        Raises:
            PendingOperationsError: an earlier update left operations whose end is unknown.
            StackLockedError: another process works on the stack.
        """
        ...

    def refresh_lost(self, program: Program, machines: Collection[str]) -> tuple[str, ...]:
        """Refresh the networks and images on some machines, so that the next update makes the lost ones.

        Only the state changes: what is gone is removed from it.

        Args:
            program: whose stack.
            machines: names of reachable machines.

        Returns:
            Names of the resources that are gone.

        Raises:
            UpdateFailedError: they could not be refreshed.
        """
        ...

    def checks(self, program: Program) -> tuple[CheckResult, ...]:
        """Have the program check what it depends on, such as machines and clusters; no effect.

        Returns:
            Its results, in order; empty where the program has no such checks, and then it can be previewed
            at least.
        """
        ...

    def update(
        self,
        program: Program,
        preview: Preview,
        started: Callable[[ProcessMark], None],
        follow: Follow | None = None,
    ) -> Updated:
        """Carry out the plan of `preview`, and nothing else.

        Args:
            program: the same directory and stack that were previewed.
            preview: what was judged.
            started: called with the engine's process before it can have had any effect.
            follow: called while the update runs, one call after the other and from a thread of the engine's
                own: with the operations that began or ended since the last call, about four times a second,
                so also with none. After an error of its own it is not called again, and the update goes on.

        Raises:
            PlanViolatedError: it would do something else; it did none of that.
            PendingOperationsError: an earlier update left operations whose end is unknown.
            UpdateFailedError: resources failed; the message has their own errors first, and `begun` the steps
                that had begun.
        """
        ...

    def secrets(self, program: Program) -> frozenset[str]:
        """The secret values of the stack's configuration, decrypted; only to redact them.

        Nothing is written to a disk.
        """
        ...

    def state(self, program: Program) -> StackState:
        """The state of the stack in the backend; `exists` is false where there is none."""
        ...

    def export(self, program: Program) -> str | None:
        """The whole state as a JSON document of the engine's own; None where there is no such stack.

        Secrets in it are encrypted.
        """
        ...

    def import_state(self, program: Program, state: str) -> None:
        """Import an exported state into a stack that does not exist, or is empty; creates the stack.

        A stack that has exactly the same resources stays as it is.

        Args:
            program: its stack file has to be the one that the state was made with.
            state: what `export` gave.

        Raises:
            ConfigError: the stack has other resources; nothing was changed.
        """
        ...

    def recover_from_crash(self, program: Program, left: ProcessMark | None) -> str:
        """Clean up after an update whose owner died, and return in one sentence what it had left.

        A process that is still alive is stopped with one SIGINT and waited for; a lock of the backend is
        removed only when its owner is proven dead on this host.

        Raises:
            StackLockedError: the owner of a lock is alive or cannot be proven dead.
            PendingOperationsError: the dead update left something half-created.
        """
        ...

    def unprotect(self, program: Program, below: Collection[str]) -> tuple[str, ...]:
        """Unprotect what is below some components and stays in the world when it leaves the state.

        Only the state changes. What the engine would delete from the world stays protected. The next update
        by a program that declares them protects them again.

        Args:
            program: says which stack.
            below: URNs of the components.

        Returns:
            Names of the resources that were protected; empty where there are none, or no such stack.

        Raises:
            StackLockedError: another process works on the stack.
        """
        ...

    def interrupt(self) -> None:
        """Ask whatever runs now to stop cleanly (one SIGINT); returns at once. For signals and drains."""
        ...
