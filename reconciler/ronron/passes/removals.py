"""Previews a revision without the services that a person asked to remove.

The engine refuses to preview the deletion of a protected volume. So the volumes of exactly these services are
unprotected first, in the state only; they stay in the world when they leave it. Where the revision still
declares the service, its next update protects them again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

from ronron.core.errors import EngineError
from ronron.core.inventory import read_inventory
from ronron.core.model import Outcome, OutcomeKind
from ronron.core.record import Record
from ronron.core.removals import Removal, unserved, volumes_of
from ronron.ports import Engine, Program

T = TypeVar("T")


def preview_removing(
    preview: Callable[[], T],
    engine: Engine,
    program: Program,
    removals: Mapping[str, Removal],
    log: Callable[[str], None],
    locked: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> T:
    """A preview that no volume of a service that is to go can block.

    Args:
        preview: previews the program.
        engine: unprotects.
        program: of the revision that is wanted.
        removals: the requests that count, by the name of the service.
        log: takes one line for a person.
        locked: locks the stack, where it is not locked yet.

    Raises:
        EngineError: as `preview` raises.
        StackLockedError: another process works on the stack.
    """
    try:
        return preview()
    except EngineError:
        below = frozenset(removal.resource for removal in removals.values() if removal.resource)
        if not below:
            raise
        with locked():
            names = engine.unprotect(program, below)
        if not names:
            raise
        asked = ", ".join(f"{name} (asked by {removal.by})" for name, removal in removals.items())
        log(f"remove: {', '.join(names)} may leave the state and stay where they are, for {asked}")
        return preview()


def after_removals(record: Record, before: Record, outcome: Outcome, log: Callable[[str], None]) -> Record:
    """The record without the requests that were served.

    Args:
        record: after the pass.
        before: as the pass found it.
        outcome: of the pass.
        log: takes one line for each service that is gone.
    """
    if outcome.kind not in {OutcomeKind.UPDATED, OutcomeKind.UNCHANGED} or not record.removals:
        return record
    left = unserved(record.removals, read_inventory(record.inventory))
    former = read_inventory(before.inventory)
    for name in record.removals.keys() - left.keys():
        service = former.services.get(name) if former is not None else None
        stays = "; ".join(f"{one} stays" for one in volumes_of(service)) if service is not None else ""
        log(f"removed: {name}" + (f"; {stays}" if stays else ""))
    return record.with_(removals=left)
