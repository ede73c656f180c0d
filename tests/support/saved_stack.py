"""A stack and the cluster that its machines are on: saved once, and put back for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.fake_proxmox import FakeProxmox


class SavedStack:
    """A copy of both; engine, plugin and address stay the same, so that nothing of it is made again.

    Args:
        state: where the engine keeps the stack; no engine runs.
        cluster: what the stack's resources are on; no fault is on.
        place: for the copy; it is made.
    """

    def __init__(self, state: Path, cluster: FakeProxmox, place: Path) -> None:
        self._state, self._cluster, self._place = state, cluster, place
        shutil.copytree(state, place)
        self._saved = cluster.save()

    def put_back(self) -> None:
        """Make stack and cluster what they were."""
        shutil.rmtree(self._state)
        shutil.copytree(self._place, self._state)
        self._cluster.put_back(self._saved)
