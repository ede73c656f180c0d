"""The port to what survives a restart: records, health, history, requests and approvals."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Protocol

from ronron.core.backups import BackupSummary, OwnBackup
from ronron.core.drift_record import DriftRecord
from ronron.core.health import Health
from ronron.core.model import Outcome, Pass, Request
from ronron.core.record import Record


class Store(Protocol):
    """Records, health, history, requests and approvals: what survives a restart.

    Calls may come from several threads and processes. Raises, from every method:
        StoreError: it cannot be read or written. RecordCorruptError: what is there is not ours.
    """

    def load(self, environment: str) -> Record:
        """The record of an environment; a fresh one where there is none."""
        ...

    def environments(self) -> tuple[str, ...]:
        """Names of all environments with a record, sorted."""
        ...

    def save(self, record: Record) -> None:
        """Write a record.

        Of a record that is there, `backups` and `kept` stay as they are, whatever this one says: they are
        written by `save_backups`, while a pass has its own record in hand. So in `finish`.
        """
        ...

    def save_backups(
        self, environment: str, backups: Mapping[str, BackupSummary], kept: OwnBackup | None
    ) -> None:
        """Write what was seen of the backups of an environment into its record, and nothing else."""
        ...

    def load_drift(self, environment: str) -> DriftRecord:
        """What is remembered of the containers of an environment; a fresh one where there is nothing."""
        ...

    def save_drift(self, record: DriftRecord) -> bool:
        """Write what is remembered of containers, with the next version.

        Returns:
            False where another write came between `load_drift` and this one; nothing is written then.
        """
        ...

    def copy(self, place: Path) -> None:
        """Write everything that is here but health, as it is at one moment, into a new file for us alone.

        Health is about now, so a copy of it would be wrong wherever it is read.

        Raises:
            StoreError: it cannot be written, or the database is a server's, which has its own backups.
        """
        ...

    def health(self, environment: str) -> Mapping[str, Health]:
        """The health of the services of an environment that were probed, by name."""
        ...

    def save_health(self, environment: str, health: Health) -> None:
        """Write the health of one service; an older probe never replaces a newer one."""
        ...

    def forget_health(self, environment: str, but: Collection[str] = ()) -> None:
        """Remove the health of the services of an environment, except that of the named ones."""
        ...

    def forget(self, environment: str) -> None:
        """Remove everything about an environment: record, health, history, requests and approvals."""
        ...

    def begin(self, pass_: Pass) -> int:
        """Write a pass that begins, and give its number."""
        ...

    def finish(self, pass_id: int, outcome: Outcome, finished: datetime, record: Record) -> None:
        """Write how a pass ended together with the record after it, both or neither."""
        ...

    def history(self, environment: str | None = None, limit: int = 20) -> tuple[Pass, ...]:
        """The newest passes first, of one environment or of all."""
        ...

    def ask(self, environment: str, by: str, at: datetime) -> Request:
        """Write a manual ask for a pass; numbers rise."""
        ...

    def asked(self, environment: str) -> Request | None:
        """The newest manual ask, served or not."""
        ...

    def approve(self, environment: str, identity: str, by: str, at: datetime) -> None:
        """Write a person's yes to one plan identity."""
        ...

    def approvals(self, environment: str) -> frozenset[str]:
        """Every identity that was approved."""
        ...

    def lock(self, stack: str) -> AbstractContextManager[None]:
        """Keep a stack to ourselves for the block, against other threads and processes.

        It is given up by the system when the process dies, however it dies.

        Raises:
            StackLockedError: another live process or thread has it; the message says which and since when.
        """
        ...
