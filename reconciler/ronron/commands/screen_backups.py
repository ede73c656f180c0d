"""Formats snapshots, conditions, drills and restores for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from rich.markup import escape

from ronron.core.backups import BackupSummary, DrillResult, OwnBackup, Restored, Snapshot
from ronron.core.conditions import age
from ronron.core.errors import ReconcilerError
from ronron.core.inventory import Service
from ronron.core.model import SHORT
from ronron.core.words import counted

LONG_AGO = timedelta(hours=2)
"""The line of a service shows the age of its last check from here on: probably no watcher is running."""


def backup_lines(one: BackupSummary, now: datetime) -> list[str]:
    """One line for a service's backups, and two for each condition; as markup."""
    name = escape(one.service)
    if one.looked_at is None:
        return [f"  backup   {name}  [dim]not checked yet[/]"]
    newest = f"newest {age(now - one.taken)} ago" if one.taken is not None else "no snapshot"
    word = {True: "passed", False: "failed", None: "did not end"}[one.drill_passed]
    drill = f"drill {word} {age(now - one.drilled)} ago" if one.drilled is not None else "no drill yet"
    checked = f"checked {age(now - one.looked_at)} ago" if now - one.looked_at > LONG_AGO else ""
    about = "  ".join(part for part in ((one.newest or "")[:SHORT], checked) if part)
    lines = [f"  backup   {name}  {newest}  {drill}  [dim]{escape(about)}[/]"]
    for condition in one.conditions:
        lines.append(f"           [bold red]{condition.kind}[/]: {escape(condition.message)}")
        lines.append(f"           [cyan]hint[/]  {escape(condition.hint)}")
    return lines


def own_backup_line(own: OwnBackup, now: datetime) -> str:
    """One line for the reconciler's own backup."""
    return f"  own      records and states, stored beside {own.service}, {age(now - own.at)} ago"


def snapshot_line(snapshot: Snapshot, now: datetime) -> str:
    """One line for a snapshot in a list."""
    return (
        f"{snapshot.id[:SHORT]}  {snapshot.service}  {snapshot.version}  {local(snapshot.taken)}"
        f" ({age(now - snapshot.taken)} ago)  {snapshot.reason}  {contents(snapshot)}"
    )


def contents(snapshot: Snapshot) -> str:
    """The contents of a snapshot: number of rows by what they are, and sizes."""
    parts = [counted(count, what) for what, count in sorted(snapshot.counts.items())]
    if snapshot.database is not None:
        parts.append(f"database {size(snapshot.database.bytes)}")
    parts.append(f"{counted(snapshot.files.count, 'files')} {size(snapshot.files.bytes)}")
    return ", ".join(parts)


def size(count: int) -> str:
    """Bytes for people, in powers of 1024: `512 B`, `1.5 MiB`."""
    value, units = float(count), ("B", "KiB", "MiB", "GiB", "TiB")
    for unit in units[:-1]:
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} {units[-1]}"


def intent_lines(
    service: Service, snapshot: Snapshot, now: datetime, *, safety_snapshot: bool, why: str = ""
) -> list[str]:
    """What a restore will do, for the person who confirms it; `why` it chose this snapshot."""
    before = (
        "takes a safety snapshot of the present data"
        if safety_snapshot
        else "takes NO safety snapshot: the present data will be lost"
    )
    versions = (
        f"version {snapshot.version}, which is running now"
        if snapshot.version == service.version
        else f"version {snapshot.version}; {service.version} is running and must be able to read it"
    )
    return [
        f"restore  {snapshot.service} from snapshot {snapshot.id[:SHORT]}",
        f"  taken    {local(snapshot.taken)}, {age(now - snapshot.taken)} ago, {snapshot.reason}",
        f"  has      {contents(snapshot)}",
        f"  of       {versions}",
        f"  before   {before}; the service is stopped during the restore",
        *([f"  chosen   {why}"] if why else []),
    ]


def restored_lines(restored: Restored) -> list[str]:
    """The result of a restore."""
    lines = [f"restored: {restored.service} from snapshot {restored.snapshot[:SHORT]}: {restored.detail}"]
    lines += [f"  rows     {line}" for line in compared(restored.counts, restored.expected)]
    if restored.safety_snapshot is not None:
        lines.append(f"  before   safety snapshot {restored.safety_snapshot[:SHORT]}")
    word = {True: "healthy", False: "unhealthy", None: "not probed: no public URL"}[restored.healthy]
    return [*lines, f"  probe    {word}"]


def drill_lines(result: DrillResult) -> list[str]:
    """The result of a drill."""
    word = "passed" if result.passed else "failed"
    took = age(result.finished - result.started)
    lines = [
        f"drill {word}: {result.service} from snapshot {result.snapshot[:SHORT]} in {took}: {result.detail}"
    ]
    lines += [f"  rows     {line}" for line in compared(result.counts, result.expected)]
    return [*lines, f"  probe    {result.probe}"] if result.probe else lines


def compared(counts: Mapping[str, int], expected: Mapping[str, int]) -> list[str]:
    """Rows that were found, and those that the snapshot has: `pads 12 of 12`."""
    return [f"{what} {counts.get(what, 0)} of {many}" for what, many in sorted(expected.items())]


def error_facts(service: str, error: ReconcilerError) -> dict[str, str]:
    """An error of one service as a JSON object."""
    return {"service": service, "message": error.message, "where": error.where, "hint": error.hint}


def newest_first(snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    """Sorted, the newest first."""
    return sorted(snapshots, key=lambda one: one.taken, reverse=True)


def local(at: datetime) -> str:
    """A time in the time zone of this machine."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
