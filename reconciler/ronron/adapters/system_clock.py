"""The machine's clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from threading import Event


class SystemClock:
    """See ports.Clock."""

    def now(self) -> datetime:
        """See ports.Clock."""
        return datetime.now(UTC)

    def wait(self, seconds: float, until: Event | None = None) -> bool:
        """See ports.Clock; a negative time is no time."""
        left = max(0.0, seconds)
        if until is not None:
            return until.wait(left)
        time.sleep(left)
        return False
