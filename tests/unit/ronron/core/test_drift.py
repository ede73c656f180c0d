"""What a look finds, what is put back, and what is logged: functions of values."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from ronron.core.containers import (
    ContainerHealth,
    ContainerState,
    Look,
    MadeContainer,
    Observation,
    missing,
)
from ronron.core.drift import (
    LIMIT,
    Baseline,
    Drift,
    DriftKind,
    DriftRecord,
    FailedRepair,
    PutBack,
    WaitingRepair,
    about,
    hint_for,
    looked,
    news,
    repair_of,
    repairable,
    unsnapshotable,
    wanted,
)
from ronron.core.inventory import Inventory
from ronron.testing import NOON
from tests.support.values import MINUTE, PLAN, SECOND
from tests.support.worlds import inventory

ID, OTHER_ID = "1" * 64, "2" * 64
PAD = MadeContainer(urn="urn:pad", name="pad", id=ID, machine="here")
SETTINGS = {"memory": "384 MiB"}
RECORD = DriftRecord(
    environment="local", made=(PAD,), baselines={ID: Baseline(modified="", settings=SETTINGS)}
)
RUNS = Observation(
    name="pad", id=ID, state=ContainerState.RUNNING, settings=SETTINGS, started_at=NOON - 60 * MINUTE
)


def declared(**service: object) -> Inventory:
    document = inventory()
    services = document["services"]
    assert isinstance(services, dict)
    services["pad"] |= service
    return Inventory.model_validate(document)


INVENTORY = declared()
WITH_DATA = declared(volumes=[{"name": "files", "path": "/data", "holds": "files"}])


ON_NETWORK = RECORD.with_(made=(PAD.with_(networks=("private",), image=f"sha256:{'1' * 64}"),))


def pruned(*networks: str, images: tuple[str, ...] = ()) -> Look:
    found = seeing(missing("pad"))
    return found.with_(networks={"here": frozenset(networks)}, images={"here": frozenset(images)})


def seeing(*seen: Observation, volumes: tuple[str, ...] = ()) -> Look:
    return Look(containers={"here": {one.name: one for one in seen}}, volumes={"here": frozenset(volumes)})


GONE = Look(unreachable={"here": "connection refused"})


def after(
    look: Look,
    record: DriftRecord = RECORD,
    *,
    whole: bool = True,
    at: datetime = NOON,
    known: Inventory = INVENTORY,
) -> DriftRecord:
    return looked(record, look, known, at, whole=whole)


def open_(look: Look, record: DriftRecord = RECORD, **more: object) -> list[tuple[DriftKind, str]]:
    return [(one.kind, one.detail) for one in after(look, record, **more).open]  # type: ignore[arg-type]


ENDED = RUNS.with_(state=ContainerState.EXITED, exit_code=137)
LOOPS = RUNS.with_(state=ContainerState.RESTARTING, exit_code=1, restarts=4, started_at=NOON - SECOND)
SICK = RUNS.with_(health=ContainerHealth.UNHEALTHY, health_output="no\nconnection refused\n")
EDITED = RUNS.with_(settings={"memory": "256 MiB"})
BY_HAND = EDITED.with_(id=OTHER_ID)
ONCE = RECORD.with_(made=(PAD.with_(must_run=False),))
MOUNTS = RECORD.with_(made=(PAD.with_(volumes=("files",)),))


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


# -- news ------------------------------------------------------------------------------------------


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
