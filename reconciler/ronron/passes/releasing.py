"""Previews a way back: releases what a failed revision added and the engine would not delete.

The engine refuses to preview the deletion of a protected resource. What stands in the way is therefore
released first, in the state only, and previewed again. Nothing that the known state has is released.
"""

from __future__ import annotations

from collections.abc import Callable

from ronron.core.errors import EngineError
from ronron.core.model import Preview
from ronron.core.released import Guarded
from ronron.core.way_back import KnownState, added, deleted, is_retained, needs_release, released
from ronron.ports import Engine, Program


def preview_releasing(
    engine: Engine, program: Program, before: KnownState | None, log: Callable[[str], None]
) -> tuple[Preview, tuple[Guarded, ...]]:
    """A preview that nothing added since a known state can block.

    Args:
        engine: previews, and releases.
        program: of the revision that is wanted.
        before: the known state; without one nothing is released.
        log: takes one line for a person.

    Returns:
        The preview, and what its update removes from the state and leaves in the world.

    Raises:
        EngineError: as `Engine.preview` raises, for instance where it would delete what the known state has.
    """
    try:
        found = engine.preview(program)
    except EngineError as error:
        blocking = _blocking(engine, program, before, error)
        if not blocking:
            raise
        _release(engine, program, blocking)
        found = engine.preview(program)
    going = added(deleted(found.changes), before)
    if not going:
        return found, ()
    guarded = tuple(one for one in engine.state(program).guarded if one.urn in going)
    if any(needs_release(one) for one in guarded):
        _release(engine, program, guarded)
        found = engine.preview(program)
    left = tuple(one for one in guarded if is_retained(one))
    for one in released(left):
        log(f"release: {one.text}; a revision that failed had added it")
    return found, left


def releasable(engine: Engine, program: Program, before: KnownState | None, error: EngineError) -> str:
    """What an update would release where a preview failed; empty where it would not help.

    For a preview without any effect.
    """
    return ", ".join(one.text for one in released(_blocking(engine, program, before, error)))


def _blocking(
    engine: Engine, program: Program, before: KnownState | None, error: EngineError
) -> tuple[Guarded, ...]:
    """The protected resources that made a preview fail; none where one of them must not be released."""
    if not error.protected or added(error.protected, before) != set(error.protected):
        return ()
    return tuple(one for one in engine.state(program).guarded if one.urn in error.protected)


def _release(engine: Engine, program: Program, resources: tuple[Guarded, ...]) -> None:
    engine.release(
        program,
        retain=frozenset(one.urn for one in resources if is_retained(one)),
        remove=frozenset(one.urn for one in resources if not is_retained(one)),
    )
