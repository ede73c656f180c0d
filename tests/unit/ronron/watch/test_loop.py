"""Many environments, many looks: what the loop hands out, what it says once, how it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import wait
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest

from ronron.core.backups import AgentError, BackupStatus, Run
from ronron.core.errors import (
    ConfigError,
    ReconcilerError,
    SourceUnavailableError,
    StackLockedError,
    StoreError,
    UpdateFailedError,
)
from ronron.core.inventory import Inventory, Probe, read_inventory
from ronron.core.model import OutcomeKind, Pass, ProbeResult, Reason
from ronron.core.policy import Policy, Promotion
from ronron.core.record import Record
from ronron.passes.reconcile import Target
from ronron.testing import FakeBackups, FakeClock, FakeProber
from ronron.watch.loop import EVERYWHERE, SLOWEST, Loop
from tests.support.values import HEALTHY, RUNNING
from tests.support.worlds import World, inventory

POLL = timedelta(seconds=30)


@dataclass
class ScriptedClock(FakeClock):
    """A clock on which something happens at each wait of the loop, until it runs out and stops the loop."""

    happenings: list[Callable[[], object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.stop: Callable[[], None] = lambda: None
        self.before_next_look: Callable[[], None] = lambda: None

    def wait(self, seconds: float, until: Event | None = None) -> bool:
        if until is None:
            return super().wait(seconds)
        self.before_next_look()
        if until.is_set():
            return True
        if not self.happenings:
            self.stop()
            return True
        self.happenings.pop(0)()
        return super().wait(seconds)


def let_passes_end(loop: Loop) -> None:
    """So that a test sees one order only: the passes of a look end before the next look."""
    wait(loop._passes.values())
    wait(loop._maintenance.values())


def a_loop(world: World, *names: str, **changes: object) -> Loop:
    targets: Mapping[str, Target] = {
        name: Target(world.policy.with_(name=name, stack=name)) for name in names or ("production",)
    }
    loop = Loop(world.ports, lambda: targets, POLL, **changes)  # type: ignore[arg-type]
    if isinstance(world.clock, ScriptedClock):
        world.clock.stop = loop.stop
        world.clock.before_next_look = lambda: let_passes_end(loop)
    return loop


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "passes", clock=ScriptedClock())


def script(world: World, *happenings: Callable[[], object]) -> None:
    assert isinstance(world.clock, ScriptedClock)
    world.clock.happenings = list(happenings)


def test_once_gives_every_environment_one_pass_and_ends(world: World) -> None:
    world.push("one")
    results = a_loop(world, "staging", "production").run(once=True)
    kinds = {name: r.outcome.kind for name, r in results.items() if isinstance(r, Pass) and r.outcome}
    assert kinds == {"staging": OutcomeKind.UPDATED, "production": OutcomeKind.UPDATED}


def test_only_the_named_environments_are_worked_on(world: World) -> None:
    world.push("one")
    results = a_loop(world, "staging", "production", only=frozenset({"staging"})).run(once=True)
    assert set(results) == {"staging"}
    assert not any("removed from the policy" in line for _, line in world.progress.lines)


def test_a_name_that_the_policy_lacks_is_refused(world: World) -> None:
    world.push("one")
    results = a_loop(world, "staging", only=frozenset({"stagign"})).run(once=True)
    assert isinstance(results[EVERYWHERE], ConfigError)


def test_a_push_is_picked_up_at_the_next_poll(world: World) -> None:
    world.push("one")
    script(world, lambda: world.push("two"), lambda: None)
    a_loop(world).run()
    assert [made.decision.reason for made in world.store.history()] == [
        Reason.NEW_REVISION,
        Reason.NEVER_UPDATED,
    ]


def test_a_finished_pass_leads_to_another_poll_at_once(world: World) -> None:
    world.push("one")
    a_loop(world).run()
    assert world.source.calls["refresh"] == 2


def test_jitter_only_makes_the_wait_shorter(world: World) -> None:
    world.push("one")
    script(world, *[lambda: None] * 20)
    a_loop(world).run()
    waits = [wait for wait in world.clock.waits if wait > 1]
    assert len(waits) == 20
    assert all(27 <= wait <= 30 for wait in waits)


# -- when time alone changes a decision --------------------------------------------------------------------

LONG = timedelta(minutes=10)


def test_an_environment_that_backs_off_is_polled_again_when_it_may_try_again(world: World) -> None:
    world.push("one")
    world.engine.fail_next(UpdateFailedError("the container has no health"), "update")
    script(world, lambda: None)
    loop = a_loop(world)
    loop.poll = LONG
    loop.run()
    retry, first = world.store.history()
    assert (first.decision.reason, retry.decision.reason) == (Reason.NEVER_UPDATED, Reason.RETRY)
    assert world.clock.waits[0] == 30
    assert retry.started - first.started == timedelta(seconds=30)


def test_a_time_later_than_the_next_poll_changes_nothing(world: World) -> None:
    world.push("one")
    world.engine.fail_next(UpdateFailedError("the container has no health"), "update")
    script(world, lambda: None, lambda: None)
    a_loop(world).run()
    assert 27 <= world.clock.waits[0] < 30
    assert sum(world.clock.waits) == 30


def test_an_unreachable_repository_is_not_polled_more_often_for_an_environment_that_waits(
    world: World,
) -> None:
    world.push("one")
    world.engine.fail_next(UpdateFailedError("the container has no health"), "update")
    script(world, lambda: world.source.fail("refresh", SourceUnavailableError("no route")), lambda: None)
    loop = a_loop(world)
    loop.poll = LONG
    loop.run()
    assert world.clock.waits[0] == 30
    assert world.clock.waits[1] >= 540


def test_an_environment_that_left_the_policy_is_not_waited_for(world: World) -> None:
    world.push("one")
    world.engine.fail_next(UpdateFailedError("the container has no health"), "update")
    loop = a_loop(world)
    loop.poll = LONG

    def leave() -> None:
        loop.targets = dict

    script(world, leave, lambda: None)
    loop.run()
    assert world.clock.waits[0] == 30
    assert world.clock.waits[1] >= 540
    assert len(world.store.history()) == 1


def test_a_repository_that_does_not_answer_is_asked_less_and_said_once(world: World) -> None:
    world.push("one")
    down = SourceUnavailableError("no route to host", hint="look at the network")
    world.source.fail("refresh", *[down] * 6)
    script(world, *[lambda: None] * 6)
    a_loop(world).run()
    lines = world.progress.of(EVERYWHERE)
    assert [line for line in lines if "no route" in line] == ["cannot poll: no route to host"]
    assert "recovered: the repository is reachable" in lines
    waits = world.clock.waits[:6]
    assert waits[1] > waits[0] * 2
    assert max(waits) <= SLOWEST.total_seconds()


def test_a_broken_policy_changes_nothing_and_is_said_once(world: World) -> None:
    world.push("one")

    def broken() -> Mapping[str, Target]:
        raise ConfigError("cannot use it", where="environments.yaml:3", hint="mend it")

    loop = a_loop(world)
    loop.targets = broken
    script(world, lambda: None, lambda: None)
    loop.run()
    assert world.engine.calls == []
    assert sum("environments.yaml:3" in line for line in world.progress.of(EVERYWHERE)) == 1


def test_one_failing_environment_leaves_the_others_alone(world: World) -> None:
    world.push("one")
    world.store.save(Record(environment="staging"))
    world.engine.stacks.clear()
    targets = {
        "staging": Target(Policy(name="staging", stack="staging", reference="gone")),
        "production": Target(world.policy),
    }
    loop = a_loop(world)
    loop.targets = lambda: targets
    results = loop.run(once=True)
    assert isinstance(results["staging"], ReconcilerError)
    assert isinstance(results["production"], Pass)


def test_what_nobody_expected_is_a_failure_of_that_pass_alone(world: World) -> None:
    world.push("one")

    def surprise() -> None:
        raise ZeroDivisionError("surprise")

    world.engine.at("pad-app", surprise)
    results = a_loop(world).run(once=True)
    assert isinstance(results["production"], ReconcilerError)
    assert world.record.failures == 1
    assert world.record.running is None
    assert any("ZeroDivisionError: surprise" in line for line in world.progress.of("production"))
    assert not any("Traceback" in line for line in world.progress.of("production"))


def test_debug_shows_where_the_unexpected_came_from(world: World) -> None:
    world.push("one")

    def surprise() -> None:
        raise ZeroDivisionError("surprise")

    world.engine.at("pad-app", surprise)
    a_loop(world, debug=True).run(once=True)
    assert any("Traceback" in line for line in world.progress.of("production"))


def test_an_environment_that_left_the_policy_is_reported_once_and_left_alone(world: World) -> None:
    world.push("one")
    world.store.save(Record(environment="old"))
    script(world, lambda: None, lambda: None)
    a_loop(world).run()
    assert world.progress.of("old") == [
        "removed from the policy; its stack stays as it is",
        "hint: remove its records with ronron forget old",
    ]


def test_a_removed_environment_is_noted_forgets_its_health_and_may_come_back(world: World) -> None:
    world.push("one")
    world.store.save(Record(environment="old"))
    world.store.save_health("old", HEALTHY)
    a_loop(world).run(once=True)
    assert world.store.load("old").removed is not None
    assert world.store.health("old") == {}
    a_loop(world).run(once=True)
    assert len(world.progress.of("old")) == 2, "reported once, also by the next watcher"
    a_loop(world, "production", "old").run(once=True)
    assert world.store.load("old").removed is None


def test_an_environment_that_is_removed_during_a_pass_is_noted_after_its_end(world: World) -> None:
    world.push("one")
    running = RUNNING.with_(owner=world.processes.mark())
    world.store.save(Record(environment="old", running=running))
    a_loop(world).run(once=True)
    assert world.store.load("old").removed is None
    world.processes.end(running.owner)
    world.processes.spawn("python3", pid=running.owner.pid)
    a_loop(world).run(once=True)
    assert world.store.load("old").removed is not None


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (StoreError("disk full"), "recovered: the watcher can check production again"),
        (StackLockedError("locked"), "recovered: the stack of production is no longer locked"),
    ],
    ids=["another error", "a lock"],
)
def test_what_has_recovered_is_named(world: World, error: ReconcilerError, line: str) -> None:
    loop = a_loop(world)
    loop._log_error("production", error)
    loop._log_recovery("production")
    assert world.progress.of("production")[-1] == line


def test_a_job_has_its_own_errors_and_recoveries(world: World) -> None:
    loop = a_loop(world)
    loop._job_failed("production", "probe the services", ZeroDivisionError("surprise"))
    loop._log_recovery("production", "probe the services")
    assert [line for line in world.progress.of("production") if "hint" not in line] == [
        "cannot probe the services: internal error: ZeroDivisionError: surprise",
        "recovered: the watcher can probe the services again",
    ]


def test_promotion_follows_in_the_poll_after_the_first_environment_is_healthy(world: World) -> None:
    world.push("one")
    staging = Target(world.policy.with_(name="staging", stack="staging"))
    production = Target(world.policy.with_(after=Promotion(environments=("staging",))))
    loop = a_loop(world)
    loop.targets = lambda: {"staging": staging, "production": production}
    loop.run()
    assert [made.environment for made in world.store.history()] == ["production", "staging"]


class MeetingProber(FakeProber):
    """A prober that answers only once two services are asked at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self._together = threading.Barrier(2, timeout=20)

    def probe(self, service: str, probe: Probe) -> ProbeResult:
        self._together.wait()
        return super().probe(service, probe)


