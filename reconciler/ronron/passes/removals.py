"""Previews a revision without the services that a person asked to remove.

The engine refuses to preview the deletion of a protected volume. So the volumes of exactly these services are
unprotected first, in the state only; they stay in the world when they leave it. Where the revision still
declares the service, its next update protects them again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from ronron.core.errors import EngineError
from ronron.core.inventory import read_inventory
from ronron.core.model import Outcome, OutcomeKind
from ronron.core.record import Record
from ronron.core.removals import VOLUME, Removal, beside, unserved, valid, volumes_of
from ronron.ports import Engine, Program

T = TypeVar("T")

_TRIES = 3
"""The engine may name what blocks a preview bit by bit."""


@dataclass(frozen=True)
class Wish:
    """What people asked to remove from an environment.

    Args:
        environment: its name, for hints.
        removals: the requests that count, by the name of the service.
        inventory: the stack output of that name, as of the last update.
    """

    environment: str
    removals: Mapping[str, Removal]
    inventory: object | None

    @property
    def machines(self) -> frozenset[str]:
        """The machines of the services that are to go."""
        inventory = read_inventory(self.inventory)
        there = inventory.services if inventory is not None else {}
        return frozenset(there[name].machine for name in self.removals if name in there)


def wish(record: Record, now: datetime) -> Wish:
    """What people asked to remove, by a record."""
    return Wish(record.environment, valid(record.removals, now), record.inventory)


def preview_removing(
    preview: Callable[[], T],
    engine: Engine,
    program: Program,
    asked: Wish,
    log: Callable[[str], None],
    locked: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> T:
    """A preview that no volume of a service that is to go can block.

    Args:
        preview: previews the program.
        engine: unprotects.
        program: of the revision that is wanted.
        asked: what people asked to remove.
        log: takes one line for a person.
        locked: locks the stack, where it is not locked yet.

    Raises:
        EngineError: as `preview` raises; its hint names the service whose volumes nobody asked to remove.
        StackLockedError: another process works on the stack.
    """
    for _ in range(_TRIES):
        try:
            return preview()
        except EngineError as error:
            names = _unprotect(engine, program, asked, error, locked)
            if not names:
                error.hint = _hint(engine, program, asked, error) or error.hint
                raise
        by = ", ".join(f"{name} (asked by {removal.by})" for name, removal in asked.removals.items())
        log(f"remove: {', '.join(names)} may leave the state and stay where they are, for {by}")
    return preview()


def _unprotect(
    engine: Engine,
    program: Program,
    asked: Wish,
    error: EngineError,
    locked: Callable[[], AbstractContextManager[None]],
) -> tuple[str, ...]:
    """Unprotect what blocks a preview and belongs to what goes; its names."""
    below = frozenset(removal.resource for removal in asked.removals.values() if removal.resource)
    if not below:
        return ()
    with locked():
        names = engine.unprotect(program, below)
        # With the last service of a machine goes what served it: the volumes of its reverse proxy stay, too.
        others = [
            one
            for one in (engine.state(program).guarded if error.protected else ())
            if one.urn in error.protected
            and (one.type, one.protected, one.retained) == (VOLUME, True, True)
            and one.place in asked.machines
            and beside(one.urn, asked.removals)
        ]
        if others:
            engine.release(program, retain=frozenset(one.urn for one in others))
    return (*names, *sorted(one.name for one in others))


def _hint(engine: Engine, program: Program, asked: Wish, error: EngineError) -> str:
    """How to remove the services whose protected volumes made a preview fail; empty for another error."""
    inventory = read_inventory(asked.inventory)
    if not error.protected or inventory is None:
        return ""
    stuck = {one.id for one in engine.state(program).guarded if one.urn in error.protected}
    found = [
        name
        for name, service in sorted(inventory.services.items())
        if not stuck.isdisjoint(volume.name for volume in volumes_of(service))
    ]
    if not found:
        return ""
    commands = " and ".join(f"ronron remove service {asked.environment} {name}" for name in found)
    names = ", ".join(found)
    return f"put {names} back into the stack file; or, to remove it while its data stays, run {commands}"


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
