"""Backups as the agents tell of them, and what is wrong with them: values and decisions only.

The documents are those of docs/backup-agent.md; unknown fields come from a newer agent that stays compatible.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from ronron.core.model import Instant, Value


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Trouble(_Told):
    """Why something failed: a code of docs/backup-agent.md, one sentence, and what to do."""

    code: str
    message: str
    hint: str = ""


class Dumped(_Told):
    """The database in a snapshot; `bytes` is the size of the dump."""

    major: int
    server_version: str
    name: str
    bytes: int = Field(ge=0)


class Files(_Told):
    """The files in a snapshot."""

    count: int = Field(ge=0)
    bytes: int = Field(ge=0)


class Snapshot(_Told):
    """One verified snapshot of one service.

    Args:
        id: restic's, in full; shortened on screen only.
        run: the tag that holds the halves of a snapshot together.
        reason: `asked`, `schedule`, `update` or `restore`.
        revision: the commit that ran, where somebody told the agent.
        counts: rows that matter, by what they are.
    """

    id: str
    run: str
    taken: Instant
    reason: str
    service: str
    kind: str
    version: str
    image: str
    image_digest: str | None
    revision: str | None
    database: Dumped | None
    counts: Mapping[str, int]
    files: Files


class Run(_Told):
    """The newest run of one sort; `ok` is None while it runs, or after its process died."""

    started: Instant
    finished: Instant | None
    ok: bool | None
    error: Trouble | None


class Lock(_Told):
    """A lock in the repository; stale when its owner is proven dead or has been silent for half an hour."""

    host: str
    since: Instant
    stale: bool


class BackupStatus(_Told):
    """What an agent says of its service's backups.

    Args:
        since: when the agent first ran: before the first snapshot, the promise counts from here.
        reachable: whether the repository was looked at; else `trouble` says why not.
        promise_hours: how old the newest snapshot may become.
        drill: how often one is restored: `daily`, `weekly` or `monthly`; so `check`.
        snapshots: the newest first, ten at most.
        runs: the newest `backup`, `prune`, `check` and `drill`; None for what never ran.
    """

    at: Instant
    service: str
    since: Instant
    reachable: bool
    trouble: Trouble | None
    promise_hours: float = Field(gt=0)
    drill: str
    check: str
    forget: bool
    snapshots: tuple[Snapshot, ...]
    runs: Mapping[str, Run | None]
    locks: tuple[Lock, ...]


class ConditionKind(StrEnum):
    """What can be wrong with a service's backups; the words stand in `status`, records and history."""

    AGENT_SILENT = "agent silent"
    REPOSITORY_UNREACHABLE = "repository unreachable"
    OVERDUE = "backup overdue"
    BACKUP_FAILED = "backup failed"
    SHRUNK = "backup shrunk"
    ODD_TIME = "odd time"
    PRUNE_FAILED = "prune failed"
    CHECK_FAILED = "check failed"
    CHECK_OVERDUE = "check overdue"
    STALE_LOCK = "stale lock"
    DRILL_FAILED = "drill failed"
    DRILL_OVERDUE = "drill overdue"


class Condition(Value):
    """One thing that is wrong with the backups of one service.

    Args:
        service: its name in the inventory.
        kind: in two words.
        message: in one sentence, with the facts.
        hint: what to do.
    """

    service: str
    kind: ConditionKind
    message: str
    hint: str


class SeenBackup(Value):
    """What was last seen of the backups of one service: what stands in the record.

    Args:
        service: its name in the inventory.
        newest: id of the newest good snapshot, in full; None where there is none.
        taken: when that was.
        drilled: when the newest drill ended; None where there was none.
        drill_passed: what it found; None while it runs, or after its process died.
        conditions: what is wrong, in the order of `ConditionKind`.
        looked_at: when the agent was last asked; None for one that never was.
    """

    service: str
    newest: str | None = None
    taken: Instant | None = None
    drilled: Instant | None = None
    drill_passed: bool | None = None
    conditions: tuple[Condition, ...] = ()
    looked_at: Instant | None = None


class KeptBundle(Value):
    """The newest copy of the reconciler's own store and states.

    Args:
        service: beside whose snapshots it lies.
        id: of the snapshot that holds it.
        at: when it was made.
    """

    service: str
    id: str
    at: Instant


class DrillResult(Value):
    """What one drill found.

    Args:
        service: its name in the inventory.
        snapshot: id of what was restored, in full.
        started, finished: UTC.
        passed: whether everything below is as it should be.
        detail: one sentence: what was proven, or what was not.
        counts: rows found in the restored database.
        promised: rows that the snapshot's manifest names.
        probe: what the service's own image answered on the restored data.
    """

    service: str
    snapshot: str
    started: Instant
    finished: Instant
    passed: bool
    detail: str
    counts: Mapping[str, int] = Field(default_factory=dict)
    promised: Mapping[str, int] = Field(default_factory=dict)
    probe: str = ""


class Restored(Value):
    """What a restore did.

    Args:
        service: its name in the inventory.
        snapshot: id of what was restored.
        kept: id of the snapshot of what was there before; None where the person said to do without.
        counts, promised: as in `DrillResult`.
        healthy: what the probe through the public URL said; None for a service without one.
        detail: one sentence.
    """

    service: str
    snapshot: str
    kept: str | None
    counts: Mapping[str, int]
    promised: Mapping[str, int]
    healthy: bool | None
    detail: str
