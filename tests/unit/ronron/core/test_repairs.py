"""What is put back, when it is due, and when it stalls: functions of values."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ronron.core.containers import missing
from ronron.core.drift import Drift, DriftKind
from ronron.core.drift_news import news
from ronron.core.drift_record import DriftRecord, FailedRepair, PutBack, WaitingRepair
from ronron.core.repairs import LIMIT, about, repair_of, repairable, unsnapshotable
from ronron.testing import NOON
from tests.support.looks import EDITED, ENDED, RECORD, RUNS, after, seeing
from tests.support.values import MINUTE, PLAN

# -- the breaker -----------------------------------------------------------------------------------


def put_back(times: int, drift: Drift, *, apart: timedelta = MINUTE) -> tuple[PutBack, ...]:
    return tuple(
        PutBack(key=drift.key, signature=drift.signature, at=NOON - apart * number)
        for number in reversed(range(times))
    )


def test_the_same_thing_put_back_three_times_stalls_and_both_sides_are_named() -> None:
    (drift,) = after(seeing(EDITED)).open
    twice = RECORD.with_(put_back=put_back(LIMIT - 1, drift))
    assert after(seeing(EDITED), twice).stalled == {}
    thrice = after(seeing(EDITED), RECORD.with_(put_back=put_back(LIMIT, drift)))
    assert thrice.stalled == {
        "pad on here": "pad on here was put back 3 times within an hour (11:58:00, 11:59:00, 12:00:00 UTC):"
        " Ronron makes it memory 384 MiB, and something makes it memory 256 MiB"
    }
    assert repairable(thrice) == ()
    lines = news(twice, thrice, "local", puts_back=True)
    assert lines[-1] == "hint: find out what changes it, then run ronron resume local"
    # It stays, though the hour passes, until a person says so or it is right again.
    later = after(seeing(EDITED), thrice, at=NOON + 120 * MINUTE)
    assert later.stalled == thrice.stalled
    assert later.put_back == ()
    assert repairable(later.resumed())
    assert after(seeing(RUNS), thrice).stalled == {}


def test_other_drift_and_drift_of_long_ago_do_not_count() -> None:
    (drift,) = after(seeing(EDITED)).open
    other = RECORD.with_(put_back=put_back(LIMIT, drift))
    assert after(seeing(ENDED), other).stalled == {}
    slow = RECORD.with_(put_back=put_back(LIMIT, drift, apart=30 * MINUTE))
    assert after(seeing(EDITED), slow).stalled == {}


# -- what is due -----------------------------------------------------------------------------------

STOPPED = after(seeing(ENDED))
FAILED = FailedRepair(times=1, at=NOON, message="the image is gone")
PROPOSED = WaitingRepair(identity=PLAN, why="x", since=NOON, about=about(STOPPED.open))


@pytest.mark.parametrize(
    ("record", "approvals", "wait", "due"),
    [
        pytest.param(after(seeing(RUNS)), set(), None, None, id="nothing differs"),
        pytest.param(STOPPED, set(), None, True, id="something is stopped"),
        pytest.param(STOPPED.with_(failed=FAILED), set(), MINUTE, False, id="the last try failed just now"),
        pytest.param(STOPPED.with_(failed=FAILED), set(), timedelta(), True, id="it failed long ago"),
        pytest.param(STOPPED.with_(failed=FAILED), set(), None, None, id="it failed too often"),
        pytest.param(RECORD.with_(failed=FAILED), set(), timedelta(), True, id="half done"),
        pytest.param(STOPPED.with_(waiting=PROPOSED), set(), None, False, id="proposed"),
        pytest.param(STOPPED.with_(waiting=PROPOSED), {PLAN}, None, True, id="approved"),
        pytest.param(
            after(seeing(missing("pad"))).with_(waiting=PROPOSED), set(), None, True, id="other drift"
        ),
    ],
)  # fmt: skip
def test_what_is_due(
    record: DriftRecord, approvals: set[str], wait: timedelta | None, due: bool | None
) -> None:
    found = repair_of(record, approvals, NOON, after=wait, proposes=False)
    assert (found.due if found is not None else None) is due
    if found is not None and not due and not found.waiting:
        assert found.until == NOON + MINUTE


def test_no_snapshot_is_waited_for_where_a_part_of_the_service_is_down() -> None:
    def one(container: str, kind: DriftKind, service: str) -> Drift:
        return Drift(container=container, machine="here", urn="u", kind=kind, since=NOON, service=service)

    pad, database = one("pad", DriftKind.EDITED, "pad"), one("pad-database", DriftKind.STOPPED, "pad")
    team = one("team", DriftKind.EDITED, "team")
    assert unsnapshotable((pad, database, team), (pad, database, team)) == ("pad", "pad-database")
    assert unsnapshotable((pad, team), (pad, team)) == ()
