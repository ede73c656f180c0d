"""Child processes that end with us: deadlines, polite stops, and output that cannot fill the memory."""

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

from .standstill import Watch, work_of

POLITE_SECONDS = 5.0
"""How long a child may take to end after SIGINT: restic removes its lock in that time."""

CHUNK = 1024 * 1024
"""Bytes that are moved at once: the pipe's largest unprivileged size on Linux."""

SAID_BYTES = 64 * 1024
"""Of what a child writes on its standard error, so much of the end is read."""

STALLED_SECONDS = 1800.0
"""A pipe through which nothing moves for so long is given up: a lock in the database, or a dead network."""


LOOK_SECONDS = 5.0
"""How often a child is looked at that must not stand still."""


class StalledError(Exception):
    """Nothing moved for too long, or the deadline is over."""


class StandsStillError(StalledError):
    """A child neither works nor ends."""


@dataclass(frozen=True)
class Ended:
    """How a child ended: exit code (negative: by that signal), all of its output, the end of its errors."""

    code: int
    output: bytes
    said: str


class Child:
    """One child process; used as a context it is dead at the end, whatever happens.

    Args:
        command: program and arguments; no secret in them.
        environment: the whole of it.
        folder: for the files that hold what it writes.
        stdin: a pipe from us, or nothing.
        stdout: `pipe`, or None: into a file, for `Ended.output`.
        keep: descriptors that it gets besides, such as the agent's lock.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        *,
        stdin: bool | int = False,
        pipe: bool = False,
        keep: Sequence[int] = (),
    ) -> None:
        self.name = command[0]
        self._errors = _file(folder)
        self._output: IO[bytes] | None = None if pipe else _file(folder)
        given: int | None = subprocess.PIPE if stdin is True else subprocess.DEVNULL
        if not isinstance(stdin, bool):
            given = stdin
        self._process = subprocess.Popen(
            _dies_with_us(command),
            env=dict(environment),
            stdin=given,
            stdout=subprocess.PIPE if pipe else self._output,
            stderr=self._errors,
            pass_fds=tuple(keep),
            # A terminal's SIGINT reaches us alone: we say when a child ends.
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def stdin(self) -> int:
        """The pipe to it."""
        assert self._process.stdin is not None  # noqa: S101
        return self._process.stdin.fileno()

    @property
    def stdout(self) -> IO[bytes]:
        """The pipe from it."""
        assert self._process.stdout is not None  # noqa: S101
        return self._process.stdout

    def close_stdin(self) -> None:
        """Say that there is no more; a child that is gone already is no error here."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    def close_stdout(self) -> None:
        """Say that nobody reads any more."""
        if self._process.stdout is not None:
            self._process.stdout.close()

    def wait(
        self,
        seconds: float,
        *,
        still: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> Ended:
        """Wait for its end.

        Args:
            seconds: for so long at most.
            still: and for so long at most while it does nothing at all.
            clock: measures `still`, in seconds.

        Raises:
            StalledError: the time is over; it is stopped.
            StandsStillError: the other one is; it is stopped, too.
        """
        begun = time.monotonic()
        if still is not None:
            self._see_it_work(begun + seconds, still, clock)
        self._sleep_until_end(begun + seconds - time.monotonic())
        try:
            self._process.wait(timeout=max(0.0, seconds - (time.monotonic() - begun)))
        except subprocess.TimeoutExpired as error:
            self.stop()
            raise StalledError(f"{self.name} did not end within {seconds:.0f} s") from error
        return self.ended()

    def _see_it_work(self, until: float, still: float, clock: Callable[[], float]) -> None:
        watch = Watch(work_of(self.pid), clock(), still)
        while (now := time.monotonic()) < until:
            if self._sleep_until_end(min(LOOK_SECONDS, still / 2, until - now)):
                return
            if watch.stands_still(work_of(self.pid), clock()):
                self.stop()
                raise StandsStillError(f"{self.name} stood still for {still:.0f} s, so it was ended")

    def _sleep_until_end(self, seconds: float) -> bool:
        """Be woken by the kernel: subprocess looks but every 50 ms, and a snapshot has several children.

        Returns:
            Whether there is nothing more to wait for here.
        """
        try:
            descriptor = os.pidfd_open(self._process.pid)
        except OSError:  # gone already, or a kernel that cannot: then subprocess waits
            return True
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            return bool(poll.poll(max(0.0, seconds) * 1000))
        finally:
            os.close(descriptor)

    def ended(self) -> Ended:
        """How it ended; only once it has."""
        output = b""
        if self._output is not None:
            self._output.seek(0)
            output = self._output.read()
        return Ended(self._process.returncode, output, self.said())

    def said(self) -> str:
        """The end of what it wrote on its standard error until now."""
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - SAID_BYTES))
        return self._errors.read().decode(errors="replace").strip()

    def stop(self) -> None:
        """End it: SIGINT, then SIGKILL. Its standard input stays open until it is dead."""
        for number, seconds in ((signal.SIGINT, POLITE_SECONDS), (signal.SIGKILL, None)):
            if self._process.poll() is not None:
                return
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=seconds)

    def kill(self) -> None:
        """End it at once, without a word."""
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
    """Move everything from one pipe into another through the kernel, until the first one ends.

    Memory stays constant: what the sink does not take yet stays in the pipe, and its writer waits.

    Returns:
        Bytes moved.

    Raises:
        StalledError: nothing moved for so many seconds.
        BrokenPipeError: nobody reads the sink any more.
    """
    total = 0
    while True:
        _ready(source, select.POLLIN, stalled)
        # The sink may take a part only, and splice then waits inside the kernel: ask before.
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


def _dies_with_us(command: Sequence[str]) -> list[str]:
    """A child of an agent that is killed must not go on writing: the kernel ends it, too."""
    wrapper = shutil.which("setpriv")
    return [wrapper, "--pdeathsig", "KILL", "--", *command] if wrapper else list(command)


def _file(folder: Path) -> IO[bytes]:
    return tempfile.TemporaryFile(dir=folder)


def left(deadline: float) -> float:
    """Seconds until a moment of the monotonic clock; never below a tenth of one."""
    return max(0.1, deadline - time.monotonic())
