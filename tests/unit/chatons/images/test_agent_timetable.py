"""The next run of each job of the agent, over restarts and missed times."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chatons.images.backup_agent.configuration import Configuration, Retention, Running
from chatons.images.backup_agent.errors import AgentError
from chatons.images.backup_agent.journal import Journal
from chatons.images.backup_agent.timetable import Timetable

# A Wednesday.
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TOMORROW = datetime(2026, 11, 26, 3, tzinfo=UTC)
CONFIGURATION = Configuration(
    project="ronron",
    stack="local",
    service="pad",
    kind="etherpad",
    running=Running("3.3.1", "etherpad/etherpad:3.3.1", None),
    repository="/repository",
    host="ronron-local-pad",
    schedule="0 3 * * *",
    keep=Retention(7, 4, 6),
)
PLANNED = {"backup": TOMORROW, "prune": TOMORROW + HOUR, "check": TOMORROW + 2 * HOUR}


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path)


def planned(journal: Journal, now: datetime = NOW, *, first: bool = False, **changes: object) -> Timetable:
    """The timetable after a start of the agent."""
    timetable = Timetable(replace(CONFIGURATION, **changes), journal)  # type: ignore[arg-type]
    timetable.plan(now, first=first)
    return timetable


def test_prune_and_check_follow_the_first_backup(journal: Journal) -> None:
    timetable = planned(journal)
    assert timetable.times() == PLANNED
    assert timetable.due(TOMORROW - timedelta(seconds=1)) is None
    assert timetable.due(TOMORROW) == "backup"


def test_the_first_start_ever_is_followed_by_a_backup_in_15_minutes(journal: Journal) -> None:
    timetable = planned(journal, first=True)
    assert timetable.times() == {**PLANNED, "backup": NOW + HOUR / 4}
    timetable.begin("backup", NOW + HOUR / 4)
    timetable.end("backup", NOW + HOUR, done=True)
    assert timetable.times() == PLANNED


def test_the_next_runs_outlive_a_restart(journal: Journal) -> None:
    planned(journal)
    assert planned(journal, NOW + 5 * HOUR).times() == PLANNED


def test_missed_runs_are_made_up_for_once_at_the_next_start(journal: Journal) -> None:
    planned(journal)
    late = TOMORROW + 20 * DAY + HOUR / 2
    timetable = planned(journal, late)
    ran = []
    while (job := timetable.due(late)) is not None:
        timetable.begin(job, late)
        timetable.end(job, late, done=True)
        ran.append(job)
    assert ran == ["backup", "prune", "check"]
    assert timetable.times() == {
        "backup": TOMORROW + 21 * DAY,
        "prune": TOMORROW + 21 * DAY + HOUR,
        "check": TOMORROW + 21 * DAY + 2 * HOUR,
    }


def test_another_schedule_moves_the_backup_alone(journal: Journal) -> None:
    planned(journal)
    timetable = planned(journal, NOW + HOUR, schedule="0 4 * * 0")
    sunday = datetime(2026, 11, 29, 4, tzinfo=UTC)
    assert timetable.times() == {**PLANNED, "backup": sunday}
    timetable.begin("backup", sunday)
    assert timetable.times()["backup"] == sunday + 7 * DAY


def test_another_period_of_the_check_moves_the_check_alone(journal: Journal) -> None:
    planned(journal)
    timetable = planned(journal, NOW + 2 * DAY, check="daily")
    assert timetable.times() == {**PLANNED, "check": TOMORROW + 2 * DAY + 2 * HOUR}
    timetable.begin("check", TOMORROW + 3 * DAY)
    assert timetable.times()["check"] == TOMORROW + 3 * DAY + 2 * HOUR


def test_an_append_only_repository_is_never_pruned(journal: Journal) -> None:
    planned(journal)
    timetable = planned(journal, forget=False)
    assert set(timetable.times()) == {"backup", "check"}
    assert journal.fact("next prune") == ""
    assert planned(journal, NOW + DAY).times()["prune"] == TOMORROW + DAY + HOUR


def test_a_failed_backup_is_retried_until_one_succeeds(journal: Journal) -> None:
    timetable = planned(journal)
    at = TOMORROW
    for _ in range(3):
        assert timetable.times()["backup"] == at
        timetable.begin("backup", at)
        timetable.end("backup", at + timedelta(minutes=1), done=False)
        assert timetable.times()["backup"] == at + timedelta(minutes=31)
        at += timedelta(minutes=31)
    timetable.begin("backup", at)
    timetable.end("backup", at, done=True)
    assert timetable.times()["backup"] == TOMORROW + DAY


def test_a_retry_outlives_a_restart_and_gives_way_to_a_regular_run(journal: Journal) -> None:
    timetable = planned(journal)
    timetable.begin("backup", TOMORROW)
    timetable.end("backup", TOMORROW, done=False)
    timetable = planned(journal, TOMORROW + DAY, schedule="0 4 * * *")
    assert timetable.times()["backup"] == TOMORROW + HOUR / 2
    timetable.begin("backup", TOMORROW + DAY)
    timetable.end("backup", TOMORROW + DAY, done=True)
    assert timetable.times()["backup"] == TOMORROW + DAY + HOUR


@pytest.mark.parametrize("job", ["prune", "check"])
def test_a_failed_prune_or_check_waits_for_its_next_regular_run(journal: Journal, job: str) -> None:
    timetable = planned(journal)
    at = PLANNED[job]
    timetable.begin(job, at)
    timetable.end(job, at, done=False)
    assert timetable.times()[job] == at + 7 * DAY


@pytest.mark.parametrize("job", ["backup", "prune", "check"])
def test_a_job_that_the_agents_own_stop_ended_runs_at_the_next_start(journal: Journal, job: str) -> None:
    timetable = planned(journal)
    at = PLANNED[job]
    timetable.begin(job, at)
    timetable.end(job, at, done=False, stopped=True)
    assert planned(journal, at + timedelta(seconds=3)).times()[job] == at


def test_a_killed_job_runs_at_its_next_regular_time(journal: Journal) -> None:
    planned(journal).begin("backup", TOMORROW)
    assert planned(journal, TOMORROW + HOUR / 4).times()["backup"] == TOMORROW + DAY


def test_the_next_runs_of_an_agent_with_apscheduler_are_taken_over(journal: Journal) -> None:
    journal.remember("next backup", "2026-11-25T03:00:00+00:00")
    journal.remember("next check", "2026-11-27T05:00:00+00:00")
    journal.remember("next prune", "")
    timetable = planned(journal, forget=False)
    assert timetable.due(NOW) == "backup"
    assert timetable.times()["check"] == datetime(2026, 11, 27, 5, tzinfo=UTC)
    timetable.begin("backup", NOW)
    assert timetable.times()["backup"] == TOMORROW


def test_a_schedule_that_never_runs_ends_the_start(journal: Journal) -> None:
    with pytest.raises(AgentError, match="never runs"):
        planned(journal, schedule="0 3 30 2 *")
