"""What a look finds, and what is held back: functions of values."""

from __future__ import annotations

import pytest

from ronron.core.containers import ContainerHealth, ContainerState, Look, Observation, missing
from ronron.core.drift import DriftKind
from ronron.core.drift_looks import wanted
from ronron.core.drift_record import DriftRecord
from ronron.core.inventory import Inventory
from ronron.core.repairs import repairable
from ronron.testing import NOON
from tests.support.looks import (
    BY_HAND,
    EDITED,
    ENDED,
    GONE,
    ID,
    INVENTORY,
    MOUNTS,
    OTHER_ID,
    PAD,
    RECORD,
    RUNS,
    SETTINGS,
    WITH_DATA,
    after,
    seeing,
)
from tests.support.values import MINUTE, SECOND

ON_NETWORK = RECORD.with_(made=(PAD.with_(networks=("private",), image=f"sha256:{'1' * 64}"),))


def pruned(*networks: str, images: tuple[str, ...] = ()) -> Look:
    found = seeing(missing("pad"))
    return found.with_(networks={"here": frozenset(networks)}, images={"here": frozenset(images)})


def open_(look: Look, record: DriftRecord = RECORD, **more: object) -> list[tuple[DriftKind, str]]:
    return [(one.kind, one.detail) for one in after(look, record, **more).open]  # type: ignore[arg-type]


LOOPS = RUNS.with_(state=ContainerState.RESTARTING, exit_code=1, restarts=4, started_at=NOON - SECOND)
SICK = RUNS.with_(health=ContainerHealth.UNHEALTHY, health_output="no\nconnection refused\n")
ONCE = RECORD.with_(made=(PAD.with_(must_run=False),))


@pytest.mark.parametrize(
    ("look", "record", "found"),
    [
        pytest.param(seeing(RUNS), RECORD, [], id="as it was made"),
        pytest.param(seeing(missing("pad")), RECORD, [(DriftKind.MISSING, "")], id="removed"),
        pytest.param(seeing(ENDED), RECORD, [(DriftKind.STOPPED, "exit code 137")], id="stopped"),
        pytest.param(
            seeing(ENDED.with_(oom_killed=True)), RECORD,
            [(DriftKind.STOPPED, "exit code 137, out of memory")], id="out of memory",
        ),
        pytest.param(
            seeing(RUNS.with_(state=ContainerState.PAUSED)), RECORD, [(DriftKind.STOPPED, "paused")],
            id="paused",
        ),
        pytest.param(
            seeing(RUNS.with_(state=ContainerState.CREATED, error="port is taken")), RECORD,
            [(DriftKind.STOPPED, "created, port is taken")], id="never started",
        ),
        pytest.param(seeing(ENDED), ONCE, [], id="ended as it is meant to"),
        pytest.param(seeing(missing("pad")), ONCE, [], id="ended and removed as it is meant to"),
        pytest.param(
            seeing(LOOPS), RECORD, [(DriftKind.CRASH_LOOPING, "4 restarts, exit code 1")],
            id="restarts for ever",
        ),
        pytest.param(
            seeing(LOOPS.with_(restarts=1)), RECORD, [], id="one crash is no loop"
        ),
        pytest.param(
            seeing(RUNS.with_(restarts=9)), RECORD.with_(restarts={ID: 9}), [], id="has crashed long ago"
        ),
        pytest.param(
            seeing(RUNS.with_(restarts=11)), RECORD.with_(restarts={ID: 9}),
            [(DriftKind.CRASH_LOOPING, "11 restarts")], id="crashed twice since the last look",
        ),
        pytest.param(seeing(SICK), RECORD, [(DriftKind.UNHEALTHY, "connection refused")], id="unhealthy"),
        pytest.param(
            seeing(RUNS.with_(health=ContainerHealth.STARTING)), RECORD, [], id="not healthy yet"
        ),
        pytest.param(seeing(EDITED), RECORD, [(DriftKind.EDITED, "")], id="edited"),
        pytest.param(seeing(BY_HAND), RECORD, [(DriftKind.REPLACED, "")], id="replaced"),
        pytest.param(
            seeing(BY_HAND.with_(state=ContainerState.EXITED)), RECORD, [(DriftKind.REPLACED, "")],
            id="replaced, and stopped",
        ),
        pytest.param(
            seeing(EDITED), RECORD.with_(made=(PAD.with_(modified="later"),)), [], id="updated in place"
        ),
        pytest.param(seeing(EDITED), RECORD.with_(baselines={}), [], id="never seen before"),
        pytest.param(
            seeing(RUNS.with_(state=ContainerState.REMOVING)), RECORD, [], id="being removed at this moment"
        ),
        pytest.param(
            seeing(missing("pad")), MOUNTS, [(DriftKind.VOLUME_MISSING, "files is missing")],
            id="lost its volume",
        ),
        pytest.param(
            seeing(missing("pad"), volumes=("files",)), MOUNTS, [(DriftKind.MISSING, "")],
            id="kept its volume",
        ),
        pytest.param(
            pruned(), ON_NETWORK, [(DriftKind.MISSING, "and so are network private, its image")],
            id="everything was pruned",
        ),
        pytest.param(
            pruned("private", images=(f"sha256:{'1' * 64}",)), ON_NETWORK, [(DriftKind.MISSING, "")],
            id="only the container is gone",
        ),
    ],
)  # fmt: skip
def test_a_look_finds_how_a_container_differs(
    look: Look, record: DriftRecord, found: list[tuple[DriftKind, str]]
) -> None:
    assert open_(look, record) == found


