"""Locks of Pulumi's own backends: who owns one, and whether that process is proven dead."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ronron.core.errors import StackLockedError
from ronron.ports import Processes

_ENGINE = "pulumi"
_LINE = re.compile(
    r"created by (?P<user>.*?)@(?P<host>\S+) \(pid (?P<pid>\d+)\) at (?P<since>\S+)",
)


@dataclass(frozen=True)
class Lock:
    """A lock, as its owner wrote it.

    Args:
        pid, host, user: its owner.
        since: RFC 3339, as written.
        file: the lock itself, for a file backend.
    """

    pid: int
    host: str
    user: str
    since: str
    file: Path | None = None


def file_locks(backend: Path, project: str, stack: str) -> tuple[Lock, ...]:
    """The locks of a stack in a file backend.

    Source: pulumi pkg/backend/diy/lock.go, 3.274.1: one JSON file for each, below
    `.pulumi/locks/organization/<project>/<stack>`, or `.pulumi/locks/<stack>` in an old state directory.
    A file that cannot be read counts as a lock of an unknown owner.
    """
    top = backend / ".pulumi" / "locks"
    name = stack.rpartition("/")[2]
    directories = (top / "organization" / project / name, top / name)
    files = (file for directory in directories for file in sorted(directory.glob("*.json")))
    return tuple(lock for lock in map(_read, files) if lock is not None)


def named_locks(text: str) -> tuple[Lock, ...]:
    """The locks that the engine names when it refuses to start."""
    return tuple(
        Lock(pid=int(found["pid"]), host=found["host"], user=found["user"], since=found["since"])
        for found in _LINE.finditer(text)
    )


def proven_dead(lock: Lock, processes: Processes) -> bool:
    """Whether the owner of a lock is certainly dead: it ran on this host, and no engine runs under its ID.

    A lock has no start time, so an engine that runs under the same ID proves nothing.
    """
    if lock.host != processes.mark().host:
        return False
    name = processes.name_of(lock.pid)
    return name is None or _ENGINE not in name


def free(locks: Iterable[Lock]) -> None:
    """Remove these locks of a file backend and no others; `pulumi cancel` would remove all."""
    for lock in locks:
        if lock.file is not None:
            # The backend writes an attributes file beside each of its files.
            for file in (lock.file, lock.file.with_name(f"{lock.file.name}.attrs")):
                with suppress(FileNotFoundError):
                    file.unlink()


def locked(locks: Iterable[Lock], stack: str, environment: str = "") -> StackLockedError:
    """The error that names the owners of the locks; `environment` is named in its hint."""
    found = list(locks)
    owners = ", ".join(f"{one.user}@{one.host} (process {one.pid}) since {one.since}" for one in found)
    return StackLockedError(
        f"the stack is locked by {owners or 'another process'}",
        where=f"stack {stack}",
        hint="wait until that process ends; only if you are sure that it is dead, "
        f"remove its lock with `ronron pulumi {environment or stack} -- cancel`",
    )


def _read(file: Path) -> Lock | None:
    try:
        content = json.loads(file.read_text(encoding="utf-8", errors="replace"))
        return Lock(
            pid=int(content["pid"]),
            host=str(content["hostname"]),
            user=str(content["username"]),
            since=str(content["timestamp"]),
            file=file,
        )
    except FileNotFoundError:
        # Its owner removed it meanwhile.
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return Lock(pid=0, host="an unknown host", user="somebody", since="an unknown time", file=file)
