"""How one command of the engine ended, with its output read back."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ronron.process_runner.runner import Ended

HEAD = 64 * 1024
TAIL = 256 * 1024
"""How much of the beginning and the end of an output is read back, in bytes."""


@dataclass(frozen=True)
class Finished:
    """How one command of the engine ended.

    Args:
        command: its words without options, such as `stack export`.
        code: exit code; negative for the signal that killed it; None for a command that never began,
            because the invocation was interrupted before.
        stdout, stderr: its output, without the middle of a long one.
        timed_out: its deadline passed, so it was stopped.
        interrupted: the invocation was interrupted.
        log: path of the whole output, without the endings `.out` and `.err`; None where it is in no file.
    """

    command: str
    code: int | None
    stdout: str
    stderr: str
    timed_out: bool
    interrupted: bool
    log: Path | None


def finished(command: str, ended: Ended | None, log: Path) -> Finished:
    """The result of a command with its output.

    Args:
        command: its words without options.
        ended: how it ended; None where it never began.
        log: path of its output.
    """
    return Finished(
        command=command,
        code=ended.code if ended else None,
        stdout=read_output(Path(f"{log}.out")),
        stderr=read_output(Path(f"{log}.err")),
        timed_out=ended.timed_out if ended else False,
        interrupted=ended.interrupted if ended else True,
        log=log,
    )


def read_output(path: Path) -> str:
    """An output as text: the beginning and the end of a long one; bytes that are not UTF-8 become U+FFFD."""
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