def test_environments_are_worked_on_at_the_same_time(world: World) -> None:
    world.push("one")
    world.prober = MeetingProber()
    results = a_loop(world, "staging", "production").run(once=True)
    kinds = [
        result.outcome.kind for result in results.values() if isinstance(result, Pass) and result.outcome
    ]
    assert kinds == [OutcomeKind.UPDATED, OutcomeKind.UPDATED]


def test_stopping_lets_a_pass_end_and_stopping_again_interrupts_it(world: World) -> None:
    world.push("one")
    loop = a_loop(world)

    def stop_twice() -> None:
        loop.stop()
        assert "interrupt" not in world.engine.calls
        loop.stop()

    world.engine.at("pad-app", stop_twice)
    loop.run(once=False)
    assert "interrupt" in world.engine.calls
    assert world.record.running is None


# -- backups between passes --------------------------------------------------------------------------------


def asked(world: World, what: str = "status") -> int:
    return world.backups.calls.count(f"{what} pad")


def test_the_backups_are_looked_at_after_a_pass_and_then_now_and_then(world: World) -> None:
    world.push("one", backup=True)
    script(world, *[lambda: None] * 75)
    a_loop(world).run()
    # At once, and after a quarter of an hour and half an hour. Whether a drill is due is asked with it.
    assert asked(world) == 2 * 3
    assert world.record.backups["pad"].looked_at is not None


