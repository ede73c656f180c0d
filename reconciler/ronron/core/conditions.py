"""What is wrong with the backups of a service, and when a drill is due. Pure.

Every condition has the facts that prove it and a hint for the person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from ronron.core.backups import (
    AgentError,
    BackupStatus,
    BackupSummary,
    Condition,
    ConditionKind,
    DataState,
    Lock,
    Run,
    Snapshot,
)
from ronron.core.errors import BackupError
from ronron.core.model import SHORT
from ronron.core.restores import named_commands
from ronron.core.snapshot_choice import SKEW, losses, plausible_snapshots

PERIODS: Mapping[str, timedelta] = {
    "daily": timedelta(days=1),
    "weekly": timedelta(days=7),
    "monthly": timedelta(days=31),
}
"""The periods of a declaration; a month has its greatest length."""

FIRST_DRILL = timedelta(days=1)
"""The longest wait before the first drill of an agent, and before another drill after one that failed."""


def conditions(status: BackupStatus, now: datetime, environment: str) -> tuple[Condition, ...]:
    """Everything that is wrong with the backups of one service, each kind once, in the order of the kinds.

    Args:
        status: the agent's answer.
        now: with a zone.
        environment: its name, for the commands in the hints.
    """
    subject = _Subject(status.service, environment)
    runs = status.runs
    prune = runs.get("prune") if status.forget else None
    found = (
        _unreachable(status, subject),
        _recreated(status, now, subject),
        _overdue(status, now, subject),
        _failed(
            runs.get("backup"), ConditionKind.BACKUP_FAILED, "the last backup failed", subject, "backup now"
        ),
        _shrunk(valid_snapshots(status, now), subject),
        _odd_time(status, now, subject),
        _failed(prune, ConditionKind.PRUNE_FAILED, "old snapshots were not removed", subject, "backup prune"),
        _failed(
            runs.get("check"),
            ConditionKind.CHECK_FAILED,
            "the repository is damaged",
            subject,
            "backup check",
        ),
        _check_overdue(status, now, subject),
        _stale_lock(status.locks, subject),
        _failed(runs.get("drill"), ConditionKind.DRILL_FAILED, "the last drill failed", subject, "drill"),
        _drill_overdue(status, now, subject),
    )
    return tuple(one for one in found if one is not None)


def agent_unreachable(service: str, error: BackupError) -> Condition:
    """The condition of an agent that does not answer; nothing else is known then."""
    return Condition(
        service=service,
        kind=ConditionKind.AGENT_UNREACHABLE,
        message=error.message,
        hint=error.hint or f"read its log with ronron logs ENV {service} --container agent",
    )


def drill_due(status: BackupStatus, now: datetime) -> bool:
    """Whether a drill of the service is due.

    A drill that failed or did not end is repeated after a day at most. So long waits the first drill too,
    counted from the day on which the agent first ran.
    """
    if not status.reachable or not valid_snapshots(status, now):
        return False
    period = PERIODS.get(status.drill, PERIODS["weekly"])
    last = status.runs.get("drill")
    if last is None:
        return now - status.since >= min(period, FIRST_DRILL)
    return now - _when(last) >= (period if last.ok else min(period, FIRST_DRILL))


def valid_snapshots(status: BackupStatus, now: datetime) -> tuple[Snapshot, ...]:
    """The snapshots that count, the newest first: plausible ones, and none with an odd time."""
    odd = set(_odd_ids(status, now))
    plausible = plausible_snapshots(status.snapshots, now, status.data)
    return tuple(one for one in plausible if one.id not in odd)


def summary(status: BackupStatus, now: datetime, environment: str) -> BackupSummary:
    """What the record stores of an agent's answer; arguments as in `conditions`."""
    good = valid_snapshots(status, now)
    drill = status.runs.get("drill")
    return BackupSummary(
        service=status.service,
        newest=good[0].id if good else None,
        taken=good[0].taken if good else None,
        drilled=_when(drill) if drill else None,
        drill_passed=drill.ok if drill else None,
        conditions=conditions(status, now, environment),
        looked_at=now,
    )


