"""Judges the result of an update: what it did, whether it succeeded, and whether another one may follow."""

from __future__ import annotations

from ronron.adapters.pulumi_engine.call import Call
from ronron.adapters.pulumi_engine.events import EventLog
from ronron.adapters.pulumi_engine.finished import Finished
from ronron.adapters.pulumi_engine.state import INVENTORY, ExportedState
from ronron.core.errors import EngineError, PendingOperationsError
from ronron.core.model import QUIET, StackState, Updated
from ronron.core.urns import name_of


def refuse_pending(state: StackState, stack: str, environment: str = "") -> None:
    """Refuse a stack whose last update died while it created something.

    Raises:
        PendingOperationsError: it is unknown whether the resource exists.
    """
    creates = state.pending_creates
    if creates:
        names = ", ".join(name_of(urn) for urn in creates)
        raise PendingOperationsError(
            f"an update died while it created {names}: it is unknown whether that exists",
            where=f"stack {stack}",
            hint="search for it on its machine, then run "
            f"`ronron pulumi {environment or stack} -- refresh`: it asks for each whether to import it by "
            "its id or to forget it",
        )


def result_of(
    call: Call, ended: Finished, log: EventLog, after: ExportedState | None, unread: EngineError | None
) -> Updated:
    """The result of an update, by its events and its state as well as its exit code.

    Args:
        call: of the update.
        ended: how its command ended.
        log: its events.
        after: the state after it; None where it cannot be read.
        unread: why it cannot.

    Raises:
        PendingOperationsError: it died while it created something. EngineError: it failed.
    """
    state = after.stack() if after is not None else None
    if state is not None:
        refuse_pending(state, call.stack, call.program.environment)
    if not succeeded(ended, log, after):
        error = call.error(ended, log)
        error.begun = log.begun
        raise error from unread
    messages = call.messages(log)
    if ended.code != 0:
        # For instance a lock that another process had removed already.
        messages = (*messages, call.error(ended, EventLog()).message)
    return Updated(
        changes=tuple(change for change in log.done if change.operation not in QUIET),
        inventory=state.inventory if state is not None else log.outputs.get(INVENTORY),
        messages=messages,
        containers=state.containers if state is not None else None,
    )


def succeeded(finished: Finished, log: EventLog, after: ExportedState | None) -> bool:
    """Whether an update succeeded, by its events and its state as well as its exit code."""
    if log.failed or log.result not in {"", "succeeded"}:
        return False
    if finished.code == 0:
        # Without events the state must be readable; it has no pending creations.
        return log.ended or after is not None
    return log.result == "succeeded" and after is not None and after.agrees(log.done)