def test_our_own_backup_is_kept_after_each_update(world: World) -> None:
    world.push("one", backup=True)
    script(world, lambda: world.push("two", backup=True), lambda: None)
    a_loop(world, repository="https://git.example/infra.git").run()
    assert asked(world, "back_up_bundle") == 2
    assert world.record.kept is not None


def test_a_snapshot_that_stopped_an_update_is_seen_at_once(world: World) -> None:
    world.push("one", backup=True)

    def push_what_cannot_be_backed_up() -> None:
        world.push("two", backup=True)
        error = AgentError(code="full", message="no space left")
        run = Run(started=world.clock.now(), finished=world.clock.now(), ok=False, error=error)
        world.backups.agent("pad").runs["backup"] = run
        world.engine.fail_next(UpdateFailedError("the hook failed: no space left"), "update")

    script(world, push_what_cannot_be_backed_up, lambda: None)
    a_loop(world).run()
    assert world.record.failures == 1
    assert "backup failed: pad: the last backup failed: no space left" in world.logged()
    assert asked(world, "back_up_bundle") == 1


def test_virtual_environments_that_nothing_needs_are_removed(world: World) -> None:
    world.push("one")
    world.packages.keep("chatons==0.1.0", world.clock.now() - timedelta(days=30))
    a_loop(world).run(once=True)
    assert world.packages.kept() == ()


