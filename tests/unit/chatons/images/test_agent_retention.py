"""Which halves of snapshots the agent's retention removes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatons.images.backup_agent.configuration import Retention
from chatons.images.backup_agent.repository import whole
from chatons.images.backup_agent.retention import Half, alone, expired

START = datetime(2026, 11, 1, 3, tzinfo=UTC)


@st.composite
def repositories(draw: st.DrawFn) -> list[Half]:
    """Halves of some runs in any order: pairs, lone halves, and halves without a run."""
    found = []
    for number in range(draw(st.integers(0, 12))):
        run = draw(st.sampled_from(["", f"run{number}"]))
        taken = START + timedelta(hours=draw(st.integers(0, 2000)))
        paired = draw(st.booleans())
        if draw(st.booleans()):
            found.append(Half(id=f"f{number}", run=run, files=True, paired=paired, taken=taken))
        if paired and draw(st.booleans()):
            found.append(Half(id=f"d{number}", run=run, files=False, paired=False, taken=taken))
    return draw(st.permutations(found))


@given(repositories())
def test_no_half_is_removed_whose_other_half_stays(halves: list[Half]) -> None:
    gone = alone(halves)
    left = [half for half in halves if half not in gone]
    for half in gone:
        assert not [other for other in halves if other.run == half.run and other.files != half.files]
    # What is left is whole, and asking again takes nothing more.
    assert alone(left) == []


@given(repositories(), st.data())
def test_no_half_of_the_running_backup_is_removed(halves: list[Half], data: st.DataObject) -> None:
    run = data.draw(st.sampled_from([half.run for half in halves] or ["none"]))
    assert not [half for half in alone(halves, in_progress=run) if half.run == run]


@given(repositories())
def test_a_half_without_a_run_is_not_the_agents(halves: list[Half]) -> None:
    assert not [half for half in alone(halves) if not half.run]


@given(repositories())
def test_a_snapshot_counts_exactly_when_no_half_of_it_would_be_removed(halves: list[Half]) -> None:
    gone = alone(halves)
    counted = {files.id for files, _ in whole(halves)}
    assert counted == {half.id for half in halves if half.files and half.run and half not in gone}
    dumps = {dump.id for _, dump in whole(halves) if dump is not None}
    assert dumps <= {half.id for half in halves if not half.files and half not in gone}


@given(repositories())
def test_complete_snapshots_are_listed_newest_first(halves: list[Half]) -> None:
    taken = [files.taken for files, _ in whole(halves)]
    assert taken == sorted(taken, reverse=True)


KEEP = Retention(daily=7, weekly=4, monthly=6)


def snapshot(days: float, lineage: str = "", *, paired: bool = False) -> Half:
    """The half with files of a snapshot that was taken so many days after `START`."""
    name = f"{lineage}{days:g}"
    taken = START + timedelta(days=days)
    return Half(id=f"f{name}", run=name, files=True, paired=paired, taken=taken, lineage=lineage)


def retained(halves: list[Half], keep: Retention = KEEP, empty: set[str] | None = None) -> list[str]:
    gone = expired(halves, keep, empty or set())
    return [half.id for half in halves if half not in gone]


def test_days_weeks_and_months_retain_their_newest_snapshot() -> None:
    left = retained([snapshot(day) for day in range(200)])
    days, sundays, ends_of_months = range(193, 200), (182, 189, 196), (60, 91, 119, 150, 180)
    assert left == [f"f{day}" for day in sorted({*days, *sundays, *ends_of_months})]


@pytest.mark.parametrize("hours", [0, 12, 48])
def test_snapshots_of_two_days_are_retained_whatever_the_policy_says(hours: int) -> None:
    halves = [snapshot(10 - hours / 24), snapshot(10)]
    assert retained(halves, Retention()) == [half.id for half in halves]


def test_with_an_empty_policy_the_newest_snapshot_is_retained() -> None:
    assert retained([snapshot(0), snapshot(5), snapshot(10)], Retention()) == ["f10"]


@pytest.mark.parametrize("keep", [Retention(), Retention(daily=1), KEEP])
def test_snapshots_of_volumes_that_were_recreated_push_out_none_of_the_data_before(keep: Retention) -> None:
    full = [snapshot(day) for day in range(30)]
    before = retained(full, keep)
    after = retained([*full, *(snapshot(30 + day, "fresh") for day in range(400))], keep)
    assert [one for one in after if "fresh" not in one] == before


def test_abandoned_snapshots_of_the_same_day_do_not_replace_those_of_the_data() -> None:
    """Taken by hand while the volumes were empty; then a person restored."""
    halves = [snapshot(0), snapshot(0.5, "fresh"), *(snapshot(day) for day in range(1, 6))]
    assert "f0" in retained(halves)


def test_the_newest_snapshot_that_is_not_empty_is_retained_for_ever() -> None:
    """An agent of an earlier version took the empty ones, or a person emptied the service."""
    halves = [snapshot(0), snapshot(1), *(snapshot(2 + day) for day in range(400))]
    left = retained(halves, empty={half.id for half in halves[2:]})
    assert "f1" in left
    assert "f0" not in left


def test_a_dump_goes_with_its_files() -> None:
    halves = [snapshot(0, paired=True), snapshot(50, paired=True)]
    dumps = [
        Half(id=f"d{half.run}", run=half.run, files=False, paired=False, taken=half.taken) for half in halves
    ]
    assert expired([*halves, *dumps], Retention()) == [halves[0], dumps[0]]


@given(repositories(), st.builds(Retention, st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)))
def test_the_newest_snapshot_stays_and_asking_again_takes_nothing_more(
    halves: list[Half], keep: Retention
) -> None:
    gone = expired(halves, keep)
    left = [half for half in halves if half not in gone]
    assert expired(left, keep) == []
    complete = whole(halves)
    assert not complete or complete[0][0].taken == whole(left)[0][0].taken
