"""Probes between passes: what is probed, what is saved, and what is logged, over a small world in memory."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from ronron.adapters.system_clock import SystemClock
from ronron.core.backups import BackupStatus
from ronron.core.health import CONFIRM_AFTER, HealthState, state_of
from ronron.core.inventory import Inventory, Probe
from ronron.core.model import ProbeResult
from ronron.core.record import Record, Running
from ronron.passes.health import save_probe
from ronron.passes.target import Target
from ronron.testing import Answer, FakeBackups, FakeClock, FakeProber
from ronron.watch.health_checks import AT_ONCE, READ_AGAIN, HealthChecks, health_job
from ronron.watch.loop import Loop
from ronron.watch.periodic import Periodic
from tests.support.values import MINUTE, NEW, SECOND
from tests.support.worlds import URL, World, inventory

PAD = ("production", "pad")
DOWN = Answer(status=502)
UNHEALTHY = [
    f"pad unhealthy: 502 Bad Gateway instead of 200 ({URL})",
    "hint: read its log with ronron logs production pad",
]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world in which a pass has made the pad, and its log is empty."""
    world = World(tmp_path / "passes")
    world.push("one")
    world.go()
    world.progress.lines.clear()
    return world


class Watched:
    """The probes of a world between passes."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.checks = HealthChecks(world.ports)
        self.target = Target(world.policy)
        self.stopping = threading.Event()

    def subjects(self) -> Mapping[tuple[str, ...], timedelta]:
        return self.checks.subjects({"production": self.target})

    def probe(self, after: timedelta = timedelta(0)) -> timedelta | None:
        self.world.clock.advance(after)
        self.subjects()
        return self.checks.probe(self.target, PAD, self.stopping)

    def state(self) -> HealthState:
        return state_of(self.world.store.health("production").get("pad"), self.world.clock.now())

    def logged(self) -> list[str]:
        return self.world.progress.of("production")


@pytest.fixture
def watched(world: World) -> Watched:
    return Watched(world)


def two_services() -> dict[str, object]:
    found = inventory()
    services = found["services"]
    assert isinstance(services, dict)
    services["team"] = services["pad"] | {"probe": None}
    return found


def test_every_service_with_a_probe_is_a_subject_with_the_interval_of_the_policy(world: World) -> None:
    world.store.save(world.record.with_(inventory=two_services()))
    policy = world.policy.with_(probe_every=5 * MINUTE)
    checks = HealthChecks(world.ports)
    assert checks.subjects({"production": Target(policy)}) == {PAD: 5 * MINUTE}
    assert checks.subjects({"staging": Target(policy.with_(name="staging"))}) == {}
    assert world.engine.calls.count("update production") == 1, "no engine is needed"


def test_an_inventory_that_cannot_be_read_has_no_subjects(world: World, watched: Watched) -> None:
    world.store.save(world.record.with_(inventory={"version": 99}))
    assert watched.subjects() == {}


def test_the_inventory_of_a_pass_elsewhere_is_taken_over_soon(world: World, watched: Watched) -> None:
    assert set(watched.subjects()) == {PAD}
    world.store.save(world.record.with_(inventory=None))
    assert set(watched.subjects()) == {PAD}
    world.clock.advance(READ_AGAIN)
    assert watched.subjects() == {}
    assert world.store.health("production") == {}, "what has left the inventory leaves health, too"


def test_an_outage_is_noticed_confirmed_and_reported_once_and_so_is_its_end(watched: Watched) -> None:
    assert watched.probe(MINUTE) is None
    assert watched.state() is HealthState.HEALTHY

    watched.world.prober.answer(URL, DOWN)
    assert watched.probe(MINUTE) == CONFIRM_AFTER
    assert watched.state() is HealthState.FAILING
    assert watched.logged() == []

    assert watched.probe(CONFIRM_AFTER) is None
    watched.probe(MINUTE)
    assert watched.state() is HealthState.UNHEALTHY
    assert watched.logged() == UNHEALTHY

    watched.world.prober.answer(URL, Answer())
    watched.probe(7 * MINUTE)
    watched.probe(MINUTE)
    assert watched.state() is HealthState.HEALTHY
    assert watched.logged() == [*UNHEALTHY, "recovered: pad is healthy again after 8 min 5 s"]


def test_a_blip_is_not_reported(watched: Watched) -> None:
    watched.world.prober.answer(URL, DOWN, Answer())
    watched.probe(MINUTE)
    watched.probe(CONFIRM_AFTER)
    assert watched.state() is HealthState.HEALTHY
    assert watched.logged() == []


def test_a_watcher_that_starts_again_reports_no_outage_twice_and_its_end(world: World) -> None:
    world.prober.answer(URL, DOWN)
    first = Watched(world)
    first.probe(MINUTE)
    first.probe(CONFIRM_AFTER)
    second = Watched(world)
    second.probe(MINUTE)
    assert second.logged() == UNHEALTHY
    world.prober.answer(URL, Answer())
    second.probe(MINUTE)
    assert second.logged() == [*UNHEALTHY, "recovered: pad is healthy again after 2 min 5 s"]


def updating(world: World, *services: str, dead: bool = False) -> Record:
    owner = world.processes.mark()
    if dead:
        owner = world.processes.spawn("ronron")
        world.processes.end(owner)
    running = Running(pass_id=7, revision=NEW, owner=owner, services=services)
    world.store.save(world.record.with_(running=running))
    return world.record


def test_what_a_pass_updates_is_reported_after_its_end_at_the_earliest(watched: Watched) -> None:
    record = updating(watched.world, "pad")
    watched.world.prober.answer(URL, DOWN)
    for _ in range(3):
        assert watched.probe(MINUTE) is None
    assert (watched.state(), watched.logged()) == (HealthState.FAILING, [])
    watched.world.store.save(record.with_(running=None))
    watched.probe(SECOND)
    assert watched.logged() == UNHEALTHY


@pytest.mark.parametrize(
    ("services", "dead"),
    [
        pytest.param(("team",), False, id="the pass updates another service"),
        pytest.param(("pad",), True, id="the process of the pass is dead"),
    ],
)
def test_any_other_outage_is_reported_during_a_pass(
    watched: Watched, services: tuple[str, ...], dead: bool
) -> None:
    updating(watched.world, *services, dead=dead)
    watched.world.prober.answer(URL, DOWN)
    watched.probe(MINUTE)
    watched.probe(CONFIRM_AFTER)
    assert watched.logged() == UNHEALTHY


def test_what_a_pass_saw_is_not_reported_again_by_the_watcher(watched: Watched) -> None:
    bad = ProbeResult(service="pad", url=URL, healthy=False, detail="502 Bad Gateway instead of 200")
    world = watched.world
    save_probe("production", MINUTE, bad, world.store, world.clock)
    world.prober.answer(URL, DOWN)
    watched.probe(MINUTE)
    assert watched.logged() == []
    world.prober.answer(URL, Answer())
    watched.probe(MINUTE)
    assert watched.logged() == ["recovered: pad is healthy again after 2 min"]


def test_the_end_of_an_outage_that_a_pass_has_ended_is_reported_too(watched: Watched) -> None:
    world = watched.world
    world.prober.answer(URL, DOWN)
    watched.probe(MINUTE)
    watched.probe(CONFIRM_AFTER)
    world.clock.advance(MINUTE)
    good = ProbeResult(service="pad", url=URL, healthy=True, detail="200 in 0.04 s")
    save_probe("production", None, good, world.store, world.clock)
    world.prober.answer(URL, Answer())
    watched.probe(MINUTE)
    assert watched.logged() == [*UNHEALTHY, "recovered: pad is healthy again after 1 min 5 s"]


def test_a_service_that_a_pass_removes_during_its_probe_is_no_outage(watched: Watched) -> None:
    world = watched.world
    watched.subjects()

    class Removed(FakeProber):
        def probe(self, service: str, probe: Probe) -> ProbeResult:
            world.store.save(world.record.with_(inventory=None))
            world.store.forget_health("production")
            return super().probe(service, probe)

    world.prober = Removed()
    world.prober.answer(URL, DOWN)
    again = Watched(world)
    assert again.probe() is None
    assert world.store.health("production") == {}


def test_a_probe_that_ends_after_the_stop_has_no_effect(watched: Watched) -> None:
    before = watched.world.store.health("production")
    watched.stopping.set()
    watched.world.prober.answer(URL, DOWN)
    watched.probe(MINUTE)
    assert watched.world.store.health("production") == before


def test_services_that_hang_delay_no_other_one_and_are_bounded(world: World) -> None:
    """A real schedule over many services, of which most hang."""
    names = [f"slow-{number:02}" for number in range(AT_ONCE - 1)]
    found = inventory()
    services = found["services"]
    assert isinstance(services, dict)
    for name in names:
        url = f"https://{name}.example/"
        services[name] = services["pad"] | {"probe": {"url": url, "status": [200], "contains": None}}
    world.store.save(world.record.with_(inventory=found))
    under_way: list[str] = []
    begun: dict[str, object] = {}

    class Hanging(FakeProber):
        def probe(self, service: str, probe: Probe) -> ProbeResult:
            under_way.append(service)
            return super().probe(service, probe)

    world.prober = Hanging()
    assert isinstance(world.clock, FakeClock)
    jobs = Periodic(
        world.clock,
        [health_job(world.ports)],
        lambda *_: None,
        lambda *_: None,
        start=begun.__setitem__,
        chance=lambda: 0.0,
    )
    jobs.use({"production": Target(world.policy)})
    jobs.look()
    assert len(begun) == AT_ONCE
    for minute in range(1, 4):
        run = begun.pop("probe the services: production pad")
        assert callable(run)
        run()
        world.clock.advance(MINUTE)
        jobs.look()
        assert len(begun) == AT_ONCE, "the others hang, and have no second run"
        assert under_way == ["pad"] * minute


def test_probes_go_on_during_a_pass_and_a_drill(world: World) -> None:
    """With real threads and real time: what is long waits here until the pad was probed meanwhile."""
    declared = inventory(backup=True)
    world.store.save(world.record.with_(inventory=declared))
    world.push("two", backup=True)
    probed, in_pass, in_check = threading.Event(), threading.Event(), threading.Event()

    class Counting(FakeProber):
        def probe(self, service: str, probe: Probe) -> ProbeResult:
            probed.set()
            return super().probe(service, probe)

    class SlowBackups(FakeBackups):
        def status(self, inventory: Inventory, service: str) -> BackupStatus:
            probed.clear()
            if probed.wait(10):
                in_check.set()
            return super().status(inventory, service)

    def long_update() -> None:
        probed.clear()
        if probed.wait(10):
            in_pass.set()

    world.prober = Counting()
    world.backups = SlowBackups(world.clock)
    world.engine.at("pad-app", long_update)
    ports = replace(world.ports, clock=SystemClock())
    policy = world.policy.with_(probe_every=timedelta(milliseconds=50))
    loop = Loop(ports, lambda: {"production": Target(policy)}, 60 * SECOND, jobs=(health_job(ports),))
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        assert in_pass.wait(20)
        assert in_check.wait(20)
    finally:
        loop.stop()
        thread.join(20)
    assert not thread.is_alive()
