"""Virtual environments that nobody installs anything into."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from ronron.core.errors import PackagesError
from ronron.core.packages import (
    LOCK_FILE,
    KeptEnvironment,
    VirtualEnvironment,
    environment_name,
    pinned,
    runs_by_lock_file,
)
from ronron.policy.yaml_text import read_yaml


class FakeVirtualEnvironments:
    """See ports.VirtualEnvironments.

    Args:
        root: where they would be; nothing is written there.
    """

    def __init__(self, root: Path = Path("/nonexistent")) -> None:
        self.made: list[str] = []
        """Names, in the order in which they were made."""
        self.interrupted = False
        self._root = root
        self._used: dict[str, datetime] = {}
        self._in_use: list[str] = []

    def keep(self, lock: str, used: datetime) -> str:
        """Have one that was made from a lock file and last used at that time; returns its name."""
        name = environment_name(lock, python="cpython-3.11.2", uv="0.13.9")
        self._used[name] = used
        return name

    @contextmanager
    def of(self, project: Path) -> Iterator[VirtualEnvironment | None]:
        """See ports.VirtualEnvironments."""
        file = project / LOCK_FILE
        runtime = read_yaml((project / "Pulumi.yaml").read_text(), file="Pulumi.yaml").values.get("runtime")
        if not file.is_file() or not runs_by_lock_file(
            runtime, brings_program=(project / "chatons").exists()
        ):
            yield None
            return
        if not pinned(lock := file.read_bytes().decode()):
            raise PackagesError("cannot install what it pins", where=LOCK_FILE, hint="write it again")
        known = set(self._used)
        name = self.keep(lock, datetime.now(UTC))
        if name not in known:
            self.made.append(name)
        self._in_use.append(name)
        try:
            yield VirtualEnvironment(directory=self._root / name, in_use=0)
        finally:
            self._in_use.remove(name)

    def kept(self) -> tuple[KeptEnvironment, ...]:
        """See ports.VirtualEnvironments."""
        return tuple(KeptEnvironment(name=name, used=used) for name, used in sorted(self._used.items()))

    def remove(self, name: str) -> bool:
        """See ports.VirtualEnvironments."""
        return name not in self._in_use and self._used.pop(name, None) is not None

    def interrupt(self) -> None:
        """See ports.VirtualEnvironments."""
        self.interrupted = True
