"""What is remembered of an environment between passes, and how a pass changes it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from ronron.core.backups import BackupSummary, OwnBackup
from ronron.core.excluded import Excluded
from ronron.core.model import (
    Decision,
    Instant,
    Outcome,
    OutcomeKind,
    ProcessMark,
    Revision,
    Value,
    VerdictKind,
)
from ronron.core.removals import Removal
from ronron.core.way_back import KnownState, WayBack


class Suspension(Value):
    """Somebody asked to leave an environment alone: who, when and why."""

    by: str
    at: Instant
    why: str = ""


class WaitingPlan(Value):
    """A preview that waits for a person: of which revision, under which identity, and why.

    What is forbidden waits for another revision: no approval lifts it.
    """

    revision: Revision
    identity: str
    why: str
    since: Instant
    forbidden: bool = False


class Degraded(Value):
    """A revision that is live on some machines only: which, what it was brought without, and since when."""

    revision: Revision
    excluded: Excluded
    since: Instant

    former_names: ClassVar[Mapping[str, str | None]] = {"left_out": "excluded"}


class Failure(Value):
    """Failed passes in a row, all for one revision.

    Args:
        times: how many.
        at: when the last one ended.
        message: of the last one.
    """

    times: Annotated[int, Field(ge=1)]
    at: Instant
    message: str


class Running(Value):
    """A pass under way, written before its effects: what a crash leaves for the next process to find.

    Args:
        pass_id: its number in the history.
        revision: what it wants.
        owner: our own process.
        engine: the engine's process, once it was started for an update; None before that.
        services: those that the update touches, once it was started: they may be down for a while.
        repair: it puts back what drifted, at the revision that is live.
    """

    pass_id: int
    revision: Revision
    owner: ProcessMark
    engine: ProcessMark | None = None
    services: tuple[str, ...] = ()
    repair: bool = False


_FORMER_FAILURE = frozenset({"failures", "failed_at", "failure"})


class Record(Value):
    """What is remembered of one environment.

    Attempted is not updated: the record has both, and only a finished update moves the second.

    Args:
        version: of this document; another one is refused.
        environment: its name.
        stack: the name of its stack, as the newest pass knew it; None where none has said it.
        suspended: by whom, or None.
        attempted: the revision that the newest pass wanted.
        updated: the revision that the stack was last brought to, and when.
        digest: of what the environment depends on at `updated` or `current`; None where nobody knows what
            is live, or not the same is live everywhere.
        current: the newest revision that is the same as `updated` in all that matters.
        healthy: the last revision whose probes all succeeded, and since when.
        failed: the failed passes in a row for `attempted`; None after one that did not fail.
        stalled: why nothing but a person or a new revision can help, or None.
        waiting: the plan that waits for an approval, or None.
        degraded: the revision that is live but for some machines, or None; `updated` and `current` are then
            of the last one that was live everywhere.
        restored: the revision that a rollback went back to, until another pass updates the stack; or None.
        running: the pass under way, or None.
        interrupted: the last pass did not end; the next one begins without waiting.
        served: number of the last request that was served.
        known_state: the last state in which everything was known to be healthy; None before the first update.
        way_back: the way back from a failed revision that has begun and not ended, or None.
        decision: the last one: what `explain` answers from.
        inventory: the stack output `inventory` after the last pass that read one.
        backups: the last check of the backups, by service; only `Store.save_backups` writes it and `kept`.
        kept: the newest backup of our own records and states, or None.
        removals: the services that a person asked to remove, by name, until they are gone.
        removed: when the environment was found to be no longer in the policy; None while it is there.
    """

    version: Literal[1] = 1
    environment: str
    stack: str | None = None
    suspended: Suspension | None = None
    attempted: Revision | None = None
    attempted_at: Instant | None = None
    updated: Revision | None = None
    updated_at: Instant | None = None
    digest: str | None = None
    current: Revision | None = None
    healthy: Revision | None = None
    healthy_since: Instant | None = None
    failed: Failure | None = None
    stalled: str | None = None
    waiting: WaitingPlan | None = None
    degraded: Degraded | None = None
    restored: Revision | None = None
    running: Running | None = None
    interrupted: bool = False
    served: int = 0
    known_state: KnownState | None = None
    way_back: WayBack | None = None
    decision: Decision | None = None
    inventory: object | None = None
    backups: Mapping[str, BackupSummary] = Field(default_factory=dict)
    kept: OwnBackup | None = None
    removals: Mapping[str, Removal] = Field(default_factory=dict)
    removed: Instant | None = None

    former_names: ClassVar[Mapping[str, str | None]] = {
        "partly": "degraded",
        "held": "waiting",
        "decided_at": None,
    }

    @model_validator(mode="before")
    @classmethod
    def _read_former_failure(cls, document: Any) -> Any:
        """Read the three keys that were one failure each: how often, when, and why."""
        if not isinstance(document, Mapping) or _FORMER_FAILURE.isdisjoint(document):
            return document
        read = {key: value for key, value in document.items() if key not in _FORMER_FAILURE}
        if document.get("failures"):
            times, at, message = (document.get(key) for key in ("failures", "failed_at", "failure"))
            read.setdefault("failed", {"times": times, "at": at, "message": message})
        return read

    @property
    def failures(self) -> int:
        """How many passes in a row have failed for `attempted`."""
        return self.failed.times if self.failed is not None else 0

    @property
    def verified(self) -> bool:
        """Whether what is live was seen healthy and nothing has failed since.

        Without a digest nobody knows what is live: something failed or was stopped half-way.
        """
        known = self.digest is not None and self.failed is None
        return known and self.healthy is not None and self.healthy == self.current

    @property
    def live(self) -> Revision | None:
        """The revision that is live, at least on the reachable machines; None where nobody knows."""
        if self.degraded is not None:
            return self.degraded.revision
        return self.current if self.digest is not None else self.restored

    @property
    def everywhere(self) -> Revision | None:
        """The one revision that is live on every machine, as far as anybody knows."""
        return self.current if self.degraded is None else None

    def deciding(self, decision: Decision) -> Record:
        """The record with a decision noted; the same object where it has that decision already."""
        return self if self.decision == decision else self.with_(decision=decision)

    def attempting(self, running: Running, now: Instant, request: int | None) -> Record:
        """The record as it is written before anything is done: the intent.

        Failures are of one revision, so another revision starts at none.
        """
        same = self.attempted == running.revision
        return self.with_(
            attempted=running.revision,
            attempted_at=now,
            running=running,
            interrupted=False,
            removed=None,
            failed=self.failed if same else None,
            stalled=None,
            waiting=self.waiting if self.waiting and self.waiting.revision == running.revision else None,
            served=self.served if request is None else max(self.served, request),
        )

    def repairing(self, running: Running) -> Record:
        """The record as it is written before drift is put back: what was attempted stays what it was."""
        return self.with_(running=running)

    def after_repair(self) -> Record:
        """The record after drift was put back, or was not: the same revision is live."""
        return self.with_(running=None)

    def adopting(self, revision: Revision, now: Instant) -> Record:
        """The record after a revision that changes nothing that the environment depends on."""
        healthy = self.healthy is not None and self.healthy == self.current
        return self.with_(
            attempted=revision,
            attempted_at=now,
            current=revision,
            healthy=revision if healthy else self.healthy,
            failed=None,
            stalled=None,
            waiting=None,
        )

    def after(self, outcome: Outcome, revision: Revision, digest: str | None, now: Instant) -> Record:
        """The record after a pass for `revision` ended in `outcome` at `now`."""
        restored = self.restored if outcome.kind is OutcomeKind.WAITING or outcome.locked else None
        ended = self.with_(running=None, interrupted=False, restored=restored)
        if outcome.kind is not OutcomeKind.INTERRUPTED:
            # What is left of it is told with the outcome, and only a person knows better.
            ended = ended.with_(way_back=None)
        match outcome.kind:
            case OutcomeKind.UNCHANGED | OutcomeKind.UPDATED:
                return ended._at(revision, digest, now, moved=outcome.kind is OutcomeKind.UPDATED)
            case OutcomeKind.DEGRADED:
                return ended._at_in_part(outcome, revision, now)
            case OutcomeKind.WAITING:
                plan = WaitingPlan(
                    revision=revision,
                    identity=outcome.identity or "",
                    why=outcome.message,
                    since=now,
                    forbidden=outcome.verdict is not None and outcome.verdict.kind is VerdictKind.FORBIDDEN,
                )
                if ended.waiting is not None and ended.waiting.identity == plan.identity:
                    plan = plan.with_(since=ended.waiting.since)
                return ended.with_(waiting=plan, failed=None)
            case OutcomeKind.FAILED | OutcomeKind.ROLLED_BACK:
                # Nobody knows how far it came, so no revision counts as already there. A plan is given up
                # with it: an approved one would otherwise be tried again at once and for ever.
                failed = ended.with_(
                    digest=None,
                    waiting=None,
                    degraded=None,
                    failed=ended._failing(outcome.message, now),
                    stalled=None if outcome.retryable else outcome.message,
                )
                if outcome.kind is OutcomeKind.ROLLED_BACK:
                    # The stack is at the older revision; the wanted one stays what was attempted, so it
                    # is not tried again by itself.
                    return failed.with_(
                        updated=outcome.restored,
                        updated_at=now,
                        current=outcome.restored,
                        restored=outcome.restored,
                    )
                return failed
            case OutcomeKind.INTERRUPTED:
                # Found locked, it did nothing; stopped, it may have come half-way, and then going back to
                # the older revision is work, too.
                return ended.with_(
                    interrupted=True,
                    digest=self.digest if outcome.locked else None,
                    degraded=self.degraded if outcome.locked else None,
                )

    def recovered(self, now: Instant) -> Record:
        """The record after its owner died in the middle of a pass, found by the next process.

        It counts as a failure so that a pass that kills its process is not tried for ever.
        """
        return self.with_(
            running=None,
            interrupted=True,
            digest=None,
            waiting=None,
            degraded=None,
            restored=None,
            failed=self._failing("the process that made the last pass died in the middle of it", now),
        )

    def resumed(self) -> Record:
        """The record after a person asked to go on: no suspension, no stall, no failures."""
        return self.with_(suspended=None, stalled=None, failed=None)

    def _failing(self, message: str, now: Instant) -> Failure:
        return Failure(times=self.failures + 1, at=now, message=message)

    def _at(self, revision: Revision, digest: str | None, now: Instant, *, moved: bool) -> Record:
        # After a failure nobody knew where the stack was; that nothing would change is the proof.
        moved = moved or self.updated is None or self.digest is None
        return self.with_(
            updated=revision if moved else self.updated,
            updated_at=now if moved else self.updated_at,
            digest=digest,
            current=revision,
            healthy=revision,
            healthy_since=now if moved or self.healthy_since is None else self.healthy_since,
            failed=None,
            stalled=None,
            waiting=None,
            degraded=None,
        )

    def _at_in_part(self, outcome: Outcome, revision: Revision, now: Instant) -> Record:
        if outcome.excluded is None:
            raise ValueError("what is degraded has to say what it does without")
        before = self.degraded
        same = before is not None and before.revision == revision
        # What is live differs from machine to machine, so no digest stands for it, nothing counts as healthy
        # everywhere, and the last revision that was whole stays the last one.
        return self.with_(
            digest=None,
            degraded=Degraded(
                revision=revision,
                excluded=outcome.excluded,
                since=before.since if same and before is not None else now,
            ),
            failed=None,
            stalled=None,
            waiting=None,
        )
