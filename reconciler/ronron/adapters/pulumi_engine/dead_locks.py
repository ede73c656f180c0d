"""Removes the locks that dead engines left on a stack."""

from __future__ import annotations

from ronron.adapters.pulumi_engine.call import Call
from ronron.adapters.pulumi_engine.environment import file_backend
from ronron.adapters.pulumi_engine.finished import Finished
from ronron.adapters.pulumi_engine.locks import file_locks, free, locked, named_locks, proven_dead
from ronron.ports import Processes


class DeadLocks:
    """The locks of one backend whose owners are proven dead.

    Args:
        backend_url: of the backend.
        processes: the proof that a lock's owner is dead.
    """

    def __init__(self, backend_url: str, processes: Processes) -> None:
        self._backend_url = backend_url
        self._processes = processes

    def free(self, call: Call) -> int:
        """Remove the dead locks of a stack in a file backend; returns how many there were.

        Raises:
            StackLockedError: there are locks of other owners.
        """
        backend = file_backend(self._backend_url)
        if backend is None:
            return 0
        locks = file_locks(backend, call.project, call.stack)
        dead = [lock for lock in locks if proven_dead(lock, self._processes)]
        free(dead)
        if len(dead) < len(locks):
            raise locked((lock for lock in locks if lock not in dead), call.stack, call.program.environment)
        return len(dead)

    def free_named(self, call: Call, ended: Finished) -> bool:
        """Remove the locks that stopped an update, if all owners are proven dead; returns whether it did.

        Not in a file backend, where `free` removes each lock by itself.

        Args:
            call: of the update.
            ended: how its command ended; the engine names the locks in its output.

        Raises:
            EngineError: they cannot be removed.
        """
        locks = named_locks(ended.stderr)
        if ended.code in {0, None} or not locks or file_backend(self._backend_url) is not None:
            return False
        if not all(proven_dead(lock, self._processes) for lock in locks):
            return False
        call.cancel()
        return True
