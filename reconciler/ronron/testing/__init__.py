"""Public fakes of the ports: they pass the contract suites that the real adapters pass."""

from __future__ import annotations

from ronron.testing.backups import FakeAgent, FakeBackups
from ronron.testing.clock import NOON, FakeClock
from ronron.testing.container_failures import FakeContainerFailures
from ronron.testing.containers import FakeContainers
from ronron.testing.engine import FakeEngine
from ronron.testing.engine_update import EngineKilled, ReconcilerKilled
from ronron.testing.image_registry import FakeImageRegistry
from ronron.testing.machines import FakeMachines
from ronron.testing.packages import FakeVirtualEnvironments
from ronron.testing.prober import Answer, FakeProber
from ronron.testing.processes import FakeProcesses
from ronron.testing.progress import RecordingProgress
from ronron.testing.services import FakeServiceContainers
from ronron.testing.source import FakeSource
from ronron.testing.store import MemoryStore
from ronron.testing.things import FakeProgram, FakeStack, Thing

__all__ = [
    "NOON",
    "Answer",
    "EngineKilled",
    "FakeAgent",
    "FakeBackups",
    "FakeClock",
    "FakeContainerFailures",
    "FakeContainers",
    "FakeEngine",
    "FakeImageRegistry",
    "FakeMachines",
    "FakeProber",
    "FakeProcesses",
    "FakeProgram",
    "FakeServiceContainers",
    "FakeSource",
    "FakeStack",
    "FakeVirtualEnvironments",
    "MemoryStore",
    "ReconcilerKilled",
    "RecordingProgress",
    "Thing",
]
