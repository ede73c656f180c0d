"""An engine in memory that behaves as the real one; tests set what its programs make."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, replace

from ronron.core.containers import MadeContainer
from ronron.core.digest import identity
from ronron.core.errors import (
    ConfigError,
    EngineError,
    EngineInterruptedError,
    PassphraseError,
    PendingOperationsError,
    PlanViolatedError,
    ProgramError,
    StackLockedError,
    StackNotFoundError,
    UpdateFailedError,
)
from ronron.core.judge import PRECIOUS
from ronron.core.model import QUIET, Change, Operation, Preview, ProcessMark, StackState, Updated
from ronron.core.operations import CONTAINER_TYPE, ContainerPlace, OperationEvent, Phase
from ronron.core.released import Guarded
from ronron.core.status import CheckResult
from ronron.ports import Follow, Program
from ronron.testing.containers import FakeContainers
from ronron.testing.processes import FakeProcesses
from ronron.testing.things import (
    CONTAINER,
    FakeProgram,
    FakeStack,
    Thing,
    but_for,
    changes_of,
    is_below,
    replacing,
    urn_of,
)


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


class FakeEngine:
    """See ports.Engine.

    A change of a program after its preview is a violation of its plan, as with the real one.

    Args:
        processes: where its own processes live, so that it can be seen whether they are dead.
        stacks: the backend; give another engine's to be a second one on the same state.
        passphrase: what the stacks are opened with.
        engine_version: what `version` gives.
    """

    def __init__(
        self,
        processes: FakeProcesses | None = None,
        *,
        stacks: dict[str, FakeStack] | None = None,
        passphrase: str = "correct horse",  # noqa: S107 - of a stack that does not exist
        engine_version: str = "3.274.1",
    ) -> None:
        self.processes = processes if processes is not None else FakeProcesses()
        self.stacks = stacks if stacks is not None else {}
        self.calls: list[str] = []
        """Every call in order: the method and the stack, such as `preview staging`."""
        self.running: list[str | None] = []
        """The commit that was live before each preview and update, as the program gets it."""
        self.excluded: list[tuple[str, ...]] = []
        """The excluded machines of each preview and update, as the program gets them."""
        self.replaced: list[tuple[str, ...]] = []
        """The containers of each update that are replaced although nothing differs, by their URNs."""
        self.containers: FakeContainers | None = None
        """Where the containers of programs run: things of Docker's container type that name a machine."""
        self._ids: dict[tuple[str, str], str] = {}
        self._passphrase = passphrase
        self._version = engine_version
        self._programs: dict[str, FakeProgram] = {}
        self._checks: dict[str, tuple[CheckResult, ...]] = {}
        self._plans: dict[str, FakeProgram] = {}
        self._failures: list[tuple[str, EngineError]] = []
        self._at: dict[str, Callable[[], None]] = {}
        self._secrets: frozenset[str] = frozenset()
        self._running = False
        self._asked_to_stop = False

    def declare(
        self,
        commit: str,
        *things: Thing,
        inventory: object | None = None,
        messages: tuple[str, ...] = (),
        raises: str = "",
    ) -> None:
        """Set what the program of a commit does; any other commit's program makes nothing."""
        self._programs[commit] = FakeProgram(things, inventory, messages, raises)

    def set_checks(self, commit: str, *results: CheckResult) -> None:
        """Set the results of the checks that the program of a commit makes."""
        self._checks[commit] = results

    def fail_next(self, failure: EngineError, method: str = "") -> None:
        """Let the next call fail, or the next of one method, before it does anything."""
        self._failures.append((method, failure))

    def at(self, name: str, then: Callable[[], None]) -> None:
        """Call this once, in the middle of making or changing a thing."""
        self._at[name] = then

    def version(self) -> str:
        """See ports.Engine."""
        self._fail("version")
        return self._version

    def preview(self, program: Program) -> Preview:
        """See ports.Engine."""
        self._call("preview", program)
        self.running.append(program.running)
        self.excluded.append(program.excluded)
        wanted = self._wanted(program)
        if program.stack not in self.stacks and program.create_stack and program.running is None:
            self.stacks[program.stack] = FakeStack(self._passphrase)
        stack = self._stack(program)
        if wanted.raises:
            raise ProgramError(
                f"cannot run the program: {wanted.raises}",
                where=program.stack,
                hint="fix the program, and try it with `ronron pulumi local -- preview`",
            )
        for machine in program.excluded:
            if all(thing.machine != machine for thing in stack.things.values()):
                raise EngineError(
                    f"cannot exclude {machine}: the stack has no provider of that name",
                    where=program.stack,
                )
        wanted = but_for(program.excluded, stack, wanted)
        changes = replacing(changes_of(program.stack, stack, wanted), program.replace)
        _refuse_protected(program, stack, changes)
        name = identity(program.revision.commit, program.digest, self._version, changes, program.excluded)
        self._plans[name] = wanted
        return Preview(changes=changes, identity=name, messages=wanted.messages)

    def refresh_failed(self, program: Program) -> tuple[str, ...]:
        """See ports.Engine."""
        self._call("refresh failed", program)
        stack = self.stacks.get(program.stack)
        if stack is None:
            return ()
        found = {
            name
            for name in stack.half_made
            if name not in stack.things or stack.things[name].machine not in program.excluded
        }
        stack.half_made -= found
        return tuple(sorted(found))

    def release(self, program: Program, retain: Collection[str], remove: Collection[str] = ()) -> None:
        """See ports.Engine."""
        self._call("release", program)
        stack = self.stacks.get(program.stack)
        if stack is None:
            return
        _refuse_locked(program, stack)
        _refuse_pending(program, stack)
        for name, thing in stack.things.items():
            if urn_of(program.stack, thing) in retain:
                stack.things[name] = replace(thing, protected=False, retained=True, refuses="")
            elif urn_of(program.stack, thing) in remove:
                stack.things[name] = replace(thing, refuses="")

    def refresh_lost(self, program: Program, machines: Collection[str]) -> tuple[str, ...]:
        """See ports.Engine; nothing is ever lost here."""
        del machines
        self._call("refresh lost", program)
        return ()

    def checks(self, program: Program) -> tuple[CheckResult, ...]:
        """See ports.Engine."""
        found = self._checks.get(program.revision.commit, ())
        if not found:
            self.preview(program)
            return ()
        self._call("checks", program)
        if program.stack not in self.stacks and program.create_stack and program.running is None:
            self.stacks[program.stack] = FakeStack(self._passphrase)
        self._stack(program)
        return found

    def update(
        self,
        program: Program,
        preview: Preview,
        started: Callable[[ProcessMark], None],
        follow: Follow | None = None,
    ) -> Updated:
        """See ports.Engine; every operation is followed as it is done."""
        self._call("update", program)
        self.running.append(program.running)
        self.excluded.append(program.excluded)
        stack = self._stack(program)
        self._free_dead_lock(stack)
        _refuse_locked(program, stack)
        _refuse_pending(program, stack)
        engine = self.processes.spawn("pulumi")
        try:
            started(engine)
            stack.lock = engine
            changes = self._carry_out(program, preview, stack, follow or _unfollowed)
        except ReconcilerKilled as death:
            if not death.engine_too:
                self._release(stack, engine)
            raise
        except EngineKilled:
            self._release(stack, engine)
            _refuse_pending(program, stack)
            raise EngineError("cannot update: the engine was killed", where=program.stack) from None
        except BaseException:
            self._release(stack, engine)
            raise
        finally:
            self._running = False
            self.processes.end(engine)
        self._release(stack, engine)
        return Updated(
            changes=tuple(change for change in changes if change.operation not in QUIET),
            inventory=stack.inventory,
            messages=self._wanted(program).messages,
            containers=self._containers(program.stack, stack),
        )

    @staticmethod
    def _release(stack: FakeStack, engine: ProcessMark) -> None:
        if stack.lock == engine:
            stack.lock = None

    def set_secrets(self, *values: str) -> None:
        """Set the secret values of every stack."""
        self._secrets = frozenset(values)

    def secrets(self, program: Program) -> frozenset[str]:
        """See ports.Engine."""
        self._call("secrets", program)
        return self._secrets

    def state(self, program: Program) -> StackState:
        """See ports.Engine."""
        self._call("state", program)
        if program.stack not in self.stacks:
            return StackState(exists=False)
        stack = self.stacks[program.stack]
        return StackState(
            exists=True,
            pending=tuple(stack.pending),
            inventory=stack.inventory,
            containers=self._containers(program.stack, stack),
            guarded=tuple(
                Guarded(
                    urn=urn_of(program.stack, thing),
                    id=f"id-of-{thing.name}",
                    place=thing.machine,
                    protected=thing.protected,
                    retained=thing.retained,
                    hooked=bool(thing.refuses),
                )
                for thing in stack.things.values()
                if thing.protected or thing.retained or thing.refuses or thing.type in PRECIOUS
            ),
        )

    def _containers(self, name: str, stack: FakeStack) -> tuple[MadeContainer, ...]:
        return tuple(
            MadeContainer(
                urn=urn_of(name, thing),
                name=thing.name,
                id=self._ids[name, thing.name],
                machine=thing.machine,
                volumes=thing.volumes,
                networks=thing.networks,
            )
            for thing in stack.things.values()
            if (name, thing.name) in self._ids
        )

    def _run(self, stack: str, change: Change, thing: Thing) -> None:
        """Run a container that was made; one that is only changed goes on."""
        is_new = change.operation in {Operation.CREATE, Operation.REPLACE}
        if self.containers is not None and thing.type == CONTAINER and thing.machine and is_new:
            settings = {key: str(value) for key, value in thing.inputs.items()}
            made = self.containers.run(thing.machine, thing.name, settings=settings)
            self._ids[stack, thing.name] = made.id

    def export(self, program: Program) -> str | None:
        """See ports.Engine; things and inventory as JSON."""
        self._call("export", program)
        stack = self.stacks.get(program.stack)
        if stack is None:
            return None
        things = [
            {**asdict(thing), "replace_on": sorted(thing.replace_on), "inputs": dict(thing.inputs)}
            for thing in stack.things.values()
        ]
        return json.dumps({"things": things, "inventory": stack.inventory, "pending": stack.pending})

    def import_state(self, program: Program, state: str) -> None:
        """See ports.Engine."""
        self._call("import", program)
        there = self.stacks.get(program.stack)
        if there is not None and there.things:
            if self.export(program) == state:
                return
            raise ConfigError(
                f"cannot import the state of {program.stack}: the stack has other resources",
                hint="leave it as it is, or destroy it first",
            )
        try:
            document = json.loads(state)
            things = [
                Thing(**{**thing, "replace_on": frozenset(thing["replace_on"])})
                for thing in document["things"]
            ]
        except (ValueError, TypeError, KeyError) as error:
            raise EngineError("cannot read the exported state", hint="export it again") from error
        self.stacks[program.stack] = FakeStack(
            self._passphrase,
            things={thing.name: thing for thing in things},
            inventory=document["inventory"],
            pending=document["pending"],
        )

    def recover_from_crash(self, program: Program, left: ProcessMark | None) -> str:
        """See ports.Engine."""
        self._call("recover", program)
        found = "nothing was left"
        if left is not None and self.processes.alive(left):
            self.processes.end(left)
            found = "its engine was still running and was stopped"
        stack = self.stacks.get(program.stack)
        if stack is None:
            return found
        if self._free_dead_lock(stack):
            found = "the lock of its dead engine was removed"
        _refuse_locked(program, stack)
        _refuse_pending(program, stack)
        return found

    def unprotect(self, program: Program, below: Collection[str]) -> tuple[str, ...]:
        """See ports.Engine."""
        self._call("unprotect", program)
        stack = self.stacks.get(program.stack)
        if stack is None:
            return ()
        found = [
            thing
            for thing in stack.things.values()
            if thing.protected and thing.retained and is_below(program.stack, thing, stack.things, below)
        ]
        if found:
            _refuse_locked(program, stack)
        for thing in found:
            stack.things[thing.name] = replace(thing, protected=False)
        return tuple(sorted(thing.name for thing in found))

    def interrupt(self) -> None:
        """See ports.Engine."""
        self.calls.append("interrupt")
        self._asked_to_stop = self._running

    def _free_dead_lock(self, stack: FakeStack) -> bool:
        if stack.lock is None or self.processes.alive(stack.lock) is not False:
            return False
        stack.lock = None
        return True

    def _call(self, method: str, program: Program) -> None:
        self.calls.append(f"{method} {program.stack}")
        self._fail(method)

    def _fail(self, method: str) -> None:
        for one in self._failures:
            if one[0] in {"", method}:
                self._failures.remove(one)
                raise one[1]

    def _wanted(self, program: Program) -> FakeProgram:
        return self._programs.get(program.revision.commit, FakeProgram())

    def _stack(self, program: Program) -> FakeStack:
        stack = self.stacks.get(program.stack)
        if stack is None:
            raise StackNotFoundError("cannot find the stack", where=program.stack)
        if stack.passphrase != self._passphrase:
            raise PassphraseError("cannot open the stack's secrets: wrong passphrase", where=program.stack)
        return stack

    def _carry_out(
        self, program: Program, preview: Preview, stack: FakeStack, follow: Follow
    ) -> tuple[Change, ...]:
        wanted = self._plans.get(preview.identity)
        again = but_for(program.excluded, stack, self._wanted(program))
        now = replacing(changes_of(program.stack, stack, again), program.replace)
        own = identity(program.revision.commit, program.digest, self._version, now, program.excluded)
        if wanted is None or wanted != again or now != preview.changes or own != preview.identity:
            raise PlanViolatedError("the update would not do what was previewed", where=program.stack)
        self._running, self._asked_to_stop = True, False
        self.replaced.append(program.replace)
        new = {thing.name: thing for thing in wanted.things}
        died: ReconcilerKilled | None = None
        for number, change in enumerate(preview.changes):
            thing = new.get(change.name)
            place = _place(change, thing or stack.things.get(change.name))
            follow([OperationEvent(change=change, phase=Phase.BEGUN, place=place)])
            try:
                self._one(change, thing, stack, quiet=died is not None)
                if thing is not None:
                    self._run(program.stack, change, thing)
                follow([OperationEvent(change=change, phase=Phase.DONE, place=place)])
            except UpdateFailedError as failure:
                begun = preview.changes[: number + 1]
                failure.begun = tuple(one for one in begun if one.operation not in QUIET)
                follow([OperationEvent(change=change, phase=Phase.FAILED, place=place)])
                raise
            except ReconcilerKilled as death:
                if death.engine_too:
                    raise
                died = death
            if self._asked_to_stop and number + 1 < len(preview.changes):
                raise EngineInterruptedError("the update was stopped", where=program.stack)
        stack.inventory = wanted.inventory
        if died is not None:
            raise died
        return preview.changes

    def _one(self, change: Change, thing: Thing | None, stack: FakeStack, *, quiet: bool) -> None:
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
                    self._end(stack, doing, thing)
                raise
            self._end(stack, doing, thing)
            return
        stack.things[thing.name] = thing

    @staticmethod
    def _end(stack: FakeStack, doing: str, thing: Thing) -> None:
        stack.pending.remove(doing)
        stack.things[thing.name] = thing


