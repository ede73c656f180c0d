"""Remembers the lines that passes log."""

from __future__ import annotations


class RecordingProgress:
    """See ports.Progress."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        """Environment and line, in order."""

    def log(self, environment: str, line: str) -> None:
        """See ports.Progress."""
        self.lines.append((environment, line))

    def doing(self, environment: str, what: str) -> None:
        """See ports.Progress; it is not remembered."""

    def of(self, environment: str) -> list[str]:
        """The lines of one environment."""
        return [line for name, line in self.lines if name == environment]
