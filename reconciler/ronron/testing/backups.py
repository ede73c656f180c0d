"""Backup agents in memory that behave as the real ones; their data are counts of rows."""

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
    AgentError,
    BackupStatus,
    DatabaseDump,
    DataState,
    DrillResult,
    Files,
    Lock,
    Restored,
    Run,
    Snapshot,
)
from ronron.core.errors import AgentUnreachableError, BackupError, ConfigError, RecreatedError
from ronron.core.inventory import Inventory, Service
from ronron.core.model import SHORT
from ronron.core.restores import (
    count_differences,
    counts_text,
    refuse_newer_version,
    refuse_other_service,
    service_with_backup,
    version_warning,
)
from ronron.ports import Clock
from ronron.testing.clock import FakeClock

_NEVER: Mapping[str, Run | None] = {"backup": None, "prune": None, "check": None, "drill": None}


@dataclass
class FakeAgent:
    """One service's agent, and the service's data; tests write into it.

    Attributes:
        since: when it first ran.
        rows: the service's data now: number of rows by what they are.
        snapshots: the newest first.
        contents: the data in a snapshot, by its id: what a restore finds.
        damaged: ids of snapshots that cannot be read any more.
        unreachable: whether its container does not answer.
        trouble: why its repository cannot be used; None while it can.
        no_probe: why the service's image does not start on restored data; empty while it does.
        runs: the newest of each sort.
        locks: in the repository.
        max_age_hours, drill, check, forget: as its configuration has them.
        data: whether the data are those of the snapshots.
        drills: results that were recorded.
        bundles: of the reconciler, by id.
    """

    since: datetime
    rows: dict[str, int] = field(default_factory=lambda: {"rows": 0})
    snapshots: list[Snapshot] = field(default_factory=list)
    contents: dict[str, dict[str, int]] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)
    unreachable: bool = False
    trouble: AgentError | None = None
    no_probe: str = ""
    runs: dict[str, Run | None] = field(default_factory=lambda: dict(_NEVER))
    locks: tuple[Lock, ...] = ()
    max_age_hours: float = 26.0
    drill: str = "weekly"
    check: str = "weekly"
    forget: bool = True
    data: DataState = field(default_factory=lambda: DataState(state="known"))
    drills: list[DrillResult] = field(default_factory=list)
    bundles: dict[str, bytes] = field(default_factory=dict)