def _unfollowed(events: Sequence[OperationEvent]) -> None:
    pass


def _place(change: Change, thing: Thing | None) -> ContainerPlace | None:
    if change.type != CONTAINER_TYPE or thing is None:
        return None
    return ContainerPlace(name=thing.name, machine=thing.machine or "here", docker="unix:///fake")


_ING = {Operation.UPDATE: "updating", Operation.DELETE_REPLACED: "deleting"}


def _refuse_protected(program: Program, stack: FakeStack, changes: Collection[Change]) -> None:
    gone = [one for one in changes if one.operation is Operation.DELETE]
    protected = [one for one in gone if one.name in stack.things and stack.things[one.name].protected]
    if protected:
        error = EngineError(
            "\n".join(f"cannot delete {one.name}: it is protected" for one in protected), where=program.stack
        )
        error.protected = tuple(one.urn for one in protected)
        raise error


def _refuse_locked(program: Program, stack: FakeStack) -> None:
    if stack.lock is not None:
        raise StackLockedError(
            f"the stack is locked by process {stack.lock.pid} of {stack.lock.host}", where=program.stack
        )


def _refuse_pending(program: Program, stack: FakeStack) -> None:
    creates = [line for line in stack.pending if line.startswith("creating ")]
    if creates:
        raise PendingOperationsError(
            f"an earlier update died while it was {', '.join(creates)}", where=program.stack
        )
