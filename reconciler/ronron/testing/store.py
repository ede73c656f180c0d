"""A store in memory, with the behaviour of the real one."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from ronron.core.backups import BackupSummary, OwnBackup
from ronron.core.drift_record import DriftRecord
from ronron.core.errors import ReconcilerError, RecordCorruptError, StackLockedError, StoreError
from ronron.core.health import Health
from ronron.core.model import Outcome, Pass, Request
from ronron.core.record import Record
from ronron.core.storable import as_kept


class MemoryStore:
    """See ports.Store.

    Args:
        *records: what is there at the beginning.
        kept: how many passes of one environment are kept.
    """

    def __init__(self, *records: Record, kept: int = 1000) -> None:
        self.saved: list[Record] = []
        """Every record that was written, in order: what a crash at any point would have left."""
        self._kept = kept
        self._lock = threading.RLock()
        self._records = {record.environment: as_kept(record) for record in records}
        self._drift: dict[str, DriftRecord] = {}
        self._passes: dict[int, Pass] = {}
        self._requests: list[Request] = []
        self._approvals: dict[tuple[str, str], str] = {}
        self._health: dict[str, dict[str, Health]] = {}
        self._locked: dict[str, datetime] = {}
        self._begun = 0
        self._failure: ReconcilerError | None = None

    def fail_next(self, failure: ReconcilerError) -> None:
        """Let the next call that reads or writes fail, and change nothing."""
        self._failure = failure

    def load(self, environment: str) -> Record:
        """See ports.Store."""
        with self._turn():
            return self._records.get(environment, Record(environment=environment))

    def environments(self) -> tuple[str, ...]:
        """See ports.Store."""
        with self._turn():
            return tuple(sorted(self._records))

    def save(self, record: Record) -> None:
        """See ports.Store."""
        with self._turn():
            self._put(record)

    def save_backups(
        self, environment: str, backups: Mapping[str, BackupSummary], kept: OwnBackup | None
    ) -> None:
        """See ports.Store."""
        with self._turn():
            before = self._records.get(environment, Record(environment=environment))
            after = as_kept(before.with_(backups=dict(backups), kept=kept))
            self._records[environment] = after
            self.saved.append(after)

    def load_drift(self, environment: str) -> DriftRecord:
        """See ports.Store."""
        with self._turn():
            return self._drift.get(environment, DriftRecord(environment=environment))

    def save_drift(self, record: DriftRecord) -> bool:
        """See ports.Store."""
        with self._turn():
            there = self._drift.get(record.environment)
            if (there.version if there is not None else 0) != record.version:
                return False
            self._drift[record.environment] = as_kept(record).with_(version=record.version + 1)
            return True

    def copy(self, place: Path) -> None:
        """See ports.Store; a JSON document here."""
        with self._turn():
            kept = {
                "records": [record.model_dump(mode="json") for record in self._records.values()],
                "passes": [made.model_dump(mode="json") for made in self._passes.values()],
            }
        try:
            place.touch(mode=0o600, exist_ok=False)
            place.write_text(json.dumps(kept))
        except OSError as error:
            raise StoreError(
                f"cannot copy the store: {error.strerror}",
                where=str(place),
                hint="name a file that is not there",
            ) from error

    def health(self, environment: str) -> Mapping[str, Health]:
        """See ports.Store."""
        with self._turn():
            return dict(self._health.get(environment, {}))

    def save_health(self, environment: str, health: Health) -> None:
        """See ports.Store."""
        with self._turn():
            services = self._health.setdefault(environment, {})
            there = services.get(health.service)
            if there is None or there.checked_at <= health.checked_at:
                services[health.service] = as_kept(health)

    def forget_health(self, environment: str, but: Collection[str] = ()) -> None:
        """See ports.Store."""
        with self._turn():
            services = self._health.pop(environment, {})
            kept = {name: health for name, health in services.items() if name in but}
            if kept:
                self._health[environment] = kept

    def forget(self, environment: str) -> None:
        """See ports.Store."""
        with self._turn():
            self._records.pop(environment, None)
            self._health.pop(environment, None)
            self._drift.pop(environment, None)
            self._passes = {
                number: made for number, made in self._passes.items() if made.environment != environment
            }
            # Without an environment, so that numbers still rise.
            self._requests = [
                request.with_(environment="") if request.environment == environment else request
                for request in self._requests
            ]
            self._approvals = {plan: by for plan, by in self._approvals.items() if plan[0] != environment}

    def begin(self, pass_: Pass) -> int:
        """See ports.Store."""
        with self._turn():
            self._begun += 1
            self._passes[self._begun] = as_kept(pass_).with_(id=self._begun)
            return self._begun

    def finish(self, pass_id: int, outcome: Outcome, finished: datetime, record: Record) -> None:
        """See ports.Store."""
        with self._turn():
            begun = self._passes.get(pass_id)
            if begun is None or begun.environment != record.environment:
                raise RecordCorruptError(
                    f"cannot read pass {pass_id}: {record.environment} has no such pass",
                    hint="finish a pass that was begun",
                )
            self._passes[pass_id] = as_kept(begun.with_(outcome=outcome, finished=finished))
            self._put(record)
            of = [number for number, made in self._passes.items() if made.environment == record.environment]
            for number in sorted(of)[: -self._kept]:
                del self._passes[number]

    def history(self, environment: str | None = None, limit: int = 20) -> tuple[Pass, ...]:
        """See ports.Store."""
        with self._turn():
            found = [made for made in self._passes.values() if environment in {None, made.environment}]
            return tuple(sorted(found, key=lambda made: made.id, reverse=True)[: max(0, limit)])

    def ask(self, environment: str, by: str, at: datetime) -> Request:
        """See ports.Store."""
        with self._turn():
            number = len(self._requests) + 1
            self._requests.append(as_kept(Request(id=number, environment=environment, by=by, at=at)))
            return self._requests[-1]

    def asked(self, environment: str) -> Request | None:
        """See ports.Store."""
        with self._turn():
            found = [request for request in self._requests if request.environment == environment]
            return found[-1] if found else None

    def approve(self, environment: str, identity: str, by: str, at: datetime) -> None:
        """See ports.Store."""
        del at
        with self._turn():
            self._approvals.setdefault((environment, identity), by)

    def approvals(self, environment: str) -> frozenset[str]:
        """See ports.Store."""
        with self._turn():
            return frozenset(identity for name, identity in self._approvals if name == environment)

    @contextmanager
    def lock(self, stack: str) -> Iterator[None]:
        """See ports.Store."""
        with self._turn():
            if stack in self._locked:
                since = f"{self._locked[stack]:%Y-%m-%d %H:%M:%S} UTC"
                raise StackLockedError(
                    f"the stack {stack} is locked by this process since {since}", hint="wait until it ends"
                )
            self._locked[stack] = datetime.now(UTC)
        try:
            yield
        finally:
            with self._lock:
                del self._locked[stack]

    def _put(self, record: Record) -> None:
        kept = as_kept(record)
        there = self._records.get(record.environment)
        if there is not None:
            kept = kept.with_(backups=there.backups, kept=there.kept)
        self._records[record.environment] = kept
        self.saved.append(kept)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self._lock:
            failure, self._failure = self._failure, None
            if failure is not None:
                raise failure
            yield
