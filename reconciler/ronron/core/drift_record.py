"""What is remembered of the containers of one environment between looks."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from ronron.core.containers import MadeContainer
from ronron.core.drift import Drift
from ronron.core.value import Instant, Value


class Baseline(Value):
    """The settings of a container as an update made it.

    Args:
        modified: of the resource, see `MadeContainer`: an update in place makes a new baseline.
        settings: see `container_settings`.
    """

    modified: str
    settings: Mapping[str, str]


class PutBack(Value):
    """One time at which a container was put back: when, and from what kind of drift."""

    key: str
    at: Instant
    signature: str


class Unknown(Value):
    """A machine of which nothing is known: why, and since when."""

    why: str
    since: Instant


class FailedRepair(Value):
    """Failed tries in a row to put containers back: how many, when the last one ended, and why."""

    times: int = Field(ge=1)
    at: Instant
    message: str


class WaitingRepair(Value):
    """A plan that puts containers back and waits for a person.

    Args:
        identity: what an approval names.
        why: it waits.
        since: when it was proposed.
        about: keys and signatures of what it puts back: for other drift, another plan is proposed.
        forbidden: no approval lifts it.
    """

    identity: str
    why: str
    since: Instant
    about: tuple[str, ...]
    forbidden: bool = False


class DriftRecord(Value):
    """What is remembered of the containers of one environment between looks.

    Args:
        environment: its name.
        version: rises with each write, so that no write of an older copy replaces a newer one.
        made: the containers that the state of the stack names, as it was last read.
        baselines: by id of the container.
        restarts: by id: the count at the last look.
        open: what differs now, by name of the container.
        unknown: the unreachable machines, by name.
        put_back: when containers were put back, within `repairs.WITHIN`.
        stalled: by key: why a container is not put back any more, until a person says so.
        failed: the failed tries to put something back, or None.
        waiting: the plan that waits for a person, or None.
        looked_at: when everything was compared last; None for never.
    """

    environment: str
    version: int = 0
    made: tuple[MadeContainer, ...] = ()
    baselines: Mapping[str, Baseline] = {}
    restarts: Mapping[str, int] = {}
    open: tuple[Drift, ...] = ()
    unknown: Mapping[str, Unknown] = {}
    put_back: tuple[PutBack, ...] = ()
    stalled: Mapping[str, str] = {}
    failed: FailedRepair | None = None
    waiting: WaitingRepair | None = None
    looked_at: Instant | None = None

    def resumed(self) -> DriftRecord:
        """The record after a person asked to go on."""
        return self.with_(put_back=(), stalled={}, failed=None)
