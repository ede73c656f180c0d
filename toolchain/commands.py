"""Runs other programs: argument lists, a deadline, and the end of their output when they fail."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from toolchain.errors import ToolchainError

SHOWN_LINES = 15
"""How much of a failed program's output is shown: with the message around it, one screen."""

_running: set[subprocess.Popen[bytes]] = set()
_stopping = threading.Event()
_one_at_a_time = threading.RLock()  # a signal's handler comes back to it on the same thread


def run(
    arguments: Sequence[str | Path],
    *,
    log: Path,
    deadline: float,
    hint: str,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> None:
    """Run a program to its end, with its output in a file.

    Args:
        arguments: program and arguments; no shell reads them.
        log: where the output goes; replaced if it exists.
        deadline: seconds after which the program and its children are killed.
        hint: what a person does when it fails.
        environment: variables set on top of this process's own.
        directory: where it runs.

    Raises:
        ToolchainError: it is not there, failed, or took too long; with the end of its output.
    """
    words = [str(argument) for argument in arguments]
    whole = {**os.environ, **(environment or {})}
    if shutil.which(words[0], path=whole.get("PATH", os.defpath)) is None:
        raise ToolchainError(f"cannot run {words[0]}: it is not installed", hint)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = _begin([*_ends_with_us(), *words], whole, directory, output.fileno(), hint)
        try:
            code = process.wait(timeout=deadline)
        except subprocess.TimeoutExpired as error:
            _kill(process)
            text = f"{words[0]} took longer than {deadline:.0f} s and was stopped\n{tail(log)}"
            raise ToolchainError(text, hint) from error
        finally:
            _kill(process)  # also children that it left behind
            with _one_at_a_time:
                _running.discard(process)
    if code != 0:
        raise ToolchainError(f"{' '.join(words[:3])} failed (exit code {code})\n{tail(log)}", hint)


def stop_all() -> None:
    """Kill what `run` runs in any thread, and let it start nothing more: the process is about to exit."""
    with _one_at_a_time:
        _stopping.set()
        for process in tuple(_running):
            _signal(process)


def output_of(arguments: Sequence[str | Path], *, deadline: float = 10) -> str | None:
    """What a program prints, stripped of white space; None if it is missing, fails or takes too long."""
    try:
        done = subprocess.run(
            [str(argument) for argument in arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=deadline,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace").strip()


def tail(log: Path) -> str:
    """The last lines of a log, indented, and where the rest is."""
    lines = log.read_text(errors="replace").splitlines()[-SHOWN_LINES:]
    return "\n".join(f"  | {line[:200]}" for line in lines) + f"\n  (all of it: {log})"


def _begin(
    words: list[str], environment: Mapping[str, str], directory: Path | None, output: int, hint: str
) -> subprocess.Popen[bytes]:
    with _one_at_a_time:
        if _stopping.is_set():
            raise ToolchainError("stopped", "run it again; finished pieces are reused")
        try:
            process = subprocess.Popen(
                words,
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,  # no session of its own: Linux weighs niceness within a session only
            )
        except OSError as error:
            raise ToolchainError(f"cannot run {words[-1]}: {error.strerror}", hint) from error
        _running.add(process)
        return process


def _ends_with_us() -> list[str]:
    # Whoever is killed outright can end nobody else. Linux ends the program for it, so that the build of a
    # run that is gone does not go on beside that of the next one.
    linux = sys.platform == "linux" and shutil.which("setpriv")
    return ["setpriv", "--pdeathsig", "KILL", "--"] if linux else []


def _signal(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _kill(process: subprocess.Popen[bytes]) -> None:
    _signal(process)
    process.wait()
