"""Pulumi as an engine: previews and updates by its command line, with our own process runner."""

from __future__ import annotations

import os
import select
import signal
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType

from ronron.adapters.pulumi_engine.attributes import drop_broken
from ronron.adapters.pulumi_engine.call import SHORT, Call
from ronron.adapters.pulumi_engine.elsewhere import stack_not_found
from ronron.adapters.pulumi_engine.environment import (
    environment,
    executable,
    file_backend,
    prepare,
    secrets,
)
from ronron.adapters.pulumi_engine.errors import explain
from ronron.adapters.pulumi_engine.events import EventLog
from ronron.adapters.pulumi_engine.finished import Finished, finished
from ronron.adapters.pulumi_engine.locks import file_locks, free, locked, named_locks, proven_dead
from ronron.adapters.pulumi_engine.plans import own_plan, version_in
from ronron.adapters.pulumi_engine.program_checks import CHECK, results_in
from ronron.adapters.pulumi_engine.refresh import refresh_beneath, refresh_init_errors
from ronron.adapters.pulumi_engine.state import INVENTORY, ExportedState
from ronron.adapters.pulumi_engine.stops import (
    GRACE,
    cannot_start,
    kill_orphans,
    note_stop,
    stop_steps,
    was_stopped,
)
from ronron.adapters.pulumi_engine.update_result import refuse_pending, succeeded
from ronron.core.digest import identity
from ronron.core.errors import (
    ConfigError,
    EngineError,
    StackLockedError,
    StackNotFoundError,
)
from ronron.core.model import QUIET, Preview, ProcessMark, StackState, Updated
from ronron.core.packages import VirtualEnvironment
from ronron.core.status import CheckResult
from ronron.core.words import counted
from ronron.ports import Follow, Processes, Program, VirtualEnvironments
from ronron.process_runner.runner import Command, Invocation, ProcessRunner, StartError
from ronron.settings import EngineSettings

