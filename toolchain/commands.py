"""Runs other programs: argument lists, a deadline, and the end of their output when they fail."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from toolchain.errors import ToolchainError

SHOWN_LINES = 15
"""How much of a failed program's output is shown: with the message around it, one screen."""


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
        hint: what a person is told to do when it fails.
        environment: variables set on top of this process's own.
        directory: where it runs.

    Raises:
        ToolchainError: it is not there, failed, or took too long; with the end of its output.
    """
    words = [str(argument) for argument in arguments]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                words,
                cwd=directory,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise ToolchainError(f"cannot run {words[0]}: it is not installed", hint) from error
        try:
            code = process.wait(timeout=deadline)
        except subprocess.TimeoutExpired as error:
            _kill(process)
            text = f"{words[0]} took longer than {deadline:.0f} s and was stopped\n{tail(log)}"
            raise ToolchainError(text, hint) from error
        except BaseException:
            _kill(process)
            raise
    if code != 0:
        raise ToolchainError(f"{' '.join(words[:3])} failed (exit code {code})\n{tail(log)}", hint)


def output_of(arguments: Sequence[str | Path], *, deadline: float = 10) -> str | None:
    """What a program prints, without the white space around it; None if it is missing, fails or takes too long."""
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


def _kill(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
