"""Environments that were removed from the policy: stacks and records stay until a person removes them."""

from __future__ import annotations

from collections.abc import Collection

from ronron.core.record import Record
from ronron.passes.target import Ports


def note_removed(names: Collection[str], ports: Ports) -> tuple[str, ...]:
    """Note in the records which environments the policy no longer has, and which it has again.

    Args:
        names: of all environments of the policy.
        ports: everything outside.

    Returns:
        The names of those that were removed since the last call, sorted.

    Raises:
        StoreError: a record cannot be read or written.
    """
    store, found = ports.store, []
    for name in store.environments():
        record = store.load(name)
        if name in names:
            if record.removed is not None:
                store.save(record.with_(removed=None))
        elif record.removed is None and not _has_a_pass(record, ports):
            store.save(record.with_(removed=ports.clock.now()))
            store.forget_health(name)
            found.append(name)
    return tuple(found)


def _has_a_pass(record: Record, ports: Ports) -> bool:
    """Whether a pass still runs, which writes the record at its end."""
    return record.running is not None and ports.processes.alive(record.running.owner) is not False