def summary_without_answer(
    service: str, error: BackupError, now: datetime, before: BackupSummary | None
) -> BackupSummary:
    """What the record stores if the agent did not answer: the earlier facts, and that it is unreachable."""
    known = before if before is not None else BackupSummary(service=service)
    return known.with_(conditions=(agent_unreachable(service, error),), looked_at=now)


def age(between: timedelta) -> str:
    """A length of time in its two largest units: `3 d 4 h`, `2 h 5 min`, `40 s`; never negative."""
    seconds = max(0, int(between.total_seconds()))
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    for place, (unit, size) in enumerate(units):
        if seconds >= size:
            count, rest = divmod(seconds, size)
            smaller = units[place + 1 : place + 2]
            more = f" {rest // smaller[0][1]} {smaller[0][0]}" if smaller and rest >= smaller[0][1] else ""
            return f"{count} {unit}{more}"
    return "0 s"


class _Subject:
    """The service that a condition is about, and the commands for it."""

    def __init__(self, service: str, environment: str) -> None:
        self.service = service
        self.environment = environment

    def command(self, words: str) -> str:
        return f"ronron {words} {self.environment} {self.service}"

    def named(self, hint: str) -> str:
        return named_commands(hint, self.environment, self.service)

    def condition(self, kind: ConditionKind, message: str, hint: str) -> Condition:
        return Condition(service=self.service, kind=kind, message=message, hint=hint)


# -- the newest snapshot ---------------------------------------------------------------------------


def _overdue(status: BackupStatus, now: datetime, subject: _Subject) -> Condition | None:
    if status.data is not None and status.data.waits:
        return None
    good = valid_snapshots(status, now)
    since = good[0].taken if good else status.since
    old = now - since
    if old <= timedelta(hours=status.max_age_hours):
        return None
    what = f"the newest snapshot is {age(old)} old" if good else f"no snapshot for {age(old)}"
    return subject.condition(
        ConditionKind.OVERDUE,
        f"{what} (max age is {status.max_age_hours:g} h)",
        f"take one now: {subject.command('backup now')}",
    )


def _recreated(status: BackupStatus, now: datetime, subject: _Subject) -> Condition | None:
    data = status.data
    if data is None or not data.waits:
        return None
    before = plausible_snapshots(status.snapshots, now, data)
    newest = (
        f"; {before[0].id[:SHORT]} of {before[0].taken:%Y-%m-%d %H:%M %Z} is the newest of the data before"
    )
    return subject.condition(
        ConditionKind.RECREATED,
        f"{recreated_text(data)}, and no snapshot is taken by schedule" + (newest if before else ""),
        f"{subject.command('restore')} restores the data before; if the present data are right: "
        f"ronron update {subject.environment} --accept-empty {subject.service}",
    )


def recreated_text(data: DataState) -> str:
    """What was recreated, for people: `the database and the volume data were recreated on <date>`."""
    names = [
        "the database" if place == "database" else f"the volume {place.rpartition('/')[2]}"
        for place in data.recreated
    ]
    several = len(names) > 1
    subject = f"{', '.join(names[:-1])} and {names[-1]}" if several else "".join(names) or "the data"
    when = f" on {data.since:%Y-%m-%d %H:%M %Z}" if data.since is not None else ""
    return f"{subject} {'were' if several else 'was'} recreated{when}"


def _shrunk(good: Sequence[Snapshot], subject: _Subject) -> Condition | None:
    lost = losses(good[0], good[1:]) if good else []
    if not lost:
        return None
    return subject.condition(
        ConditionKind.SHRUNK,
        f"snapshot {good[0].id[:SHORT]} has {', '.join(lost)}",
        f"find out what is missing; an earlier snapshot has it: {subject.command('backup list')}",
    )


