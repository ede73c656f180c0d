"""The policy of an environment: which reference it follows, when it may change, what needs a person."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from ronron.core.model import Value


class UpdateMode(StrEnum):
    """Whether an allowed preview is carried out at once or waits for a person."""

    AUTOMATIC = "automatic"
    APPROVAL = "approval"


class OnFailure(StrEnum):
    """What happens when an update fails or leaves a service unhealthy."""

    ROLLBACK = "rollback"
    """Go back to the last healthy revision; data stay as they are."""
    RESTORE = "restore"
    """Go back, and restore each service from the snapshot that was taken before the update."""
    HOLD = "hold"

    @property
    def goes_back(self) -> bool:
        """Whether the last healthy revision comes back."""
        return self is not OnFailure.HOLD


class OnDrift(StrEnum):
    """What happens where a container differs from what an update made."""

    UPDATE = "update"
    """It is put back."""
    PROPOSE = "propose"
    """It is put back once a person has approved the plan."""
    REPORT = "report"


class DriftPolicy(Value):
    """How drift is looked for.

    Args:
        every: time from one comparison of all settings to the next; whether the containers work is looked at
            as often as services are probed.
        on_drift: what happens then.
    """

    every: timedelta = timedelta(minutes=10)
    on_drift: OnDrift = OnDrift.UPDATE


class Window(Value):
    """When an environment may change, in the wall-clock time of its zone.

    Args:
        days: weekdays on which it opens, Monday is 0.
        opens, closes: wall-clock times; a window that closes before it opens ends on the next day.
        timezone: IANA name; checked when the policy is loaded.
    """

    days: frozenset[int]
    opens: time
    closes: time
    timezone: str

    def is_open(self, at: datetime) -> bool:
        """Whether `at` lies in the window: from the opening on, up to but not at the closing."""
        return any(opening <= at < closing for opening, closing in self._around(at))

    def next_opening(self, at: datetime) -> datetime:
        """When it next opens strictly after `at`, in UTC."""
        return min(opening for opening, _ in self._around(at) if opening > at).astimezone(UTC)

    def _around(self, at: datetime) -> list[tuple[datetime, datetime]]:
        # Two days back hold every window that can be open at `at`. Two weeks ahead hold the next one even
        # where a change to summer time swallows the one of this week: it has no length and is left out.
        # A time that such a change skips is read with the offset before it (RFC 5545, 3.3.5).
        zone = ZoneInfo(self.timezone)
        today = at.astimezone(zone).date()
        nights = timedelta(days=1) if self.closes <= self.opens else timedelta()
        found = []
        for offset in range(-2, 16):
            day = today + timedelta(days=offset)
            if day.weekday() in self.days:
                opening = datetime.combine(day, self.opens, zone).astimezone(UTC)
                closing = datetime.combine(day + nights, self.closes, zone).astimezone(UTC)
                if opening < closing:
                    found.append((opening, closing))
        return found


class Guard(Value):
    """How many deletions and replacements an update may make without a person; None is no limit.

    Data and machines are counted apart and always need a person: see `judge`.
    """

    deletes: int | None = None
    replaces: int | None = None


class Promotion(Value):
    """An environment takes only a revision that others have run healthily for a while."""

    environments: tuple[str, ...]
    healthy_for: timedelta = timedelta()


class Retry(Value):
    """How failures are tried again.

    Args:
        after: wait after the first failure; tripled each time.
        ceiling: the longest wait.
        limit: failures in a row after which only a new revision or a person helps.
    """

    after: timedelta = timedelta(seconds=30)
    ceiling: timedelta = timedelta(hours=1)
    limit: int = 5


class Policy(Value):
    """What `environments.yaml` says of one environment.

    Args:
        name: the environment's.
        stack: Pulumi's stack.
        reference: branch, or `refs/tags/<pattern>`.
        update: automatic or by approval.
        after: promotion from other environments, or None.
        window: when it may change, or None for always.
        guard: how much may be deleted or replaced without a person.
        on_failure: hold what is there, or go back to the last healthy revision, with or without its data.
        retry: how failures are tried again.
        probe_for: how long a touched service may take until its probe succeeds.
        probe_every: how often the watcher probes each service between passes.
        create_stack: make the stack where the backend has none; otherwise that is an error, since an
            empty stack by mistake would mean everything a second time.
        drift: how drift is looked for, and what happens then.
    """

    name: str
    stack: str
    reference: str
    update: UpdateMode = UpdateMode.AUTOMATIC
    after: Promotion | None = None
    window: Window | None = None
    guard: Guard = Guard()
    on_failure: OnFailure = OnFailure.HOLD
    retry: Retry = Retry()
    probe_for: timedelta = timedelta(seconds=60)
    probe_every: timedelta = timedelta(minutes=1)
    create_stack: bool = False
    drift: DriftPolicy = DriftPolicy()
