"""The lock of a stack on this machine; the kernel releases it however its owner ends."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from ronron.adapters.sql_store.failures import file_error
from ronron.core.errors import StackLockedError
from ronron.core.redact import redact, shorten

_LONGEST_NAME = 200
"""File names have at most 255 bytes; this leaves room for the ending and a hash."""

_LONGEST_NOTE = 4096


@contextmanager
def stack_lock(directory: Path, stack: str, what: str) -> Iterator[None]:
    """Lock a stack for the block, against other threads and processes of this machine.

    The lock belongs to the open file, so it also excludes other threads of the same process, and it ends
    with the process. Children do not inherit it. The note in the file names the owner; it counts only while
    the file is locked, since a killed owner leaves its note. The file is never removed: a process that waits
    on a removed file and one that creates a new file would both have a lock.

    Args:
        directory: of the locks; created when needed.
        stack: any name.
        what: the owner's command, for the note, such as `ronron watch`.

    Raises:
        StackLockedError: another owner has it; the message names it and since when.
        StoreError: the lock file cannot be written.
    """
    path = directory / f"{_file_name(stack)}.lock"
    with _locked_file(path, stack, what):
        yield


@contextmanager
def _locked_file(path: Path, stack: str, what: str) -> Iterator[None]:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise file_error(error, f"lock the stack {stack}", str(path)) from error
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _locked(stack, os.pread(file, _LONGEST_NOTE, 0)) from None
        _write_note(file, path, stack, what)
        try:
            yield
        finally:
            os.ftruncate(file, 0)
    finally:
        os.close(file)


def _write_note(file: int, path: Path, stack: str, what: str) -> None:
    note = {
        "stack": stack,
        "what": what,
        "pid": os.getpid(),
        "thread": threading.current_thread().name,
        "host": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    try:
        os.ftruncate(file, 0)
        os.pwrite(file, f"{json.dumps(note, indent=2)}\n".encode(), 0)
    except OSError as error:
        raise file_error(error, f"lock the stack {stack}", str(path)) from error


def _locked(stack: str, written: bytes) -> StackLockedError:
    """The error that names the owner, by its note; an owner that has just started may have none yet."""
    try:
        note = json.loads(written)
        what, pid, host = str(note["what"]), int(note["pid"]), str(note["host"])
        since = datetime.fromisoformat(note["since"])
    except (ValueError, KeyError, TypeError):
        return StackLockedError(
            f"the stack {stack} is locked by another process that has just started",
            hint="wait until it ends: ronron status",
        )
    owner = shorten(redact(what), 80)
    here = host == socket.gethostname()
    return StackLockedError(
        f"the stack {stack} is locked by {owner} (process {pid} on {shorten(redact(host), 80)})"
        f" since {since:%Y-%m-%d %H:%M:%S} UTC",
        hint=f"wait until it ends; find it with ps -fp {pid}" if here else "wait until it ends",
    )


def _file_name(stack: str) -> str:
    """A name for any stack's file; two stacks never share one."""
    name = quote(stack, safe="")
    if len(name) <= _LONGEST_NAME:
        return f"stack-{name}"
    return f"long-stack-{hashlib.sha256(stack.encode()).hexdigest()}"
