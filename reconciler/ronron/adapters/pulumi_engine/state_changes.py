"""Changes the state of a stack without an update: unprotects, releases, imports."""

from __future__ import annotations

from collections.abc import Collection

from ronron.adapters.pulumi_engine.call import Call
from ronron.adapters.pulumi_engine.dead_locks import DeadLocks
from ronron.adapters.pulumi_engine.state import ExportedState
from ronron.adapters.pulumi_engine.update_result import refuse_pending
from ronron.core.errors import ConfigError
from ronron.core.urns import name_of


def unprotect(call: Call, locks: DeadLocks, below: Collection[str]) -> tuple[str, ...]:
    """Unprotect what is retained below some resources; returns the names. See ports.Engine.

    Args:
        call: on the stack.
        locks: of its backend.
        below: URNs.

    Raises:
        StackLockedError: another engine works on the stack. EngineError: the engine failed.
    """
    exported = call.export()
    if exported is None:
        return ()
    urns = exported.retained_below(below)
    if urns:
        locks.free(call)
    for urn in urns:
        call.unprotect(urn)
    return tuple(sorted(name_of(urn) for urn in urns))


def release(call: Call, locks: DeadLocks, retain: Collection[str], remove: Collection[str]) -> None:
    """Release resources: an import of the changed state. See ports.Engine.

    Args:
        call: on the stack.
        locks: of its backend.
        retain: URNs of resources that an update removes from the state and leaves in the world.
        remove: URNs of resources that an update deletes.

    Raises:
        StackLockedError: another engine works on the stack. EngineError: the engine failed.
        PendingOperationsError: an update died while it created something.
    """
    locks.free(call)
    exported = call.export()
    if exported is None:
        return
    # An import forgets pending operations.
    refuse_pending(exported.stack(), call.program.stack)
    changed = exported.releasing(retain, remove)
    if changed is not None:
        call.copy_config()
        call.import_text(changed)


def import_state(call: Call, state: str, wanted: ExportedState) -> None:
    """Import a state into an empty stack; its secrets stay as they are. See ports.Engine.

    A stack that has the same resources already stays as it is.

    Args:
        call: on the stack, which need not exist.
        state: as `pulumi stack export` gives it.
        wanted: the same state, parsed.

    Raises:
        ConfigError: the stack has other resources. EngineError: the engine failed.
    """
    there = call.export()
    if there is not None and not there.is_empty:
        if there.identities() == wanted.identities():
            # An interrupted recovery is repeated; the state in the backend may even be newer.
            return
        raise ConfigError(
            f"cannot import the state of {call.program.stack}: the stack has other resources",
            hint="if the backend was not lost, there is nothing to import; otherwise name an empty"
            " one with PULUMI_BACKEND_URL",
        )
    call.copy_config()
    if there is None:
        call.create()
    call.import_text(state)
