"""Public fakes of the ports: they pass the contract suites that the real adapters pass."""

from __future__ import annotations

from reconciler.testing.backups import FakeAgent, FakeBackups
from reconciler.testing.clock import NOON, FakeClock
from reconciler.testing.engine import (
    EngineKilled,
    FakeEngine,
    ReconcilerKilled,
)
from reconciler.testing.machines import FakeMachines
from reconciler.testing.prober import Answer, FakeProber
from reconciler.testing.processes import FakeProcesses
from reconciler.testing.progress import RecordingProgress
from reconciler.testing.source import FakeSource
from reconciler.testing.store import MemoryStore
from reconciler.testing.things import FakeProgram, FakeStack, Thing

__all__ = [
    "NOON",
    "Answer",
    "EngineKilled",
    "FakeAgent",
    "FakeBackups",
    "FakeClock",
    "FakeEngine",
    "FakeMachines",
    "FakeProber",
    "FakeProcesses",
    "FakeProgram",
    "FakeSource",
    "FakeStack",
    "MemoryStore",
    "ReconcilerKilled",
    "RecordingProgress",
    "Thing",
]
