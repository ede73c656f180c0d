"""What is logged of drift, and the hints: functions of values."""

from __future__ import annotations

import pytest

from ronron.core.containers import Observation, missing
from ronron.core.drift_news import hint_for, news
from ronron.core.drift_record import DriftRecord
from ronron.core.inventory import Inventory
from tests.support.looks import (
    BY_HAND,
    ENDED,
    GONE,
    INVENTORY,
    MOUNTS,
    RECORD,
    RUNS,
    WITH_DATA,
    after,
    seeing,
)


def test_each_thing_is_reported_once_and_so_is_its_recovery() -> None:
    clean = after(seeing(RUNS))
    stopped = after(seeing(ENDED), clean)
    assert news(clean, stopped, "local", puts_back=True) == ("drift: pad on here is stopped (exit code 137)",)
    assert news(stopped, after(seeing(ENDED), stopped), "local", puts_back=True) == ()
    back = after(seeing(RUNS), stopped)
    assert news(stopped, back, "local", puts_back=True) == ("recovered: pad on here is as it was made",)


def test_a_container_that_is_no_longer_declared_did_not_recover() -> None:
    stopped = after(seeing(ENDED))
    assert news(stopped, stopped.with_(made=(), open=()), "local", puts_back=True) == ()


def test_an_unreachable_machine_is_reported_once() -> None:
    clean, gone = after(seeing(RUNS)), after(GONE)
    assert news(clean, gone, "local", puts_back=True) == (
        "unreachable: here: connection refused; nothing is known of its containers",
    )
    assert news(gone, after(GONE, gone), "local", puts_back=True) == ()
    assert news(gone, clean, "local", puts_back=True) == (
        "recovered: here is reachable, and its containers are known",
    )


# -- hints -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "record", "known", "hint"),
    [
        (missing("pad"), RECORD, INVENTORY, ""),
        (
            missing("pad"), MOUNTS, INVENTORY,
            "a new container would start on an empty files; run ronron pulumi local -- refresh, then ronron "
            "update local, which holds pad back, then ronron restore local pad",
        ),
        (
            ENDED.with_(own_volumes=("/data",)), RECORD, INVENTORY,
            "it has data outside of named volumes, in /data; try ronron restart local pad, and give that a"
            " volume",
        ),
        (
            BY_HAND.with_(settings={"image": "2"}), RECORD, WITH_DATA,
            "another image may have changed its data; put it back with ronron update local",
        ),
    ],
)  # fmt: skip
def test_what_is_held_back_has_a_hint_with_real_names(
    seen: Observation, record: DriftRecord, known: Inventory, hint: str
) -> None:
    (drift,) = after(seeing(seen), record, known=known).open
    assert hint_for(drift, "local", puts_back=True) == hint


def test_where_the_policy_only_reports_the_hint_is_the_command() -> None:
    (drift,) = after(seeing(ENDED)).open
    assert hint_for(drift, "local", puts_back=False) == "put it back with ronron update local"