PREVIEW_GRACE = timedelta(seconds=20)
"""From the first SIGINT of a preview to the second: it has no effect that could be interrupted."""


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
        self._packages = packages
        self._inherited = os.environ if inherited is None else inherited
        self._runner = ProcessRunner(processes)
        self._once = threading.Lock()
        self._is_prepared = False
        self._version: str | None = None

    def version(self) -> str:
        """See ports.Engine; asked once."""
        if self._version is None:
            self._prepare()
            with (
                self._runner.invocation() as invocation,
                tempfile.TemporaryDirectory(dir=self._settings.home, prefix="version-") as work,
            ):
                ended = self._run_version(invocation, Path(work))
            if ended.code != 0:
                raise explain(ended, EventLog(), "", self._secrets())
            self._version = ended.stdout.strip().removeprefix("v")
        return self._version

    def preview(self, program: Program) -> Preview:
        """See ports.Engine.

        The first preview of a stack that has to be made takes three starts of the engine, every other
        one a single start, since a start costs 0.1 to 0.2 s.
        """
        with self._call(program, self._settings.preview_deadline, PREVIEW_GRACE, runs=True) as call:
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
        with self._call(program, self._settings.update_deadline, self._grace, runs=True) as call:
            exported = call.export()
            if exported is None or exported.stack().pending_creates or not exported.init_errors():
                return ()
            self._free_dead_locks(call)
            return refresh_init_errors(call, exported)

    def unprotect(self, program: Program, below: Collection[str]) -> tuple[str, ...]:
        """See ports.Engine; by `pulumi state unprotect`."""
        with self._call(program, SHORT, PREVIEW_GRACE) as call:
            exported = call.export()
            if exported is None:
                return ()
            urns = exported.retained_below(below)
            if urns:
                self._free_dead_locks(call)
            for urn in urns:
                call.unprotect(urn)
            return tuple(sorted(urn.rpartition("::")[2] for urn in urns))

    def release(self, program: Program, retain: Collection[str], remove: Collection[str] = ()) -> None:
        """See ports.Engine; by an import of the changed state."""
        with self._call(program, self._settings.preview_deadline, PREVIEW_GRACE) as call:
            self._free_dead_locks(call)
            exported = call.export()
            if exported is None:
                return
            # An import forgets pending operations.
            refuse_pending(exported.stack(), program.stack)
            changed = exported.releasing(retain, remove)
            if changed is not None:
                call.copy_config()
                call.import_text(changed)

    def refresh_lost(self, program: Program, machines: Collection[str]) -> tuple[str, ...]:
        """See ports.Engine; by a refresh of exactly these resources."""
        with self._call(program, self._settings.update_deadline, self._grace) as call:
            exported = call.export()
            if exported is None or exported.stack().pending_creates:
                return ()
            self._free_dead_locks(call)
            return refresh_beneath(call, exported, machines)

    def checks(self, program: Program) -> tuple[CheckResult, ...]:
        """See ports.Engine; by a preview that the program ends after it has printed its results."""
        with self._call(
            program, self._settings.preview_deadline, PREVIEW_GRACE, {CHECK: "1"}, runs=True
        ) as call:
            call.copy_config()
            ended, log, _ = call.preview()
            if ended.code != 0 and _may_create(program) and _is_missing(call.error(ended, log)):
                call.create()
                ended, log, _ = call.preview()
            found = results_in(log, self._secrets())
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
        with self._call(program, self._settings.update_deadline, self._grace, runs=True) as call:
            self._free_dead_locks(call)
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
            if self._freed_named_locks(call, ended):
                ended, log = call.up(plan, self._marking(started), follow)
            return self._judge(call, ended, log)

    def secrets(self, program: Program) -> frozenset[str]:
        """See ports.Engine; by the engine's own commands, through pipes."""
        with self._call(program, SHORT, PREVIEW_GRACE) as call:
            return call.stack_secrets()

    def state(self, program: Program) -> StackState:
        """See ports.Engine."""
        with self._call(program, SHORT, PREVIEW_GRACE) as call:
            exported = call.export()
            return StackState(exists=False) if exported is None else exported.stack()

    def export(self, program: Program) -> str | None:
        """See ports.Engine; as `pulumi stack export` gives it."""
        with self._call(program, SHORT, PREVIEW_GRACE) as call:
            return call.export_text()

    def import_state(self, program: Program, state: str) -> None:
        """See ports.Engine; by `pulumi stack import`, which keeps the secrets of the state as they are."""
        wanted = ExportedState(state)
        with self._call(program, self._settings.preview_deadline, PREVIEW_GRACE) as call:
            there = call.export()
            if there is not None and not there.is_empty:
                if there.identities() == wanted.identities():
                    # An interrupted recovery is repeated; the state in the backend may even be newer.
                    return
                raise ConfigError(
                    f"cannot import the state of {program.stack}: the stack has other resources",
                    hint="if the backend was not lost, there is nothing to import; otherwise name an empty"
                    " one with PULUMI_BACKEND_URL",
                )
            call.copy_config()
            if there is None:
                call.create()
            call.import_text(state)

    def recover_from_crash(self, program: Program, left: ProcessMark | None) -> str:
        """See ports.Engine."""
        found = [] if left is None else self._end_orphan(left, program)
        with self._call(program, SHORT, PREVIEW_GRACE) as call:
            freed = self._free_dead_locks(call)
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
        self._runner.interrupt()
        if self._packages is not None:
            self._packages.interrupt()

    # -- one call ----------------------------------------------------------------------------------

    @contextmanager
    def _call(
        self,
        program: Program,
        deadline: timedelta,
        grace: timedelta,
        more: Mapping[str, str] = MappingProxyType({}),
        *,
        runs: bool = False,
    ) -> Iterator[Call]:
        """A call for the block. Where it `runs` the program or its dynamic providers, with its packages."""
        self._prepare()
        with self._runner.invocation() as invocation, ExitStack() as used:
            packages = None
            if runs and self._packages is not None:
                packages = used.enter_context(self._packages.of(program.directory))
            yield self._call_in(invocation, program, deadline, grace, more, packages)

    def _call_in(
        self,
        invocation: Invocation,
        program: Program,
        deadline: timedelta,
        grace: timedelta,
        more: Mapping[str, str] = MappingProxyType({}),
        packages: VirtualEnvironment | None = None,
    ) -> Call:
        seen = {
            **environment(
                self._settings,
                self._inherited,
                program.running,
                program.excluded,
                program.repaired,
                accept_empty=program.accept_empty,
                name=program.environment,
                packages=packages,
                going_back=program.going_back,
            ),
            **more,
        }
        call = Call(
            program,
            self._runner,
            invocation,
            executable=executable(seen),
            environment=seen,
            secrets=self._secrets(),
            deadline=deadline,
            grace=grace,
            # Pulumi's own service keeps the secrets itself; every other backend needs a salt or a key.
            copies_config=not self._settings.backend_url.startswith(("https://", "http://")),
            # An engine that outlives us keeps what its program runs in.
            keep_open=(packages.in_use,) if packages is not None else (),
            not_found=self._not_found,
        )
        backend = file_backend(self._settings.backend_url)
        if backend is not None:
            drop_broken(backend, call.project, call.stack)
        return call

    def _not_found(self, call: Call) -> StackNotFoundError:
        return stack_not_found(
            self._settings.backend_url,
            call.project,
            call.stack,
            environment=call.program.environment or call.stack,
            was_there=call.program.running is not None,
            environ=self._inherited,
        )

    def _run_version(self, invocation: Invocation, work: Path) -> Finished:
        seen = environment(self._settings, self._inherited)
        log = work / "version"
        command = Command(
            argv=[str(executable(seen)), "version"],
            cwd=work,
            environment=seen,
            log=log,
            deadline=SHORT,
            stop=stop_steps(PREVIEW_GRACE),
            umask=0o077,
        )
        try:
            return finished("version", self._runner.run(invocation, command), log)
        except StartError as error:
            raise cannot_start(error.cause, work) from error

    def _prepare(self) -> None:
        with self._once:
            if not self._is_prepared:
                prepare(self._settings)
                self._is_prepared = True

    def _secrets(self) -> frozenset[str]:
        return secrets(self._settings, environment(self._settings, self._inherited))

    def _marking(self, started: Callable[[ProcessMark], None]) -> Callable[[int], None]:
        def mark(pid: int) -> None:
            found = self._processes.mark_of(pid)
            # It waits for us at the start barrier, so it can only be gone because it was interrupted.
            if found is not None:
                started(found)

        return mark

    # -- after an update ---------------------------------------------------------------------------

    def _judge(self, call: Call, ended: Finished, log: EventLog) -> Updated:
        """The result of an update, by its events and its state as well as its exit code."""
        if ended.code is not None and ended.code < 0:
            with suppress(StackLockedError):
                self._free_dead_locks(call)
        after, unread = self._read_back(call.program)
        state = after.stack() if after is not None else None
        if state is not None:
            refuse_pending(state, call.stack, call.program.environment)
        if not succeeded(ended, log, after):
            error = call.error(ended, log)
            error.begun = log.begun
            raise error from unread
        messages = call.messages(log)
        if ended.code != 0:
            # For instance a lock that another process had removed already.
            messages = (*messages, call.error(ended, EventLog()).message)
        return Updated(
            changes=tuple(change for change in log.done if change.operation not in QUIET),
            inventory=state.inventory if state is not None else log.outputs.get(INVENTORY),
            messages=messages,
            containers=state.containers if state is not None else None,
        )

    def _read_back(self, program: Program) -> tuple[ExportedState | None, EngineError | None]:
        """The state after an update, or why it cannot be read; the update may have succeeded all the same."""
        # An invocation of its own: an interrupted update is read back too.
        try:
            return self._call_in(Invocation(), program, SHORT, PREVIEW_GRACE).export(), None
        except EngineError as error:
            return None, error

    # -- locks and orphans -------------------------------------------------------------------------

    def _free_dead_locks(self, call: Call) -> int:
        """Remove the locks whose owners are proven dead, in a file backend; returns how many there were.

        Raises:
            StackLockedError: there are locks of other owners.
        """
        backend = file_backend(self._settings.backend_url)
        if backend is None:
            return 0
        locks = file_locks(backend, call.project, call.stack)
        dead = [lock for lock in locks if proven_dead(lock, self._processes)]
        free(dead)
        if len(dead) < len(locks):
            raise locked((lock for lock in locks if lock not in dead), call.stack, call.program.environment)
        return len(dead)

    def _freed_named_locks(self, call: Call, ended: Finished) -> bool:
        """Remove the locks that stopped an update, if all owners are proven dead; returns whether it did."""
        locks = named_locks(ended.stderr)
        if ended.code in {0, None} or not locks or file_backend(self._settings.backend_url) is not None:
            return False
        if not all(proven_dead(lock, self._processes) for lock in locks):
            return False
        call.cancel()
        return True

    def _end_orphan(self, left: ProcessMark, program: Program) -> list[str]:
        alive = self._processes.alive(left)
        if alive is None:
            # On another host; if it still runs, its lock is still there.
            return []
        found = []
        if alive:
            self._interrupt_and_wait(left, program.work)
            if self._processes.alive(left):
                raise StackLockedError(
                    f"the engine of the last update still runs as process {left.pid}",
                    where=f"stack {program.stack}",
                    hint=f"wait until it ends, it was asked to stop; find it with `ps -fp {left.pid}`",
                )
            found.append("stopped its engine, which was still running")
        if left.boot == self._processes.mark().boot:
            orphans = kill_orphans(self._processes, left.pid, self._settings.home)
            if orphans:
                found.append(f"killed {counted(orphans, 'processes')} that its engine had left")
        return found

    def _interrupt_and_wait(self, left: ProcessMark, work: Path) -> None:
        """Send one SIGINT, unless it got one before, and wait for the resource operation under way."""
        try:
            pidfd = os.pidfd_open(left.pid)
        except ProcessLookupError:
            return
        try:
            # Checked again: from here on the ID cannot be given to another process.
            if self._processes.alive(left):
                if not was_stopped(work, left.pid):
                    note_stop(work, left.pid)
                    signal.pidfd_send_signal(pidfd, signal.SIGINT)
                select.select([pidfd], [], [], self._grace.total_seconds())
        finally:
            os.close(pidfd)


def _may_create(program: Program) -> bool:
    """Whether a missing stack is created: not where an update has used it, because its state was lost."""
    return program.create_stack and program.running is None


def _is_missing(error: EngineError) -> bool:
    return isinstance(error, StackNotFoundError)
