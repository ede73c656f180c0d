"""Backups as values: what the agents report, the conditions of a service's backups, drills and restores.

The documents are those of docs/backup-agent.md; unknown fields come from a newer agent that stays compatible.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from ronron.core.model import Instant, Value


class _AgentDocument(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class AgentError(_AgentDocument):
    """Why something failed: a code of docs/backup-agent.md, one sentence, and what to do."""

    code: str
    message: str
    hint: str = ""


class DatabaseDump(_AgentDocument):
    """The database in a snapshot; `bytes` is the size of the dump."""

    major: int
    server_version: str
    name: str
    bytes: int = Field(ge=0)


class Files(_AgentDocument):
    """The files in a snapshot."""

    count: int = Field(ge=0)
    bytes: int = Field(ge=0)


class Snapshot(_AgentDocument):
    """One verified snapshot of one service.

    Args:
        id: restic's, in full; shortened on screen only.
        run: the tag that both halves of a snapshot carry.
        reason: `asked`, `schedule`, `update` or `restore`.
        revision: the commit that ran, where the caller gave it to the agent.
        counts: number of rows by what they are, such as `pads`.
        lineage: of the data: volumes that were recreated begin another one. Empty for the first.
        recreated: taken while nobody had said yet that data which were recreated are right.
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
    database: DatabaseDump | None
    counts: Mapping[str, int]
    files: Files
    lineage: str = ""
    recreated: bool = False


class DataState(_AgentDocument):
    """Whether a service's data are those that its snapshots are of.

    Args:
        state: `known`; `recreated`: volumes were recreated, and no snapshot is taken by schedule until a
            person has restored or accepted; `unknown`: the agent could not read its repository yet.
        lineage: of the snapshots that are taken now.
        recreated: the places that were recreated: `database`, or the path of files in the agent.
        since: when the agent found that.
    """

    state: str
    lineage: str = ""
    recreated: tuple[str, ...] = ()
    since: Instant | None = None

    @property
    def waits(self) -> bool:
        """Whether a person has to restore, or to say that the present data are right."""
        return self.state == "recreated"


class Run(_AgentDocument):
    """The newest run of one sort; `ok` is None while it runs, or after its process died."""

    started: Instant
    finished: Instant | None
    ok: bool | None
    error: AgentError | None


class Lock(_AgentDocument):
    """A lock in the repository; stale when its owner is dead, or did not renew it for half an hour."""

    host: str
    since: Instant
    stale: bool


class BackupStatus(_AgentDocument):
    """The answer of an agent to `status`.

    Args:
        since: when the agent first ran: the age of a missing first snapshot counts from here.
        reachable: whether the agent could read the repository; if not, `trouble` says why.
        max_age_hours: how old the newest snapshot may be. Agents of interface 1 call it `promise_hours`.
        drill: how often a snapshot is restored for proof: `daily`, `weekly` or `monthly`.
        check: how often the repository is checked: `daily`, `weekly` or `monthly`.
        forget: whether the agent removes old snapshots; False for a repository that only takes new ones.
        snapshots: the newest first, ten at most.
        runs: the newest `backup`, `prune`, `check` and `drill`; None for what never ran.
        data: whether the data are those of the snapshots; None from agents of interface 1 and 2.
    """

    service: str
    since: Instant
    reachable: bool
    trouble: AgentError | None
    max_age_hours: float = Field(gt=0, validation_alias=AliasChoices("max_age_hours", "promise_hours"))
    drill: str
    check: str
    forget: bool
    snapshots: tuple[Snapshot, ...]
    runs: Mapping[str, Run | None]
    locks: tuple[Lock, ...]
    data: DataState | None = None


class ConditionKind(StrEnum):
    """What can be wrong with a service's backups; the words stand in `status`, records and history."""

    AGENT_UNREACHABLE = "agent unreachable"
    REPOSITORY_UNREACHABLE = "repository unreachable"
    RECREATED = "volumes recreated"
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

    @classmethod
    def _missing_(cls, value: object) -> ConditionKind | None:
        # Records that an earlier version wrote have the earlier words.
        return cls.AGENT_UNREACHABLE if value == "agent silent" else None


class Condition(Value):
    """One thing that is wrong with the backups of one service.

    Args:
        service: its name in the inventory.
        kind: in two words.
        message: one sentence with the facts.
        hint: what to do.
    """

    service: str
    kind: ConditionKind
    message: str
    hint: str


class BackupSummary(Value):
    """The backups of one service when its agent was last asked: what the record stores.

    Args:
        service: its name in the inventory.
        newest: id of the newest good snapshot, in full; None where there is none.
        taken: when that was taken.
        drilled: when the newest drill ended; None where there was none.
        drill_passed: its result; None while it runs, or after its process died.
        conditions: what is wrong, in the order of `ConditionKind`.
        looked_at: when the agent was last asked; None if it never was.
    """

    service: str
    newest: str | None = None
    taken: Instant | None = None
    drilled: Instant | None = None
    drill_passed: bool | None = None
    conditions: tuple[Condition, ...] = ()
    looked_at: Instant | None = None


class OwnBackup(Value):
    """The newest backup of the reconciler's own records and states.

    Args:
        service: the service beside whose snapshots it is stored.
        id: of the snapshot that has it.
        at: when it was made.
    """

    service: str
    id: str
    at: Instant


class _Result(Value):
    # The attribute has a plain name, the documents have the key that agents and scripts read.
    model_config = ConfigDict(serialize_by_alias=True)


class DrillResult(_Result):
    """The result of one drill.

    Args:
        service: its name in the inventory.
        snapshot: id of the snapshot that was restored, in full.
        started, finished: UTC.
        passed: whether counts, start and probe are as they should be.
        detail: one sentence: what was proven, or what is wrong.
        counts: number of rows in the restored database, by what they are.
        expected: number of rows that the snapshot's manifest has; `promised` in JSON.
        probe: the answer of the service's own image on the restored data.
    """

    service: str
    snapshot: str
    started: Instant
    finished: Instant
    passed: bool
    detail: str
    counts: Mapping[str, int] = Field(default_factory=dict)
    expected: Mapping[str, int] = Field(
        default_factory=dict,
        validation_alias=AliasChoices("promised", "expected"),
        serialization_alias="promised",
    )
    probe: str = ""


class Restored(_Result):
    """The result of one restore.

    Args:
        service: its name in the inventory.
        snapshot: id of the snapshot that was restored.
        safety_snapshot: id of the snapshot of the data that the restore replaced; None where the person
            asked for none. `kept` in JSON.
        counts: number of rows in the restored database, by what they are.
        expected: number of rows that the snapshot's manifest has; `promised` in JSON.
        healthy: result of the probe through the public URL; None for a service without one.
        detail: one sentence.
    """

    service: str
    snapshot: str
    safety_snapshot: str | None = Field(
        validation_alias=AliasChoices("kept", "safety_snapshot"), serialization_alias="kept"
    )
    counts: Mapping[str, int]
    expected: Mapping[str, int] = Field(
        validation_alias=AliasChoices("promised", "expected"), serialization_alias="promised"
    )
    healthy: bool | None
    detail: str
