"""Public fakes of the ports: they pass the contract suites that the real adapters pass."""

from __future__ import annotations

from reconciler.testing.clock import NOON, FakeClock
from reconciler.testing.prober import Answer, FakeProber
from reconciler.testing.progress import RecordingProgress
from reconciler.testing.store import MemoryStore

__all__ = ["NOON", "Answer", "FakeClock", "FakeProber", "MemoryStore", "RecordingProgress"]
