"""Judges the result of an update: whether it succeeded, and whether another one may follow."""

from __future__ import annotations

from ronron.adapters.pulumi_engine.events import EventLog
from ronron.adapters.pulumi_engine.finished import Finished
from ronron.adapters.pulumi_engine.state import ExportedState
from ronron.core.errors import PendingOperationsError
from ronron.core.model import StackState


def refuse_pending(state: StackState, stack: str, environment: str = "") -> None:
    """Refuse a stack whose last update died while it created something.

    Raises:
        PendingOperationsError: it is unknown whether the resource exists.
    """
    creates = state.pending_creates
    if creates:
        names = ", ".join(urn.rpartition("::")[2] for urn in creates)
        raise PendingOperationsError(
            f"an update died while it created {names}: it is unknown whether that exists",
            where=f"stack {stack}",
            hint="search for it on its machine, then run "
            f"`ronron pulumi {environment or stack} -- refresh`: it asks for each whether to import it by "
            "its id or to forget it",
        )


def succeeded(finished: Finished, log: EventLog, after: ExportedState | None) -> bool:
    """Whether an update succeeded, by its events and its state as well as its exit code."""
    if log.failed or log.result not in {"", "succeeded"}:
        return False
    if finished.code == 0:
        # Without events the state must be readable; it has no pending creations.
        return log.ended or after is not None
    return log.result == "succeeded" and after is not None and after.agrees(log.done)
