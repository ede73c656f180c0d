"""Runs the engine as a child: a session of its own, output to files, a deadline, a stop that begins gently.

Output goes to files and not to pipes, so that an engine whose reconciler died can go on to its end, and
nothing ever waits for a reader. (A pipe that nobody drains hangs the SDK's own command class for ever:
one byte that is no UTF-8 is enough, measured with SDK 3.272.0.)
"""

from __future__ import annotations

import os
import select
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

from ronron.adapters.pulumi_engine import start_barrier
from ronron.core.errors import EngineError
from ronron.ports import Processes

GRACE = timedelta(minutes=10)
"""From the first SIGINT to the second: the engine waits for the resource operation under way, and the
second one would leave that in the state as pending (measured with Pulumi 3.274.1)."""
SECOND_GRACE = timedelta(seconds=30)
"""From the second SIGINT to SIGKILL."""
LAST_WAIT = timedelta(seconds=5)
"""For processes that were killed: only one that hangs in the kernel needs more than milliseconds."""
_TICK = 0.5

HEAD = 64 * 1024
TAIL = 256 * 1024
"""How much of the beginning and the end of an output is read back, in bytes."""


@dataclass(frozen=True)
class Command:
    """What is to be run.

    Args:
        argv: an absolute path and its arguments.
        cwd: where.
        environment: all of it; nothing is inherited.
        log: path of the output files without their endings `.out` and `.err`.
        deadline: from the start to the first SIGINT.
        grace: from there to the second.
        last_grace: from the second to SIGKILL.
    """

    argv: Sequence[str]
    cwd: Path
    environment: Mapping[str, str]
    log: Path
    deadline: timedelta
    grace: timedelta = GRACE
    last_grace: timedelta = SECOND_GRACE


@dataclass(frozen=True)
class Ended:
    """How a child ended: exit code (negative for a signal), and what had been asked of it before."""

    code: int
    timed_out: bool
    interrupted: bool


class Turn:
    """One call of the engine's port: it may start several children, one after the other."""

    def __init__(self) -> None:
        self.interrupted = False
        self.child: _Child | None = None


class _Child:
    def __init__(self, process: subprocess.Popen[bytes], command: Command) -> None:
        self.process = process
        self.until = time.monotonic() + command.deadline.total_seconds()
        self.asked: list[float] = []
        self.timed_out = False
        self._work = command.log.parent
        self._pidfd: int | None = os.pidfd_open(process.pid)
        # A signal handler may ask in the thread that holds it.
        self._lock = threading.RLock()

    def ended_within(self, seconds: float) -> bool:
        return self._pidfd is None or bool(select.select([self._pidfd], [], [], seconds)[0])

    def ask_to_stop(self, times: int = 1) -> None:
        """Send SIGINT to the engine alone, which sees to its plugins itself; so many times in all at most."""
        with self._lock:
            if self._pidfd is None:
                return
            # Before the count, so that a signal handler that comes in between finds it.
            self.asked.append(time.monotonic())
            if len(self.asked) > times:
                self.asked.pop()
                return
            note_asked(self._work, self.process.pid)
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGINT)

    def close(self) -> None:
        with self._lock:
            if self._pidfd is not None:
                os.close(self._pidfd)
            self._pidfd = None


