"""Pulumi as an engine: previews and updates through the Automation API, with a command class of our own."""

from __future__ import annotations

import os
import select
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType

from ronron.adapters.pulumi_engine.attributes import drop_broken
from ronron.adapters.pulumi_engine.call import SHORT, Call
from ronron.adapters.pulumi_engine.command import EngineCommand, Finished
from ronron.adapters.pulumi_engine.environment import environment, file_backend, prepare, secrets
from ronron.adapters.pulumi_engine.errors import explain
from ronron.adapters.pulumi_engine.events import EventLog
from ronron.adapters.pulumi_engine.locks import file_locks, free, locked, proven_dead, told_locks
from ronron.adapters.pulumi_engine.plans import own_plan, version_in
from ronron.adapters.pulumi_engine.process_runner import (
    GRACE,
    Children,
    Turn,
    kill_orphans,
    note_asked,
    was_asked,
)
from ronron.adapters.pulumi_engine.program_checks import CHECK, findings_in
from ronron.adapters.pulumi_engine.refresh import mend
from ronron.adapters.pulumi_engine.remedies import DOCTOR
from ronron.adapters.pulumi_engine.state import INVENTORY, ExportedState
from ronron.adapters.pulumi_engine.update_result import refuse_pending, succeeded
from ronron.core.digest import identity
from ronron.core.errors import (
    ConfigError,
    EngineError,
    EngineMissingError,
    StackLockedError,
    StackNotFoundError,
)
from ronron.core.model import QUIET, Preview, ProcessMark, StackState, Updated
from ronron.core.status import CheckResult
from ronron.ports import Processes, Program
from ronron.settings import EngineSettings

PREVIEW_GRACE = timedelta(seconds=20)
"""From the first SIGINT of a preview to the second: it has no effect that could be left half done."""


