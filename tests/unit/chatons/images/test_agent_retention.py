"""Which halves of snapshots the agent's retention removes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from chatons.images.backup_agent.configuration import Retention
from chatons.images.backup_agent.repository import whole
from chatons.images.backup_agent.retention import Half, alone, policy, worth_asking

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


def test_the_policy_selects_halves_with_files_in_one_group_and_retains_the_newest() -> None:
    assert policy(Retention(daily=7, weekly=4, monthly=6), "host") == [
        "--host", "host", "--tag", "files", "--group-by", "host", "--keep-last", "1", "--keep-within", "2d",
        "--keep-daily", "7", "--keep-weekly", "4", "--keep-monthly", "6",
    ]  # fmt: skip
    nothing = policy(Retention(), "host")
    assert nothing[-4:] == ["--keep-last", "1", "--keep-within", "2d"]


def test_restic_is_called_only_when_a_snapshot_is_old_enough_to_be_removed() -> None:
    def half(hours: int) -> Half:
        return Half(
            id=str(hours), run=str(hours), files=True, paired=False, taken=START - timedelta(hours=hours)
        )

    assert not worth_asking([half(1), half(47)], START)
    assert worth_asking([half(1), half(49)], START)
    assert not worth_asking([half(49)], START)
    assert not worth_asking([], START)
