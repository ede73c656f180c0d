"""Runs commands as child processes: a session of their own, a deadline, and a stop in steps.

Output goes to files, or is read from pipes up to a limit. Files suit a command that goes on when its parent
dies: it never waits for a reader. Nothing is inherited but what a command names.
"""

from __future__ import annotations

import os
import select
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from ronron.ports import Processes
from ronron.process_runner import start_barrier

KILL_WAIT = timedelta(seconds=5)
"""For killed processes to end: only one that hangs in the kernel needs more than milliseconds."""
OUTPUT_LIMIT = 64 * 1024 * 1024
"""Bytes of standard output that are read from a pipe."""
ERRORS_LIMIT = 64 * 1024
"""Bytes of standard error that are read from a pipe; the rest is dropped."""
_TICK = 0.5
_CHUNK = 1 << 16


class StartError(Exception):
    """The system refused to start a command, or to open the files for its output; `cause` says why."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class OutputLimitError(Exception):
    """A command wrote more than `OUTPUT_LIMIT` into its pipe; it was stopped."""


@dataclass(frozen=True)
class Stop:
    """One step of stopping a command.

    Args:
        signal: sent to the process.
        grace: until the next step; after the last one comes SIGKILL.
        group: send the signal to the whole process group.
        clean: the command stops its own children when it gets this signal. After a step that is not clean,
            every process left in the session is killed.
    """

    signal: signal.Signals
    grace: timedelta
    group: bool = False
    clean: bool = False


@dataclass(frozen=True)
class Command:
    """A command to run.

    Args:
        argv: an absolute path and its arguments.
        cwd: working directory.
        environment: all variables; nothing is inherited.
        deadline: from the start to the first stop step.
        stop: the steps, one after the other; at least one.
        log: path of the output files without their endings `.out` and `.err`; None to read the output from
            pipes.
        outlives_us: when our own thread ends by an exception, send the first stop step and leave the command
            to end by itself; otherwise it is stopped at once.
        keep_open: file descriptors that it inherits.
        umask: of the process; -1 for ours.
        on_stop: called with the process ID before each stop step.
    """

    argv: Sequence[str]
    cwd: Path
    environment: Mapping[str, str]
    deadline: timedelta
    stop: Sequence[Stop]
    log: Path | None = None
    outlives_us: bool = False
    keep_open: tuple[int, ...] = ()
    umask: int = -1
    on_stop: Callable[[int], None] | None = None


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Args:
        code: exit code; negative for the signal that killed it.
        timed_out: its deadline passed.
        interrupted: `ProcessRunner.interrupt` was called.
        stdout, stderr: what was read from pipes; empty for a command that has a log.
    """

    code: int
    timed_out: bool
    interrupted: bool
    stdout: bytes = b""
    stderr: bytes = b""


class Invocation:
    """A group of commands that run one after the other, and are interrupted together."""

    def __init__(self) -> None:
        self.interrupted = False
        self.child: _Child | None = None


class _Child:
    def __init__(self, process: subprocess.Popen[bytes], command: Command) -> None:
        self.process = process
        self.steps: list[float] = []
        """When each stop step was sent."""
        self.timed_out = False
        self.stdout, self.stderr = bytearray(), bytearray()
        self._command = command
        self._until = time.monotonic() + command.deadline.total_seconds()
        self._pidfd: int | None = os.pidfd_open(process.pid)
        # A signal handler may call `stop` in the thread that has the lock.
        self._lock = threading.RLock()

    def has_ended(self, within: float = 0.0) -> bool:
        return self._pidfd is None or bool(select.select([self._pidfd], [], [], within)[0])

    def wait(self) -> None:
        """Read its pipes and send the stop steps that are due, until it ends or the last grace is over."""
        with selectors.DefaultSelector() as selector:
            if self._pidfd is not None:
                selector.register(self._pidfd, selectors.EVENT_READ)
            for stream, read in ((self.process.stdout, self.stdout), (self.process.stderr, self.stderr)):
                if stream is not None:
                    selector.register(stream, selectors.EVENT_READ, read)
            while selector.get_map():
                left = self._due() - time.monotonic()
                for key, _ in selector.select(min(_TICK, max(0.0, left))):
                    if not self._take(key):
                        selector.unregister(key.fileobj)
                if time.monotonic() >= self._due():
                    if len(self.steps) == len(self._command.stop):
                        return
                    self.timed_out = self.timed_out or not self.steps
                    self.stop(len(self.steps) + 1)

    def stop(self, step: int = 1) -> None:
        """Send the next stop step, unless as many as `step` were sent."""
        with self._lock:
            if self._pidfd is None:
                return
            # Before the count, so that a signal handler that comes in between sees it.
            self.steps.append(time.monotonic())
            if len(self.steps) > step:
                self.steps.pop()
                return
            if self._command.on_stop is not None:
                self._command.on_stop(self.process.pid)
            one = self._command.stop[len(self.steps) - 1]
            with suppress(ProcessLookupError):
                if one.group:
                    # It is not reaped before `close`, so the number of its group is still its own.
                    os.killpg(self.process.pid, one.signal)
                else:
                    signal.pidfd_send_signal(self._pidfd, one.signal)

    def end(self, processes: Processes) -> None:
        """Reap it. Of one that was stopped hard or killed, nothing may go on: its session is killed too."""
        if self.process.returncode is None:
            if not self.has_ended():
                self.process.kill()
            # A process that was not reaped keeps its ID, so its session cannot be somebody else's.
            how = os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
            sent = self._command.stop[: len(self.steps)]
            if not all(one.clean for one in sent) or (how is not None and how.si_code != os.CLD_EXITED):
                # The Pulumi engine gives each plugin a process group of its own, so killing the group of
                # the leader would not reach them (measured with Pulumi 3.274.1).
                kill(processes.in_session(self.process.pid))
            self.process.wait()
        self.close()

    def close(self) -> None:
        with self._lock:
            if self._pidfd is not None:
                os.close(self._pidfd)
            self._pidfd = None
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def _due(self) -> float:
        """When the next stop step is due."""
        if not self.steps:
            return self._until
        return self.steps[-1] + self._command.stop[len(self.steps) - 1].grace.total_seconds()

    def _take(self, key: selectors.SelectorKey) -> bool:
        """Read one chunk; false where there will be no more."""
        if key.data is None:
            return False
        chunk = os.read(key.fd, _CHUNK)
        if key.data is self.stdout or len(self.stderr) < ERRORS_LIMIT:
            key.data.extend(chunk)
        if len(self.stdout) > OUTPUT_LIMIT:
            raise OutputLimitError
        return bool(chunk)


