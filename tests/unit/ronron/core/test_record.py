"""What is remembered between passes: each transition, and what holds whatever happens."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pydantic import ValidationError

from ronron.core.decide import Observed, decide
from ronron.core.model import (
    Decision,
    Outcome,
    OutcomeKind,
    Reason,
    Request,
    Revision,
    Step,
    Verdict,
    VerdictKind,
)
from ronron.core.record import Failure, Record, Running, WaitingPlan
from ronron.testing import NOON
from tests.support.values import (
    DEGRADED,
    EXCLUDED,
    FAILED,
    FAILURE,
    FRESH,
    HOUR,
    MINUTE,
    NEW,
    NEW_DIGEST,
    OLD,
    OLD_DIGEST,
    OTHER_PLAN,
    OURS,
    PLAN,
    PRODUCTION,
    RUNNING,
    SUSPENSION,
    SYNCED,
    UPDATED,
    WAITING_PLAN,
)

LATER = NOON + MINUTE
NEWEST = Revision(reference="main", commit="3" * 40)

UNCHANGED = Outcome(kind=OutcomeKind.UNCHANGED, message="nothing would change")
BROKEN = Outcome(kind=OutcomeKind.FAILED, message="the pad is down", retryable=True)
HOPELESS = Outcome(kind=OutcomeKind.FAILED, message="the passphrase is wrong", hint="set it")
STOPPED = Outcome(kind=OutcomeKind.INTERRUPTED, message="stopped", retryable=True)
LOCKED = STOPPED.with_(locked=True)
ROLLED_BACK = Outcome(kind=OutcomeKind.ROLLED_BACK, message="the pad is down; went back", restored=OLD)
IN_PART = Outcome(kind=OutcomeKind.DEGRADED, message="main@2e3000000000 is degraded", excluded=EXCLUDED)
HOLDING = Outcome(
    kind=OutcomeKind.WAITING,
    message="it would delete 1 resource",
    verdict=Verdict(kind=VerdictKind.NEEDS_APPROVAL, why="it would delete 1 resource"),
    identity=PLAN,
)
FORBIDDEN = HOLDING.with_(verdict=Verdict(kind=VerdictKind.FORBIDDEN, why="it would delete everything"))

INTENT = SYNCED.attempting(RUNNING, NOON, None)
"""An attempt at `NEW` where `OLD` is live."""


# -- the intent --------------------------------------------------------------------------------------------


def decided(desired: Revision, digest: str, record: Record, now: datetime) -> Decision:
    return decide(Observed(desired=desired, digest=digest, record=record, policy=PRODUCTION, now=now))


def test_an_intent_says_what_is_wanted_and_leaves_what_is_live() -> None:
    assert SYNCED.attempting(RUNNING, NOON, None) == SYNCED.with_(
        attempted=NEW, attempted_at=NOON, running=RUNNING
    )


def test_another_revision_starts_without_failures() -> None:
    running = RUNNING.with_(revision=NEWEST)
    intent = FAILED.with_(failed=FAILURE.with_(times=3)).attempting(running, LATER, None)
    assert intent.failed is None


def test_the_same_revision_keeps_its_failures() -> None:
    intent = FAILED.with_(failed=FAILURE.with_(times=3)).attempting(RUNNING, LATER, None)
    assert intent.failed == Failure(times=3, at=NOON, message="the pad is down")


def test_an_intent_ends_a_stall_and_an_interruption() -> None:
    intent = FAILED.with_(stalled="no", interrupted=True).attempting(RUNNING, LATER, None)
    assert (intent.stalled, intent.interrupted) == (None, False)


def test_a_held_plan_lasts_as_long_as_its_revision_is_wanted() -> None:
    waiting = SYNCED.with_(attempted=NEW, waiting=WAITING_PLAN)
    assert waiting.attempting(RUNNING, LATER, None).waiting == WAITING_PLAN
    assert waiting.attempting(RUNNING.with_(revision=NEWEST), LATER, None).waiting is None


@pytest.mark.parametrize(("request_id", "served"), [(None, 7), (6, 7), (7, 7), (8, 8)])
def test_a_request_is_served_once_and_the_number_never_falls(request_id: int | None, served: int) -> None:
    assert SYNCED.with_(served=7).attempting(RUNNING, LATER, request_id).served == served


# -- the end of a pass -------------------------------------------------------------------------------------


def test_an_update_moves_everything() -> None:
    assert INTENT.after(UPDATED, NEW, NEW_DIGEST, LATER) == SYNCED.with_(
        attempted=NEW,
        attempted_at=NOON,
        updated=NEW,
        updated_at=LATER,
        digest=NEW_DIGEST,
        current=NEW,
        healthy=NEW,
        healthy_since=LATER,
    )


def test_an_update_ends_all_trouble() -> None:
    trouble = FAILED.with_(stalled="no", waiting=WAITING_PLAN, interrupted=True, running=RUNNING)
    after = trouble.after(UPDATED, NEW, NEW_DIGEST, LATER)
    assert after.failed is None
    assert (after.stalled, after.waiting, after.interrupted, after.running) == (None, None, False, None)
    assert after.verified


def test_where_nothing_would_change_the_last_update_stays_the_last() -> None:
    after = INTENT.after(UNCHANGED, NEW, NEW_DIGEST, LATER)
    assert (after.updated, after.updated_at) == (OLD, NOON - HOUR)
    assert (after.current, after.healthy, after.digest) == (NEW, NEW, NEW_DIGEST)
    assert after.healthy_since == NOON - HOUR


@pytest.mark.parametrize("before", [FRESH, FAILED], ids=["never updated", "failed before"])
def test_that_nothing_would_change_is_proof_where_nobody_knew(before: Record) -> None:
    after = before.attempting(RUNNING, NOON, None).after(UNCHANGED, NEW, NEW_DIGEST, LATER)
    assert (after.updated, after.updated_at, after.healthy_since) == (NEW, LATER, LATER)
    assert after.verified


def test_a_held_plan_is_kept_and_moves_nothing() -> None:
    after = INTENT.after(HOLDING, NEW, NEW_DIGEST, LATER)
    waiting = WaitingPlan(revision=NEW, identity=PLAN, why="it would delete 1 resource", since=LATER)
    assert after == SYNCED.with_(attempted=NEW, attempted_at=NOON, waiting=waiting)


def test_the_same_plan_is_held_since_it_was_first_seen() -> None:
    again = INTENT.with_(waiting=WAITING_PLAN)
    assert again.after(HOLDING, NEW, NEW_DIGEST, LATER).waiting == WAITING_PLAN
    other = again.after(HOLDING.with_(identity=OTHER_PLAN), NEW, NEW_DIGEST, LATER).waiting
    assert other is not None
    assert (other.identity, other.since) == (OTHER_PLAN, LATER)


def test_what_is_forbidden_is_held_as_forbidden() -> None:
    waiting = INTENT.after(FORBIDDEN, NEW, NEW_DIGEST, LATER).waiting
    assert waiting is not None
    assert waiting.forbidden


def test_a_held_plan_ends_failures_and_leaves_unknown_what_was_unknown() -> None:
    after = FAILED.attempting(RUNNING, NOON, None).after(HOLDING, NEW, NEW_DIGEST, LATER)
    assert (after.failed, after.digest) == (None, None)
    assert not after.verified


def test_a_failure_is_counted_and_is_never_an_update() -> None:
    assert INTENT.with_(waiting=WAITING_PLAN).after(BROKEN, NEW, NEW_DIGEST, LATER) == SYNCED.with_(
        attempted=NEW,
        attempted_at=NOON,
        digest=None,
        failed=Failure(times=1, at=LATER, message="the pad is down"),
    )


def test_failures_add_up() -> None:
    record = INTENT
    for count in range(1, 4):
        record = record.after(BROKEN, NEW, NEW_DIGEST, LATER)
        assert record.failures == count


def test_a_failure_that_time_cannot_mend_stalls() -> None:
    assert INTENT.after(HOPELESS, NEW, NEW_DIGEST, LATER).stalled == "the passphrase is wrong"


def test_after_a_rollback_the_older_revision_is_live_and_the_newer_is_not_tried_again() -> None:
    after = INTENT.after(ROLLED_BACK, NEW, NEW_DIGEST, LATER)
    assert (after.attempted, after.updated, after.updated_at, after.current) == (NEW, OLD, LATER, OLD)
    assert (after.failures, after.digest, after.stalled) == (1, None, ROLLED_BACK.message)
    assert not after.verified
    assert decided(NEW, NEW_DIGEST, after, LATER + 1000 * HOUR).reason is Reason.STALLED


def test_what_is_degraded_is_remembered_beside_what_was_live_everywhere() -> None:
    after = INTENT.after(IN_PART, NEW, NEW_DIGEST, LATER)
    assert after == SYNCED.with_(
        attempted=NEW, attempted_at=NOON, digest=None, degraded=DEGRADED.with_(since=LATER)
    )
    assert not after.verified
    assert (after.everywhere, SYNCED.everywhere) == (None, OLD)


def test_it_is_degraded_since_it_first_was() -> None:
    once = INTENT.after(IN_PART, NEW, NEW_DIGEST, NOON)
    fewer = EXCLUDED.with_(machines={"pica02": "no route to host"}, services=("pad",))
    again = once.attempting(RUNNING, LATER, None).after(IN_PART.with_(excluded=fewer), NEW, NEW_DIGEST, LATER)
    assert again.degraded == DEGRADED.with_(excluded=fewer)


@pytest.mark.parametrize("outcome", [UPDATED, UNCHANGED], ids=["updated", "unchanged"])
def test_what_was_degraded_becomes_whole(outcome: Outcome) -> None:
    degraded = INTENT.after(IN_PART, NEW, NEW_DIGEST, NOON)
    whole = degraded.attempting(RUNNING, LATER, None).after(outcome, NEW, NEW_DIGEST, LATER)
    assert (whole.degraded, whole.updated, whole.current, whole.healthy) == (None, NEW, NEW, NEW)
    assert whole.verified


@pytest.mark.parametrize("outcome", [BROKEN, ROLLED_BACK, STOPPED], ids=["failed", "rolled back", "stopped"])
def test_after_trouble_nobody_knows_what_is_degraded(outcome: Outcome) -> None:
    degraded = INTENT.after(IN_PART, NEW, NEW_DIGEST, NOON).attempting(RUNNING, LATER, None)
    assert degraded.degraded == DEGRADED
    assert degraded.after(outcome, NEW, NEW_DIGEST, LATER).degraded is None
    assert degraded.recovered(LATER).degraded is None


def test_what_is_held_or_found_busy_leaves_degraded_what_is() -> None:
    degraded = INTENT.after(IN_PART, NEW, NEW_DIGEST, NOON).attempting(RUNNING, LATER, None)
    assert degraded.after(HOLDING, NEW, NEW_DIGEST, LATER).degraded == DEGRADED
    assert degraded.after(LOCKED, NEW, NEW_DIGEST, LATER).degraded == DEGRADED


def test_what_is_degraded_has_to_say_without_what() -> None:
    with pytest.raises(ValueError, match="without"):
        INTENT.after(IN_PART.with_(excluded=None), NEW, NEW_DIGEST, LATER)


def test_a_pass_that_was_stopped_goes_on_and_may_have_come_half_way() -> None:
    after = INTENT.after(STOPPED, NEW, NEW_DIGEST, LATER)
    assert after == SYNCED.with_(attempted=NEW, attempted_at=NOON, interrupted=True, digest=None)
    assert not after.verified


def test_a_pass_that_found_the_stack_busy_did_nothing() -> None:
    after = INTENT.after(LOCKED, NEW, NEW_DIGEST, LATER)
    assert after == SYNCED.with_(attempted=NEW, attempted_at=NOON, interrupted=True)


def test_going_back_from_a_stopped_and_then_held_update_is_work() -> None:
    """The stack is half-way to the newer revision, so the older one is not simply live."""
    stopped = INTENT.after(STOPPED, NEW, NEW_DIGEST, LATER)
    waiting = stopped.attempting(RUNNING, LATER, None).after(HOLDING, NEW, NEW_DIGEST, LATER)
    assert decided(OLD, OLD_DIGEST, waiting, LATER).step is Step.PREVIEW


# -- the short ways ----------------------------------------------------------------------------------------


def test_an_adopted_revision_is_live_and_as_healthy_as_the_one_before() -> None:
    after = SYNCED.adopting(NEW, LATER)
    assert after == SYNCED.with_(attempted=NEW, attempted_at=LATER, current=NEW, healthy=NEW)
    assert after.verified


def test_an_adopted_revision_is_not_healthier_than_the_one_before() -> None:
    sick = SYNCED.with_(healthy=NEWEST)
    after = sick.adopting(NEW, LATER)
    assert after.healthy == NEWEST
    assert not after.verified


def test_an_adopted_revision_ends_the_trouble_with_another() -> None:
    trouble = FAILED.with_(digest=OLD_DIGEST, stalled="no", waiting=WAITING_PLAN)
    after = trouble.adopting(NEWEST, LATER)
    assert after.failed is None
    assert (after.stalled, after.waiting) == (None, None)


def test_a_decision_is_noted_once() -> None:
    first = Decision(reason=Reason.UP_TO_DATE, why="main@01d000000000 is live")
    noted = SYNCED.deciding(first)
    assert noted == SYNCED.with_(decision=first)
    assert noted.deciding(first) is noted
    another = first.with_(why="it is another one")
    assert noted.deciding(another) == SYNCED.with_(decision=another)


def test_a_pass_whose_process_died_counts_as_a_failure() -> None:
    after = INTENT.with_(waiting=WAITING_PLAN).recovered(LATER)
    assert (after.running, after.interrupted, after.digest, after.waiting) == (None, True, None, None)
    died = "the process that made the last pass died in the middle of it"
    assert after.failed == Failure(times=1, at=LATER, message=died)
    assert (after.attempted, after.updated, after.current) == (NEW, OLD, OLD)


def test_going_on_forgets_the_trouble_and_not_the_work() -> None:
    trouble = FAILED.with_(
        suspended=SUSPENSION, stalled="no", interrupted=True, waiting=WAITING_PLAN, served=3
    )
    assert trouble.resumed() == SYNCED.with_(
        attempted=NEW, attempted_at=NOON, digest=None, interrupted=True, waiting=WAITING_PLAN, served=3
    )


# -- health ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "verified"),
    [
        pytest.param(FRESH, False, id="never updated"),
        pytest.param(SYNCED, True, id="healthy"),
        pytest.param(SYNCED.with_(failed=FAILURE), False, id="failing"),
        pytest.param(SYNCED.with_(current=NEW), False, id="another one is live"),
        pytest.param(SYNCED.with_(digest=None), False, id="half-way"),
    ],
)
def test_what_is_live_is_verified_when_it_was_seen_healthy(record: Record, verified: bool) -> None:
    assert record.verified is verified


# -- the document ------------------------------------------------------------------------------------------


def test_a_record_comes_back_from_its_document() -> None:
    full = INTENT.with_(
        waiting=WAITING_PLAN,
        degraded=DEGRADED,
        suspended=SUSPENSION,
        inventory={"version": 1},
        failed=FAILURE.with_(times=2),
    )
    assert Record.model_validate_json(full.model_dump_json()) == full


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": 2},
        {"version": 0},
        {"version": None},
        {"colour": "blue"},
        {"attempted_at": "2026-11-25T12:00:00"},
        {"attempted": {"reference": "main", "commit": "0123456"}},
    ],
)
def test_a_record_that_is_not_one_of_ours_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Record.model_validate({"environment": "production", **wrong})


# -- whatever happens --------------------------------------------------------------------------------------

outcomes = st.sampled_from(
    [
        UPDATED,
        UNCHANGED,
        BROKEN,
        HOPELESS,
        STOPPED,
        LOCKED,
        HOLDING,
        FORBIDDEN,
        HOLDING.with_(identity=OTHER_PLAN),
        IN_PART,
    ]
)
DIGESTS = {OLD: OLD_DIGEST, NEW: NEW_DIGEST, NEWEST: NEW_DIGEST}
"""The newest changes nothing that the environment depends on, compared with the one before."""


class Life(RuleBasedStateMachine):
    """Passes as `reconcile` makes them, over a world that is only a set of revisions that it may be at."""

    @initialize()
    def begin(self) -> None:
        self.record = FRESH
        self.now = NOON
        self.desired = OLD
        self.asked = 0
        self.world: set[str] = set()
        self.healthy_once: set[str] = set()

    @property
    def request(self) -> Request | None:
        return Request(id=self.asked, environment="production", by="ada", at=NOON) if self.asked else None

    @rule(minutes=st.integers(0, 90))
    def time_passes(self, minutes: int) -> None:
        self.now += minutes * MINUTE

    @rule(revision=st.sampled_from([OLD, NEW, NEWEST]))
    def somebody_pushes(self, revision: Revision) -> None:
        self.desired = revision

    @rule()
    def somebody_asks(self) -> None:
        self.asked += 1

    @rule()
    def somebody_resumes(self) -> None:
        self.record = self.record.resumed()

    @rule()
    def somebody_suspends(self) -> None:
        self.record = self.record.with_(suspended=SUSPENSION)

    @precondition(lambda self: self.record.running is None)
    @rule(
        outcome=outcomes,
        approvals=st.frozensets(st.sampled_from([PLAN, OTHER_PLAN])),
        unreachable=st.frozensets(st.sampled_from(sorted(EXCLUDED.machines))),
        dies=st.booleans(),
    )
    def a_pass(
        self, outcome: Outcome, approvals: frozenset[str], unreachable: frozenset[str], dies: bool
    ) -> None:
        digest = DIGESTS[self.desired]
        before = self.record
        decision = decide(
            Observed(
                desired=self.desired,
                digest=digest,
                record=before,
                policy=PRODUCTION,
                now=self.now,
                request=self.request,
                approvals=approvals,
                unreachable=unreachable,
            )
        )
        noted = before.deciding(decision)
        match decision.step:
            case Step.WAIT:
                if decision.reason is Reason.UP_TO_DATE:
                    assert self.world == {digest}
                self.record = noted
            case Step.ADOPT:
                assert self.world == {digest}
                self.record = noted.adopting(self.desired, self.now)
            case Step.PREVIEW:
                running = Running(pass_id=1, revision=self.desired, owner=OURS)
                self.record = noted.attempting(running, self.now, self.asked or None)
                assert self.record.served == self.asked
                self._effect(outcome, digest)
                if not dies:
                    self._ends(outcome, digest)

    def _effect(self, outcome: Outcome, digest: str) -> None:
        if outcome.kind in {OutcomeKind.UPDATED, OutcomeKind.UNCHANGED}:
            self.world = {digest}
        elif outcome.kind in {OutcomeKind.FAILED, OutcomeKind.DEGRADED} or (
            outcome.kind is OutcomeKind.INTERRUPTED and not outcome.locked
        ):
            self.world = self.world | {digest, "half-way"}

    def _ends(self, outcome: Outcome, digest: str) -> None:
        before = self.record
        healthy = before.healthy
        if outcome is BROKEN and healthy is not None and healthy.commit != self.desired.commit:
            outcome = ROLLED_BACK.with_(restored=healthy)
            self.world = {DIGESTS[healthy]}
        self.record = before.after(outcome, self.desired, digest, self.now)
        if outcome.kind in {OutcomeKind.UPDATED, OutcomeKind.UNCHANGED}:
            self.healthy_once.add(digest)
            assert self.record.verified
        else:
            assert self.record.healthy == before.healthy
            assert self.record.updated in {before.updated, outcome.restored}

    @precondition(lambda self: self.record.running is not None)
    @rule()
    def the_next_process_finds_it(self) -> None:
        failures = self.record.failures
        self.record = self.record.recovered(self.now)
        assert self.record.failures == failures + 1

    @invariant()
    def a_digest_is_only_claimed_where_the_world_is_known(self) -> None:
        if self.record.digest is not None and self.record.running is None:
            assert self.world == {self.record.digest}

    @invariant()
    def only_what_was_seen_healthy_is_called_so(self) -> None:
        if self.record.healthy is not None:
            assert DIGESTS[self.record.healthy] in self.healthy_once
            assert self.record.healthy_since is not None

    @invariant()
    def a_failure_has_a_count_and_lies_in_the_past(self) -> None:
        record = self.record
        assert (record.failures > 0) is (record.failed is not None)
        assert record.failed is None or record.failed.at <= self.now

    @invariant()
    def what_waits_and_what_stalls_is_the_attempt(self) -> None:
        record = self.record
        if record.waiting is not None:
            assert record.waiting.revision == record.attempted
        if record.running is not None:
            assert record.running.revision == record.attempted
            assert (record.stalled, record.interrupted) == (None, False)
        assert not (record.waiting is not None and record.stalled is not None)

    @invariant()
    def what_is_degraded_is_whole_nowhere(self) -> None:
        if self.record.degraded is not None:
            assert (self.record.digest, self.record.verified, self.record.failures) == (None, False, 0)

    @invariant()
    def what_is_live_was_updated_once(self) -> None:
        assert (self.record.current is None) is (self.record.updated is None)
        assert (self.record.updated is None) is (self.record.updated_at is None)

    @invariant()
    def no_request_is_served_before_it_was_made(self) -> None:
        assert self.record.served <= self.asked

    @invariant()
    def a_record_survives_the_store(self) -> None:
        assert Record.model_validate_json(self.record.model_dump_json()) == self.record


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


def test_a_record_of_an_earlier_release_is_read() -> None:
    """As it was before there were backups."""
    newer = {"stack", "backups", "kept", "degraded"}
    document = SYNCED.model_dump(mode="json", exclude=newer)
    assert Record.model_validate(document) == SYNCED
    assert (SYNCED.stack, SYNCED.backups, SYNCED.kept, SYNCED.degraded) == (None, {}, None, None)


def test_an_outcome_of_an_earlier_release_is_read() -> None:
    document = UPDATED.model_dump(mode="json", exclude={"snapshots", "excluded"})
    assert Outcome.model_validate(document) == UPDATED.with_(snapshots=())
