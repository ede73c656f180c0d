"""Processes that a test owns."""

from __future__ import annotations

from ronron.core.model import ProcessMark

OURS = 4000
"""The id of the process that `mark` gives."""


class FakeProcesses:
    """See ports.Processes; nothing runs but what `spawn` began.

    Args:
        host: this machine's name.
        boot: its boot id; a reboot is another FakeProcesses with another one.
    """

    def __init__(self, host: str = "here", boot: str = "boot-1") -> None:
        self.host = host
        self.boot = boot
        self._ticks = 0
        self._live: dict[int, tuple[ProcessMark, str, int]] = {}
        self.spawn("python3", pid=OURS)

    def spawn(self, name: str, *, pid: int | None = None, session: int | None = None) -> ProcessMark:
        """Begin a process: in a session of its own and with the next free id, unless these are given."""
        self._ticks += 1
        number = max(self._live, default=OURS) + 1 if pid is None else pid
        mark = ProcessMark(host=self.host, boot=self.boot, pid=number, started=self._ticks)
        self._live[number] = (mark, name, number if session is None else session)
        return mark

    def end(self, mark: ProcessMark) -> None:
        """Let a process end."""
        if self.alive(mark):
            del self._live[mark.pid]

    def mark(self) -> ProcessMark:
        """See ports.Processes."""
        return self._live[OURS][0]

    def mark_of(self, pid: int) -> ProcessMark | None:
        """See ports.Processes."""
        return self._live[pid][0] if pid in self._live else None

    def name_of(self, pid: int) -> str | None:
        """See ports.Processes."""
        return self._live[pid][1] if pid in self._live else None

    def in_session(self, pid: int) -> tuple[int, ...]:
        """See ports.Processes."""
        return tuple(number for number, (_, _, session) in self._live.items() if session == pid)

    def alive(self, mark: ProcessMark) -> bool | None:
        """See ports.Processes."""
        if mark.host != self.host:
            return None
        return self.mark_of(mark.pid) == mark
