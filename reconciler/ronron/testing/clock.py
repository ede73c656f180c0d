"""A clock that stands still until somebody waits or moves it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from threading import Event

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
"""A Wednesday, in winter time."""


class FakeClock:
    """See ports.Clock: waiting takes no time here, and all the time there.

    Args:
        now: where it stands, with a zone.
    """

    def __init__(self, now: datetime = NOON) -> None:
        self.waits: list[float] = []
        """How long each wait was to be, in seconds."""
        self._now = now.astimezone(UTC)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """See ports.Clock."""
        with self._lock:
            return self._now

    def wait(self, seconds: float, until: Event | None = None) -> bool:
        """See ports.Clock; the time passes at once, or not at all where the event is set already."""
        with self._lock:
            self.waits.append(seconds)
            if until is not None and until.is_set():
                return True
            self._now += timedelta(seconds=max(0.0, seconds))
            return False

    def advance(self, by: timedelta) -> None:
        """Let time pass without anybody waiting."""
        with self._lock:
            self._now += by
