"""Processes of this machine, as Linux shows them below /proc."""

from __future__ import annotations

import os
import socket
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from ronron.core.model import ProcessMark

DEAD = frozenset("ZXx")
"""States of a process that has ended. Source: proc_pid_stat(5), field 3."""


class LinuxProcesses:
    """See ports.Processes.

    Host names tell machines apart, so two containers that share state must not share a host name.

    Args:
        proc: mount point of procfs.
        host: this machine's name; by default its host name.
    """

    def __init__(self, proc: Path = Path("/proc"), host: str | None = None) -> None:
        self._proc = proc
        self._host = socket.gethostname() if host is None else host

    @cached_property
    def _boot(self) -> str:
        return (self._proc / "sys/kernel/random/boot_id").read_text().strip()

    def mark(self) -> ProcessMark:
        """See ports.Processes."""
        mark = self.mark_of(os.getpid())
        if mark is None:
            raise ProcessLookupError(f"{self._proc} does not show this process")
        return mark

    def mark_of(self, pid: int) -> ProcessMark | None:
        """See ports.Processes."""
        stat = self._stat(pid)
        if stat is None or stat.state in DEAD:
            return None
        return ProcessMark(host=self._host, boot=self._boot, pid=pid, started=stat.started)

    def name_of(self, pid: int) -> str | None:
        """See ports.Processes."""
        stat = self._stat(pid)
        return None if stat is None or stat.state in DEAD else stat.name

    def in_session(self, pid: int) -> tuple[int, ...]:
        """See ports.Processes."""
        ids = (int(entry.name) for entry in self._proc.iterdir() if entry.name.isdigit())
        found = ((one, self._stat(one)) for one in ids)
        return tuple(
            one for one, stat in found if stat is not None and stat.session == pid and stat.state not in DEAD
        )

    def alive(self, mark: ProcessMark) -> bool | None:
        """See ports.Processes."""
        if mark.host != self._host:
            return None
        return self.mark_of(mark.pid) == mark

    def _stat(self, pid: int) -> _Stat | None:
        try:
            raw = (self._proc / str(pid) / "stat").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The name is in brackets and may itself contain brackets and blanks.
        before, _, after = raw.rpartition(b")")
        fields = after.split()
        name = before.partition(b"(")[2].decode(errors="replace")
        return _Stat(name, state=fields[0].decode(), session=int(fields[3]), started=int(fields[19]))


class _Stat(NamedTuple):
    """Fields 2, 3, 6 and 22 of proc_pid_stat(5)."""

    name: str
    state: str
    session: int
    started: int
