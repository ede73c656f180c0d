"""Jobs that are repeated: when a subject is due, how many run at once, and what an error does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from ronron.core.policy import Policy
from ronron.passes.target import Target
from ronron.testing import FakeClock
from ronron.watch.periodic import Job, Periodic, Schedule, Subject, Targets, for_each_environment

MINUTE = timedelta(minutes=1)


def targets(*names: str) -> Targets:
    return {name: Target(Policy(name=name, stack=name, reference="main")) for name in names}


def services(*names: str, every: timedelta = MINUTE) -> Mapping[Subject, timedelta]:
    return {("local", name): every for name in names}


@dataclass
class Threads:
    """Runs that were begun and wait for the test to carry them out."""

    begun: dict[str, Callable[[], None]] = field(default_factory=dict)

    def start(self, name: str, run: Callable[[], None]) -> None:
        self.begun[name] = run

    def end(self, name: str) -> None:
        self.begun.pop(name)()


@dataclass
class Reports:
    """What a Periodic reports."""

    failed: list[tuple[str, str, str]] = field(default_factory=list)
    succeeded: list[tuple[str, str]] = field(default_factory=list)


def periodic(clock: FakeClock, threads: Threads, reports: Reports, *jobs: Job) -> Periodic:
    one = Periodic(
        clock,
        jobs,
        lambda name, about, error: reports.failed.append((name, about, str(error))),
        lambda name, about: reports.succeeded.append((name, about)),
        start=threads.start,
        chance=lambda: 0.0,
    )
    one.use(targets("local", "production"))
    return one


def test_a_subject_is_due_at_its_interval_from_the_beginning_of_its_run() -> None:
    clock = FakeClock()
    schedule = Schedule(chance=lambda: 0.0)
    schedule.know(services("pad"), clock.now())
    assert schedule.begin_due(clock.now(), 4) == (("local", "pad"),)
    began = clock.now()
    clock.advance(timedelta(seconds=10))
    schedule.end(("local", "pad"), clock.now(), None)
    assert schedule.next_due() == began + MINUTE


def test_first_runs_are_spread_and_jitter_only_shortens_an_interval() -> None:
    clock = FakeClock()
    schedule = Schedule(chance=lambda: 1.0)
    schedule.know(services("pad"), clock.now())
    assert schedule.next_due() == clock.now() + timedelta(seconds=2)
    clock.advance(timedelta(seconds=2))
    schedule.begin_due(clock.now(), 4)
    schedule.end(("local", "pad"), clock.now(), None)
    assert schedule.next_due() == clock.now() + 0.9 * MINUTE


def test_a_run_says_after_how_long_its_subject_is_due_again() -> None:
    clock = FakeClock()
    schedule = Schedule(chance=lambda: 0.0)
    schedule.know(services("pad"), clock.now())
    schedule.begin_due(clock.now(), 4)
    schedule.end(("local", "pad"), clock.now(), timedelta(seconds=5))
    assert schedule.next_due() == clock.now() + timedelta(seconds=5)


def test_a_run_that_took_longer_than_its_interval_is_due_at_once_and_only_once() -> None:
    clock = FakeClock()
    schedule = Schedule(chance=lambda: 0.0)
    schedule.know(services("pad"), clock.now())
    schedule.begin_due(clock.now(), 4)
    clock.advance(5 * MINUTE)
    schedule.end(("local", "pad"), clock.now(), None)
    assert schedule.begin_due(clock.now(), 4) == (("local", "pad"),)
    schedule.end(("local", "pad"), clock.now(), None)
    assert schedule.begin_due(clock.now(), 4) == ()


def test_a_shorter_interval_holds_at_once() -> None:
    clock = FakeClock()
    schedule = Schedule(chance=lambda: 0.0)
    schedule.know(services("pad", every=60 * MINUTE), clock.now())
    schedule.begin_due(clock.now(), 4)
    schedule.end(("local", "pad"), clock.now(), None)
    schedule.know(services("pad", every=MINUTE), clock.now())
    assert schedule.next_due() == clock.now() + MINUTE


def test_a_subject_that_is_gone_is_never_due_again_even_where_its_run_ends_later() -> None:
    clock = FakeClock()
    schedule = Schedule(chance=lambda: 0.0)
    schedule.know(services("pad"), clock.now())
    schedule.begin_due(clock.now(), 4)
    schedule.know({}, clock.now())
    schedule.end(("local", "pad"), clock.now(), None)
    assert schedule.next_due() is None


def test_no_more_runs_than_allowed_begin_at_once_and_the_longest_due_is_first() -> None:
    clock = FakeClock()
    schedule = Schedule(chance=lambda: 0.0)
    schedule.know(services("old"), clock.now())
    clock.advance(MINUTE)
    schedule.know(services("old", "a", "b"), clock.now())
    assert schedule.begin_due(clock.now(), 2) == (("local", "old"), ("local", "a"))
    assert schedule.begin_due(clock.now(), 2) == ()
    schedule.end(("local", "old"), clock.now(), None)
    assert schedule.begin_due(clock.now(), 2) == (("local", "b"),)


def test_a_subject_that_hangs_delays_no_other_one_and_has_no_second_run() -> None:
    clock, threads, reports = FakeClock(), Threads(), Reports()
    ran: list[Subject] = []
    job = Job("probe", lambda _: services("pad", "team"), lambda _t, subject, _s: ran.append(subject))
    jobs = periodic(clock, threads, reports, job)
    jobs.look()
    threads.end("probe: local team")
    clock.advance(MINUTE)
    jobs.look()
    assert sorted(threads.begun) == ["probe: local pad", "probe: local team"]
    threads.end("probe: local team")
    assert ran == [("local", "team"), ("local", "team")]


def test_the_error_of_a_run_is_reported_and_the_other_jobs_go_on() -> None:
    clock, threads, reports = FakeClock(), Threads(), Reports()

    def fail(_target: Target, _subject: Subject, _stopping: threading.Event) -> None:
        raise ValueError("no disk")

    every = for_each_environment(lambda target: MINUTE if target.name == "local" else None)
    jobs = periodic(
        clock, threads, reports, Job("look", every, fail), Job("count", every, lambda _t, _s, _e: None)
    )
    jobs.look()
    threads.end("look: local")
    threads.end("count: local")
    assert threads.begun == {}
    assert reports.failed == [("local", "look", "no disk")]
    assert reports.succeeded == [("local", "count")]


def test_a_job_whose_subjects_cannot_be_read_is_reported_and_the_other_jobs_go_on() -> None:
    clock, threads, reports = FakeClock(), Threads(), Reports()

    def unreadable(_targets: Targets) -> Mapping[Subject, timedelta]:
        raise ValueError("no store")

    jobs = periodic(
        clock,
        threads,
        reports,
        Job("look", unreadable, lambda _t, _s, _e: None),
        Job("count", lambda _: services("pad"), lambda _t, _s, _e: None),
    )
    jobs.look()
    assert list(threads.begun) == ["count: local pad"]
    assert reports.failed == [("local", "look", "no store")]


def test_an_environment_can_be_made_due_now() -> None:
    clock, threads, reports = FakeClock(), Threads(), Reports()
    job = Job("look", for_each_environment(lambda _: MINUTE), lambda _t, _s, _e: None)
    jobs = periodic(clock, threads, reports, job)
    jobs.look()
    threads.end("look: local")
    threads.end("look: production")
    clock.advance(timedelta(seconds=1))
    jobs.due_now("local")
    jobs.look()
    assert list(threads.begun) == ["look: local"]


def test_a_stop_ends_the_threads_and_waits_for_a_run_that_looks_at_it() -> None:
    began, ended = threading.Event(), threading.Event()

    def run(_target: Target, _subject: Subject, stopping: threading.Event) -> None:
        began.set()
        stopping.wait()
        ended.set()

    reports = Reports()
    jobs = Periodic(
        FakeClock(),
        [Job("look", for_each_environment(lambda _: MINUTE), run)],
        lambda *_: None,
        lambda name, about: reports.succeeded.append((name, about)),
    )
    jobs.use(targets("local"))
    jobs.begin()
    assert began.wait(5)
    jobs.stop()
    assert ended.is_set()
    assert reports.succeeded == []
