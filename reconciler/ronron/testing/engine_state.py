"""What the state of a fake stack says: its guarded things, and the document that is exported and imported."""

from __future__ import annotations

import json
from dataclasses import asdict

from ronron.core.errors import EngineError
from ronron.core.judge import PRECIOUS
from ronron.core.released import Guarded
from ronron.testing.things import FakeStack, Thing, urn_of


def guarded_things(name: str, stack: FakeStack) -> tuple[Guarded, ...]:
    """The things of a stack that something keeps from deletion, or whose loss would lose data.

    Args:
        name: of the stack.
        stack: its state.
    """
    return tuple(
        Guarded(
            urn=urn_of(name, thing),
            id=f"id-of-{thing.name}",
            place=thing.machine,
            protected=thing.protected,
            retained=thing.retained,
            hooked=bool(thing.refuses),
        )
        for thing in stack.things.values()
        if thing.protected or thing.retained or thing.refuses or thing.type in PRECIOUS
    )


def exported(stack: FakeStack) -> str:
    """Things, inventory and pending operations of a stack as JSON."""
    things = [
        {**asdict(thing), "replace_on": sorted(thing.replace_on), "inputs": dict(thing.inputs)}
        for thing in stack.things.values()
    ]
    return json.dumps({"things": things, "inventory": stack.inventory, "pending": stack.pending})


def imported(state: str, passphrase: str) -> FakeStack:
    """The stack that a document of `exported` describes.

    Args:
        state: the document.
        passphrase: what the stack is opened with.

    Raises:
        EngineError: it is no such document.
    """
    try:
        document = json.loads(state)
        things = [
            Thing(**{**thing, "replace_on": frozenset(thing["replace_on"])}) for thing in document["things"]
        ]
    except (ValueError, TypeError, KeyError) as error:
        raise EngineError("cannot read the exported state", hint="export it again") from error
    return FakeStack(
        passphrase,
        things={thing.name: thing for thing in things},
        inventory=document["inventory"],
        pending=document["pending"],
    )