def _odd_ids(status: BackupStatus, now: datetime) -> tuple[str, ...]:
    """Ids of snapshots with a time at which the agent took none.

    A repository that only takes new snapshots can be filled with invented ones (`restic backup --time`), and
    the retention then removes the real ones: https://github.com/restic/restic/issues/22057. The agent's
    journal is not in the repository: what is newer than its last backup, or than now, is not the agent's.
    """
    last = status.runs.get("backup")
    latest = now + SKEW
    if last is not None and last.finished is not None:
        latest = min(latest, last.finished + SKEW)
    return tuple(one.id for one in status.snapshots if one.taken > latest)


def _odd_time(status: BackupStatus, now: datetime, subject: _Subject) -> Condition | None:
    odd = _odd_ids(status, now)
    if not odd:
        return None
    first = next(one for one in status.snapshots if one.id == odd[0])
    many = f"{len(odd)} snapshots have times" if len(odd) > 1 else "a snapshot has a time"
    return subject.condition(
        ConditionKind.ODD_TIME,
        f"{many} at which the agent took none: {first.id[:SHORT]} of {first.taken:%Y-%m-%d %H:%M:%S %Z}",
        "check the clocks; if they are right, somebody else writes into the repository: change its login,"
        f" and compare with {subject.command('backup list')}",
    )


# -- the agent's runs ------------------------------------------------------------------------------


def _failed(
    run: Run | None, kind: ConditionKind, what: str, subject: _Subject, command: str
) -> Condition | None:
    if run is None or run.ok is not False:
        return None
    error = run.error or AgentError(code="failed", message="the agent gave no reason")
    again = f"try again: {subject.command(command)}"
    return subject.condition(
        kind,
        f"{what}: {error.message} ({_when(run):%Y-%m-%d %H:%M %Z})",
        f"{subject.named(error.hint)}; then {again}" if error.hint else again,
    )


def _check_overdue(status: BackupStatus, now: datetime, subject: _Subject) -> Condition | None:
    last = status.runs.get("check")
    since = _when(last) if last else status.since
    if now - since <= 2 * PERIODS.get(status.check, PERIODS["weekly"]):
        return None
    return subject.condition(
        ConditionKind.CHECK_OVERDUE,
        f"no check of the repository for {_days(now - since)} ({status.check} is configured)",
        f"check it now: {subject.command('backup check')}",
    )


def _stale_lock(locks: Sequence[Lock], subject: _Subject) -> Condition | None:
    stale = [lock for lock in locks if lock.stale]
    if not stale:
        return None
    oldest = min(stale, key=lambda lock: lock.since)
    return subject.condition(
        ConditionKind.STALE_LOCK,
        f"{oldest.host} left a lock in the repository at {oldest.since:%Y-%m-%d %H:%M %Z},"
        " and its process has ended",
        f"the next backup removes it: {subject.command('backup now')}",
    )


def _drill_overdue(status: BackupStatus, now: datetime, subject: _Subject) -> Condition | None:
    last = status.runs.get("drill")
    since = _when(last) if last else status.since
    if now - since <= PERIODS.get(status.drill, PERIODS["weekly"]) * 1.25:
        return None
    return subject.condition(
        ConditionKind.DRILL_OVERDUE,
        f"no drill for {_days(now - since)} ({status.drill} is configured)",
        f"run one now: {subject.command('drill')}",
    )


def _unreachable(status: BackupStatus, subject: _Subject) -> Condition | None:
    if status.reachable:
        return None
    error = status.trouble or AgentError(code="unreachable", message="the agent gave no reason")
    return subject.condition(
        ConditionKind.REPOSITORY_UNREACHABLE,
        f"the agent cannot read the repository: {error.message}",
        subject.named(error.hint) or f"fix that, then check again: {subject.command('backup status')}",
    )


def _when(run: Run) -> datetime:
    return run.finished or run.started


def _days(between: timedelta) -> str:
    return "1 day" if between.days == 1 else f"{between.days} days"
