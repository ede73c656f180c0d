"""Each rule of `decide`, in its order, with rows on both sides of every boundary."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ronron.core.decide import Observed, backoff, decide, promotion
from ronron.core.model import STEP_OF, Decision, Reason, Request, Revision, Step
from ronron.core.policy import Policy, Promotion, Retry, Window
from ronron.core.record import Failure, Record
from ronron.core.repairs import Repair
from ronron.testing import NOON
from tests.support.values import (
    DEGRADED,
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
    PLAN,
    PRODUCTION,
    SECOND,
    SUSPENSION,
    SYNCED,
    WAITING_PLAN,
)

TICK = timedelta(microseconds=1)

ASKED = Request(id=8, environment="production", by="grace", at=NOON)

EVENING = Window(days=frozenset(range(4)), opens=time(18), closes=time(23), timezone="Europe/Paris")
"""NOON lies outside of it: a Wednesday, 13:00 in Paris."""

WINDOWED = PRODUCTION.with_(window=EVENING)
PROMOTED = PRODUCTION.with_(after=Promotion(environments=("staging",), healthy_for=30 * MINUTE))
STAGING = Record(
    environment="staging",
    attempted_at=NOON - HOUR,
    digest=NEW_DIGEST,
    current=NEW,
    healthy=NEW,
    healthy_since=NOON - HOUR,
)
RENAMED = NEW.with_(reference="release")
"""The same commit, followed under another name."""

WAITING = SYNCED.with_(attempted=NEW, attempted_at=NOON, waiting=WAITING_PLAN)
GIVEN_UP = FAILED.with_(failed=FAILURE.with_(times=5))
INTERRUPTED = SYNCED.with_(attempted=NEW, attempted_at=NOON, interrupted=True)
STALLED = FAILED.with_(stalled="the passphrase is wrong")
IN_PART = SYNCED.with_(attempted=NEW, attempted_at=NOON, digest=None, degraded=DEGRADED)
UNREACHABLE = {"pica02", "pica03"}


@dataclass(frozen=True)
class Row:
    """One call of `decide`, and the rule that has to hold."""

    reason: Reason
    record: Record
    desired: Revision = NEW
    digest: str = NEW_DIGEST
    policy: Policy = PRODUCTION
    now: datetime = NOON
    request: Request | None = None
    approvals: Set[str] = frozenset()
    others: Mapping[str, Record] = field(default_factory=dict)
    unreachable: Set[str] = frozenset()
    repair: Repair | None = None

    def decide(self) -> Decision:
        return decide(
            Observed(
                desired=self.desired,
                digest=self.digest,
                record=self.record,
                policy=self.policy,
                now=self.now,
                request=self.request,
                approvals=self.approvals,
                others=self.others,
                unreachable=self.unreachable,
                repair=self.repair,
            )
        )


DUE = Repair("puts back pad on here (stopped)", due=True)
LATER = Repair("puts back pad on here (stopped): no image", due=False, until=NOON + MINUTE)
PROPOSED = Repair("plan cccccccccccc waits for approval: puts back pad on here", due=False, waiting=True)

ROWS: dict[str, Row] = {
    # -- drift comes before everything that waits, but not before a person or a pass that did not end
    "drift": Row(Reason.DRIFT, SYNCED, desired=OLD, digest=OLD_DIGEST, repair=DUE),
    "drift while a plan waits": Row(Reason.DRIFT, WAITING, repair=DUE),
    "drift outside the window": Row(Reason.DRIFT, SYNCED, policy=WINDOWED, repair=DUE),
    "drift before a new revision": Row(Reason.DRIFT, SYNCED, repair=DUE),
    "drift while degraded": Row(Reason.DRIFT, IN_PART, unreachable=UNREACHABLE, repair=DUE),
    "drift though suspended": Row(Reason.SUSPENDED, SYNCED.with_(suspended=SUSPENSION), repair=DUE),
    "drift though asked for": Row(Reason.REQUESTED, SYNCED, request=ASKED, repair=DUE),
    "drift though interrupted": Row(Reason.INTERRUPTED, INTERRUPTED, repair=DUE),
    "drift where nobody knows what is live": Row(Reason.STALLED, STALLED, repair=DUE),
    "drift that is put back later": Row(
        Reason.BACKING_OFF, SYNCED, desired=OLD, digest=OLD_DIGEST, repair=LATER
    ),
    "drift that is put back later, and a new revision": Row(Reason.NEW_REVISION, SYNCED, repair=LATER),
    "drift that a person has to approve": Row(
        Reason.WAITING_FOR_APPROVAL, SYNCED, desired=OLD, digest=OLD_DIGEST, repair=PROPOSED
    ),
    # -- suspended comes before everything
    "suspended": Row(Reason.SUSPENDED, SYNCED.with_(suspended=SUSPENSION)),
    "suspended though asked": Row(Reason.SUSPENDED, SYNCED.with_(suspended=SUSPENSION), request=ASKED),
    "suspended though interrupted": Row(Reason.SUSPENDED, INTERRUPTED.with_(suspended=SUSPENSION)),
    "suspended though up to date": Row(
        Reason.SUSPENDED, SYNCED.with_(suspended=SUSPENSION), desired=OLD, digest=OLD_DIGEST
    ),
    # -- a request comes before all waiting
    "asked for": Row(Reason.REQUESTED, SYNCED.with_(served=7), request=ASKED),
    "asked for the first time": Row(
        Reason.REQUESTED, FRESH, request=Request(id=1, environment="production", by="ada", at=NOON)
    ),
    "asked for though up to date": Row(Reason.REQUESTED, SYNCED, desired=OLD, request=ASKED),
    "asked for though given up": Row(Reason.REQUESTED, GIVEN_UP, request=ASKED),
    "asked for though backing off": Row(Reason.REQUESTED, FAILED, request=ASKED),
    "asked for though stalled": Row(Reason.REQUESTED, STALLED, request=ASKED),
    "asked for though waiting": Row(Reason.REQUESTED, WAITING, request=ASKED),
    "asked for though outside the window": Row(Reason.REQUESTED, SYNCED, policy=WINDOWED, request=ASKED),
    "asked for though not promoted": Row(Reason.REQUESTED, SYNCED, policy=PROMOTED, request=ASKED),
    "asked for though interrupted": Row(Reason.REQUESTED, INTERRUPTED, request=ASKED),
    "a request that was served": Row(Reason.NEW_REVISION, SYNCED.with_(served=8), request=ASKED),
    "a request older than the one served": Row(Reason.NEW_REVISION, SYNCED.with_(served=9), request=ASKED),
    # -- interrupted
    "interrupted": Row(Reason.INTERRUPTED, INTERRUPTED),
    "interrupted though not promoted": Row(Reason.INTERRUPTED, INTERRUPTED, policy=PROMOTED),
    "interrupted, and another revision came": Row(
        Reason.NEW_REVISION, INTERRUPTED.with_(attempted=OLD, digest=None)
    ),
    "interrupted, and another revision came that is not promoted": Row(
        Reason.NOT_PROMOTED, INTERRUPTED.with_(attempted=OLD, digest=None), policy=PROMOTED
    ),
    "interrupted, and another revision came outside the window": Row(
        Reason.OUTSIDE_WINDOW, INTERRUPTED.with_(attempted=OLD, digest=None), policy=WINDOWED
    ),
    "interrupted, and back at what was live": Row(
        Reason.NEW_REVISION, INTERRUPTED.with_(digest=None), desired=OLD, digest=OLD_DIGEST
    ),
    "found locked, and back at what is live": Row(
        Reason.UP_TO_DATE, INTERRUPTED, desired=OLD, digest=OLD_DIGEST
    ),
    "interrupted outside the window": Row(Reason.INTERRUPTED, INTERRUPTED, policy=WINDOWED),
    "interrupted just below the limit": Row(
        Reason.INTERRUPTED, INTERRUPTED.with_(failed=FAILURE.with_(times=4))
    ),
    "interrupted at the limit": Row(
        Reason.GAVE_UP, INTERRUPTED.with_(failed=FAILURE.with_(times=5), digest=None)
    ),
    "interrupted at the limit, and another revision came": Row(
        Reason.NEW_REVISION, INTERRUPTED.with_(attempted=OLD, failed=FAILURE.with_(times=5), digest=None)
    ),
    "interrupted though stalled": Row(Reason.INTERRUPTED, STALLED.with_(interrupted=True)),
    # -- stalled
    "stalled": Row(Reason.STALLED, STALLED),
    "stalled for ever": Row(Reason.STALLED, STALLED, now=NOON + 10_000 * HOUR),
    "stalled though given up": Row(Reason.STALLED, STALLED.with_(failed=FAILURE.with_(times=5))),
    "stalled at another revision": Row(Reason.NEW_REVISION, STALLED.with_(attempted=OLD)),
    "stalled, and the reference was renamed": Row(Reason.STALLED, STALLED, desired=RENAMED),
    # -- nothing to do
    "up to date": Row(Reason.UP_TO_DATE, SYNCED, desired=OLD, digest=OLD_DIGEST),
    "up to date by another reference": Row(
        Reason.UP_TO_DATE, SYNCED, desired=OLD.with_(reference="release"), digest=OLD_DIGEST
    ),
    "up to date outside the window": Row(
        Reason.UP_TO_DATE, SYNCED, desired=OLD, digest=OLD_DIGEST, policy=WINDOWED
    ),
    "up to date though never promoted": Row(
        Reason.UP_TO_DATE, SYNCED, desired=OLD, digest=OLD_DIGEST, policy=PROMOTED
    ),
    "back at what is live, away from one that waits": Row(
        Reason.UP_TO_DATE, WAITING, desired=OLD, digest=OLD_DIGEST
    ),
    "the revision is there and nobody knows in what state": Row(
        Reason.NEW_REVISION, SYNCED.with_(digest=None), desired=OLD.with_(commit=NEW.commit)
    ),
    "the same commit again after a failure elsewhere": Row(
        Reason.NEW_REVISION, FAILED, desired=OLD, digest=OLD_DIGEST
    ),
    "nothing relevant": Row(Reason.NOTHING_RELEVANT, SYNCED, digest=OLD_DIGEST),
    "nothing relevant outside the window": Row(
        Reason.NOTHING_RELEVANT, SYNCED, digest=OLD_DIGEST, policy=WINDOWED
    ),
    "nothing relevant though not promoted": Row(
        Reason.NOTHING_RELEVANT, SYNCED, digest=OLD_DIGEST, policy=PROMOTED
    ),
    "nothing relevant against what waits": Row(
        Reason.NOTHING_RELEVANT, WAITING.with_(attempted=OLD), digest=OLD_DIGEST
    ),
    "the same digest, and nothing is live": Row(
        Reason.NEVER_UPDATED, FRESH.with_(digest=OLD_DIGEST), digest=OLD_DIGEST
    ),
    # -- waiting
    "waiting": Row(Reason.WAITING_FOR_APPROVAL, WAITING),
    "waiting, and another plan was approved": Row(
        Reason.WAITING_FOR_APPROVAL, WAITING, approvals={OTHER_PLAN}
    ),
    "waiting and approved": Row(Reason.APPROVED, WAITING, approvals={OTHER_PLAN, PLAN}),
    "waiting and approved outside the window": Row(
        Reason.APPROVED, WAITING, approvals={PLAN}, policy=WINDOWED
    ),
    "waiting, and something like its plan was approved": Row(
        Reason.WAITING_FOR_APPROVAL, WAITING, approvals={PLAN[:12], PLAN.upper(), ""}
    ),
    "waiting, and the reference was renamed": Row(Reason.WAITING_FOR_APPROVAL, WAITING, desired=RENAMED),
    "forbidden, whoever approves": Row(
        Reason.WAITING_FOR_APPROVAL,
        WAITING.with_(waiting=WAITING_PLAN.with_(forbidden=True)),
        approvals={PLAN},
    ),
    "waiting at another revision": Row(Reason.NEW_REVISION, WAITING.with_(attempted=OLD), approvals={PLAN}),
    # -- failures
    "one failure below the limit": Row(
        Reason.RETRY, FAILED.with_(failed=FAILURE.with_(times=4)), now=NOON + HOUR
    ),
    "failures at the limit": Row(Reason.GAVE_UP, GIVEN_UP, now=NOON + 10_000 * HOUR),
    "failures above the limit": Row(Reason.GAVE_UP, FAILED.with_(failed=FAILURE.with_(times=6))),
    "given up, and another revision came": Row(Reason.NEW_REVISION, GIVEN_UP.with_(attempted=OLD)),
    "backing off just begun": Row(Reason.BACKING_OFF, FAILED),
    "backing off nearly over": Row(Reason.BACKING_OFF, FAILED, now=NOON + 30 * SECOND - TICK),
    "backing off just over": Row(Reason.RETRY, FAILED, now=NOON + 30 * SECOND),
    "backing off a second time nearly over": Row(
        Reason.BACKING_OFF, FAILED.with_(failed=FAILURE.with_(times=2)), now=NOON + 90 * SECOND - TICK
    ),
    "backing off a second time just over": Row(
        Reason.RETRY, FAILED.with_(failed=FAILURE.with_(times=2)), now=NOON + 90 * SECOND
    ),
    "backing off, and the reference was renamed": Row(Reason.BACKING_OFF, FAILED, desired=RENAMED),
    "given up, and the reference was renamed": Row(Reason.GAVE_UP, GIVEN_UP, desired=RENAMED),
    "backing off, and another revision came": Row(Reason.NEW_REVISION, FAILED.with_(attempted=OLD)),
    "a retry outside the window": Row(Reason.OUTSIDE_WINDOW, FAILED, policy=WINDOWED, now=NOON + MINUTE),
    "never updated, and failed": Row(
        Reason.RETRY, FAILED.with_(updated=None, current=None), now=NOON + MINUTE
    ),
    # -- degraded
    "degraded": Row(Reason.DEGRADED, IN_PART, unreachable=UNREACHABLE),
    "degraded for ever": Row(Reason.DEGRADED, IN_PART, unreachable=UNREACHABLE, now=NOON + 10_000 * HOUR),
    "degraded, and the reference was renamed": Row(
        Reason.DEGRADED, IN_PART, unreachable=UNREACHABLE, desired=RENAMED
    ),
    "degraded outside the window": Row(Reason.DEGRADED, IN_PART, unreachable=UNREACHABLE, policy=WINDOWED),
    "degraded, and another one is unreachable": Row(
        Reason.DEGRADED, IN_PART, unreachable={*UNREACHABLE, "pica04"}
    ),
    "degraded though asked": Row(Reason.REQUESTED, IN_PART, unreachable=UNREACHABLE, request=ASKED),
    "degraded, and another revision came": Row(
        Reason.NEW_REVISION,
        IN_PART.with_(attempted=OLD, degraded=DEGRADED.with_(revision=OLD)),
        unreachable=UNREACHABLE,
    ),
    "degraded, and back at what was live everywhere": Row(
        Reason.NEW_REVISION, IN_PART, desired=OLD, digest=OLD_DIGEST, unreachable=UNREACHABLE
    ),
    "degraded, and a newer one waits": Row(
        Reason.WAITING_FOR_APPROVAL,
        IN_PART.with_(degraded=DEGRADED.with_(revision=OLD), waiting=WAITING_PLAN),
        unreachable=UNREACHABLE,
    ),
    "every machine answers again": Row(Reason.MACHINE_REACHABLE, IN_PART),
    "one of two machines answers again": Row(Reason.MACHINE_REACHABLE, IN_PART, unreachable={"pica02"}),
    "a machine answers again outside the window": Row(Reason.OUTSIDE_WINDOW, IN_PART, policy=WINDOWED),
    # -- promotion
    "not promoted: degraded there": Row(
        Reason.NOT_PROMOTED,
        SYNCED,
        policy=PROMOTED,
        others={"staging": IN_PART.with_(environment="staging")},
        now=NOON + 10 * HOUR,
    ),
    "not promoted: unknown": Row(Reason.NOT_PROMOTED, SYNCED, policy=PROMOTED),
    "not promoted: another revision": Row(
        Reason.NOT_PROMOTED,
        SYNCED,
        policy=PROMOTED,
        others={"staging": STAGING.with_(healthy=OLD, current=OLD)},
    ),
    "not promoted: not long enough": Row(
        Reason.NOT_PROMOTED,
        SYNCED,
        policy=PROMOTED,
        others={"staging": STAGING},
        now=NOON - 30 * MINUTE - TICK,
    ),
    "promoted: just long enough": Row(
        Reason.NEW_REVISION,
        SYNCED,
        policy=PROMOTED,
        others={"staging": STAGING},
        now=NOON - 30 * MINUTE,
    ),
    "not promoted outside the window": Row(
        Reason.NOT_PROMOTED, SYNCED, policy=PROMOTED.with_(window=EVENING)
    ),
    "a retry that is no longer promoted": Row(
        Reason.NOT_PROMOTED, FAILED, policy=PROMOTED, now=NOON + MINUTE
    ),
    # -- window: 18:00 in Paris is 17:00 UTC in winter
    "just before the window": Row(Reason.OUTSIDE_WINDOW, SYNCED, policy=WINDOWED, now=NOON + 5 * HOUR - TICK),
    "as the window opens": Row(Reason.NEW_REVISION, SYNCED, policy=WINDOWED, now=NOON + 5 * HOUR),
    "just before the window closes": Row(
        Reason.NEW_REVISION, SYNCED, policy=WINDOWED, now=NOON + 10 * HOUR - TICK
    ),
    "as the window closes": Row(Reason.OUTSIDE_WINDOW, SYNCED, policy=WINDOWED, now=NOON + 10 * HOUR),
    # -- something to do
    "never updated": Row(Reason.NEVER_UPDATED, FRESH),
    "never updated outside the window": Row(Reason.OUTSIDE_WINDOW, FRESH, policy=WINDOWED),
    "new revision": Row(Reason.NEW_REVISION, SYNCED),
    "new revision, and the attempt at it did not fail": Row(Reason.NEW_REVISION, SYNCED.with_(attempted=NEW)),
}


@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in ROWS.items()])
def test_the_first_rule_that_holds_decides(row: Row) -> None:
    decision = row.decide()
    assert decision.reason is row.reason, decision.why
    assert decision.step is STEP_OF[row.reason]


def test_every_reason_is_reached_and_belongs_to_one_step() -> None:
    assert {row.reason for row in ROWS.values()} == set(Reason)
    assert set(STEP_OF) == set(Reason)
    assert set(STEP_OF.values()) == set(Step)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("drift", "puts back pad on here (stopped)"),
        (
            "drift that is put back later",
            "putting back again at 12:01:00 UTC: puts back pad on here (stopped): no image",
        ),
        ("suspended", "suspended by ada: moving house"),
        ("asked for", "requested by grace"),
        ("interrupted", "the last pass did not end"),
        ("stalled", "stalled at main@2e3000000000: the passphrase is wrong"),
        ("up to date", "main@01d000000000 is live"),
        ("nothing relevant", "main@2e3000000000 changes nothing that production depends on"),
        ("waiting", "plan cccccccccccc waits for approval: it would delete 1 resource"),
        ("waiting and approved", "plan cccccccccccc was approved"),
        ("failures at the limit", "gave up after 5 failures: the pad is down"),
        (
            "degraded",
            "main@2e3000000000 is degraded: pica02 is unreachable (connection refused) and pica03 is"
            " unreachable (no answer within 15 s); pad, team wait for them",
        ),
        ("one of two machines answers again", "main@2e3000000000 is wanted on pica03, too"),
        ("backing off just begun", "backing off until 12:00:30 UTC after one failure: the pad is down"),
        (
            "backing off a second time nearly over",
            "backing off until 12:01:30 UTC after 2 failures: the pad is down",
        ),
        ("backing off just over", "trying main@2e3000000000 again after one failure"),
        ("one failure below the limit", "trying main@2e3000000000 again after 4 failures"),
        ("not promoted: unknown", "staging does not run main@2e3000000000 healthily yet"),
        (
            "not promoted: not long enough",
            "staging must run main@2e3000000000 healthily until 11:30 UTC",
        ),
        ("just before the window", "its window opens at 2026-11-25 17:00 UTC"),
        ("never updated", "production was never updated; main@2e3000000000 is wanted"),
        ("new revision", "main@2e3000000000 is wanted, main@01d000000000 is live"),
    ],
)
def test_a_decision_explains_itself(row: str, why: str) -> None:
    assert ROWS[row].decide().why == why


def test_a_new_revision_after_nothing_but_failures_says_that_nothing_is_live() -> None:
    record = FRESH.with_(attempted=OLD, failed=Failure(times=1, at=NOON, message="no"))
    decision = decide(Observed(desired=NEW, digest=NEW_DIGEST, record=record, policy=PRODUCTION, now=NOON))
    assert decision == Decision(
        reason=Reason.NEW_REVISION, why="main@2e3000000000 is wanted, nothing is live"
    )


def test_what_is_live_is_the_newest_revision_that_is_the_same() -> None:
    adopted = SYNCED.with_(current=OLD.with_(commit="3" * 40))
    assert decide(
        Observed(desired=NEW, digest=NEW_DIGEST, record=adopted, policy=PRODUCTION, now=NOON)
    ).why.endswith("main@333333333333 is live")


@pytest.mark.parametrize(
    ("row", "when"),
    [
        ("suspended", None),
        ("stalled", None),
        ("up to date", None),
        ("waiting", None),
        ("failures at the limit", None),
        ("not promoted: unknown", None),
        ("not promoted: another revision", None),
        ("backing off just begun", NOON + 30 * SECOND),
        ("backing off a second time nearly over", NOON + 90 * SECOND),
        ("not promoted: not long enough", NOON - 30 * MINUTE),
        ("just before the window", NOON + 5 * HOUR),
        ("as the window closes", NOON + 29 * HOUR),
    ],
)
def test_an_environment_is_polled_again_when_time_alone_can_change_the_decision(
    row: str, when: datetime | None
) -> None:
    assert ROWS[row].decide().poll_again_at == when


@given(
    row=st.sampled_from(list(ROWS.values())),
    policy=st.sampled_from([PRODUCTION, WINDOWED, PROMOTED, PROMOTED.with_(window=EVENING)]),
    minutes=st.integers(-100_000, 100_000),
    asked=st.booleans(),
    staging=st.booleans(),
)
def test_the_time_of_the_next_poll_lies_ahead_and_brings_another_reason(
    row: Row, policy: Policy, minutes: int, asked: bool, staging: bool
) -> None:
    others = {"staging": STAGING} if staging else {}
    request = ASKED if asked else None

    def at(now: datetime) -> Decision:
        observed = Observed(
            desired=row.desired,
            digest=row.digest,
            record=row.record,
            policy=policy,
            now=now,
            request=request,
            approvals=row.approvals,
            others=others,
        )
        return decide(observed)

    now = NOON + minutes * MINUTE
    decision = at(now)
    assert decision.why
    if decision.poll_again_at is not None:
        assert decision.step is Step.WAIT
        assert decision.poll_again_at > now
        assert at(decision.poll_again_at).reason is not decision.reason


# -- backoff -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(1, 30), (2, 90), (3, 270), (4, 810), (5, 2430), (6, 3600), (7, 3600), (10**6, 3600)],
)
def test_each_failure_triples_the_wait_up_to_the_ceiling(failures: int, seconds: int) -> None:
    assert backoff(failures, Retry()) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("after", "ceiling", "wait"),
    [
        pytest.param(2 * HOUR, HOUR, HOUR, id="the first wait is above the ceiling"),
        pytest.param(HOUR, HOUR, HOUR, id="the first wait is the ceiling"),
        pytest.param(timedelta(), HOUR, timedelta(), id="no wait at all"),
        pytest.param(timedelta(days=1), timedelta(days=10_000_000), timedelta(days=10_000_000)),
    ],
)
def test_no_policy_is_too_large_to_wait(after: timedelta, ceiling: timedelta, wait: timedelta) -> None:
    assert backoff(30, Retry(after=after, ceiling=ceiling)) == wait


@given(
    failures=st.integers(1, 60),
    after=st.timedeltas(timedelta(), timedelta(days=400)),
    ceiling=st.timedeltas(timedelta(), timedelta(days=4000)),
)
def test_the_wait_never_shrinks_and_never_passes_the_ceiling(
    failures: int, after: timedelta, ceiling: timedelta
) -> None:
    retry = Retry(after=after, ceiling=ceiling)
    assert min(after, ceiling) <= backoff(failures, retry) <= backoff(failures + 1, retry) <= ceiling


# -- promotion ---------------------------------------------------------------------------------------------

BOTH = Promotion(environments=("staging", "mirror"), healthy_for=30 * MINUTE)
MIRROR = STAGING.with_(environment="mirror", healthy_since=NOON - 10 * MINUTE)


@pytest.mark.parametrize(
    ("staging", "missing", "when"),
    [
        pytest.param(None, "staging does not run", None, id="no record"),
        pytest.param(STAGING.with_(healthy=None), "staging does not run", None, id="never healthy"),
        pytest.param(
            STAGING.with_(failed=FAILURE.with_(times=1)),
            "staging does not run",
            None,
            id="healthy once, and failing since",
        ),
        pytest.param(
            STAGING.with_(digest=None), "staging does not run", None, id="healthy once, and stopped half-way"
        ),
        pytest.param(
            STAGING.with_(current=OLD), "staging does not run", None, id="healthy once, and gone back since"
        ),
        pytest.param(
            STAGING.with_(healthy_since=None, attempted_at=None),
            "staging does not run",
            None,
            id="nobody knows since when",
        ),
        pytest.param(STAGING, "", None, id="long enough"),
        pytest.param(
            STAGING.with_(attempted_at=NOON - 5 * MINUTE),
            "staging must run",
            NOON + 25 * MINUTE,
            id="taken just now without any change",
        ),
        pytest.param(
            STAGING.with_(healthy_since=NOON - 5 * MINUTE),
            "staging must run",
            NOON + 25 * MINUTE,
            id="healthy just now",
        ),
    ],
)
def test_a_revision_is_promoted_by_being_healthy_long_enough(
    staging: Record | None, missing: str, when: datetime | None
) -> None:
    others = {"staging": staging} if staging is not None else {}
    said, until = promotion(NEW, Promotion(environments=("staging",), healthy_for=30 * MINUTE), others, NOON)
    assert said.startswith(missing)
    assert bool(said) is bool(missing)
    assert until == when


def test_the_slowest_of_several_environments_decides() -> None:
    for staging_since in (NOON - 12 * MINUTE, NOON - 8 * MINUTE):
        others = {"staging": STAGING.with_(healthy_since=staging_since), "mirror": MIRROR}
        said, until = promotion(NEW, BOTH, others, NOON)
        latest = max(staging_since, NOON - 10 * MINUTE) + 30 * MINUTE
        assert until == latest
        assert said == f"staging, mirror must run main@2e3000000000 healthily until {latest:%H:%M} UTC"


def test_one_of_several_that_never_ran_it_decides() -> None:
    said, until = promotion(NEW, BOTH, {"staging": STAGING}, NOON)
    assert (said, until) == ("mirror does not run main@2e3000000000 healthily yet", None)


def test_without_a_time_it_is_enough_to_be_healthy_once() -> None:
    others = {"staging": STAGING.with_(attempted_at=NOON, healthy_since=NOON)}
    assert promotion(NEW, Promotion(environments=("staging",)), others, NOON) == ("", None)
