"""An engine in memory that behaves as the real one; tests set what its programs make."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial

from ronron.core.digest import identity
from ronron.core.errors import ConfigError, EngineError, PlanViolatedError
from ronron.core.model import QUIET, Preview, ProcessMark, StackState, Updated
from ronron.core.status import CheckResult
from ronron.ports import Follow, Program
from ronron.testing.containers import FakeContainers
from ronron.testing.engine_containers import EngineContainers
from ronron.testing.engine_refusals import (
    opened,
    refuse_locked,
    refuse_pending,
    refuse_protected,
    refuse_raising,
    refuse_unknown_machines,
)
from ronron.testing.engine_state import exported, guarded_things, imported
from ronron.testing.engine_update import EngineKilled, FakeUpdate, ReconcilerKilled
from ronron.testing.processes import FakeProcesses
from ronron.testing.things import (
    FakeProgram,
    FakeStack,
    Thing,
    but_for,
    changes_of,
    is_below,
    replacing,
    urn_of,
)


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
        self.made_containers = EngineContainers()
        """What the states name of them; a test may let a state name another, as after `pulumi up` by hand."""
        self._passphrase = passphrase
        self._version = engine_version
        self._programs: dict[str, FakeProgram] = {}
        self._checks: dict[str, tuple[CheckResult, ...]] = {}
        self._plans: dict[str, FakeProgram] = {}
        self._failures: list[tuple[str, EngineError]] = []
        self._at: dict[str, Callable[[], None]] = {}
        self._secrets: frozenset[str] = frozenset()
        self._current: FakeUpdate | None = None

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
        refuse_raising(program, wanted)
        refuse_unknown_machines(program, stack)
        wanted = but_for(program.excluded, stack, wanted)
        changes = replacing(changes_of(program.stack, stack, wanted), program.replace)
        refuse_protected(program, stack, changes)
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
        refuse_locked(program, stack)
        refuse_pending(program, stack)
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
        refuse_locked(program, stack)
        refuse_pending(program, stack)
        engine = self.processes.spawn("pulumi")
        try:
            started(engine)
            stack.lock = engine
            wanted = self._planned(program, preview, stack)
            self.replaced.append(program.replace)
            self._current = FakeUpdate(
                program.stack,
                stack,
                at=self._at,
                run=partial(self.made_containers.run, self.containers, program.stack),
                follow=follow,
            )
            self._current.carry_out(preview.changes, wanted)
        except ReconcilerKilled as death:
            if not death.engine_too:
                self._release(stack, engine)
            raise
        except EngineKilled:
            self._release(stack, engine)
            refuse_pending(program, stack)
            raise EngineError("cannot update: the engine was killed", where=program.stack) from None
        except BaseException:
            self._release(stack, engine)
            raise
        finally:
            self._current = None
            self.processes.end(engine)
        self._release(stack, engine)
        return Updated(
            changes=tuple(change for change in preview.changes if change.operation not in QUIET),
            inventory=stack.inventory,
            messages=self._wanted(program).messages,
            containers=self.made_containers.of(program.stack, stack),
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
            containers=self.made_containers.of(program.stack, stack),
            guarded=guarded_things(program.stack, stack),
        )

    def export(self, program: Program) -> str | None:
        """See ports.Engine; things and inventory as JSON."""
        self._call("export", program)
        stack = self.stacks.get(program.stack)
        if stack is None:
            return None
        return exported(stack)

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
        self.stacks[program.stack] = imported(state, self._passphrase)

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
        refuse_locked(program, stack)
        refuse_pending(program, stack)
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
            refuse_locked(program, stack)
        for thing in found:
            stack.things[thing.name] = replace(thing, protected=False)
        return tuple(sorted(thing.name for thing in found))

    def interrupt(self) -> None:
        """See ports.Engine."""
        self.calls.append("interrupt")
        current = self._current
        if current is not None:
            current.interrupt()

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
        return opened(program, self.stacks, self._passphrase)

    def _planned(self, program: Program, preview: Preview, stack: FakeStack) -> FakeProgram:
        """The program as it was previewed; PlanViolatedError where it would do something else now."""
        wanted = self._plans.get(preview.identity)
        again = but_for(program.excluded, stack, self._wanted(program))
        now = replacing(changes_of(program.stack, stack, again), program.replace)
        own = identity(program.revision.commit, program.digest, self._version, now, program.excluded)
        if wanted is None or wanted != again or now != preview.changes or own != preview.identity:
            raise PlanViolatedError("the update would not do what was previewed", where=program.stack)
        return wanted
