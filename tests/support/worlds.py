"""A whole small world in memory for tests of passes: source, engine, store, prober, clock, progress."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ronron.core.model import Pass, Revision
from ronron.core.policy import Policy
from ronron.core.record import Record
from ronron.passes.reconcile import Ports, Target, reconcile
from ronron.testing import (
    FakeBackups,
    FakeClock,
    FakeContainerFailures,
    FakeContainers,
    FakeEngine,
    FakeMachines,
    FakeProber,
    FakeProcesses,
    FakeSource,
    FakeVirtualEnvironments,
    MemoryStore,
    RecordingProgress,
    Thing,
)

URL = "https://pad.example/"
PROJECT = {"Pulumi.yaml": "name: fake\nruntime: python\n", "__main__.py": "first"}
COMPONENT = "urn:pulumi:production::fake::ronron:components:Service::pad"


BACKUP: dict[str, object] = {
    "container": "fake-production-pad-backup", "repository": "/srv/backups/fake-production/pad",
    "drill": "weekly", "network": "fake-production-pad", "volumes": {}, "uploaded": {}, "probe": None,
}  # fmt: skip


def inventory(
    *, url: str = URL, resource: str | None = COMPONENT, backup: bool = False, held: bool = False
) -> dict[str, object]:
    """An inventory with one service, the pad; with backups, or held back, where it is to be so."""
    pad = {
        "kind": "etherpad", "version": "1.8.14", "image": "pad:1.8.14", "image_digest": None,
        "machine": "here", "resource": resource, "url": url,
        "probe": {"url": url, "status": [200], "contains": None},
        "containers": ["pad"], "database": None, "volumes": [], "backup": BACKUP if backup else None,
        "held": {"volumes": ["fake-production-pad-var"]} if held else None,
    }  # fmt: skip
    return {
        "version": 1,
        "collective": {"name": "P", "domain": "pad.example", "contact": "a@pad.example", "country": "FR"},
        "machines": {"here": {"docker": "unix:///var/run/docker.sock", "host_key": None, "proxmox": None}},
        "services": {"pad": pad},
    }


def pad(title: str, *, fails: str = "") -> tuple[Thing, ...]:
    """What a program makes: a service's component and the pad's container, replaced by another title."""
    component = Thing("pad", type="ronron:components:Service", custom=False)
    container = Thing(
        "pad-app",
        {"envs": title},
        type="docker:index/container:Container",
        parent="pad",
        replace_on=frozenset({"envs"}),
        fails=fails,
    )
    return component, container


@dataclass
class World:
    """Everything a pass meets."""

    work: Path
    policy: Policy = field(
        default_factory=lambda: Policy(
            name="production", stack="production", reference="main", create_stack=True
        )
    )
    source: FakeSource = field(default_factory=FakeSource)
    processes: FakeProcesses = field(default_factory=FakeProcesses)
    store: MemoryStore = field(default_factory=MemoryStore)
    prober: FakeProber = field(default_factory=FakeProber)
    clock: FakeClock = field(default_factory=FakeClock)
    progress: RecordingProgress = field(default_factory=RecordingProgress)

    def __post_init__(self) -> None:
        self.engine = FakeEngine(self.processes)
        self.backups = FakeBackups(self.clock)
        self.machines = FakeMachines()
        self.failures = FakeContainerFailures()
        self.packages = FakeVirtualEnvironments()
        self.containers = FakeContainers()
        self.engine.containers = self.containers

    @property
    def ports(self) -> Ports:
        return Ports(
            source=self.source,
            engine=self.engine,
            store=self.store,
            prober=self.prober,
            backups=self.backups,
            machines=self.machines,
            failures=self.failures,
            containers=self.containers,
            clock=self.clock,
            processes=self.processes,
            progress=self.progress,
            packages=self.packages,
            work=self.work,
        )

    @property
    def record(self) -> Record:
        return self.store.load(self.policy.name)

    def push(self, title: str, *, fails: str = "", backup: bool = False, **declared: object) -> Revision:
        """Push a commit whose program makes a pad with a title, and with backups where it is to have some."""
        commit = self.source.commit({**PROJECT, "__main__.py": f"{title} {len(self.source.checked_out)}"})
        self.engine.declare(commit, *pad(title, fails=fails), inventory=inventory(backup=backup), **declared)  # type: ignore[arg-type]
        return Revision(reference="main", commit=commit)

    def go(self) -> Pass:
        """Look, and make one pass if it is due."""
        self.source.refresh()
        return reconcile(Target(self.policy), self.ports)

    def logged(self) -> str:
        return "\n".join(self.progress.of(self.policy.name))