class ProcessRunner:
    """Runs commands for all threads of this process.

    Args:
        processes: finds what is left of a session whose leader was killed.
    """

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        # A signal handler may call `interrupt` in the thread that has the lock.
        self._lock = threading.RLock()
        self._invocations: set[Invocation] = set()

    @contextmanager
    def invocation(self) -> Iterator[Invocation]:
        """What `interrupt` interrupts as a whole."""
        invocation = Invocation()
        with self._lock:
            self._invocations.add(invocation)
        try:
            yield invocation
        finally:
            with self._lock:
                self._invocations.discard(invocation)

    def interrupt(self) -> None:
        """Send the first stop step to every command that runs now; returns at once."""
        with self._lock:
            for invocation in self._invocations:
                invocation.interrupted = True
                if invocation.child is not None:
                    invocation.child.stop()

    def run(
        self,
        invocation: Invocation,
        command: Command,
        started: Callable[[int], None] | None = None,
        *,
        barrier: bool = False,
    ) -> Ended | None:
        """Run a command to its end, whatever that is.

        Args:
            invocation: what it belongs to.
            command: what to run.
            started: called with the process ID; where it raises, the command is stopped.
            barrier: begin the command only after `started` returned; where it raises, it never begins.

        Returns:
            How it ended; None where the invocation was interrupted before the command could begin.

        Raises:
            StartError: the system refused to start it.
            OutputLimitError: see there.
        """
        with self._lock:
            if invocation.interrupted:
                return None
            child = _start(command, barrier=barrier)
            invocation.child = child
        try:
            if started is not None:
                _announce(child, started, barrier=barrier)
            child.wait()
        except BaseException:
            child.stop()
            if command.outlives_us:
                child.close()
            else:
                child.has_ended(within=command.stop[0].grace.total_seconds())
                child.end(self._processes)
            raise
        finally:
            invocation.child = None
        child.end(self._processes)
        return Ended(
            child.process.returncode,
            child.timed_out,
            invocation.interrupted,
            bytes(child.stdout),
            bytes(child.stderr),
        )


def kill(pids: Iterable[int]) -> int:
    """Kill processes and wait until they are dead; returns how many there were."""
    killed = []
    for pid in pids:
        with suppress(ProcessLookupError):
            pidfd = os.pidfd_open(pid)
            killed.append(pidfd)
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    until = time.monotonic() + KILL_WAIT.total_seconds()
    for pidfd in killed:
        select.select([pidfd], [], [], max(0.0, until - time.monotonic()))
        os.close(pidfd)
    return len(killed)


def _start(command: Command, *, barrier: bool) -> _Child:
    argv = [*command.argv]
    if barrier:
        argv = [sys.executable, "-I", "-S", start_barrier.__file__, *argv]
    try:
        with _outputs(command.log) as (out, err):
            process = subprocess.Popen(
                argv,
                cwd=command.cwd,
                env=command.environment,
                stdin=subprocess.PIPE if barrier else subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                pass_fds=command.keep_open,
                umask=command.umask,
            )
    except OSError as error:
        raise StartError(error) from error
    return _Child(process, command)


@contextmanager
def _outputs(log: Path | None) -> Iterator[tuple[int, int]]:
    if log is None:
        yield subprocess.PIPE, subprocess.PIPE
        return
    with (
        open(f"{log}.out", "wb", opener=_private) as out,
        open(f"{log}.err", "wb", opener=_private) as err,
    ):
        yield out.fileno(), err.fileno()


def _announce(child: _Child, started: Callable[[int], None], *, barrier: bool) -> None:
    stdin = child.process.stdin
    if not barrier or stdin is None:
        started(child.process.pid)
        return
    with stdin:
        try:
            started(child.process.pid)
        except BaseException:
            # At the end of its input the barrier exits without having run the command.
            stdin.close()
            child.process.wait()
            raise
        with suppress(BrokenPipeError):
            stdin.write(b"\n")
            stdin.flush()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
