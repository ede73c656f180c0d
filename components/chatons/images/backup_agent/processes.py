"""Child processes with timeouts that end with this process; their output is bounded in memory."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from .idle import Watch, work_of

INTERRUPT_SECONDS = 5.0
"""From SIGINT to SIGKILL: restic removes its lock in that time."""

CHUNK = 1024 * 1024
"""Bytes moved at once: the largest size of an unprivileged pipe on Linux."""

STDERR_BYTES = 64 * 1024
"""Bytes read from the end of a process's standard error."""

STALLED_SECONDS = 1800.0
"""Timeout of a pipe through which nothing moves: a lock in the database, or a dead network."""

POLL_SECONDS = 5.0
"""How often a process that must not be idle is measured."""


class StalledError(Exception):
    """Nothing moved for too long, or the timeout is over."""


class IdleError(StalledError):
    """A process neither works nor ends."""


@dataclass(frozen=True)
class Ended:
    """Exit code (negative: killed by that signal), standard output, and the end of standard error."""

    code: int
    output: bytes
    stderr: str


class Process:
    """A child process; as a context manager it is dead at the end, whatever happens.

    Args:
        command: program and arguments, without secrets.
        environment: all environment variables.
        folder: for the temporary files with its output.
        stdin: True for a pipe from this process, a descriptor, or False for none.
        pipe: whether `stdout` is a pipe; otherwise standard output goes into `Ended.output`.
        inherit: descriptors that it inherits, such as the agent's lock.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        *,
        stdin: bool | int = False,
        pipe: bool = False,
        inherit: Sequence[int] = (),
    ) -> None:
        self.name = command[0]
        self._errors = _file(folder)
        self._output: IO[bytes] | None = None if pipe else _file(folder)
        given: int | None = subprocess.PIPE if stdin is True else subprocess.DEVNULL
        if not isinstance(stdin, bool):
            given = stdin
        self._process = subprocess.Popen(
            _with_parent_death_signal(command),
            env=dict(environment),
            stdin=given,
            stdout=subprocess.PIPE if pipe else self._output,
            stderr=self._errors,
            pass_fds=tuple(inherit),
            # A terminal's SIGINT must reach this process only, which then ends its children.
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The process ID."""
        return self._process.pid

    @property
    def stdin(self) -> int:
        """Descriptor of the pipe to its standard input."""
        assert self._process.stdin is not None  # noqa: S101
        return self._process.stdin.fileno()

    @property
    def stdout(self) -> IO[bytes]:
        """The pipe from its standard output."""
        assert self._process.stdout is not None  # noqa: S101
        return self._process.stdout

    def close_stdin(self) -> None:
        """Close the pipe to it; it may have ended already."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    def close_stdout(self) -> None:
        """Close the pipe from it."""
        if self._process.stdout is not None:
            self._process.stdout.close()

    def wait(
        self,
        seconds: float,
        *,
        idle_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> Ended:
        """Wait for its end.

        Args:
            seconds: timeout.
            idle_seconds: timeout while it is idle; None for none.
            clock: measures `idle_seconds`.

        Raises:
            StalledError: it timed out, and was stopped.
            IdleError: it was idle for too long, and was stopped.
        """
        begun = time.monotonic()
        if idle_seconds is not None:
            self._wait_while_busy(begun + seconds, idle_seconds, clock)
        self._sleep_until_end(begun + seconds - time.monotonic())
        try:
            self._process.wait(timeout=max(0.0, seconds - (time.monotonic() - begun)))
        except subprocess.TimeoutExpired as error:
            self.stop()
            raise StalledError(f"{self.name} timed out after {seconds:.0f} s") from error
        return self.ended()

    def _wait_while_busy(self, until: float, idle_seconds: float, clock: Callable[[], float]) -> None:
        watch = Watch(work_of(self.pid), clock(), idle_seconds)
        while (now := time.monotonic()) < until:
            if self._sleep_until_end(min(POLL_SECONDS, idle_seconds / 2, until - now)):
                return
            if watch.is_idle(work_of(self.pid), clock()):
                self.stop()
                raise IdleError(f"{self.name} was idle for {idle_seconds:.0f} s, so it was ended")

    def _sleep_until_end(self, seconds: float) -> bool:
        """Wait by a pidfd: subprocess polls every 50 ms, and a snapshot has several processes.

        Returns:
            Whether the process has ended, or the kernel has no pidfd.
        """
        try:
            descriptor = os.pidfd_open(self._process.pid)
        except OSError:  # it ended, or the kernel has no pidfd: then subprocess waits
            return True
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            return bool(poll.poll(max(0.0, seconds) * 1000))
        finally:
            os.close(descriptor)

    def ended(self) -> Ended:
        """How it ended; call it after the end only."""
        output = b""
        if self._output is not None:
            self._output.seek(0)
            output = self._output.read()
        return Ended(self._process.returncode, output, self.read_stderr())

    def read_stderr(self) -> str:
        """The end of its standard error so far."""
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - STDERR_BYTES))
        return self._errors.read().decode(errors="replace").strip()

    def stop(self) -> None:
        """End it by SIGINT, then by SIGKILL. Its standard input stays open until it is dead."""
        for number, seconds in ((signal.SIGINT, INTERRUPT_SECONDS), (signal.SIGKILL, None)):
            if self._process.poll() is not None:
                return
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=seconds)

    def kill(self) -> None:
        """End it by SIGKILL."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.close_stdin()
        self.close_stdout()
        self._errors.close()
        if self._output is not None:
            self._output.close()


def moved(source: int, sink: int, *, stalled: float = STALLED_SECONDS) -> int:
    """Move everything from one pipe into another by splice(2), until the source ends.

    Memory stays constant: what the sink does not accept yet stays in the pipe, and blocks its writer.

    Returns:
        Bytes moved.

    Raises:
        StalledError: nothing moved for `stalled` seconds.
        BrokenPipeError: the reader of the sink ended.
    """
    total = 0
    while True:
        _ready(source, select.POLLIN, stalled)
        # The sink may accept a part only, and splice then blocks in the kernel: poll first.
        _ready(sink, select.POLLOUT, stalled)
        try:
            count = os.splice(source, sink, CHUNK, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            continue
        if count == 0:
            return total
        total += count


def _ready(descriptor: int, event: int, seconds: float) -> None:
    poll = select.poll()
    poll.register(descriptor, event)
    if not poll.poll(seconds * 1000):
        raise StalledError(f"nothing moved for {seconds:.0f} s")


def _with_parent_death_signal(command: Sequence[str]) -> list[str]:
    """The command such that the kernel kills it when the agent is killed."""
    wrapper = shutil.which("setpriv")
    return [wrapper, "--pdeathsig", "KILL", "--", *command] if wrapper else list(command)


def _file(folder: Path) -> IO[bytes]:
    return tempfile.TemporaryFile(dir=folder)


def left(deadline: float) -> float:
    """Seconds until a moment of the monotonic clock; never below a tenth of one."""
    return max(0.1, deadline - time.monotonic())
