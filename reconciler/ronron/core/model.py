"""The nouns: revisions, changes, previews, verdicts, decisions, outcomes. Values only.

The policy of an environment is in `policy.py`, what is remembered between passes in `record.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from ronron.core.containers import MadeContainer
from ronron.core.excluded import Excluded
from ronron.core.failed_containers import FailedContainer
from ronron.core.released import Guarded, Released, RestoredData, UnrestoredData
from ronron.core.urns import name_of, type_of
from ronron.core.value import Commit as Commit
from ronron.core.value import Instant as Instant
from ronron.core.value import Value as Value

SHORT = 12
"""How many characters of a hash a screen shows; values always have all of them."""


class Revision(Value):
    """An immutable point of the source: the reference that was followed and the commit it stood at."""

    reference: str
    commit: Commit

    @property
    def short(self) -> str:
        """For screens only: `main@0123456789ab`."""
        return f"{self.reference}@{self.commit[:SHORT]}"


# -- what the engine would do and did --------------------------------------------------------------


class Operation(StrEnum):
    """Pulumi's step operations, by its own names.

    Source: pulumi sdk/go/common/display/events.go and `pulumi.automation.OpType`, 3.272.
    """

    SAME = "same"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    REPLACE = "replace"
    CREATE_REPLACEMENT = "create-replacement"
    DELETE_REPLACED = "delete-replaced"
    READ = "read"
    READ_REPLACEMENT = "read-replacement"
    REFRESH = "refresh"
    DISCARD = "discard"
    DISCARD_REPLACED = "discard-replaced"
    REMOVE_PENDING_REPLACE = "remove-pending-replace"
    IMPORT = "import"
    IMPORT_REPLACEMENT = "import-replacement"
    UNKNOWN = "unknown"
    """The engine said something that this version does not know: always needs a person."""


QUIET = frozenset({Operation.SAME, Operation.READ, Operation.REFRESH})
"""Operations that touch nothing."""

DELETING = frozenset({Operation.DELETE, Operation.DISCARD})
REPLACING = frozenset(
    {
        Operation.REPLACE,
        Operation.CREATE_REPLACEMENT,
        Operation.DELETE_REPLACED,
        Operation.READ_REPLACEMENT,
        Operation.DISCARD_REPLACED,
        Operation.IMPORT_REPLACEMENT,
        Operation.REMOVE_PENDING_REPLACE,
    }
)


class Change(Value):
    """One step of a preview or an update.

    Args:
        urn: the resource's URN, `urn:pulumi:<stack>::<project>::<types>::<name>`.
        operation: what happens to it.
        ancestors: URNs of its parents, nearest first; the stack itself is left out.
        custom: false for components, which are only a name for their children.
        properties: names of the inputs that differ, camelCase as Pulumi has them; never their values.
        original: the operation's own word where it is one that we do not know.
        retained: it stays in the world when it leaves the state.
    """

    urn: str
    operation: Operation
    ancestors: tuple[str, ...] = ()
    custom: bool = True
    properties: tuple[str, ...] = ()
    original: str = ""
    retained: bool = False

    @property
    def name(self) -> str:
        """The resource's logical name."""
        return name_of(self.urn)

    @property
    def type(self) -> str:
        """The resource's own type token, such as `docker:index/container:Container`."""
        return type_of(self.urn)


class Preview(Value):
    """Pulumi's computed changes for one revision and stack; no effect was made.

    Args:
        changes: every step, quiet ones too, in the engine's order.
        plan: the saved plan that an update has to keep to; None where the engine cannot save one.
        identity: what an approval is bound to; see `digest.identity`.
        messages: warnings and errors of the program and the engine, redacted.
    """

    changes: tuple[Change, ...]
    plan: Path | None = None
    identity: str
    messages: tuple[str, ...] = ()

    @property
    def touching(self) -> tuple[Change, ...]:
        """The changes that are not quiet."""
        return tuple(change for change in self.changes if change.operation not in QUIET)


class Updated(Value):
    """What an update did, read from its events and the state it left.

    Args:
        changes: the steps that were carried out.
        inventory: the stack output `inventory` as the program gave it; None for a project without one.
        messages: warnings of the program and the engine, redacted.
        containers: that the stack has after it; None where the state could not be read.
    """

    changes: tuple[Change, ...]
    inventory: object | None = None
    messages: tuple[str, ...] = ()
    containers: tuple[MadeContainer, ...] | None = None


