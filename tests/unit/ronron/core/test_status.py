"""How an environment is: a table over records, with the exit code that scripts go by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import pytest

from ronron.core.backups import BackupSummary
from ronron.core.errors import (
    ConfigError,
    EngineMissingError,
    PassphraseError,
    ReconcilerError,
    RevisionNotFoundError,
    SourceUnavailableError,
    StackLockedError,
    UpdateFailedError,
)
from ronron.core.health import Health, HealthState
from ronron.core.model import Decision, Outcome, OutcomeKind, Pass, Reason
from ronron.core.record import Record
from ronron.core.status import (
    EnvironmentStatus,
    ExitCode,
    ServiceStatus,
    State,
    code_of,
    exit_code,
    exit_code_of,
    status,
)
from ronron.testing import NOON
from tests.support.values import (
    DEGRADED,
    FAILED,
    FRESH,
    HEALTHY,
    HOUR,
    MINUTE,
    NEW,
    OLD,
    OWN_BACKUP,
    RUNNING,
    SEEN,
    SUSPENSION,
    SYNCED,
    UPDATED,
    WAITING_PLAN,
    begun,
)
from tests.support.worlds import inventory

DECIDED = Decision(reason=Reason.OUTSIDE_WINDOW, why="its window opens at 18:00")
IN_PART = SYNCED.with_(attempted=NEW, digest=None, degraded=DEGRADED)
STALLED = FAILED.with_(stalled="hostname is missing")


def status_of(
    record: Record, passes: Sequence[Pass] = (), health: Mapping[str, Health] = MappingProxyType({})
) -> EnvironmentStatus:
    return status(record, passes, health, NOON)


@pytest.mark.parametrize(
    ("record", "state", "code"),
    [
        pytest.param(FRESH, State.NEW, ExitCode.DONE, id="never updated"),
        pytest.param(SYNCED, State.LIVE, ExitCode.DONE, id="live"),
        pytest.param(FAILED, State.FAILING, ExitCode.FAILED, id="failed once"),
        pytest.param(STALLED, State.STALLED, ExitCode.FAILED, id="stalled goes before failing"),
        pytest.param(
            SYNCED.with_(waiting=WAITING_PLAN), State.WAITING_FOR_APPROVAL, ExitCode.WAITING, id="waiting"
        ),
        pytest.param(IN_PART, State.DEGRADED, ExitCode.FAILED, id="degraded"),
        pytest.param(
            IN_PART.with_(waiting=WAITING_PLAN),
            State.WAITING_FOR_APPROVAL,
            ExitCode.WAITING,
            id="waiting goes before degraded",
        ),
        pytest.param(STALLED.with_(suspended=SUSPENSION), State.SUSPENDED, ExitCode.DONE, id="suspended"),
        pytest.param(STALLED.with_(running=RUNNING), State.UPDATING, ExitCode.DONE, id="running goes first"),
        pytest.param(FAILED.with_(interrupted=True), State.INTERRUPTED, ExitCode.DONE, id="interrupted"),
        pytest.param(SYNCED.with_(decision=DECIDED), State.WAITING, ExitCode.DONE, id="outside its window"),
    ],
)
def test_state_and_exit_code(record: Record, state: State, code: ExitCode) -> None:
    how = status_of(record, ())
    assert how.state is state
    assert exit_code([how]) is code


def test_the_worst_environment_decides_the_exit_code() -> None:
    live, waiting, failing = (status_of(r, ()) for r in (SYNCED, SYNCED.with_(waiting=WAITING_PLAN), FAILED))
    assert exit_code([live, waiting]) is ExitCode.WAITING
    assert exit_code([live, waiting, failing]) is ExitCode.FAILED
    assert exit_code([]) is ExitCode.DONE


@pytest.mark.parametrize(
    ("outcome", "reason", "code"),
    [
        pytest.param(None, Reason.UP_TO_DATE, ExitCode.DONE, id="nothing to do"),
        pytest.param(None, Reason.STALLED, ExitCode.FAILED, id="stalled"),
        pytest.param(None, Reason.BACKING_OFF, ExitCode.FAILED, id="backing off"),
        pytest.param(None, Reason.DEGRADED, ExitCode.FAILED, id="a machine is silent"),
        pytest.param(None, Reason.SUSPENDED, ExitCode.WAITING, id="suspended"),
        pytest.param(None, Reason.WAITING_FOR_APPROVAL, ExitCode.WAITING, id="waits"),
        pytest.param(UPDATED, Reason.REQUESTED, ExitCode.DONE, id="updated"),
        pytest.param(
            UPDATED.with_(held=("pad",)), Reason.REQUESTED, ExitCode.WAITING, id="a service is held back"
        ),
        pytest.param(
            UPDATED.with_(kind=OutcomeKind.WAITING), Reason.REQUESTED, ExitCode.WAITING, id="waiting"
        ),
        pytest.param(
            UPDATED.with_(kind=OutcomeKind.ROLLED_BACK), Reason.REQUESTED, ExitCode.FAILED, id="back"
        ),
        pytest.param(
            Outcome(kind=OutcomeKind.INTERRUPTED, message="locked", locked=True),
            Reason.REQUESTED,
            ExitCode.LOCKED,
            id="locked",
        ),
    ],
)
def test_exit_code_of_one_pass(outcome: Outcome | None, reason: Reason, code: ExitCode) -> None:
    assert exit_code_of(outcome, reason) is code


@pytest.mark.parametrize("kind", OutcomeKind)
def test_every_outcome_has_an_exit_code(kind: OutcomeKind) -> None:
    good = kind in {OutcomeKind.UNCHANGED, OutcomeKind.UPDATED}
    assert (exit_code_of(Outcome(kind=kind, message=""), Reason.REQUESTED) is ExitCode.DONE) is good


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), ExitCode.USAGE),
        (EngineMissingError("x"), ExitCode.USAGE),
        (PassphraseError("x"), ExitCode.USAGE),
        (RevisionNotFoundError("x"), ExitCode.USAGE),
        (StackLockedError("x"), ExitCode.LOCKED),
        (SourceUnavailableError("x"), ExitCode.FAILED),
        (UpdateFailedError("x"), ExitCode.FAILED),
    ],
    ids=lambda value: type(value).__name__,
)
def test_exit_code_of_an_error(error: ReconcilerError, code: ExitCode) -> None:
    assert code_of(error) is code


def test_services_come_from_the_record_and_their_health_from_the_probes_between_passes() -> None:
    record = SYNCED.with_(inventory=inventory())
    made = begun().with_(outcome=UPDATED, finished=NOON)
    (never,) = status_of(record, [made]).services
    assert (never.health, never.healthy, never.checked_at) == (HealthState.UNKNOWN, None, None)
    assert never.hint == "start ronron watch, which probes every service"
    (seen,) = status_of(record, [made], {"pad": HEALTHY}).services
    assert seen == ServiceStatus(
        name="pad", kind="etherpad", version="1.8.14", url="https://pad.example/",
        health=HealthState.HEALTHY, healthy=True, since=NOON - MINUTE, checked_at=NOON,
        detail="200 in 0.04 s", status=200, seconds=0.04,
    )  # fmt: skip


BAD = {"healthy": False, "detail": "502 Bad Gateway instead of 200", "status": 502}


@pytest.mark.parametrize(
    ("health", "state", "service", "code", "why"),
    [
        pytest.param(
            None, State.LIVE, HealthState.UNKNOWN, ExitCode.FAILED,
            "the last pass succeeded; the health of pad is unknown", id="not probed yet",
        ),
        pytest.param(
            HEALTHY, State.LIVE, HealthState.HEALTHY, ExitCode.DONE, "the last pass succeeded", id="healthy"
        ),
        pytest.param(
            HEALTHY.with_(checked_at=NOON - 3 * MINUTE), State.LIVE, HealthState.HEALTHY, ExitCode.DONE,
            "the last pass succeeded", id="three intervals ago",
        ),
        pytest.param(
            HEALTHY.with_(checked_at=NOON - 4 * MINUTE), State.LIVE, HealthState.UNKNOWN, ExitCode.FAILED,
            "the last pass succeeded; the health of pad is unknown", id="healthy too long ago",
        ),
        pytest.param(
            HEALTHY.with_(**BAD), State.UNHEALTHY, HealthState.UNHEALTHY, ExitCode.FAILED, "pad is unhealthy",
            id="unhealthy",
        ),
        pytest.param(
            HEALTHY.with_(**BAD, checked_at=NOON - HOUR), State.LIVE, HealthState.UNKNOWN, ExitCode.FAILED,
            "the last pass succeeded; the health of pad is unknown", id="unhealthy too long ago",
        ),
        pytest.param(
            HEALTHY.with_(failing_since=NOON), State.LIVE, HealthState.FAILING, ExitCode.DONE,
            "the last pass succeeded", id="one failing probe",
        ),
    ],
)  # fmt: skip
def test_health_is_now_whatever_the_last_pass_said(
    health: Health | None, state: State, service: HealthState, code: ExitCode, why: str
) -> None:
    made = begun().with_(outcome=UPDATED, finished=NOON)
    known = {"pad": health} if health is not None else {}
    how = status_of(SYNCED.with_(inventory=inventory()), [made], known)
    assert (how.state, how.services[0].health, how.why) == (state, service, why)
    assert exit_code([how]) is code
    assert how.last == made


def test_an_unhealthy_service_does_not_hide_what_waits_for_a_person() -> None:
    record = SYNCED.with_(inventory=inventory(), waiting=WAITING_PLAN)
    how = status_of(record, (), {"pad": HEALTHY.with_(**BAD)})
    assert how.state is State.WAITING_FOR_APPROVAL
    assert how.services[0].hint == "read its log with ronron logs production pad"
    assert exit_code([how]) is ExitCode.FAILED


def test_a_service_without_a_probe_is_not_unknown() -> None:
    declared = inventory()
    declared["services"]["pad"]["probe"] = None  # type: ignore[index]
    how = status_of(SYNCED.with_(inventory=declared))
    assert (how.services[0].health, how.services[0].hint) == (HealthState.NOT_PROBED, "")
    assert exit_code([how]) is ExitCode.DONE


def test_an_environment_that_was_removed_from_the_policy_is_one_line_with_what_to_do() -> None:
    how = status_of(STALLED.with_(inventory=inventory(), removed=NOON), (), {"pad": HEALTHY.with_(**BAD)})
    assert (how.state, how.why) == (State.REMOVED, "no longer in the policy; its stack stays as it is")
    assert how.hint == (
        "to destroy its stack, run ronron pulumi production -- destroy in a clone at 01d000000000,"
        " which still has it; then run ronron forget production"
    )
    assert how.services == ()
    assert exit_code([how]) is ExitCode.DONE


def test_a_service_that_is_held_back_waits_for_a_person() -> None:
    how = status_of(SYNCED.with_(inventory=inventory(backup=True, held=True)))
    assert how.state is State.WAITING_FOR_RESTORE
    assert how.why == "held back, because their data are lost: pad"
    assert "ronron restore production pad" in how.hint
    assert "ronron update production --accept-empty pad" in how.hint
    assert exit_code([how]) is ExitCode.WAITING
    (service,) = how.services
    assert service.health is HealthState.NOT_PROBED
    assert service.detail == "held back: its data (fake-production-pad-var) are lost"


def test_what_is_degraded_says_what_waits_for_what() -> None:
    excluded = DEGRADED.excluded.with_(machines={"here": "connection refused"}, services=("pad",))
    record = IN_PART.with_(degraded=DEGRADED.with_(excluded=excluded), inventory=inventory())
    how = status_of(record, (begun().with_(outcome=UPDATED),))
    assert how.why == "here is unreachable (connection refused); pad waits for it"
    assert how.hint.startswith("bring here back")
    assert (how.live, how.wanted) == (OLD, NEW)
    assert [(one.healthy, one.detail) for one in how.services] == [(None, "here is unreachable")]


def test_an_inventory_that_cannot_be_read_hides_the_services_and_nothing_else() -> None:
    how = status_of(STALLED.with_(inventory=inventory() | {"version": 2}), ())
    assert how.services == ()
    assert how.state is State.STALLED


def test_what_is_wanted_is_named_only_where_it_is_not_what_is_live() -> None:
    assert status_of(SYNCED, ()).wanted is None
    assert status_of(FAILED, ()).wanted == NEW
    assert status_of(FAILED, ()).live == OLD


@pytest.mark.parametrize(
    ("record", "hint"),
    [
        pytest.param(SYNCED, "", id="live"),
        pytest.param(FRESH, "ronron update production", id="new"),
        pytest.param(
            SYNCED.with_(waiting=WAITING_PLAN), "ronron approve production cccccccccccc", id="waiting"
        ),
        pytest.param(
            SYNCED.with_(waiting=WAITING_PLAN.with_(forbidden=True)), "push a revision", id="forbidden"
        ),
        pytest.param(SYNCED.with_(suspended=SUSPENSION), "ronron resume production", id="suspended"),
        pytest.param(FAILED, "ronron update production", id="failing"),
    ],
)
def test_whatever_needs_a_person_comes_with_a_remedy(record: Record, hint: str) -> None:
    assert hint in status_of(record, ()).hint
    assert bool(status_of(record, ()).hint) is bool(hint)


def test_the_backups_come_from_the_record_for_services_that_have_some() -> None:
    assert status_of(SYNCED.with_(inventory=inventory(), backups={"pad": SEEN}), ()).backups == ()
    declared = SYNCED.with_(inventory=inventory(backup=True))
    assert status_of(declared, ()).backups == (BackupSummary(service="pad"),)
    how = status_of(declared.with_(backups={"pad": SEEN, "gone": SEEN}, kept=OWN_BACKUP), ())
    assert (how.backups, how.kept) == ((SEEN,), OWN_BACKUP)


def test_what_is_wrong_with_a_backup_makes_no_environment_failing() -> None:
    record = SYNCED.with_(inventory=inventory(backup=True), backups={"pad": SEEN})
    how = status_of(record, (), {"pad": HEALTHY})
    assert how.backups[0].conditions
    assert how.state is State.LIVE
    assert exit_code([how]) is ExitCode.DONE
