"""What fake programs make, and what has to change for it to be there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from ronron.core.model import Change, Operation, ProcessMark

CONTAINER = "docker:index/container:Container"


@dataclass(frozen=True)
class Thing:
    """A resource that a fake program makes.

    Args:
        name: its logical name.
        inputs: by property name.
        type: its type token.
        custom: false for a component.
        parent: the name of another thing of the program.
        replace_on: properties whose change makes a new one of it.
        fails: what its provider says when it is made or changed; empty where that works.
        machine: whose provider makes it; empty for the usual one.
        protected: the engine refuses to delete it.
        retained: it stays in the world when it leaves the state.
        refuses: what the program's hook says before its deletion; empty where that works.
        volumes: names of the volumes that a container mounts.
        networks: names of the networks that a container is on.
    """

    name: str
    inputs: Mapping[str, object] = field(default_factory=dict)
    type: str = "fake:index:Thing"
    custom: bool = True
    parent: str | None = None
    replace_on: frozenset[str] = frozenset()
    fails: str = ""
    machine: str = ""
    protected: bool = False
    retained: bool = False
    refuses: str = ""
    volumes: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()


@dataclass(frozen=True)
class FakeProgram:
    """What a fake program does when it is run: it raises, or makes things and exports an inventory."""

    things: tuple[Thing, ...] = ()
    inventory: object | None = None
    messages: tuple[str, ...] = ()
    raises: str = ""


@dataclass
class FakeStack:
    """A stack in the fake backend; its lock is the process that has locked it.

    Attributes:
        half_made: names of things whose last update failed half-way; a test says which.
        left: names of the things that left the state and are still in the world.
    """

    passphrase: str
    things: dict[str, Thing] = field(default_factory=dict)
    inventory: object | None = None
    pending: list[str] = field(default_factory=list)
    lock: ProcessMark | None = None
    half_made: set[str] = field(default_factory=set)
    left: set[str] = field(default_factory=set)


def but_for(machines: Collection[str], there: FakeStack, wanted: FakeProgram) -> FakeProgram:
    """What a program makes where machines are excluded: as with the real engine, it then deletes nothing.

    Args:
        machines: by name; what is on them stays as it is, and what would be new there is not made.
        there: the stack before.
        wanted: what the program would make.
    """
    if not machines:
        return wanted
    made = [there.things.get(one.name) if one.machine in machines else one for one in wanted.things]
    names = {one.name for one in wanted.things}
    kept = [one for name, one in there.things.items() if name not in names]
    return replace(wanted, things=(*(one for one in made if one is not None), *kept))


def changes_of(stack: str, there: FakeStack, wanted: FakeProgram) -> tuple[Change, ...]:
    """Every step from what a stack holds to what a program makes, quiet ones too."""
    changes = _changes(stack, there.things, wanted.things)
    if there.inventory == wanted.inventory:
        return changes
    # As the real one: outputs belong to the stack itself, and a change of them alone is one.
    urn = f"urn:pulumi:{stack}::fake::pulumi:pulumi:Stack::fake-{stack}"
    outputs = Change(urn=urn, operation=Operation.UPDATE, custom=False, properties=("inventory",))
    return (outputs, *changes)


def replacing(changes: tuple[Change, ...], urns: Collection[str]) -> tuple[Change, ...]:
    """The same steps, but that some resources are replaced although nothing differs, as with `--replace`."""
    steps = (Operation.CREATE_REPLACEMENT, Operation.REPLACE, Operation.DELETE_REPLACED)
    found: list[Change] = []
    for change in changes:
        forced = change.urn in urns and change.operation in {Operation.SAME, Operation.UPDATE}
        found += [change.with_(operation=step) for step in steps] if forced else [change]
    return tuple(found)


def _changes(stack: str, there: Mapping[str, Thing], wanted: tuple[Thing, ...]) -> tuple[Change, ...]:
    new = {thing.name: thing for thing in wanted}
    changes: list[Change] = []
    for thing in wanted:
        old = there.get(thing.name)
        plain = Change(
            urn=urn_of(stack, thing), operation=Operation.SAME, ancestors=_above(stack, thing, new),
            custom=thing.custom, retained=thing.retained,
        )  # fmt: skip
        if old is None:
            changes.append(plain.with_(operation=Operation.CREATE))
            continue
        differ = tuple(
            sorted(
                key for key in {*old.inputs, *thing.inputs} if old.inputs.get(key) != thing.inputs.get(key)
            )
        )
        if thing.replace_on & set(differ):
            steps = (Operation.CREATE_REPLACEMENT, Operation.REPLACE, Operation.DELETE_REPLACED)
            changes += [plain.with_(operation=step, properties=differ) for step in steps]
        elif differ:
            changes.append(plain.with_(operation=Operation.UPDATE, properties=differ))
        else:
            changes.append(plain)
    for name, old in reversed(list(there.items())):
        if name not in new:
            changes.append(
                Change(
                    urn=urn_of(stack, old),
                    operation=Operation.DELETE,
                    ancestors=_above(stack, old, there),
                    custom=old.custom,
                    retained=old.retained,
                )
            )
    return tuple(changes)


def urn_of(stack: str, thing: Thing) -> str:
    """The URN of a thing in a stack."""
    return f"urn:pulumi:{stack}::fake::{thing.type}::{thing.name}"


def is_below(stack: str, thing: Thing, others: Mapping[str, Thing], urns: Collection[str]) -> bool:
    """Whether a thing is below one of some components."""
    return not set(urns).isdisjoint(_above(stack, thing, others))


def _above(stack: str, thing: Thing, others: Mapping[str, Thing]) -> tuple[str, ...]:
    found: list[str] = []
    parent = others.get(thing.parent or "")
    while parent is not None:
        found.append(urn_of(stack, parent))
        parent = others.get(parent.parent or "")
    return tuple(found)
