"""Backup agents in memory, with the behaviour of the real ones; what they hold is counts of rows."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from ronron.core.backups import (
    BackupStatus,
    DrillResult,
    Dumped,
    Files,
    Lock,
    Restored,
    Run,
    Snapshot,
    Trouble,
)
from ronron.core.errors import AgentUnreachableError, BackupError, ConfigError
from ronron.core.inventory import Inventory, Service
from ronron.core.model import SHORT
from ronron.core.restores import backed_up, differences, listed, refuse_newer, refuse_stranger, remark
from ronron.ports import Clock
from ronron.testing.clock import FakeClock

_NEVER: Mapping[str, Run | None] = {"backup": None, "prune": None, "check": None, "drill": None}


@dataclass
class FakeAgent:
    """One service's agent, and what the service holds now; tests write into it.

    Attributes:
        since: when it first ran.
        rows: what the service holds now, by what it is.
        snapshots: the newest first.
        holds: what really is in a snapshot, by its id: what a restore finds.
        damaged: ids of snapshots that cannot be read any more.
        silent: whether its container answers nothing.
        trouble: why its repository cannot be used; None while it can.
        no_probe: why the service's image does not come up on restored data; empty while it does.
        runs: the newest of each sort.
        locks: in the repository.
        promise_hours, drill, check, forget: as its configuration says.
        drilled: results that it was told.
        kept: bundles of the reconciler, by id.
    """

    since: datetime
    rows: dict[str, int] = field(default_factory=lambda: {"rows": 0})
    snapshots: list[Snapshot] = field(default_factory=list)
    holds: dict[str, dict[str, int]] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)
    silent: bool = False
    trouble: Trouble | None = None
    no_probe: str = ""
    runs: dict[str, Run | None] = field(default_factory=lambda: dict(_NEVER))
    locks: tuple[Lock, ...] = ()
    promise_hours: float = 26.0
    drill: str = "weekly"
    check: str = "weekly"
    forget: bool = True
    drilled: list[DrillResult] = field(default_factory=list)
    kept: dict[str, bytes] = field(default_factory=dict)


class FakeBackups:
    """See ports.Backups.

    Args:
        clock: what the agents live by.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.calls: list[str] = []
        """What was asked for, in order: the method and the service, such as `snapshot pad`."""
        self._clock = clock if clock is not None else FakeClock()
        self._agents: dict[str, FakeAgent] = {}
        self._failures: list[tuple[str, str, BackupError]] = []
        self._lock = threading.RLock()
        self._taken = 0

    def agent(self, service: str) -> FakeAgent:
        """The agent of a service, to read and to write: it is there from the first time it is asked for."""
        with self._lock:
            return self._agents.setdefault(service, FakeAgent(since=self._clock.now()))

    def fail_next(self, failure: BackupError, method: str = "", service: str = "") -> None:
        """Let the next call fail, or the next of one method or service, before it does anything.

        A failing snapshot is also the newest run of its agent, as with a real one.
        """
        with self._lock:
            self._failures.append((method, service, failure))

    def status(self, inventory: Inventory, service: str) -> BackupStatus:
        """See ports.Backups."""
        with self._turn("status", inventory, service) as (agent, _):
            return BackupStatus(
                at=self._clock.now(),
                service=service,
                since=agent.since,
                reachable=agent.trouble is None,
                trouble=agent.trouble,
                promise_hours=agent.promise_hours,
                drill=agent.drill,
                check=agent.check,
                forget=agent.forget,
                snapshots=tuple(agent.snapshots[:10]),
                runs=dict(agent.runs),
                locks=agent.locks,
            )

    def snapshot(
        self, inventory: Inventory, service: str, reason: str = "asked", revision: str | None = None
    ) -> Snapshot:
        """See ports.Backups."""
        with self._turn("snapshot", inventory, service) as (agent, declared):
            _refuse_trouble(agent, service)
            return self._take(agent, service, declared, reason, revision)

    def snapshots(self, inventory: Inventory, service: str) -> tuple[Snapshot, ...]:
        """See ports.Backups."""
        with self._turn("snapshots", inventory, service) as (agent, _):
            _refuse_trouble(agent, service)
            return tuple(agent.snapshots)

    def restore(
        self,
        inventory: Inventory,
        service: str,
        snapshot: Snapshot,
        *,
        keep: bool = True,
        told: Callable[[str], None],
    ) -> Restored:
        """See ports.Backups."""
        with self._turn("restore", inventory, service) as (agent, declared):
            refuse_stranger(snapshot, service, declared)
            refuse_newer(snapshot, service, declared)
            warning = remark(snapshot, service, declared)
            if warning:
                told(warning)
            _refuse_trouble(agent, service)
            held = _held(agent, service, snapshot)
            kept = None
            if keep:
                kept = self._take(agent, service, declared, "restore", None).id
                told(f"kept what {service} holds now as snapshot {kept[:SHORT]}")
            differ = differences(snapshot.counts, held)
            if differ:
                raise BackupError(
                    f"cannot restore snapshot {snapshot.id[:SHORT]}: it gives {differ};"
                    f" {service} runs on what it had",
                    where=service,
                    hint=f"restore an earlier one: ronron backup list ENV {service}",
                )
            agent.rows = dict(held)
            told(f"restored snapshot {snapshot.id[:SHORT]}: {listed(held)}")
            return Restored(
                service=service,
                snapshot=snapshot.id,
                kept=kept,
                counts=held,
                promised=dict(snapshot.counts),
                healthy=None,
                detail=f"{listed(held)}, as the snapshot promises",
            )

    def export(self, inventory: Inventory, service: str, snapshot: Snapshot, place: Path) -> None:
        """See ports.Backups."""
        with self._turn("export", inventory, service) as (agent, _):
            if place.is_file() or (place.is_dir() and any(place.iterdir())):
                raise ConfigError(
                    "cannot export: the place is not empty",
                    where=str(place),
                    hint="name a directory that does not exist yet",
                )
            _refuse_trouble(agent, service)
            held = _held(agent, service, snapshot)
            (place / "data").mkdir(parents=True, exist_ok=True)
            (place / "manifest.json").write_text(snapshot.model_dump_json())
            if snapshot.database is not None:
                (place / "database.pgdump").write_text(json.dumps(held))

    def drill(
        self, inventory: Inventory, service: str, snapshot: Snapshot, told: Callable[[str], None]
    ) -> DrillResult:
        """See ports.Backups."""
        with self._turn("drill", inventory, service) as (agent, declared):
            refuse_stranger(snapshot, service, declared)
            _refuse_trouble(agent, service)
            told(f"restoring snapshot {snapshot.id[:SHORT]} beside {service}")
            result = self._drill(agent, service, declared, snapshot)
            agent.drilled.append(result)
            error = None if result.passed else Trouble(code="failed", message=result.detail)
            agent.runs["drill"] = Run(
                started=result.started, finished=result.finished, ok=result.passed, error=error
            )
            told(result.detail)
            return result

    def keep(self, inventory: Inventory, service: str, bundle: Path) -> str:
        """See ports.Backups."""
        with self._turn("keep", inventory, service) as (agent, _):
            _refuse_trouble(agent, service)
            content = bundle.read_bytes()
            name = hashlib.sha256(content).hexdigest()
            agent.kept[name] = content
            return name

    @contextmanager
    def _turn(self, method: str, inventory: Inventory, service: str) -> Iterator[tuple[FakeAgent, Service]]:
        with self._lock:
            self.calls.append(f"{method} {service}")
            declared, backup = backed_up(inventory, service)
            agent = self.agent(service)
            for one in self._failures:
                if one[0] in {"", method} and one[1] in {"", service}:
                    self._failures.remove(one)
                    self._remember(agent, method, one[2])
                    raise one[2]
            if agent.silent:
                raise AgentUnreachableError(
                    f"cannot reach the backup agent {backup.container}: it is not running",
                    where=service,
                    hint=f"look at what it said: docker logs {backup.container}",
                )
            yield agent, declared

    def _remember(self, agent: FakeAgent, method: str, failure: BackupError) -> None:
        if method == "snapshot" and not isinstance(failure, AgentUnreachableError):
            now = self._clock.now()
            error = Trouble(code="failed", message=failure.message, hint=failure.hint)
            agent.runs["backup"] = Run(started=now, finished=now, ok=False, error=error)

    def _take(
        self, agent: FakeAgent, service: str, declared: Service, reason: str, revision: str | None
    ) -> Snapshot:
        self._taken += 1
        now = self._clock.now()
        rows = dict(agent.rows)
        snapshot = Snapshot(
            id=hashlib.sha256(f"{service} {self._taken}".encode()).hexdigest(),
            run=f"{self._taken:032x}",
            taken=now,
            reason=reason,
            service=service,
            kind=declared.kind,
            version=declared.version,
            image=declared.image,
            image_digest=declared.image_digest,
            revision=revision,
            database=_dumped(declared, rows),
            counts=rows,
            files=Files(count=1, bytes=1024),
        )
        agent.snapshots.insert(0, snapshot)
        agent.holds[snapshot.id] = rows
        agent.runs["backup"] = Run(started=now, finished=now, ok=True, error=None)
        return snapshot

    def _drill(self, agent: FakeAgent, service: str, declared: Service, snapshot: Snapshot) -> DrillResult:
        now = self._clock.now()
        found: dict[str, int] = {}
        probe = ""
        try:
            refuse_newer(snapshot, service, declared)
            found = dict(_held(agent, service, snapshot))
            trouble = differences(snapshot.counts, found)
            if not trouble and agent.no_probe:
                trouble = probe = agent.no_probe
            elif not trouble:
                probe = "200 in 1 ms"
        except BackupError as error:
            trouble = error.message
        return DrillResult(
            service=service,
            snapshot=snapshot.id,
            started=now,
            finished=self._clock.now(),
            passed=not trouble,
            detail=trouble or f"{listed(found)}; {probe}",
            counts=found,
            promised=dict(snapshot.counts),
            probe=probe,
        )


def _dumped(declared: Service, rows: Mapping[str, int]) -> Dumped | None:
    database = declared.database
    if database is None:
        return None
    return Dumped(
        major=database.major,
        server_version=f"{database.major}.0",
        name=database.name,
        bytes=1024 + 100 * sum(rows.values()),
    )


def _refuse_trouble(agent: FakeAgent, service: str) -> None:
    if agent.trouble is not None:
        raise BackupError(agent.trouble.message, where=service, hint=agent.trouble.hint)


def _held(agent: FakeAgent, service: str, snapshot: Snapshot) -> dict[str, int]:
    held = agent.holds.get(snapshot.id)
    if held is None:
        raise BackupError(
            f"cannot find snapshot {snapshot.id[:SHORT]} in the repository",
            where=service,
            hint=f"choose one that is there: ronron backup list ENV {service}",
        )
    if snapshot.id in agent.damaged:
        raise BackupError(
            f"cannot read snapshot {snapshot.id[:SHORT]}: the repository is damaged",
            where=service,
            hint=f"restore an earlier one: ronron backup list ENV {service}",
        )
    return held
