"""What an update left, judged: whether it succeeded, and whether anything may follow it."""

from __future__ import annotations

from ronron.adapters.pulumi_engine.events import EventLog
from ronron.adapters.pulumi_engine.finished import Finished
from ronron.adapters.pulumi_engine.state import ExportedState
from ronron.core.errors import PendingOperationsError
from ronron.core.model import StackState


def refuse_pending(state: StackState, stack: str) -> None:
    """Go no further where an update died while it created something.

    Raises:
        PendingOperationsError: nobody knows whether that exists.
    """
    creates = state.pending_creates
    if creates:
        names = ", ".join(urn.rpartition("::")[2] for urn in creates)
        raise PendingOperationsError(
            f"an update died while it created {names}, so nobody knows whether that exists",
            where=f"stack {stack}",
            hint=f"look for it on its machine, then run `pulumi refresh --stack {stack}` in a clone: it asks "
            "for each whether to import it by its id or to forget it",
        )


def succeeded(finished: Finished, log: EventLog, after: ExportedState | None) -> bool:
    """Whether an update did what it should; the exit code is only one of the signs."""
    if log.failed or log.result not in {"", "succeeded"}:
        return False
    if finished.code == 0:
        # Without events there is at least the state, which has nothing half done.
        return log.ended or after is not None
    return log.result == "succeeded" and after is not None and after.agrees(log.done)
