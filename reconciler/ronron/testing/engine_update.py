"""How the fake engine carries out an update: step by step, and dying where a test lets it die."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ronron.core.errors import EngineInterruptedError, UpdateFailedError
from ronron.core.model import QUIET, Change, Operation
from ronron.core.operations import CONTAINER_TYPE, ContainerPlace, OperationEvent, Phase
from ronron.ports import Follow
from ronron.testing.things import FakeProgram, FakeStack, Thing


class EngineKilled(BaseException):
    """Raised by what `FakeEngine.at` calls: the engine's process dies at once, as by SIGKILL."""


class ReconcilerKilled(BaseException):
    """Raised by what `FakeEngine.at` calls: our own process dies at once.

    Args:
        engine_too: the engine dies with it, as in a power cut; otherwise it goes on to its end.
    """

    def __init__(self, *, engine_too: bool = False) -> None:
        super().__init__(engine_too)
        self.engine_too = engine_too


class FakeUpdate:
    """One update that the engine carries out; `interrupt` stops it before its next step.

    Args:
        where: the name of the stack, for errors.
        stack: what it changes.
        at: what is called once in the middle of making or changing a thing, by the name of that thing.
        run: called with each change that was carried out and the thing that it made.
        follow: gets the events of every step; None for nobody.
    """

    def __init__(
        self,
        where: str,
        stack: FakeStack,
        *,
        at: dict[str, Callable[[], None]],
        run: Callable[[Change, Thing], None],
        follow: Follow | None = None,
    ) -> None:
        self._where = where
        self._stack = stack
        self._at = at
        self._run = run
        self._follow: Follow = follow or _unfollowed
        self._asked_to_stop = False

    def interrupt(self) -> None:
        """Stop before the next step, where there is one."""
        self._asked_to_stop = True

    def carry_out(self, changes: Sequence[Change], wanted: FakeProgram) -> None:
        """Do each step of a plan.

        Args:
            changes: the steps.
            wanted: what the program makes.

        Raises:
            UpdateFailedError: a provider or a hook refused a step; the steps before it are done.
            EngineInterruptedError: it was interrupted.
            ReconcilerKilled: our own process died; the engine dies with it or did the rest of the steps.
            EngineKilled: the engine died.
        """
        new = {thing.name: thing for thing in wanted.things}
        died: ReconcilerKilled | None = None
        for number, change in enumerate(changes):
            thing = new.get(change.name)
            place = _place(change, thing or self._stack.things.get(change.name))
            self._follow([OperationEvent(change=change, phase=Phase.BEGUN, place=place)])
            try:
                self._one(change, thing, quiet=died is not None)
                if thing is not None:
                    self._run(change, thing)
                self._follow([OperationEvent(change=change, phase=Phase.DONE, place=place)])
            except UpdateFailedError as failure:
                begun = changes[: number + 1]
                failure.begun = tuple(one for one in begun if one.operation not in QUIET)
                self._follow([OperationEvent(change=change, phase=Phase.FAILED, place=place)])
                raise
            except ReconcilerKilled as death:
                if death.engine_too:
                    raise
                died = death
            if self._asked_to_stop and number + 1 < len(changes):
                raise EngineInterruptedError("the update was stopped", where=self._where)
        self._stack.inventory = wanted.inventory
        if died is not None:
            raise died

    def _one(self, change: Change, thing: Thing | None, *, quiet: bool) -> None:
        stack = self._stack
        if thing is None:
            refuses = stack.things[change.name].refuses if change.name in stack.things else ""
            if refuses:
                raise UpdateFailedError(f"cannot delete {change.name}: {refuses}")
            gone = stack.things.pop(change.name, None)
            if gone is not None and gone.retained:
                stack.left.add(gone.name)
            return
        if change.operation is not Operation.SAME and thing.fails:
            raise UpdateFailedError(f"cannot {change.operation} {thing.name}: {thing.fails}")
        then = None if quiet or change.operation is Operation.SAME else self._at.pop(thing.name, None)
        if then is not None:
            doing = f"{_ING.get(change.operation, 'creating')} {change.urn}"
            stack.pending.append(doing)
            try:
                then()
            except ReconcilerKilled as death:
                if not death.engine_too:
                    self._end(doing, thing)
                raise
            self._end(doing, thing)
            return
        stack.things[thing.name] = thing

    def _end(self, doing: str, thing: Thing) -> None:
        self._stack.pending.remove(doing)
        self._stack.things[thing.name] = thing


def _unfollowed(events: Sequence[OperationEvent]) -> None:
    pass


def _place(change: Change, thing: Thing | None) -> ContainerPlace | None:
    if change.type != CONTAINER_TYPE or thing is None:
        return None
    return ContainerPlace(name=thing.name, machine=thing.machine or "here", docker="unix:///fake")


_ING = {Operation.UPDATE: "updating", Operation.DELETE_REPLACED: "deleting"}
