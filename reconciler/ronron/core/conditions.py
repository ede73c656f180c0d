"""What is wrong with the backups of a service, and when one is restored for proof. Pure.

Every condition says the facts that made it hold and what a person does about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from statistics import median

from ronron.core.backups import (
    BackupStatus,
    Condition,
    ConditionKind,
    Lock,
    Run,
    SeenBackup,
    Snapshot,
    Trouble,
)
from ronron.core.errors import BackupError
from ronron.core.model import SHORT

PERIODS: Mapping[str, timedelta] = {
    "daily": timedelta(days=1),
    "weekly": timedelta(days=7),
    "monthly": timedelta(days=31),
}
"""How long the words of a declaration are; of a month, the longest."""

FIRST_DRILL = timedelta(days=1)
"""The first drill of an agent, and one after a drill that failed, do not wait for a whole long period."""

REPLACED = "restore"
"""The reason of a snapshot of what a restore then put something else in the place of."""

SKEW = timedelta(minutes=5)
"""How far the clocks of two machines may differ before a time counts as odd."""

FEW = 5
"""How many snapshots before the newest say what is usual: one odd night does not move their median."""

FLOOR_BYTES = 64 * 1024
"""A size that fell by less than this says nothing: a dump without any row is of this order."""

FLOOR_ROWS = 10
"""A count that fell by less than this is what people do in an evening."""


def conditions(
    status: BackupStatus, now: datetime, environment: str = "ENV", container: str = "CONTAINER"
) -> tuple[Condition, ...]:
    """Everything that is wrong with the backups of one service, each kind once, in the order of their kinds.

    Args:
        status: what its agent said.
        now: with a zone.
        environment: its name, for the commands in the remedies.
        container: the agent's, likewise.
    """
    where = _Where(status.service, environment, container)
    runs = status.runs
    forget = runs.get("prune") if status.forget else None
    found = (
        _unreachable(status, where),
        _overdue(status, now, where),
        _failed(
            runs.get("backup"), ConditionKind.BACKUP_FAILED, "the last backup failed", where, "backup now"
        ),
        _shrunk(sound(status, now), where),
        _odd(status, now, where),
        _failed(forget, ConditionKind.PRUNE_FAILED, "old snapshots were not removed", where, "", "prune"),
        _failed(
            runs.get("check"), ConditionKind.CHECK_FAILED, "the repository is not whole", where, "", "check"
        ),
        _check_overdue(status, now, where),
        _stale(status.locks, where),
        _failed(runs.get("drill"), ConditionKind.DRILL_FAILED, "the last drill failed", where, "drill"),
        _drill_overdue(status, now, where),
    )
    return tuple(one for one in found if one is not None)


def silence(service: str, error: BackupError) -> Condition:
    """The condition of an agent that cannot be asked; nobody knows then what else is wrong."""
    return Condition(
        service=service,
        kind=ConditionKind.AGENT_SILENT,
        message=error.message,
        hint=error.hint
        or "look at its container with `docker ps -a`, and at what it said with `docker logs`",
    )


def drill_due(status: BackupStatus, now: datetime) -> bool:
    """Whether a snapshot of the service should be restored for proof now.

    One that failed or never ended is tried again after a day at most, and so is the very first, counted from
    the agent's own first day.
    """
    if not status.reachable or not sound(status, now):
        return False
    period = PERIODS.get(status.drill, PERIODS["weekly"])
    last = status.runs.get("drill")
    if last is None:
        return now - status.since >= min(period, FIRST_DRILL)
    return now - _when(last) >= (period if last.ok else min(period, FIRST_DRILL))


def sound(status: BackupStatus, now: datetime) -> tuple[Snapshot, ...]:
    """The snapshots that count, the newest first: of the service at work, at a time that can be believed."""
    odd = set(_odd_ones(status, now))
    return tuple(one for one in believable(status.snapshots, now) if one.id not in odd)


def believable(snapshots: Iterable[Snapshot], now: datetime) -> list[Snapshot]:
    """Snapshots of the service at work that do not claim to be of the future, the newest first.

    What a restore has kept is what somebody wanted to get rid of: it is there for whoever names it.
    """
    good = [one for one in snapshots if one.reason != REPLACED and one.taken <= now + SKEW]
    return sorted(good, key=lambda one: one.taken, reverse=True)


def seen(
    status: BackupStatus, now: datetime, environment: str = "ENV", container: str = "CONTAINER"
) -> SeenBackup:
    """What the record keeps of a look at an agent; see `conditions`."""
    good = sound(status, now)
    drill = status.runs.get("drill")
    return SeenBackup(
        service=status.service,
        newest=good[0].id if good else None,
        taken=good[0].taken if good else None,
        drilled=_when(drill) if drill else None,
        drill_passed=drill.ok if drill else None,
        conditions=conditions(status, now, environment, container),
        looked_at=now,
    )


def unseen(service: str, error: BackupError, now: datetime, before: SeenBackup | None) -> SeenBackup:
    """What the record keeps where the agent did not answer: what was known, and that it is silent."""
    known = before if before is not None else SeenBackup(service=service)
    return known.with_(conditions=(silence(service, error),), looked_at=now)


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


class _Where:
    """Of which service a condition is, and how a person gets at it."""

    def __init__(self, service: str, environment: str, container: str) -> None:
        self.service = service
        self.environment = environment
        self.container = container

    def command(self, words: str) -> str:
        return f"ronron {words} {self.environment} {self.service}"

    def inside(self, command: str) -> str:
        return f"try again: docker exec {self.container} ronron-agent {command}"

    def condition(self, kind: ConditionKind, message: str, hint: str) -> Condition:
        return Condition(service=self.service, kind=kind, message=message, hint=hint)


# -- the newest snapshot ---------------------------------------------------------------------------


def _overdue(status: BackupStatus, now: datetime, where: _Where) -> Condition | None:
    good = sound(status, now)
    since = good[0].taken if good else status.since
    old = now - since
    if old <= timedelta(hours=status.promise_hours):
        return None
    what = f"the newest snapshot is {age(old)} old" if good else f"there is no snapshot after {age(old)}"
    return where.condition(
        ConditionKind.OVERDUE,
        f"{what}; {status.promise_hours:g} h are promised",
        f"take one now: {where.command('backup now')}",
    )


def _shrunk(good: Sequence[Snapshot], where: _Where) -> Condition | None:
    if len(good) < 2:
        return None
    newest, before = good[0], good[1 : FEW + 1]
    same = newest.image == before[0].image
    falls = [
        *_fall("bytes of the database", _dump(newest), map(_dump, before), FLOOR_BYTES),
        *_fall("bytes of files", newest.files.bytes, (one.files.bytes for one in before), FLOOR_BYTES),
    ]
    for what in sorted({name for one in before for name in one.counts}):
        # Another version may well have other tables; the same version has lost one.
        if what in newest.counts or same:
            known = (one.counts[what] for one in before if what in one.counts)
            falls += _fall(what, newest.counts.get(what, 0), known, FLOOR_ROWS)
    if not falls:
        return None
    return where.condition(
        ConditionKind.SHRUNK,
        f"snapshot {newest.id[:SHORT]} holds {', '.join(falls)}",
        f"look at what is gone; an earlier snapshot has it: {where.command('backup list')}",
    )


def _dump(snapshot: Snapshot) -> int:
    return snapshot.database.bytes if snapshot.database else 0


def _fall(what: str, now: int, before: Iterable[int], floor: int) -> list[str]:
    usual = median(before)
    emptied = now == 0 < usual
    if emptied or (now < usual / 2 and usual - now > floor):
        return [f"{now} {what} instead of about {usual:.0f}"]
    return []


def _odd_ones(status: BackupStatus, now: datetime) -> tuple[str, ...]:
    """Ids of snapshots that say a time at which nobody took one.

    A repository that only takes new snapshots can be filled with invented ones (`restic backup --time`), and
    the retention then drops the real ones: https://github.com/restic/restic/issues/22057. The agent's journal
    is not in the repository, so what is newer than its last backup, or than now, was not taken by it.
    """
    last = status.runs.get("backup")
    latest = now + SKEW
    if last is not None and last.finished is not None:
        latest = min(latest, last.finished + SKEW)
    return tuple(one.id for one in status.snapshots if one.taken > latest)


def _odd(status: BackupStatus, now: datetime, where: _Where) -> Condition | None:
    odd = _odd_ones(status, now)
    if not odd:
        return None
    first = next(one for one in status.snapshots if one.id == odd[0])
    many = f"{len(odd)} snapshots say times" if len(odd) > 1 else "a snapshot says a time"
    return where.condition(
        ConditionKind.ODD_TIME,
        f"{many} at which the agent took none: {first.id[:SHORT]} of {first.taken:%Y-%m-%d %H:%M:%S %Z}",
        "see whether a clock is wrong; if none is, somebody writes into the repository: change its login,"
        f" and compare with {where.command('backup list')}",
    )


# -- what the agent ran ----------------------------------------------------------------------------


def _failed(
    run: Run | None, kind: ConditionKind, what: str, where: _Where, command: str, inside: str = ""
) -> Condition | None:
    if run is None or run.ok is not False:
        return None
    trouble = run.error or Trouble(code="failed", message="it did not say why")
    again = f"try again: {where.command(command)}" if command else where.inside(inside)
    return where.condition(
        kind,
        f"{what}: {trouble.message} ({_when(run):%Y-%m-%d %H:%M %Z})",
        f"{trouble.hint}; then {again}" if trouble.hint else again,
    )


def _check_overdue(status: BackupStatus, now: datetime, where: _Where) -> Condition | None:
    last = status.runs.get("check")
    since = _when(last) if last else status.since
    if now - since <= 2 * PERIODS.get(status.check, PERIODS["weekly"]):
        return None
    ago = f"was {age(now - since)} ago" if last else f"never was, in {age(now - since)}"
    return where.condition(
        ConditionKind.CHECK_OVERDUE,
        f"the last check of the repository {ago}; {status.check} is promised",
        where.inside("check"),
    )


def _stale(locks: Sequence[Lock], where: _Where) -> Condition | None:
    stale = [lock for lock in locks if lock.stale]
    if not stale:
        return None
    oldest = min(stale, key=lambda lock: lock.since)
    return where.condition(
        ConditionKind.STALE_LOCK,
        f"{oldest.host} left a lock in the repository at {oldest.since:%Y-%m-%d %H:%M %Z},"
        " and its process is gone",
        f"the next backup removes it: {where.command('backup now')}",
    )


def _drill_overdue(status: BackupStatus, now: datetime, where: _Where) -> Condition | None:
    last = status.runs.get("drill")
    since = _when(last) if last else status.since
    if now - since <= PERIODS.get(status.drill, PERIODS["weekly"]) * 1.25:
        return None
    ago = f"was {age(now - since)} ago" if last else f"never was, in {age(now - since)}"
    return where.condition(
        ConditionKind.DRILL_OVERDUE,
        f"the last drill {ago}; {status.drill} is promised",
        f"make one now: {where.command('drill')}",
    )


def _unreachable(status: BackupStatus, where: _Where) -> Condition | None:
    if status.reachable:
        return None
    trouble = status.trouble or Trouble(code="unreachable", message="the agent did not say why")
    return where.condition(
        ConditionKind.REPOSITORY_UNREACHABLE,
        f"the agent cannot look into the repository: {trouble.message}",
        trouble.hint or f"mend it, then look again: {where.command('backup status')}",
    )


def _when(run: Run) -> datetime:
    return run.finished or run.started
