"""Mends what an update left half-made: the engine looks at it again, so that the next update does the rest.

A resource whose creation or update failed half-way stays in the state with the errors of that and with the
outputs that were wished for. The next update sends it once more, but with nothing that differs, and then
forgets the errors. A refresh reads what is really there, as Pulumi means it to be done.
"""

from __future__ import annotations

from ronron.adapters.pulumi_engine.call import Call
from ronron.adapters.pulumi_engine.state import ExportedState
from ronron.core.errors import EngineError, UpdateFailedError


def mend(call: Call, exported: ExportedState) -> tuple[str, ...]:
    """Look again at what is half-made, and at nothing else; gives the names.

    What belongs to a machine that the program does without stays as it is: whoever would be asked may be
    gone with it.

    Args:
        call: on the stack; no other engine has it locked.
        exported: its state.

    Raises:
        UpdateFailedError: it cannot be looked at.
        EngineError: the engine failed.
    """
    found = exported.half_made(but_on=call.program.excluded)
    if not found:
        return ()
    finished, log = call.refresh(found)
    if finished.code != 0 or log.result not in {"", "succeeded"}:
        error = call.error(finished, log)
        if type(error) is EngineError:
            # What refused is a resource, of which the engine speaks as in any update.
            raise UpdateFailedError(error.message, where=error.where, hint=error.hint)
        raise error
    return tuple(sorted(urn.rpartition("::")[2] for urn in found))
