"""Makes the calls of the engine: its variables, its secrets, its directories, the packages of the program."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
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
from ronron.adapters.pulumi_engine.stops import PREVIEW_GRACE, cannot_start, stop_steps
from ronron.core.errors import StackNotFoundError
from ronron.core.packages import VirtualEnvironment
from ronron.ports import Processes, Program, VirtualEnvironments
from ronron.process_runner.runner import Command, Invocation, ProcessRunner, StartError
from ronron.settings import EngineSettings


class Calls:
    """Makes calls of the engine, and interrupts those that run.

    The engine's directories are made before the first call. Calls may be made from several threads.

    Args:
        settings: what the engine needs.
        processes: finds the processes of a command that is stopped.
        packages: what programs with a lock file run in; None to run all with the first Python on PATH.
        inherited: the reconciler's own environment, of which the engine sees what is allowed; by default
            that of this process.
    """

    def __init__(
        self,
        settings: EngineSettings,
        processes: Processes,
        packages: VirtualEnvironments | None = None,
        inherited: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = settings
        self._packages = packages
        self._inherited = os.environ if inherited is None else inherited
        self._runner = ProcessRunner(processes)
        self._once = threading.Lock()
        self._is_prepared = False

    @contextmanager
    def call(
        self,
        program: Program,
        deadline: timedelta,
        grace: timedelta,
        more: Mapping[str, str] = MappingProxyType({}),
        *,
        runs: bool = False,
    ) -> Iterator[Call]:
        """A call for the block.

        Args:
            program: what it is about.
            deadline: of each of its commands.
            grace: from the first SIGINT to the second.
            more: variables that the engine sees besides.
            runs: it runs the program or its dynamic providers, so it needs the program's packages.

        Raises:
            EngineMissingError: there is no engine. EngineError: its directories cannot be made.
        """
        self._prepare()
        with self._runner.invocation() as invocation, ExitStack() as used:
            packages = None
            if runs and self._packages is not None:
                packages = used.enter_context(self._packages.of(program.directory))
            yield self._call_in(invocation, program, deadline, grace, more, packages)

    def uninterrupted(self, program: Program) -> Call:
        """A call that only asks the backend, and that no interrupt reaches."""
        return self._call_in(Invocation(), program, SHORT, PREVIEW_GRACE)

    def version(self) -> str:
        """The version that the engine prints.

        Raises:
            EngineMissingError: there is no engine. EngineError: it cannot be asked.
        """
        self._prepare()
        with (
            self._runner.invocation() as invocation,
            tempfile.TemporaryDirectory(dir=self._settings.home, prefix="version-") as work,
        ):
            ended = self._run_version(invocation, Path(work))
        if ended.code != 0:
            raise explain(ended, EventLog(), "", self.secrets())
        return ended.stdout.strip().removeprefix("v")

    def secrets(self) -> frozenset[str]:
        """Values that no message may show.

        Raises:
            PassphraseError: the file with the passphrase cannot be read.
        """
        return secrets(self._settings, environment(self._settings, self._inherited))

    def interrupt(self) -> None:
        """Interrupt every running call once, however often this is called."""
        self._runner.interrupt()
        if self._packages is not None:
            self._packages.interrupt()

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
            secrets=self.secrets(),
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