class Children:
    """The engine's processes that run for us now, in all threads.

    Args:
        processes: finds what is left of a session whose leader was killed.
    """

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        # A signal handler may call `interrupt` in the thread that holds it.
        self._lock = threading.RLock()
        self._turns: set[Turn] = set()

    @contextmanager
    def turn(self) -> Iterator[Turn]:
        """One call of the port: what `interrupt` interrupts as a whole."""
        turn = Turn()
        with self._lock:
            self._turns.add(turn)
        try:
            yield turn
        finally:
            with self._lock:
                self._turns.discard(turn)

    def interrupt(self) -> None:
        """Ask what runs now to stop, once: a second SIGINT would be a hard one."""
        with self._lock:
            for turn in self._turns:
                turn.interrupted = True
                if turn.child is not None:
                    turn.child.ask_to_stop()

    def run(self, turn: Turn, command: Command, started: Callable[[int], None] | None = None) -> Ended | None:
        """Run a command to its end, whatever that is.

        Args:
            turn: what it belongs to.
            command: what to run.
            started: called with the child's id before the command itself begins; where it raises, the
                command never does.

        Returns:
            How it ended; None where the turn was interrupted before it could begin.
        """
        argv = [*command.argv]
        if started is not None:
            argv = [sys.executable, "-I", "-S", start_barrier.__file__, *argv]
        with self._lock:
            if turn.interrupted:
                return None
            child = self._start(argv, command, gated=started is not None)
            turn.child = child
        try:
            if started is not None:
                self._let_through(child, started)
            self._see_to_its_end(child, command)
        except BaseException:
            # Our own thread is being torn down: the engine is not, it is asked to stop and left to it.
            child.ask_to_stop()
            child.close()
            raise
        finally:
            turn.child = None
        self._end(child)
        return Ended(child.process.returncode, child.timed_out, turn.interrupted)

    @staticmethod
    def _start(argv: Sequence[str], command: Command, *, gated: bool) -> _Child:
        with (
            written(command.log.parent),
            open(f"{command.log}.out", "wb", opener=_private) as out,
            open(f"{command.log}.err", "wb", opener=_private) as err,
        ):
            process = subprocess.Popen(
                argv,
                cwd=command.cwd,
                env=command.environment,
                stdin=subprocess.PIPE if gated else subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                umask=0o077,
            )
        return _Child(process, command)

    @staticmethod
    def _let_through(child: _Child, started: Callable[[int], None]) -> None:
        word = child.process.stdin
        if word is None:
            raise AssertionError("a gated child has a standard input")
        with word:
            try:
                started(child.process.pid)
            except BaseException:
                # At the end of its input it ends by itself, without having been the engine at all.
                word.close()
                child.process.wait()
                raise
            with suppress(BrokenPipeError):
                word.write(b"\n")
                word.flush()

    def _see_to_its_end(self, child: _Child, command: Command) -> None:
        while not child.ended_within(_TICK):
            now = time.monotonic()
            match len(child.asked):
                case 0 if now >= child.until:
                    child.timed_out = True
                    child.ask_to_stop()
                case 1 if now >= child.asked[0] + command.grace.total_seconds():
                    child.ask_to_stop(times=2)
                case 2 if now >= child.asked[1] + command.last_grace.total_seconds():
                    return

    def _end(self, child: _Child) -> None:
        """Reap it. Of one that had to be killed nothing may go on: its plugins are killed too."""
        leader = child.process
        if not child.ended_within(0):
            leader.kill()
        # A leader that was not waited for keeps its id, so its session cannot be somebody else's.
        how = os.waitid(os.P_PID, leader.pid, os.WEXITED | os.WNOWAIT)
        if len(child.asked) > 1 or (how is not None and how.si_code != os.CLD_EXITED):
            # The engine gives each plugin a process group of its own, so its own group would not reach
            # them (measured with Pulumi 3.274.1).
            _kill(self._processes.in_session(leader.pid))
        leader.wait()
        child.close()


def note_asked(work: Path, pid: int) -> None:
    """Note that an engine was asked to stop; a full disk is no reason not to ask."""
    with suppress(OSError):
        (work / f"{pid}.asked").touch(mode=0o600)


def was_asked(work: Path, pid: int) -> bool:
    """Whether an engine was asked to stop, by us or by somebody who died since.

    Another SIGINT would be a hard stop, and leave half done what it is at.
    """
    return (work / f"{pid}.asked").exists()


@contextmanager
def written(work: Path) -> Iterator[None]:
    """A block that writes what the engine needs, or starts it.

    Raises:
        EngineError: in place of an OSError, such as a full disk or a directory that is gone.
    """
    try:
        yield
    except OSError as error:
        failure = EngineError(
            f"cannot start the engine: {error.strerror}",
            where=str(error.filename or work),
            hint=f"see that there is room on the disk with `df -h {work}`, then try again",
        )
        failure.retryable = True
        raise failure from error


def kill_orphans(processes: Processes, leader: int, home: Path) -> int:
    """Kill what an engine left that died under another owner; say how many that were.

    Args:
        processes: finds them.
        leader: the id that the engine had.
        home: its PULUMI_HOME, which all that it started has in its environment: the proof that a
            process is not of a younger session under the same id.
    """
    mark = f"PULUMI_HOME={home}".encode()
    left = [pid for pid in processes.in_session(leader) if mark in _environment_of(pid)]
    return _kill(left)


def _kill(pids: Iterable[int]) -> int:
    """Kill processes, and see them dead: whoever comes next must not meet them still at work."""
    killed = []
    for pid in pids:
        with suppress(ProcessLookupError):
            pidfd = os.pidfd_open(pid)
            killed.append(pidfd)
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    until = time.monotonic() + LAST_WAIT.total_seconds()
    for pidfd in killed:
        select.select([pidfd], [], [], max(0.0, until - time.monotonic()))
        os.close(pidfd)
    return len(killed)


def _environment_of(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def read_back(path: Path) -> str:
    """An output as text: the beginning and the end of a long one; what is no UTF-8 becomes U+FFFD."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            if size <= HEAD + TAIL:
                return file.read(HEAD + TAIL).decode(errors="replace")
            head = file.read(HEAD)
            file.seek(size - TAIL)
            tail = file.read(TAIL)
    except FileNotFoundError:
        return ""
    cut = f"\n… [{size - HEAD - TAIL} bytes cut]\n"
    return head.decode(errors="replace") + cut + tail.decode(errors="replace")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