class ProcessMark(Value):
    """Enough to say for certain whether a process that we started is still the same one.

    Args:
        host: its machine's name.
        boot: the kernel's boot id: pids of another boot say nothing.
        pid: process id, which is also its process group.
        started: clock ticks since boot at which it began (field 22 of /proc/<pid>/stat).
    """

    host: str
    boot: str
    pid: int
    started: int


class StackState(Value):
    """The state of a stack in the backend.

    Args:
        exists: whether the stack is there at all.
        pending: operations that an update began and never ended, as `creating <urn>`.
        inventory: the stack output `inventory`, or None.
        guarded: the resources that the engine does not delete without further ado, in the state's order.
        containers: Docker containers of the stack.
    """

    exists: bool
    pending: tuple[str, ...] = ()
    inventory: object | None = None
    guarded: tuple[Guarded, ...] = ()
    containers: tuple[MadeContainer, ...] = ()

    @property
    def pending_creates(self) -> tuple[str, ...]:
        """URNs that may or may not exist in the world."""
        return tuple(line.partition(" ")[2] for line in self.pending if line.startswith("creating "))


# -- what we think of it ---------------------------------------------------------------------------


class VerdictKind(StrEnum):
    """What `judge` says of a preview."""

    UNCHANGED = "unchanged"
    ALLOWED = "allowed"
    NEEDS_APPROVAL = "needs approval"
    FORBIDDEN = "forbidden"


class Verdict(Value):
    """The output of `judge`, with the changes that caused it and one sentence that says why."""

    kind: VerdictKind
    why: str
    causes: tuple[Change, ...] = ()


class Step(StrEnum):
    """What a decision asks the pass to do."""

    WAIT = "wait"
    """Do nothing now; the decision says when to poll again."""
    ADOPT = "adopt"
    """Record the revision as current without starting the engine."""
    PREVIEW = "preview"
    """Go on with the pass."""


class Reason(StrEnum):
    """Why a decision is what it is; each belongs to exactly one step (`STEP_OF`)."""

    SUSPENDED = "suspended"
    REQUESTED = "requested"
    NEVER_UPDATED = "never updated"
    INTERRUPTED = "interrupted"
    STALLED = "stalled"
    WAITING_FOR_APPROVAL = "waiting for approval"
    APPROVED = "approved"
    NOT_PROMOTED = "not promoted yet"
    OUTSIDE_WINDOW = "outside its window"
    BACKING_OFF = "backing off"
    GAVE_UP = "gave up"
    RETRY = "retry"
    NEW_REVISION = "new revision"
    DRIFT = "drift"
    DEGRADED = "degraded"
    MACHINE_REACHABLE = "a machine is reachable again"
    NOTHING_RELEVANT = "nothing relevant changed"
    UP_TO_DATE = "up to date"

    @classmethod
    def _missing_(cls, value: object) -> Reason | None:
        return _FORMER_REASONS.get(value)


_FORMER_REASONS: dict[object, Reason] = {
    "partly live": Reason.DEGRADED,
    "cooling down": Reason.BACKING_OFF,
    "a machine answers again": Reason.MACHINE_REACHABLE,
}
"""Words of earlier releases, as stored records and passes have them."""


STEP_OF: dict[Reason, Step] = {
    Reason.SUSPENDED: Step.WAIT,
    Reason.REQUESTED: Step.PREVIEW,
    Reason.NEVER_UPDATED: Step.PREVIEW,
    Reason.INTERRUPTED: Step.PREVIEW,
    Reason.STALLED: Step.WAIT,
    Reason.WAITING_FOR_APPROVAL: Step.WAIT,
    Reason.APPROVED: Step.PREVIEW,
    Reason.NOT_PROMOTED: Step.WAIT,
    Reason.OUTSIDE_WINDOW: Step.WAIT,
    Reason.BACKING_OFF: Step.WAIT,
    Reason.GAVE_UP: Step.WAIT,
    Reason.RETRY: Step.PREVIEW,
    Reason.NEW_REVISION: Step.PREVIEW,
    Reason.DRIFT: Step.PREVIEW,
    Reason.DEGRADED: Step.WAIT,
    Reason.MACHINE_REACHABLE: Step.PREVIEW,
    Reason.NOTHING_RELEVANT: Step.ADOPT,
    Reason.UP_TO_DATE: Step.WAIT,
}