class FakeBackups:
    """See ports.Backups.

    Args:
        clock: the agents' time.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.calls: list[str] = []
        """Every call in order: the method and the service, such as `snapshot pad`."""
        self._clock = clock if clock is not None else FakeClock()
        self._agents: dict[str, FakeAgent] = {}
        self._failures: list[tuple[str, str, BackupError]] = []
        self._lock = threading.RLock()
        self._taken = 0

    def agent(self, service: str) -> FakeAgent:
        """The agent of a service, to read and to write; the first call makes it."""
        with self._lock:
            return self._agents.setdefault(service, FakeAgent(since=self._clock.now()))

    def fail_next(self, failure: BackupError, method: str = "", service: str = "") -> None:
        """Let the next call fail before it does anything: any call, or the next of one method or service.

        A snapshot that fails becomes the newest run of its agent, as with a real one.
        """
        with self._lock:
            self._failures.append((method, service, failure))

    def status(self, inventory: Inventory, service: str) -> BackupStatus:
        """See ports.Backups."""
        with self._call("status", inventory, service) as (agent, _):
            return BackupStatus(
                service=service,
                since=agent.since,
                reachable=agent.trouble is None,
                trouble=agent.trouble,
                max_age_hours=agent.max_age_hours,
                drill=agent.drill,
                check=agent.check,
                forget=agent.forget,
                snapshots=tuple(agent.snapshots[:10]),
                runs=dict(agent.runs),
                locks=agent.locks,
                data=agent.data,
            )

    def lose(self, service: str) -> None:
        """Recreate the data of a service, empty, as after the loss of its machine."""
        agent = self.agent(service)
        agent.rows = dict.fromkeys(agent.rows, 0)
        agent.data = DataState(
            state="recreated",
            lineage=hashlib.sha256(f"{service} {self._clock.now()}".encode()).hexdigest()[:32],
            recreated=("/data/files", "database"),
            since=self._clock.now(),
        )

    def snapshot(
        self,
        inventory: Inventory,
        service: str,
        reason: str = "asked",
        revision: str | None = None,
        *,
        recreated: bool = False,
    ) -> Snapshot:
        """See ports.Backups."""
        with self._call("snapshot", inventory, service) as (agent, declared):
            _refuse_trouble(agent, service)
            if agent.data.waits and reason == "asked" and not recreated:
                raise RecreatedError(
                    "cannot take a snapshot unasked: database was recreated", where=service, hint="restore"
                )
            return self._take(agent, service, declared, reason, revision)

    def check(self, inventory: Inventory, service: str) -> None:
        """See ports.Backups."""
        self._run("check", inventory, service)

    def prune(self, inventory: Inventory, service: str) -> None:
        """See ports.Backups."""
        self._run("prune", inventory, service)

    def _run(self, kind: str, inventory: Inventory, service: str) -> None:
        with self._call(kind, inventory, service) as (agent, _):
            _refuse_trouble(agent, service)
            now = self._clock.now()
            agent.runs[kind] = Run(started=now, finished=now, ok=True, error=None)

    def accept_data(self, inventory: Inventory, service: str) -> None:
        """See ports.Backups."""
        with self._call("accept_data", inventory, service) as (agent, _):
            agent.data = DataState(state="known", lineage=agent.data.lineage)

    def snapshots(self, inventory: Inventory, service: str) -> tuple[Snapshot, ...]:
        """See ports.Backups."""
        with self._call("snapshots", inventory, service) as (agent, _):
            _refuse_trouble(agent, service)
            return tuple(agent.snapshots)

    def restore(
        self,
        inventory: Inventory,
        service: str,
        snapshot: Snapshot,
        *,
        safety_snapshot: bool = True,
        log: Callable[[str], None],
    ) -> Restored:
        """See ports.Backups."""
        with self._call("restore", inventory, service) as (agent, declared):
            refuse_other_service(snapshot, service, declared)
            refuse_newer_version(snapshot, service, declared)
            warning = version_warning(snapshot, service, declared)
            if warning:
                log(warning)
            _refuse_trouble(agent, service)
            contents = _contents(agent, service, snapshot)
            safety = None
            if safety_snapshot:
                safety = self._take(agent, service, declared, "restore", None).id
                log(f"the safety snapshot is {safety[:SHORT]}")
            differences = count_differences(snapshot.counts, contents)
            if differences:
                raise BackupError(
                    f"cannot restore snapshot {snapshot.id[:SHORT]}: it has {differences};"
                    f" {service} is started again on its old data",
                    where=service,
                    hint=f"restore an earlier one: ronron backup list ENV {service}",
                )
            agent.rows = dict(contents)
            agent.data = DataState(state="known", lineage=snapshot.lineage)
            log(f"restored snapshot {snapshot.id[:SHORT]}: {counts_text(contents)}")
            return Restored(
                service=service,
                snapshot=snapshot.id,
                safety_snapshot=safety,
                counts=contents,
                expected=dict(snapshot.counts),
                healthy=None,
                detail=f"{counts_text(contents)}, as in the snapshot",
            )

    def export(self, inventory: Inventory, service: str, snapshot: Snapshot, directory: Path) -> None:
        """See ports.Backups."""
        with self._call("export", inventory, service) as (agent, _):
            if directory.is_file() or (directory.is_dir() and any(directory.iterdir())):
                raise ConfigError(
                    "cannot export: the directory is not empty",
                    where=str(directory),
                    hint="name a directory that does not exist yet",
                )
            _refuse_trouble(agent, service)
            contents = _contents(agent, service, snapshot)
            (directory / "data").mkdir(parents=True, exist_ok=True)
            (directory / "manifest.json").write_text(snapshot.model_dump_json())
            if snapshot.database is not None:
                (directory / "database.pgdump").write_text(json.dumps(contents))

    def drill(
        self, inventory: Inventory, service: str, snapshot: Snapshot, log: Callable[[str], None]
    ) -> DrillResult:
        """See ports.Backups."""
        with self._call("drill", inventory, service) as (agent, declared):
            refuse_other_service(snapshot, service, declared)
            _refuse_trouble(agent, service)
            log(f"restoring snapshot {snapshot.id[:SHORT]} beside {service}")
            result = self._drill(agent, service, declared, snapshot)
            agent.drills.append(result)
            error = None if result.passed else AgentError(code="failed", message=result.detail)
            agent.runs["drill"] = Run(
                started=result.started, finished=result.finished, ok=result.passed, error=error
            )
            log(result.detail)
            return result

    def back_up_bundle(self, inventory: Inventory, service: str, bundle: Path) -> str:
        """See ports.Backups."""
        with self._call("back_up_bundle", inventory, service) as (agent, _):
            _refuse_trouble(agent, service)
            content = bundle.read_bytes()
            name = hashlib.sha256(content).hexdigest()
            agent.bundles[name] = content
            return name

    @contextmanager
    def _call(self, method: str, inventory: Inventory, service: str) -> Iterator[tuple[FakeAgent, Service]]:
        with self._lock:
            self.calls.append(f"{method} {service}")
            declared, backup = service_with_backup(inventory, service)
            agent = self.agent(service)
            for one in self._failures:
                if one[0] in {"", method} and one[1] in {"", service}:
                    self._failures.remove(one)
                    self._remember(agent, method, one[2])
                    raise one[2]
            if agent.unreachable:
                raise AgentUnreachableError(
                    f"cannot reach the backup agent {backup.container}: it is not running",
                    where=service,
                    hint=f"read its output: docker logs {backup.container}",
                )
            yield agent, declared

    def _remember(self, agent: FakeAgent, method: str, failure: BackupError) -> None:
        if method == "snapshot" and not isinstance(failure, AgentUnreachableError):
            now = self._clock.now()
            error = AgentError(code="failed", message=failure.message, hint=failure.hint)
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
            lineage=agent.data.lineage,
            recreated=agent.data.waits,
        )
        agent.snapshots.insert(0, snapshot)
        agent.contents[snapshot.id] = rows
        agent.runs["backup"] = Run(started=now, finished=now, ok=True, error=None)
        return snapshot

    def _drill(self, agent: FakeAgent, service: str, declared: Service, snapshot: Snapshot) -> DrillResult:
        now = self._clock.now()
        found: dict[str, int] = {}
        probe = ""
        try:
            refuse_newer_version(snapshot, service, declared)
            found = dict(_contents(agent, service, snapshot))
            failure = count_differences(snapshot.counts, found)
            if not failure and agent.no_probe:
                failure = probe = agent.no_probe
            elif not failure:
                probe = "200 in 1 ms"
        except BackupError as error:
            failure = error.message
        return DrillResult(
            service=service,
            snapshot=snapshot.id,
            started=now,
            finished=self._clock.now(),
            passed=not failure,
            detail=failure or f"{counts_text(found)}; {probe}",
            counts=found,
            expected=dict(snapshot.counts),
            probe=probe,
        )


def _dumped(declared: Service, rows: Mapping[str, int]) -> DatabaseDump | None:
    database = declared.database
    if database is None:
        return None
    return DatabaseDump(
        major=database.major,
        server_version=f"{database.major}.0",
        name=database.name,
        bytes=1024 + 100 * sum(rows.values()),
    )


def _refuse_trouble(agent: FakeAgent, service: str) -> None:
    if agent.trouble is not None:
        raise BackupError(agent.trouble.message, where=service, hint=agent.trouble.hint)


def _contents(agent: FakeAgent, service: str, snapshot: Snapshot) -> dict[str, int]:
    contents = agent.contents.get(snapshot.id)
    if contents is None:
        raise BackupError(
            f"cannot find snapshot {snapshot.id[:SHORT]} in the repository",
            where=service,
            hint=f"choose another one: ronron backup list ENV {service}",
        )
    if snapshot.id in agent.damaged:
        raise BackupError(
            f"cannot read snapshot {snapshot.id[:SHORT]}: the repository is damaged",
            where=service,
            hint=f"restore an earlier one: ronron backup list ENV {service}",
        )
    return contents
