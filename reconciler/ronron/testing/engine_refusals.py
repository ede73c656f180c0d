"""When the fake engine refuses to work on a stack, as the real one does."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ronron.core.errors import (
    EngineError,
    PassphraseError,
    PendingOperationsError,
    ProgramError,
    StackLockedError,
    StackNotFoundError,
)
from ronron.core.model import Change, Operation
from ronron.ports import Program
from ronron.testing.things import FakeProgram, FakeStack


def opened(program: Program, stacks: Mapping[str, FakeStack], passphrase: str) -> FakeStack:
    """The stack of a program.

    Raises:
        StackNotFoundError: it does not exist.
        PassphraseError: its passphrase is another one.
    """
    stack = stacks.get(program.stack)
    if stack is None:
        raise StackNotFoundError("cannot find the stack", where=program.stack)
    if stack.passphrase != passphrase:
        raise PassphraseError("cannot open the stack's secrets: wrong passphrase", where=program.stack)
    return stack


def refuse_raising(program: Program, wanted: FakeProgram) -> None:
    """Raise ProgramError where the program raises."""
    if wanted.raises:
        raise ProgramError(
            f"cannot run the program: {wanted.raises}",
            where=program.stack,
            hint="fix the program, and try it with `ronron pulumi local -- preview`",
        )


def refuse_unknown_machines(program: Program, stack: FakeStack) -> None:
    """Raise EngineError where a machine is excluded on which the stack has nothing."""
    for machine in program.excluded:
        if all(thing.machine != machine for thing in stack.things.values()):
            raise EngineError(
                f"cannot exclude {machine}: the stack has no provider of that name",
                where=program.stack,
            )


def refuse_protected(program: Program, stack: FakeStack, changes: Collection[Change]) -> None:
    """Raise EngineError where a plan deletes protected things."""
    gone = [one for one in changes if one.operation is Operation.DELETE]
    protected = [one for one in gone if one.name in stack.things and stack.things[one.name].protected]
    if protected:
        error = EngineError(
            "\n".join(f"cannot delete {one.name}: it is protected" for one in protected), where=program.stack
        )
        error.protected = tuple(one.urn for one in protected)
        raise error


def refuse_locked(program: Program, stack: FakeStack) -> None:
    """Raise StackLockedError where a process has locked the stack, dead or not."""
    if stack.lock is not None:
        raise StackLockedError(
            f"the stack is locked by process {stack.lock.pid} of {stack.lock.host}", where=program.stack
        )


def refuse_pending(program: Program, stack: FakeStack) -> None:
    """Raise PendingOperationsError where an earlier update died while it created a thing."""
    creates = [line for line in stack.pending if line.startswith("creating ")]
    if creates:
        raise PendingOperationsError(
            f"an earlier update died while it was {', '.join(creates)}", where=program.stack
        )
