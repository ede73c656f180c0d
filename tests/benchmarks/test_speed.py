"""The speed that is claimed, as ratios in one run.

A claim in seconds is about the machine where it was first measured. Here it is compared with a fixed piece of
work done in the same run, so that a slower machine is allowed what it takes longer for that.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from ronron.adapters.git_source.source import GitSource
from ronron.adapters.processes import LinuxProcesses
from ronron.adapters.sql_store.store import SqlStore
from ronron.adapters.system_clock import SystemClock
from ronron.core.model import Reason
from ronron.core.policy import Policy
from ronron.passes.reconcile import Ports, Target, reconcile
from ronron.testing import (
    FakeBackups,
    FakeContainerFailures,
    FakeContainers,
    FakeEngine,
    FakeMachines,
    FakeProber,
    FakeProcesses,
    FakeVirtualEnvironments,
    RecordingProgress,
)
from tests.support.collectives import PROJECT, Collective, web
from tests.support.ports import free_port
from tests.support.worlds import inventory, pad

FIXED_WORK = 0.05
"""Seconds that `fixed_work` took where the claims were first measured (two cores of a virtual machine)."""


def fixed_work() -> float:
    return measure(lambda: [hashlib.sha256(number.to_bytes(8, "big")).digest() for number in range(100_000)])


def measure(what: Callable[[], object]) -> float:
    begun = time.perf_counter()
    what()
    return time.perf_counter() - begun


def allowed(seconds: float) -> float:
    """A claim in seconds, for a machine that takes longer for the fixed work."""
    return seconds * max(1.0, statistics.median(fixed_work() for _ in range(5)) / FIXED_WORK)


@pytest.mark.timeout(300)
def test_an_update_with_nothing_to_do_costs_at_most_a_fifth_more_than_the_engine_alone(
    collective: Collective, record_property: Callable[[str, object], None]
) -> None:
    collective.policy(local={})
    collective.declare({"site": {**web(collective.images, "fine"), "hostname": "site.localhost"}})
    collective.push()
    assert collective.ronron("update", "local").code == 0
    engine_alone = {
        **collective.environment,
        "PULUMI_HOME": str(collective.state / "pulumi-home"),
        "PULUMI_BACKEND_URL": f"file://{collective.state / 'pulumi-state'}",
    }

    def bare() -> None:
        subprocess.run(
            ["pulumi", "up", "--yes", "--stack", "local", "--non-interactive"],
            cwd=collective.tree, env=engine_alone, check=True, capture_output=True, timeout=60,
        )  # fmt: skip

    def ours() -> None:
        ran = collective.ronron("update", "local")
        assert ran.code == 0, ran.said
        assert "unchanged" in ran.out

    bare()
    pairs = [(measure(ours), measure(bare)) for _ in range(5)]
    ratio = statistics.median(one / other for one, other in pairs)
    record_property("ratio", ratio)
    print(f"no-op update: {ratio:.2f} of the bare engine's")
    assert ratio <= 1.2


def test_an_untouched_environment_is_decided_within_five_milliseconds(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@ronron.invalid"]
    subprocess.run([*git, "init", "--quiet", "--initial-branch", "main", str(tree)], check=True)
    (tree / "Pulumi.yaml").write_text("name: fake\nruntime: python\nstackConfigDir: stacks\n")
    (tree / "stacks").mkdir()
    for number in range(30):
        (tree / "stacks" / f"Pulumi.stack-{number}.yaml").write_text(f"config: {{a:b: {number}}}\n")
    (tree / "components").mkdir()
    for number in range(100):
        (tree / "components" / f"part_{number}.py").write_text(f"NUMBER = {number}\n")
    subprocess.run([*git, "add", "--all"], cwd=tree, check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "First"], cwd=tree, check=True)
    processes = LinuxProcesses()
    source = GitSource(str(tree), tmp_path / "state", processes, timeout=timedelta(minutes=1))
    source.refresh()
    engine = FakeEngine(FakeProcesses())
    engine.declare(source.resolve("main").commit, *pad("first"), inventory=inventory())
    policy = Policy(name="stack-1", stack="stack-1", reference="main", create_stack=True)
    with SqlStore(tmp_path / "state") as store:
        ports = Ports(
            source=source, engine=engine, store=store, prober=FakeProber(), backups=FakeBackups(),
            machines=FakeMachines(), containers=FakeContainers(),
            failures=FakeContainerFailures(), clock=SystemClock(),
            processes=processes, progress=RecordingProgress(), packages=FakeVirtualEnvironments(),
            work=tmp_path / "passes",
        )  # fmt: skip
        target = Target(policy, config_dir="stacks")
        reconcile(target, ports)
        assert reconcile(target, ports).decision.reason is Reason.UP_TO_DATE
        took = statistics.median(measure(lambda: reconcile(target, ports)) for _ in range(50))
    print(f"decision: {1000 * took:.2f} ms")
    assert took <= allowed(0.005)


@pytest.mark.timeout(300)
def test_a_push_is_previewed_within_the_poll_interval_and_three_tenths(collective: Collective) -> None:
    poll = 1.0
    collective.policy(local={})
    delays = []

    def push(number: int) -> float:
        site = {**web(collective.images, f"text {number}"), "hostname": "site.localhost"}
        collective.declare({"site": site})
        collective.push()
        return time.perf_counter()

    # The first pass is another matter: the process starts, the mirror and the stack are made.
    push(1)
    with collective.watching():
        _wait_until_live(collective, "text 1")
        for number in (2, 3, 4):
            pushed = push(number)
            preview = collective.state / "passes" / str(number) / "01-preview.out"
            while not preview.exists():
                assert time.perf_counter() - pushed < 30, "no preview has begun"
                time.sleep(0.005)
            delays.append(time.perf_counter() - pushed)
            _wait_until_live(collective, f"text {number}")
    print(f"push to preview: {', '.join(f'{delay:.2f} s' for delay in delays)}")
    assert max(delays) <= poll + allowed(0.3)


def _wait_until_live(collective: Collective, text: str) -> None:
    until = time.perf_counter() + 60
    while time.perf_counter() < until:
        with SqlStore(collective.state) as store:
            record = store.load("local")
        if record.running is None and record.current is not None:
            try:
                if collective.get("site.localhost").text == text:
                    return
            except OSError:
                pass
        time.sleep(0.1)
    raise AssertionError(f"{text} is not live")


@pytest.mark.timeout(600)
def test_a_demo_with_a_warm_cache_is_over_within_a_minute_and_a_half(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "RONRON_DEMO": str(tmp_path / "demo"),
        "RONRON_DEMO_NAME": f"ronron-test-{secrets.token_hex(4)}",
        "RONRON_DEMO_PORT": str(free_port()),
    }

    def demo(word: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "demo", word],
            cwd=PROJECT, env=environment, check=True, capture_output=True, timeout=400,
        )  # fmt: skip

    def whole() -> None:
        # All that `make demo` does before: find that everything is there.
        subprocess.run(
            ["make", "--silent", "setup"], cwd=PROJECT, env=environment, check=True, capture_output=True
        )
        demo("up")

    try:
        took = measure(whole)
    finally:
        demo("down")
    print(f"warm demo: {took:.0f} s")
    assert took <= allowed(90)