def test_once_looks_at_the_backups_too(world: World) -> None:
    world.push("one", backup=True)
    a_loop(world).run(once=True)
    assert world.record.backups["pad"].looked_at is not None
    assert asked(world, "back_up_bundle") == 1


def test_a_drill_that_is_due_is_made_by_the_watcher_and_seen(world: World) -> None:
    world.push("one", backup=True)
    inventory_ = read_inventory(inventory(backup=True))
    assert inventory_ is not None
    world.backups.snapshot(inventory_, "pad")
    world.clock.advance(timedelta(days=1))
    a_loop(world).run(once=True)
    assert asked(world, "drill") == 1
    assert world.record.backups["pad"].drill_passed is True


def test_an_agent_in_trouble_stops_no_pass_and_is_said_once(world: World) -> None:
    world.push("one", backup=True)
    world.backups.agent("pad").unreachable = True
    script(world, *[lambda: None] * 31, lambda: world.push("two", backup=True), lambda: None)
    a_loop(world).run()
    assert [made.outcome.kind for made in world.store.history() if made.outcome] == [OutcomeKind.UPDATED] * 2
    lines = world.progress.of("production")
    assert sum(line.startswith("agent unreachable: pad: ") for line in lines) == 1
    assert sum(line.startswith("cannot back up the reconciler's own state: ") for line in lines) == 1


def test_an_agent_that_an_update_replaces_is_no_trouble(world: World) -> None:
    world.push("one", backup=True)
    a_loop(world).run(once=True)
    world.backups.agent("pad").unreachable = True
    world.progress.lines.clear()
    world.store.save(world.record.with_(running=RUNNING))
    loop = a_loop(world)
    loop._updated.add("production")
    loop._after_pass(Target(world.policy), {"production": Target(world.policy)})
    assert not [line for line in world.progress.of("production") if line.startswith("cannot")]
    assert world.record.running is not None


def test_what_nobody_expected_of_an_agent_is_told_and_ends_nothing(world: World) -> None:
    class Surprising(FakeBackups):
        def status(self, inventory: Inventory, service: str) -> BackupStatus:
            raise ZeroDivisionError(f"surprise of {service} among {len(inventory.services)}")

    world.push("one", backup=True)
    world.backups = Surprising(world.clock)
    results = a_loop(world).run(once=True)
    assert isinstance(results["production"], Pass)
    told = world.logged()
    assert "cannot check the backups: internal error: ZeroDivisionError: surprise of pad among 1" in told
    assert "Traceback" not in told
    assert asked(world, "back_up_bundle") == 1


def test_a_pass_does_not_wait_for_an_agent(world: World) -> None:
    """The agent answers only once the pass of the second push has ended."""
    second = threading.Event()

    class Slow(FakeBackups):
        def status(self, inventory: Inventory, service: str) -> BackupStatus:
            assert second.wait(20)
            return super().status(inventory, service)

    world.backups = Slow(world.clock)
    world.push("one", backup=True)
    loop = a_loop(world)
    assert isinstance(world.clock, ScriptedClock)

    def passes_end() -> None:
        wait(loop._passes.values())
        if len(world.store.history()) == 2:
            second.set()

    world.clock.before_next_look = passes_end
    script(world, lambda: world.push("two", backup=True), lambda: None)
    loop.run()
    assert second.is_set()
    assert len(world.store.history()) == 2
    assert world.record.backups["pad"].looked_at is not None