class PulumiEngine:
    """See ports.Engine.

    Calls may come from several threads; two on one stack meet each other's lock in the backend.

    Args:
        settings: what the engine needs.
        processes: the proof that a lock's owner is dead.
        grace: from the first SIGINT of an update to the second.
        inherited: the reconciler's own environment, of which the engine sees what is allowed.
    """

    def __init__(
        self,
        settings: EngineSettings,
        processes: Processes,
        *,
        grace: timedelta = GRACE,
        inherited: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = settings
        self._processes = processes
        self._grace = grace
        self._inherited = os.environ if inherited is None else inherited
        self._children = Children(processes)
        self._once = threading.Lock()
        self._is_prepared = False
        self._version: str | None = None

    def version(self) -> str:
        """See ports.Engine; asked once."""
        if self._version is None:
            self._prepare()
            with (
                self._children.turn() as turn,
                tempfile.TemporaryDirectory(dir=self._settings.home, prefix="version-") as work,
            ):
                finished = self._command(turn, Path(work), SHORT, PREVIEW_GRACE).launch(
                    "version", cwd=Path(work)
                )
            if finished.code != 0:
                raise explain(finished, EventLog(), "", self._secrets())
            self._version = finished.stdout.strip().removeprefix("v")
        return self._version

    def preview(self, program: Program) -> Preview:
        """See ports.Engine.

        The first preview of a stack that has to be made takes three starts of the engine, every other
        one a single start, since a start costs 0.1 to 0.2 s.
        """
        with self._call(program, self._settings.preview_deadline, PREVIEW_GRACE) as call:
            call.copy_config()
            if program.excluded:
                call.leave_out(call.export())
            finished, log, plan = call.preview()
            if finished.code != 0 and program.create_stack and _is_missing(call.error(finished, log)):
                call.create()
                finished, log, plan = call.preview()
            if finished.code != 0 or log.result not in {"", "succeeded"}:
                raise call.error(finished, log)
            version = version_in(plan)
            if not log.ended or version is None:
                raise EngineError(
                    "cannot read what the preview found: its events or its plan are not whole",
                    where=f"stack {program.stack}",
                    hint=f"see that there is room on the disk with `df -h {program.work}`",
                )
            return Preview(
                changes=log.planned,
                plan=plan,
                identity=identity(
                    program.revision.commit, program.digest, version, log.planned, program.excluded
                ),
                resources=log.before,
                messages=call.messages(log),
            )

    def refresh_failed(self, program: Program) -> tuple[str, ...]:
        """See ports.Engine; by a refresh of what the state holds errors of."""
        with self._call(program, self._settings.update_deadline, self._grace) as call:
            exported = call.export()
            if exported is None or exported.stack().pending_creates or not exported.half_made():
                return ()
            self._free_dead_locks(call)
            return mend(call, exported)

    def checks(self, program: Program) -> tuple[CheckResult, ...]:
        """See ports.Engine; by a preview that the program breaks off once it has told what it found."""
        with self._call(program, self._settings.preview_deadline, PREVIEW_GRACE, {CHECK: "1"}) as call:
            call.copy_config()
            finished, log, _ = call.preview()
            if finished.code != 0 and program.create_stack and _is_missing(call.error(finished, log)):
                call.create()
                finished, log, _ = call.preview()
            found = findings_in(log, self._secrets())
            if finished.code == 0:
                return found
            # With findings and without a complaint the program broke off by itself, as it was asked to.
            if not found or any(one.severity == "error" for one in log.diagnostics):
                raise call.error(finished, log)
            return found

    def update(self, program: Program, preview: Preview, started: Callable[[ProcessMark], None]) -> Updated:
        """See ports.Engine."""
        plan = own_plan(program, preview)
        with self._call(program, self._settings.update_deadline, self._grace) as call:
            self._free_dead_locks(call)
            before = call.export()
            if before is None:
                raise StackNotFoundError(
                    "cannot find the stack that was previewed",
                    where=f"stack {program.stack}",
                    hint="preview again",
                )
            refuse_pending(before.stack(), program.stack)
            call.leave_out(before)
            finished, log = call.up(plan, self._marking(started))
            if self._freed_told_locks(call, finished):
                finished, log = call.up(plan, self._marking(started))
            return self._judge(call, finished, log)

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
                if there.holds() == wanted.holds():
                    # A recovery that was broken off is made again; what is there may even be newer.
                    return
                raise ConfigError(
                    f"cannot restore the stack {program.stack}: it has other resources",
                    hint="if the backend was not lost, leave it as it is; else name an empty one with"
                    " PULUMI_BACKEND_URL",
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
            return "; ".join([*found, "the stack was not made yet"])
        state = exported.stack()
        refuse_pending(state, program.stack)
        if state.pending:
            # The next update tries these again by itself: what is in the state is compared anew.
            found.append(f"{len(state.pending)} operations of it did not end and will be tried again")
        return "; ".join(found) or "nothing of it was left"

    def interrupt(self) -> None:
        """See ports.Engine; every call that runs now is interrupted once, however often this is called."""
        self._children.interrupt()

    # -- one call ----------------------------------------------------------------------------------

    @contextmanager
    def _call(
        self,
        program: Program,
        deadline: timedelta,
        grace: timedelta,
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> Iterator[Call]:
        self._prepare()
        with self._children.turn() as turn:
            yield self._call_in(turn, program, deadline, grace, more)

    def _call_in(
        self,
        turn: Turn,
        program: Program,
        deadline: timedelta,
        grace: timedelta,
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> Call:
        call = Call(
            program,
            self._command(turn, program.work, deadline, grace, program, more),
            self._secrets(),
            # Pulumi's own service keeps the secrets itself; every other backend needs a salt or a key.
            copies_config=not self._settings.backend_url.startswith(("https://", "http://")),
        )
        backend = file_backend(self._settings.backend_url)
        if backend is not None:
            drop_broken(backend, call.project, call.stack)
        return call

    def _command(
        self,
        turn: Turn,
        work: Path,
        deadline: timedelta,
        grace: timedelta,
        program: Program | None = None,
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> EngineCommand:
        running, excluded = (program.running, program.excluded) if program else (None, ())
        seen = {**environment(self._settings, self._inherited, running, excluded), **more}
        executable = shutil.which("pulumi", path=seen.get("PATH", os.defpath))
        if executable is None:
            raise EngineMissingError("cannot find the engine: there is no `pulumi` on PATH", hint=DOCTOR)
        return EngineCommand(
            Path(executable), seen, self._children, turn, work, deadline=deadline, grace=grace
        )

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
            # It waits for us, so it can only be gone because it was interrupted.
            if found is not None:
                started(found)

        return mark

    # -- after an update ---------------------------------------------------------------------------

    def _judge(self, call: Call, finished: Finished, log: EventLog) -> Updated:
        """What an update did, by its events and the state it left; the exit code is only one of the signs."""
        if finished.code is not None and finished.code < 0:
            with suppress(StackLockedError):
                self._free_dead_locks(call)
        after, unread = self._read_back(call.program)
        state = after.stack() if after is not None else None
        if state is not None:
            refuse_pending(state, call.stack)
        if not succeeded(finished, log, after):
            raise call.error(finished, log) from unread
        messages = call.messages(log)
        if finished.code != 0:
            # For instance a lock that somebody else had removed already.
            messages = (*messages, call.error(finished, EventLog()).message)
        return Updated(
            changes=tuple(change for change in log.done if change.operation not in QUIET),
            inventory=state.inventory if state is not None else log.outputs.get(INVENTORY),
            messages=messages,
        )

    def _read_back(self, program: Program) -> tuple[ExportedState | None, EngineError | None]:
        """The state after an update, or why it cannot be read: one that succeeded stays one even then."""
        # A turn of its own: this has to be known of an interrupted update too.
        try:
            return self._call_in(Turn(), program, SHORT, PREVIEW_GRACE).export(), None
        except EngineError as error:
            return None, error

    # -- locks and orphans -------------------------------------------------------------------------

    def _free_dead_locks(self, call: Call) -> int:
        """Remove the locks whose owners are proven dead, and say how many; only in a file backend.

        Raises:
            StackLockedError: there are others.
        """
        backend = file_backend(self._settings.backend_url)
        if backend is None:
            return 0
        locks = file_locks(backend, call.project, call.stack)
        dead = [lock for lock in locks if proven_dead(lock, self._processes)]
        free(dead)
        if len(dead) < len(locks):
            raise locked((lock for lock in locks if lock not in dead), call.stack)
        return len(dead)

    def _freed_told_locks(self, call: Call, finished: Finished) -> bool:
        """Whether an update met only locks whose owners are proven dead, and they are gone now."""
        locks = told_locks(finished.stderr)
        if finished.code in {0, None} or not locks or file_backend(self._settings.backend_url) is not None:
            return False
        if not all(proven_dead(lock, self._processes) for lock in locks):
            return False
        call.cancel()
        return True

    def _end_orphan(self, left: ProcessMark, program: Program) -> list[str]:
        alive = self._processes.alive(left)
        if alive is None:
            # Of another host; if it still works, its lock says so.
            return []
        found = []
        if alive:
            self._ask_and_wait(left, program.work)
            if self._processes.alive(left):
                raise StackLockedError(
                    f"the engine of the last update still runs as process {left.pid}",
                    where=f"stack {program.stack}",
                    hint=f"wait for it; it was asked to stop. Look at it with `ps -fp {left.pid}`",
                )
            found.append("stopped its engine, which was still running")
        if left.boot == self._processes.mark().boot:
            orphans = kill_orphans(self._processes, left.pid, self._settings.home)
            if orphans:
                found.append(f"ended {orphans} processes that its engine had left")
        return found

    def _ask_and_wait(self, left: ProcessMark, work: Path) -> None:
        """One SIGINT, unless it had one, and the time to end the operation under way."""
        try:
            pidfd = os.pidfd_open(left.pid)
        except ProcessLookupError:
            return
        try:
            # Asked again: only now can the id no more be given to another process.
            if self._processes.alive(left):
                if not was_asked(work, left.pid):
                    note_asked(work, left.pid)
                    signal.pidfd_send_signal(pidfd, signal.SIGINT)
                select.select([pidfd], [], [], self._grace.total_seconds())
        finally:
            os.close(pidfd)


def _is_missing(error: EngineError) -> bool:
    return isinstance(error, StackNotFoundError)
