"""How one container differs from what an update made, as a value and in words."""

from __future__ import annotations

from enum import StrEnum

from ronron.core.container_settings import Difference
from ronron.core.value import Instant, Value

_SHOWN = 6


class DriftKind(StrEnum):
    """How a container differs from what was made."""

    MISSING = "missing"
    STOPPED = "stopped"
    CRASH_LOOPING = "crash-looping"
    UNHEALTHY = "unhealthy"
    REPLACED = "replaced by hand"
    EDITED = "edited by hand"
    VOLUME_MISSING = "without its volume"


BROKEN = frozenset({DriftKind.MISSING, DriftKind.STOPPED, DriftKind.CRASH_LOOPING, DriftKind.UNHEALTHY})
"""The service does not do its work, so that no snapshot of it may be possible."""


class Drift(Value):
    """One container that differs from what was made.

    Args:
        container, machine: names.
        urn: of its resource.
        service: name of the service that it belongs to; empty for one of none, such as the edge.
        kind: how it differs.
        id: of the container that is there now; empty for none.
        detail: the facts in a few words, such as `exit code 137`; empty where the kind says all.
        differences: the settings that differ.
        since: when it was seen first.
        held: why it is not put back without a person; empty where it may be.
        own_volumes: it has data that goes with it, so nothing but its removal makes it again.
        lost: what it needs and what is gone too, such as `network pad`.
    """

    container: str
    machine: str
    urn: str
    kind: DriftKind
    since: Instant
    service: str = ""
    id: str = ""
    detail: str = ""
    differences: tuple[Difference, ...] = ()
    held: str = ""
    own_volumes: bool = False
    lost: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """As `MadeContainer.key`."""
        return f"{self.container} on {self.machine}"

    @property
    def now(self) -> str:
        """What it is now, in a few words."""
        return f"{self.kind} ({self.detail})" if self.detail else self.kind.value

    @property
    def brief(self) -> str:
        """Its name and what it is now, for a list: `pad on here (stopped, exit code 137)`."""
        return f"{self.key} ({', '.join(part for part in (self.kind, self.detail) if part)})"

    @property
    def was(self) -> str:
        """What was made, in a few words."""
        return {
            DriftKind.UNHEALTHY: "healthy",
            DriftKind.REPLACED: "the container that the update made",
            DriftKind.EDITED: "as the update made it",
            DriftKind.VOLUME_MISSING: "running with its volume",
        }.get(self.kind, "running")

    @property
    def sentence(self) -> str:
        """One line: `pad-app on here is stopped (exit code 137)`."""
        word = "is" if self.kind not in {DriftKind.REPLACED, DriftKind.EDITED} else "was"
        shown = [str(one) for one in self.differences[:_SHOWN]]
        more = len(self.differences) - len(shown)
        texts = "; ".join(shown) + (f" and {more} more" if more else "")
        return f"{self.key} {word} {self.now}" + (f": {texts}" if texts else "")

    @property
    def signature(self) -> str:
        """The same for the same kind of drift of the same container, however often it comes back."""
        return " ".join((self.kind, *(f"{one.setting}={one.now}" for one in self.differences)))
