"""Conditions of backups, and when a drill is due: tables with a row on each side of every boundary."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ronron.core.backups import (
    AgentError,
    BackupStatus,
    BackupSummary,
    ConditionKind,
    DatabaseDump,
    Files,
    Lock,
    Run,
    Snapshot,
)
from ronron.core.conditions import (
    age,
    agent_unreachable,
    conditions,
    drill_due,
    summary,
    summary_without_answer,
    valid_snapshots,
)
from ronron.core.errors import AgentUnreachableError
from ronron.core.snapshot_choice import FLOOR_BYTES, FLOOR_FILES, SKEW, plausible_snapshots
from ronron.testing import NOON

SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
MAX_AGE = 26 * HOUR
MIB = 1024 * 1024


def snapshot(
    ago: timedelta = HOUR,
    *,
    number: int = 1,
    dump: int | None = MIB,
    files: int = MIB,
    counts: Mapping[str, int] | None = None,
    image: str = "pad:1",
    reason: str = "schedule",
    count: int = 1,
    lineage: str = "",
    recreated: bool = False,
) -> Snapshot:
    """A snapshot that was taken `ago` before noon."""
    return Snapshot(
        id=f"{number:064x}", run=f"{number:032x}", taken=NOON - ago, reason=reason, service="pad",
        kind="etherpad", version="1.8.14", image=image, image_digest=None, revision=None,
        database=None if dump is None
        else DatabaseDump(major=15, server_version="15.14", name="pad", bytes=dump),
        counts={"pads": 100} if counts is None else counts, files=Files(count=count, bytes=files),
        lineage=lineage, recreated=recreated,
    )  # fmt: skip


def run(
    ago: timedelta = HOUR, *, ok: bool | None = True, error: AgentError | None = None, finished: bool = True
) -> Run:
    """A run that ended, or began, `ago` before noon."""
    return Run(started=NOON - ago, finished=NOON - ago if finished else None, ok=ok, error=error)


def status(*snapshots: Snapshot, **changes: object) -> BackupStatus:
    """The status of an agent without conditions, with changes; `runs` replace the successful ones."""
    runs: dict[str, Run | None] = {
        "backup": run(timedelta(0)), "prune": run(), "check": run(), "drill": run(),
    }  # fmt: skip
    given = changes.pop("runs", {})
    assert isinstance(given, dict)
    fields: dict[str, object] = {
        "at": NOON, "service": "pad", "since": NOON - 30 * DAY, "reachable": True, "trouble": None,
        "max_age_hours": 26.0, "drill": "weekly", "check": "weekly", "forget": True,
        "snapshots": snapshots or (snapshot(),), "runs": runs | given, "locks": (),
    }  # fmt: skip
    return BackupStatus.model_validate(fields | changes)


def kinds(of: BackupStatus) -> list[ConditionKind]:
    return [one.kind for one in conditions(of, NOON, "production")]


NONE_YET = {"snapshots": (), "runs": {"backup": None, "check": None, "drill": None, "prune": None}}
FULL = AgentError(code="full", message="no space left", hint="make room")


@pytest.mark.parametrize(
    ("of", "found"),
    [
        pytest.param(status(), [], id="all is well"),
        # overdue
        pytest.param(status(snapshot(MAX_AGE)), [], id="as old as the max age"),
        pytest.param(status(snapshot(MAX_AGE + SECOND)), [ConditionKind.OVERDUE], id="older than that"),
        pytest.param(status(**NONE_YET, since=NOON - MAX_AGE), [], id="none yet, within the max age"),
        pytest.param(
            status(**NONE_YET, since=NOON - MAX_AGE - SECOND), [ConditionKind.OVERDUE], id="none, too long"
        ),
        pytest.param(
            status(snapshot(2 * HOUR), max_age_hours=1.5), [ConditionKind.OVERDUE], id="a shorter max age"
        ),
        # what ran
        pytest.param(status(runs={"backup": run(ok=False)}), [ConditionKind.BACKUP_FAILED], id="failed"),
        pytest.param(status(runs={"backup": run(ok=None, finished=False)}), [], id="a backup that runs"),
        pytest.param(status(runs={"prune": run(ok=False)}), [ConditionKind.PRUNE_FAILED], id="prune failed"),
        pytest.param(status(runs={"prune": None}), [], id="never pruned"),
        pytest.param(status(runs={"prune": run(ok=False)}, forget=False), [], id="prune is not ours"),
        pytest.param(status(runs={"check": run(ok=False)}), [ConditionKind.CHECK_FAILED], id="check failed"),
        pytest.param(status(runs={"drill": run(ok=False)}), [ConditionKind.DRILL_FAILED], id="drill failed"),
        # checks
        pytest.param(status(runs={"check": run(14 * DAY)}), [], id="check two weeks ago"),
        pytest.param(
            status(runs={"check": run(14 * DAY + SECOND)}), [ConditionKind.CHECK_OVERDUE], id="longer ago"
        ),
        pytest.param(
            status(runs={"check": run(2 * DAY + SECOND)}, check="daily"),
            [ConditionKind.CHECK_OVERDUE],
            id="daily check longer ago",
        ),
        pytest.param(
            status(runs={"check": None}, since=NOON - 14 * DAY - SECOND),
            [ConditionKind.CHECK_OVERDUE],
            id="never checked",
        ),
        pytest.param(status(runs={"check": None}, since=NOON - 14 * DAY), [], id="not checked yet"),
        # drills
        pytest.param(status(runs={"drill": run(8.75 * DAY)}), [], id="drill a week and a quarter ago"),
        pytest.param(
            status(runs={"drill": run(8.75 * DAY + SECOND)}), [ConditionKind.DRILL_OVERDUE], id="too long ago"
        ),
        pytest.param(
            status(runs={"drill": None}, since=NOON - 8.75 * DAY - SECOND),
            [ConditionKind.DRILL_OVERDUE],
            id="never drilled",
        ),
        pytest.param(status(runs={"drill": None}, since=NOON - 8.75 * DAY), [], id="not drilled yet"),
        pytest.param(status(runs={"drill": run(38 * DAY)}, drill="monthly"), [], id="monthly drill"),
        pytest.param(
            status(runs={"drill": run(39 * DAY)}, drill="monthly"),
            [ConditionKind.DRILL_OVERDUE],
            id="monthly drill longer ago",
        ),
        # the repository
        pytest.param(
            status(reachable=False, trouble=FULL), [ConditionKind.REPOSITORY_UNREACHABLE], id="unreachable"
        ),
        pytest.param(
            status(reachable=False), [ConditionKind.REPOSITORY_UNREACHABLE], id="unreachable without a reason"
        ),
        pytest.param(
            status(locks=(Lock(host="pad", since=NOON - HOUR, stale=True),)),
            [ConditionKind.STALE_LOCK],
            id="a stale lock",
        ),
        pytest.param(status(locks=(Lock(host="pad", since=NOON - HOUR, stale=False),)), [], id="a live lock"),
        # times that cannot be
        pytest.param(status(snapshot(-SKEW), runs={"backup": run(-SKEW)}), [], id="clocks differ a little"),
        pytest.param(
            status(snapshot(-SKEW - SECOND, number=2), snapshot(), runs={"backup": run(-HOUR)}),
            [ConditionKind.ODD_TIME],
            id="of the future",
        ),
        pytest.param(
            status(snapshot(HOUR), runs={"backup": run(HOUR + SKEW)}), [], id="just after the agent's last"
        ),
        pytest.param(
            status(snapshot(HOUR, number=2), snapshot(9 * HOUR), runs={"backup": run(HOUR + SKEW + SECOND)}),
            [ConditionKind.ODD_TIME],
            id="newer than the agent's last",
        ),
        pytest.param(
            status(snapshot(HOUR), runs={"backup": None}), [], id="a journal that was lost proves nothing"
        ),
        pytest.param(
            status(snapshot(HOUR, number=2), snapshot(MAX_AGE + HOUR), runs={"backup": run(MAX_AGE)}),
            [ConditionKind.OVERDUE, ConditionKind.ODD_TIME],
            id="an invented one hides no gap",
        ),
    ],
)  # fmt: skip
def test_conditions(of: BackupStatus, found: list[ConditionKind]) -> None:
    assert kinds(of) == found


def few(*sizes: int) -> tuple[Snapshot, ...]:
    """Snapshots whose databases have these sizes, the newest first."""
    return tuple(
        snapshot(HOUR * (1 + place), number=place + 1, dump=size) for place, size in enumerate(sizes)
    )


def of_files(*sizes: int) -> tuple[Snapshot, ...]:
    return tuple(
        snapshot(HOUR * (1 + place), number=place + 1, files=size) for place, size in enumerate(sizes)
    )


def of_rows(*counts: int) -> tuple[Snapshot, ...]:
    return tuple(
        snapshot(HOUR * (1 + place), number=place + 1, counts={"pads": count})
        for place, count in enumerate(counts)
    )


def of_site(*counts: int) -> tuple[Snapshot, ...]:
    """Snapshots of a service without a database, with so many files of 100 bytes."""
    return tuple(
        snapshot(HOUR * (1 + place), number=place + 1, dump=None, counts={}, count=count, files=100 * count)
        for place, count in enumerate(counts)
    )


@pytest.mark.parametrize(
    ("snapshots", "shrunk"),
    [
        pytest.param(few(MIB // 2, MIB), False, id="exactly half"),
        pytest.param(few(MIB // 2 - 1, MIB), True, id="less than half"),
        pytest.param(few(4 * MIB, MIB), False, id="grown"),
        pytest.param(few(1), False, id="the first has nothing to compare with"),
        pytest.param(few(10, 10 + FLOOR_BYTES), False, id="as much as the floor"),
        pytest.param(few(10, 11 + FLOOR_BYTES), True, id="more than the floor"),
        pytest.param(few(0, 10), True, id="to nothing, whatever it was"),
        pytest.param(few(0, 0), False, id="nothing before"),
        pytest.param(few(MIB, MIB, 9 * MIB, MIB), False, id="one large night does not count"),
        pytest.param(few(MIB, 9 * MIB, 9 * MIB, MIB), True, id="what is usual counts"),
        pytest.param(few(MIB, *[MIB] * 5, *[99 * MIB] * 4), False, id="only the few before count"),
        pytest.param(of_files(MIB // 2 - 1, MIB), True, id="files"),
        pytest.param(of_files(MIB // 2, MIB), False, id="half of the files"),
        pytest.param(of_rows(10, 20), False, id="half of the rows"),
        pytest.param(of_rows(9, 20), True, id="less than half of the rows"),
        pytest.param(of_rows(4, 14), False, id="as many rows as the floor"),
        pytest.param(of_rows(3, 14), True, id="more rows than the floor"),
        pytest.param(of_rows(0, 1), True, id="no row is left"),
        pytest.param(of_rows(0, 0, 0, 0, 0, 0, 0, 2), True, id="a row is gone for a week"),
        pytest.param(of_site(0, 1), True, id="no file is left"),
        pytest.param(of_site(0, 0, 0, 0, 0, 0, 0, 2), True, id="all files are gone for a week"),
        pytest.param(of_site(1, 1 + FLOOR_FILES), False, id="as many files as the floor"),
        pytest.param(of_site(1, 2 + FLOOR_FILES), True, id="more files than the floor"),
        pytest.param(of_site(10, 20), False, id="half of the number of files"),
        pytest.param(of_site(9, 20), True, id="less than half of the number of files"),
        pytest.param(of_site(0, 0), False, id="there was no file before"),
    ],
)
def test_a_sudden_loss(snapshots: tuple[Snapshot, ...], shrunk: bool) -> None:
    assert kinds(status(*snapshots)) == ([ConditionKind.SHRUNK] if shrunk else [])


def test_a_safety_snapshot_does_not_count() -> None:
    safety = snapshot(HOUR, number=2, dump=1, counts={"pads": 0}, reason="restore")
    of = status(safety, snapshot(2 * HOUR))
    assert kinds(of) == []
    assert valid_snapshots(of, NOON) == (snapshot(2 * HOUR),)
    alone = status(safety, runs={"drill": None}, since=NOON - 2 * DAY)
    assert kinds(alone) == [ConditionKind.OVERDUE]
    assert not drill_due(alone, NOON)


def test_a_database_that_is_missing_has_shrunk() -> None:
    assert kinds(status(snapshot(dump=None), snapshot(2 * HOUR, number=2))) == [ConditionKind.SHRUNK]


@pytest.mark.parametrize(("image", "shrunk"), [("pad:1", True), ("pad:2", False)])
def test_a_table_that_is_gone_has_shrunk_unless_the_version_is_another(image: str, shrunk: bool) -> None:
    newest = snapshot(counts={"pads": 100}, image=image)
    before = snapshot(2 * HOUR, number=2, counts={"pads": 100, "authors": 5})
    assert (kinds(status(newest, before)) == [ConditionKind.SHRUNK]) is shrunk


def test_a_loss_names_what_was_lost_and_how_much() -> None:
    (condition,) = conditions(status(*of_rows(3, 120)), NOON, "production")
    assert "3 pads instead of about 120" in condition.message
    assert "ronron backup list production pad" in condition.hint


EVERYTHING = status(
    snapshot(-DAY, number=3),
    snapshot(9 * DAY, number=2, dump=1),
    snapshot(10 * DAY),
    since=NOON - 90 * DAY,
    reachable=False,
    trouble=FULL,
    locks=(Lock(host="pad", since=NOON - HOUR, stale=True),),
    runs={
        "backup": run(ok=False, error=FULL),
        "prune": run(ok=False, error=FULL),
        "check": run(30 * DAY, ok=False, error=FULL),
        "drill": run(30 * DAY, ok=False),
    },
)


def test_every_condition_has_facts_and_a_hint_with_a_command() -> None:
    found = conditions(EVERYTHING, NOON, "production")
    others = {ConditionKind.AGENT_UNREACHABLE, ConditionKind.RECREATED}
    assert [one.kind for one in found] == [kind for kind in ConditionKind if kind not in others]
    for one in found:
        assert one.service == "pad"
        assert one.message
        if one.kind is not ConditionKind.REPOSITORY_UNREACHABLE:
            assert "production pad" in one.hint
    assert [one.hint for one in found if one.kind is ConditionKind.REPOSITORY_UNREACHABLE] == ["make room"]
    assert all("make room; then try again" in one.hint for one in found if one.kind.endswith("p failed"))


LOST = {"state": "recreated", "lineage": "b", "recreated": ["/data/var", "database"], "since": NOON - HOUR}
KNOWN: dict[str, object] = {"state": "known", "lineage": "b", "recreated": [], "since": None}


def test_volumes_that_were_recreated_are_the_condition_and_not_that_no_snapshot_is_taken() -> None:
    full, fresh = snapshot(3 * DAY), snapshot(HOUR, number=2, lineage="b", recreated=True, counts={"pads": 0})
    of = status(fresh, full, data=LOST)
    (found,) = conditions(of, NOON, "production")
    assert found.kind is ConditionKind.RECREATED
    assert "the volume var and the database were recreated on 2026-" in found.message
    assert full.id[:12] in found.message
    assert found.hint == (
        "ronron restore production pad restores the data before; if the present data are right: "
        "ronron update production --accept-empty pad"
    )
    assert summary(of, NOON, "production").newest == full.id


def test_accepted_data_have_conditions_of_their_own() -> None:
    full = snapshot(3 * DAY, counts={"pads": 999})
    assert kinds(status(snapshot(HOUR, number=2, lineage="b"), full, data=KNOWN)) == []
    late = status(snapshot(2 * DAY, number=2, lineage="b"), snapshot(HOUR), data=KNOWN)
    assert kinds(late) == [ConditionKind.OVERDUE], "of the present data"


def test_an_unreachable_agent_is_the_only_condition_and_the_earlier_facts_stay() -> None:
    error = AgentUnreachableError("cannot reach it", hint="docker logs pad-backup")
    before = summary(status(snapshot(MAX_AGE + HOUR)), NOON, "production")
    after = summary_without_answer("pad", error, NOON + HOUR, before)
    assert [one.kind for one in after.conditions] == [ConditionKind.AGENT_UNREACHABLE]
    assert (after.newest, after.taken, after.drilled) == (before.newest, before.taken, before.drilled)
    assert after.looked_at == NOON + HOUR
    assert summary_without_answer("pad", error, NOON, None) == BackupSummary(
        service="pad", conditions=(agent_unreachable("pad", error),), looked_at=NOON
    )
    assert agent_unreachable("pad", AgentUnreachableError("x")).hint


def test_the_summary_has_the_newest_plausible_snapshot() -> None:
    found = summary(status(snapshot(-DAY, number=2), snapshot(HOUR)), NOON, "production")
    assert found.newest == snapshot().id
    assert found.taken == NOON - HOUR
    assert (found.drilled, found.drill_passed) == (NOON - HOUR, True)


@pytest.mark.parametrize(
    ("of", "due"),
    [
        pytest.param(status(runs={"drill": run(7 * DAY)}), True, id="a week ago"),
        pytest.param(status(runs={"drill": run(7 * DAY - SECOND)}), False, id="less than a week ago"),
        pytest.param(status(runs={"drill": run(DAY)}, drill="daily"), True, id="a day ago"),
        pytest.param(status(runs={"drill": run(31 * DAY)}, drill="monthly"), True, id="a month ago"),
        pytest.param(status(runs={"drill": run(30 * DAY)}, drill="monthly"), False, id="nearly a month ago"),
        pytest.param(status(runs={"drill": None}, since=NOON - DAY), True, id="the first, after a day"),
        pytest.param(status(runs={"drill": None}, since=NOON - DAY + SECOND), False, id="not at once"),
        pytest.param(status(runs={"drill": run(DAY, ok=False)}), True, id="failed a day ago"),
        pytest.param(status(runs={"drill": run(DAY - SECOND, ok=False)}), False, id="failed just now"),
        pytest.param(
            status(runs={"drill": run(HOUR, ok=None, finished=False)}), False, id="one that runs now"
        ),
        pytest.param(
            status(runs={"drill": run(DAY, ok=None, finished=False)}), True, id="one whose process died"
        ),
        pytest.param(status(reachable=False, runs={"drill": None}), False, id="unreachable"),
        pytest.param(status(**NONE_YET), False, id="nothing to restore"),
        pytest.param(status(snapshot(-DAY), runs={"drill": None}), False, id="no plausible snapshot"),
    ],
)  # fmt: skip
def test_when_a_drill_is_due(of: BackupStatus, due: bool) -> None:
    assert drill_due(of, NOON) is due


def test_a_drill_that_is_overdue_is_also_due() -> None:
    """Otherwise the condition would stay for ever: the watcher would never run the drill."""
    for drill in ("daily", "weekly", "monthly"):
        for days in range(60):
            of = status(runs={"drill": run(days * DAY)}, drill=drill)
            if ConditionKind.DRILL_OVERDUE in kinds(of):
                assert drill_due(of, NOON)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3661, "1 h 1 min"),
        (86399, "23 h 59 min"),
        (86400, "1 d"),
        (90000, "1 d 1 h"),
        (86460, "1 d"),
    ],
)
def test_an_age_has_two_units_at_most(seconds: float, words: str) -> None:
    assert age(timedelta(seconds=seconds)) == words


AGES = st.timedeltas(min_value=-3 * DAY, max_value=400 * DAY)
RUNS = st.none() | st.builds(run, AGES, ok=st.none() | st.booleans(), finished=st.booleans())
STATUSES = st.builds(
    lambda snapshots, runs, since, reachable, forget: status(
        snapshots=tuple(snapshots), runs=runs, since=NOON - since, reachable=reachable, forget=forget
    ),
    st.lists(
        st.builds(
            snapshot,
            AGES,
            number=st.integers(0, 2**64),
            dump=st.none() | st.integers(0, 10 * MIB),
            files=st.integers(0, 10 * MIB),
            counts=st.dictionaries(st.sampled_from(["pads", "authors"]), st.integers(0, 1000)),
        ),
        max_size=10,
        unique_by=lambda one: one.id,
    ),
    st.fixed_dictionaries(dict.fromkeys(("backup", "prune", "check", "drill"), RUNS)),
    AGES,
    st.booleans(),
    st.booleans(),
)


@given(STATUSES)
def test_for_any_status_each_kind_is_there_once_and_in_order(of: BackupStatus) -> None:
    found = kinds(of)
    assert found == [kind for kind in ConditionKind if kind in found]


@given(STATUSES)
def test_an_overdue_backup_stays_overdue_as_time_passes(of: BackupStatus) -> None:
    def late(hours: int) -> bool:
        at = NOON + hours * HOUR
        return any(one.kind is ConditionKind.OVERDUE for one in conditions(of, at, "production"))

    # A snapshot of the future counts once its time has come; without any such snapshot:
    if all(one.taken <= NOON for one in of.snapshots):
        assert late(0) <= late(1) <= late(1000)
        assert late(1_000_000)


@given(STATUSES)
def test_valid_snapshots_are_not_of_the_future_and_in_order(of: BackupStatus) -> None:
    good = valid_snapshots(of, NOON)
    assert all(one in of.snapshots for one in good)
    times = [one.taken for one in good]
    assert times == sorted(times, reverse=True)
    assert all(time <= NOON + SKEW for time in times)
    assert all(one in plausible_snapshots(of.snapshots, NOON) for one in good)