class Decision(Value):
    """The output of `decide`.

    Args:
        reason: the rule that applied.
        why: the reason in one sentence, with its facts.
        poll_again_at: when time alone can change the decision; None means at the next poll.
    """

    reason: Reason
    why: str
    poll_again_at: Instant | None = None

    former_names: ClassVar[Mapping[str, str | None]] = {"look_again": "poll_again_at"}

    @property
    def step(self) -> Step:
        """What the pass does."""
        return STEP_OF[self.reason]


class OutcomeKind(StrEnum):
    """What one pass did."""

    UNCHANGED = "unchanged"
    UPDATED = "updated"
    DEGRADED = "degraded"
    """Updated, except on unreachable machines."""
    WAITING = "waiting"
    """For a person: for an approval, or for another revision where the plan is forbidden."""
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    ROLLED_BACK = "rolled back"

    @classmethod
    def _missing_(cls, value: object) -> OutcomeKind | None:
        return _FORMER_OUTCOMES.get(value)


_FORMER_OUTCOMES: dict[object, OutcomeKind] = {
    "partly live": OutcomeKind.DEGRADED,
    "held": OutcomeKind.WAITING,
}
"""Words of earlier releases, as stored passes have them."""


class ProbeResult(Value):
    """Whether one service did its work, seen through its public URL.

    Args:
        service: its name in the inventory.
        url: what was asked.
        healthy: whether the answer was the one that the inventory declares.
        detail: status and time, or what was wrong; one line.
        status: HTTP status of the answer; None where there was no answer.
        seconds: from the request to the end of the answer; None where there was no answer.
    """

    service: str
    url: str
    healthy: bool
    detail: str
    status: int | None = None
    seconds: float | None = None


class TakenSnapshot(Value):
    """A snapshot that was taken before an update: of which service, and its id in full."""

    service: str
    id: str


class Outcome(Value):
    """What one pass did, for the record, the history and the people.

    Args:
        kind: in one word.
        message: in one sentence.
        hint: what a person should do; empty where there is nothing to do.
        verdict: of the preview, where there was one.
        identity: of the previewed plan, where there was one: what an approval would name.
        changes: the touching changes: previewed ones when waiting, carried-out ones otherwise.
        probes: one for each touched service.
        retryable: whether trying the same revision again can help.
        locked: another live process works on the stack; nothing was done and nothing counts as a failure.
        adopted: the engine was not started: the revision changes nothing the environment depends on.
        restored: the revision that a rollback went back to.
        snapshots: of the touched services, taken before anything was changed.
        excluded: unreachable machines that the update skipped, and their services; None for none.
        failed_changes: the changes of an update that failed.
        containers: why containers failed.
        cause: the whole message of the failure that a rollback followed; empty without one.
        released: what a failed revision had added, and the way back left in the world, out of the state.
        unrestored: services whose code went back, and whose data may have been migrated and did not.
        restored_data: services whose data went back, too.
        held: services without a container, because their data were lost: a person restores or accepts.
    """

    kind: OutcomeKind
    message: str
    hint: str = ""
    verdict: Verdict | None = None
    identity: str | None = None
    changes: tuple[Change, ...] = ()
    probes: tuple[ProbeResult, ...] = ()
    retryable: bool = False
    locked: bool = False
    adopted: bool = False
    restored: Revision | None = None
    snapshots: tuple[TakenSnapshot, ...] = ()
    excluded: Excluded | None = None
    failed_changes: tuple[Change, ...] = ()
    containers: tuple[FailedContainer, ...] = ()
    cause: str = ""
    released: tuple[Released, ...] = ()
    unrestored: tuple[UnrestoredData, ...] = ()
    restored_data: tuple[RestoredData, ...] = ()
    held: tuple[str, ...] = ()

    former_names: ClassVar[Mapping[str, str | None]] = {"left_out": "excluded", "busy": "locked"}


class Pass(Value):
    """One trip through the loop for one environment, as the history keeps it.

    Args:
        id: number in the history; 0 for one that was not recorded.
        environment: its name.
        revision: what was wanted.
        decision: why it was made.
        started, finished: UTC; finished is None while it runs or after its process died.
        outcome: None until finished.
    """

    id: int = 0
    environment: str
    revision: Revision
    decision: Decision
    started: Instant
    finished: Instant | None = None
    outcome: Outcome | None = None


class Request(Value):
    """A manual ask for a pass, served once.

    Args:
        id: rising number; a record remembers the last one served.
        environment: its name.
        by: who asked, for the history.
        at: when.
    """

    id: int
    environment: str
    by: str
    at: Instant
