"""Refreshes resources with init errors, so that the next update finishes them.

A resource whose creation or update failed half-way stays in the state with its init errors and with the
outputs that were wanted. The next update would not see a difference, and would then forget the errors. A
refresh reads the real resource into the state, as Pulumi recommends.
"""

from __future__ import annotations

from collections.abc import Collection

from ronron.adapters.pulumi_engine.call import Call
from ronron.adapters.pulumi_engine.state import ExportedState
from ronron.core.errors import EngineError, UpdateFailedError
from ronron.core.urns import name_of


def refresh_init_errors(call: Call, exported: ExportedState) -> tuple[str, ...]:
    """Refresh the resources with init errors, and no others; returns their names.

    Resources of excluded machines stay as they are: their provider may be unreachable too.

    Args:
        call: on the stack, which no other engine has locked.
        exported: its state.

    Raises:
        UpdateFailedError: a resource cannot be refreshed.
        EngineError: the engine failed.
    """
    found = exported.init_errors(but_on=call.program.excluded)
    if found:
        _refresh(call, found)
    return tuple(sorted(name_of(urn) for urn in found))


def refresh_beneath(call: Call, exported: ExportedState, machines: Collection[str]) -> tuple[str, ...]:
    """Refresh the networks and images on some machines; returns the names of those that are gone.

    Args:
        call: on the stack, which no other engine has locked.
        exported: its state.
        machines: names of their providers.

    Raises:
        UpdateFailedError: a resource cannot be refreshed.
        EngineError: the engine failed.
    """
    found = exported.beneath_containers(machines)
    if not found:
        return ()
    _refresh(call, found)
    after = call.export()
    there = set(after.beneath_containers(machines)) if after is not None else set()
    return tuple(sorted(name_of(urn) for urn in found if urn not in there))


def _refresh(call: Call, urns: Collection[str]) -> None:
    finished, log = call.refresh(urns)
    if finished.code != 0 or log.result not in {"", "succeeded"}:
        error = call.error(finished, log)
        if type(error) is EngineError:
            # A resource failed, and the engine reports it as in any update.
            raise UpdateFailedError(error.message, where=error.where, hint=error.hint)
        raise error