def test_settings_are_compared_in_a_whole_look_only_and_stay_open_until_then() -> None:
    assert open_(seeing(EDITED), whole=False) == []
    edited = after(seeing(EDITED))
    assert [one.kind for one in after(seeing(RUNS), edited, whole=False).open] == [DriftKind.EDITED]
    assert after(seeing(RUNS), edited).open == ()


def test_a_crash_loop_stays_open_until_the_container_has_run_for_a_minute() -> None:
    looping = after(seeing(LOOPS))
    running = RUNS.with_(restarts=4, started_at=NOON)
    assert open_(seeing(running), looping, at=NOON + 30 * SECOND)
    assert not open_(seeing(running), looping, at=NOON + MINUTE)


def test_since_is_when_it_was_seen_first() -> None:
    first = after(seeing(missing("pad")))
    later = after(seeing(missing("pad")), first, at=NOON + MINUTE)
    assert later.open[0].since == NOON
    assert after(seeing(ENDED), first, at=NOON + MINUTE).open[0].since == NOON + MINUTE


def test_an_unreachable_machine_is_unknown_and_no_drift() -> None:
    unknown = after(GONE)
    assert unknown.open == ()
    assert unknown.unknown["here"].since == NOON
    assert after(GONE, unknown, at=NOON + MINUTE).unknown["here"].since == NOON
    # What was open stays open, and is not put back meanwhile.
    stopped = after(GONE, after(seeing(ENDED)))
    assert [one.kind for one in stopped.open] == [DriftKind.STOPPED]
    assert repairable(stopped) == ()


def test_containers_on_machines_that_the_inventory_does_not_have_are_not_looked_at() -> None:
    elsewhere = PAD.with_(machine="elsewhere")
    assert wanted((PAD, elsewhere), INVENTORY) == {"here": ("pad",)}
    assert open_(seeing(RUNS), RECORD.with_(made=(PAD, elsewhere))) == []


def test_the_baseline_is_the_first_look_after_the_update_that_made_the_container() -> None:
    fresh = after(seeing(RUNS), RECORD.with_(baselines={}))
    assert fresh.baselines[ID].settings == SETTINGS
    assert after(seeing(EDITED), fresh).baselines[ID].settings == SETTINGS
    updated = fresh.with_(made=(PAD.with_(modified="later"),))
    assert after(seeing(EDITED), updated).baselines[ID].settings == {"memory": "256 MiB"}
    assert after(seeing(RUNS), fresh.with_(made=())).baselines == {}


def test_a_missing_container_keeps_its_baseline_for_the_one_that_is_put_in_its_place() -> None:
    gone = after(seeing(missing("pad")))
    (drift,) = after(seeing(BY_HAND), gone).open
    assert drift.sentence == "pad on here was replaced by hand: memory: 256 MiB, was 384 MiB"


# -- held back -------------------------------------------------------------------------------------


def held(seen: Observation, record: DriftRecord = RECORD, known: Inventory = INVENTORY) -> str:
    (drift,) = after(seeing(seen), record, known=known).open
    return drift.held


def test_only_containers_whose_data_is_in_volumes_are_put_back_by_themselves() -> None:
    image = RUNS.with_(id=OTHER_ID, settings={**SETTINGS, "image": "222222222222"})
    assert held(EDITED) == ""
    assert held(EDITED, known=WITH_DATA) == ""
    assert held(EDITED.with_(own_volumes=("/data",))) == "it has data outside of named volumes, in /data"
    assert held(ENDED.with_(own_volumes=("/data",))) == "it has data outside of named volumes, in /data"
    # What was made by hand in its place keeps its volumes.
    assert held(BY_HAND.with_(own_volumes=("/data",))) == ""
    assert held(image) == ""
    assert held(image, known=WITH_DATA) == "another image may have changed its data"
    assert held(missing("pad"), MOUNTS) == "a new container would start on an empty files"
