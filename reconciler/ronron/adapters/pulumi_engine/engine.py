"""Pulumi as an engine: previews and updates by its command line, with our own process runner."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import timedelta

from ronron.adapters.pulumi_engine.call import SHORT, Call
from ronron.adapters.pulumi_engine.calls import Calls
from ronron.adapters.pulumi_engine.dead_locks import DeadLocks
from ronron.adapters.pulumi_engine.events import EventLog
from ronron.adapters.pulumi_engine.finished import Finished
from ronron.adapters.pulumi_engine.orphans import end_orphan
from ronron.adapters.pulumi_engine.plans import own_plan, version_in
from ronron.adapters.pulumi_engine.program_checks import CHECK, results_in
from ronron.adapters.pulumi_engine.refresh import refresh_beneath, refresh_init_errors
from ronron.adapters.pulumi_engine.state import ExportedState
from ronron.adapters.pulumi_engine.state_changes import import_state, release, unprotect
from ronron.adapters.pulumi_engine.stops import GRACE, PREVIEW_GRACE
from ronron.adapters.pulumi_engine.update_result import refuse_pending, result_of
from ronron.core.digest import identity
from ronron.core.errors import EngineError, StackLockedError, StackNotFoundError
from ronron.core.model import Preview, ProcessMark, StackState, Updated
from ronron.core.status import CheckResult
from ronron.ports import Follow, Processes, Program, VirtualEnvironments
from ronron.settings import EngineSettings


class PulumiEngine:
    """See ports.Engine.

    Calls may come from several threads; two on one stack meet each other's lock in the backend.

    Args:
        settings: what the engine needs.
        processes: the proof that a lock's owner is dead.
        grace: from the first SIGINT of an update to the second.
        packages: what programs with a lock file run in; None to run all with the first Python on PATH.
        inherited: the reconciler's own environment, of which the engine sees what is allowed.
    """

    def __init__(
        self,
        settings: EngineSettings,
        processes: Processes,
        *,
        grace: timedelta = GRACE,
        packages: VirtualEnvironments | None = None,
        inherited: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = settings
        self._processes = processes
        self._grace = grace
        self._calls = Calls(settings, processes, packages, inherited)
        self._locks = DeadLocks(settings.backend_url, processes)
        self._version: str | None = None

    def version(self) -> str:
        """See ports.Engine; asked once."""
        if self._version is None:
            self._version = self._calls.version()
        return self._version

    def preview(self, program: Program) -> Preview:
        """See ports.Engine.

        The first preview of a stack that has to be made takes three starts of the engine, every other
        one a single start, since a start costs 0.1 to 0.2 s.
        """
        with self._calls.call(program, self._settings.preview_deadline, PREVIEW_GRACE, runs=True) as call:
            call.copy_config()
            if program.excluded:
                call.exclude(call.export())
            ended, log, plan = call.preview()
            if ended.code != 0 and _may_create(program) and _is_missing(call.error(ended, log)):
                call.create()
                ended, log, plan = call.preview()
            if ended.code != 0 or log.result not in {"", "succeeded"}:
                raise call.error(ended, log)
            version = version_in(plan)
            if not log.ended or version is None:
                raise EngineError(
                    "cannot read the preview: its events or its plan are incomplete",
                    where=f"stack {program.stack}",
                    hint=f"check that there is room on the disk with `df -h {program.work}`",
                )
            return Preview(
                changes=log.planned,
                plan=plan,
                identity=identity(
                    program.revision.commit, program.digest, version, log.planned, program.excluded
                ),
                messages=call.messages(log),
            )

    def refresh_failed(self, program: Program) -> tuple[str, ...]:
        """See ports.Engine; by a refresh of the resources with init errors."""
        with self._calls.call(program, self._settings.update_deadline, self._grace, runs=True) as call:
            exported = call.export()
            if exported is None or exported.stack().pending_creates or not exported.init_errors():
                return ()
            self._locks.free(call)
            return refresh_init_errors(call, exported)

    def unprotect(self, program: Program, below: Collection[str]) -> tuple[str, ...]:
        """See ports.Engine; by `pulumi state unprotect`."""
        with self._calls.call(program, SHORT, PREVIEW_GRACE) as call:
            return unprotect(call, self._locks, below)

    def release(self, program: Program, retain: Collection[str], remove: Collection[str] = ()) -> None:
        """See ports.Engine; by an import of the changed state."""
        with self._calls.call(program, self._settings.preview_deadline, PREVIEW_GRACE) as call:
            release(call, self._locks, retain, remove)

    def refresh_lost(self, program: Program, machines: Collection[str]) -> tuple[str, ...]:
        """See ports.Engine; by a refresh of exactly these resources."""
        with self._calls.call(program, self._settings.update_deadline, self._grace) as call:
            exported = call.export()
            if exported is None or exported.stack().pending_creates:
                return ()
            self._locks.free(call)
            return refresh_beneath(call, exported, machines)

    def checks(self, program: Program) -> tuple[CheckResult, ...]:
        """See ports.Engine; by a preview that the program ends after it has printed its results."""
        with self._calls.call(
            program, self._settings.preview_deadline, PREVIEW_GRACE, {CHECK: "1"}, runs=True
        ) as call:
            call.copy_config()
            ended, log, _ = call.preview()
            if ended.code != 0 and _may_create(program) and _is_missing(call.error(ended, log)):
                call.create()
                ended, log, _ = call.preview()
            found = results_in(log, self._calls.secrets())
            if ended.code == 0:
                return found
            # Results and no error: the program ended the preview itself, as `CHECK` asks it to.
            if not found or any(one.severity == "error" for one in log.diagnostics):
                raise call.error(ended, log)
            return found

    def update(
        self,
        program: Program,
        preview: Preview,
        started: Callable[[ProcessMark], None],
        follow: Follow | None = None,
    ) -> Updated:
        """See ports.Engine."""
        plan = own_plan(program, preview)
        with self._calls.call(program, self._settings.update_deadline, self._grace, runs=True) as call:
            self._locks.free(call)
            before = call.export()
            if before is None:
                raise StackNotFoundError(
                    "cannot find the stack of the preview",
                    where=f"stack {program.stack}",
                    hint="run the preview again",
                )
            refuse_pending(before.stack(), program.stack, program.environment)
            call.exclude(before)
            ended, log = call.up(plan, self._marking(started), follow)
            if self._locks.free_named(call, ended):
                ended, log = call.up(plan, self._marking(started), follow)
            return self._judge(call, ended, log)

    def secrets(self, program: Program) -> frozenset[str]:
        """See ports.Engine; by the engine's own commands, through pipes."""
        with self._calls.call(program, SHORT, PREVIEW_GRACE) as call:
            return call.stack_secrets()

    def state(self, program: Program) -> StackState:
        """See ports.Engine."""
        with self._calls.call(program, SHORT, PREVIEW_GRACE) as call:
            exported = call.export()
            return StackState(exists=False) if exported is None else exported.stack()

    def export(self, program: Program) -> str | None:
        """See ports.Engine; as `pulumi stack export` gives it."""
        with self._calls.call(program, SHORT, PREVIEW_GRACE) as call:
            return call.export_text()

    def import_state(self, program: Program, state: str) -> None:
        """See ports.Engine; by `pulumi stack import`, which keeps the secrets of the state as they are."""
        wanted = ExportedState(state)
        with self._calls.call(program, self._settings.preview_deadline, PREVIEW_GRACE) as call:
            import_state(call, state, wanted)

    def recover_from_crash(self, program: Program, left: ProcessMark | None) -> str:
        """See ports.Engine."""
        found = []
        if left is not None:
            found += end_orphan(left, program, self._processes, home=self._settings.home, grace=self._grace)
        with self._calls.call(program, SHORT, PREVIEW_GRACE) as call:
            freed = self._locks.free(call)
            if freed:
                found.append("removed the lock of its dead engine")
            exported = call.export()
        if exported is None:
            return "; ".join([*found, "the stack does not exist yet"])
        state = exported.stack()
        refuse_pending(state, program.stack, program.environment)
        if state.pending:
            # The next update repeats these: it compares the state with the program again.
            found.append(f"{len(state.pending)} of its operations did not end and will be repeated")
        return "; ".join(found) or "nothing was left"

    def interrupt(self) -> None:
        """See ports.Engine; interrupts every running call once, however often it is called."""
        self._calls.interrupt()

    def _marking(self, started: Callable[[ProcessMark], None]) -> Callable[[int], None]:
        def mark(pid: int) -> None:
            found = self._processes.mark_of(pid)
            # It waits for us at the start barrier, so it can only be gone because it was interrupted.
            if found is not None:
                started(found)

        return mark

    def _judge(self, call: Call, ended: Finished, log: EventLog) -> Updated:
        """The result of an update, by its events and its state as well as its exit code."""
        if ended.code is not None and ended.code < 0:
            with suppress(StackLockedError):
                self._locks.free(call)
        after, unread = self._read_back(call.program)
        return result_of(call, ended, log, after, unread)

    def _read_back(self, program: Program) -> tuple[ExportedState | None, EngineError | None]:
        """The state after an update, or why it cannot be read; the update may have succeeded all the same."""
        # No interrupt reaches it: an interrupted update is read back too.
        try:
            return self._calls.uninterrupted(program).export(), None
        except EngineError as error:
            return None, error


def _may_create(program: Program) -> bool:
    """Whether a missing stack is created: not where an update has used it, because its state was lost."""
    return program.create_stack and program.running is None


def _is_missing(error: EngineError) -> bool:
    return isinstance(error, StackNotFoundError)
