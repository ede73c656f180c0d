"""What a person sees of backups: snapshots, conditions, drills, restores. Reads nothing, decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from rich.markup import escape

from ronron.core.backups import DrillResult, KeptBundle, Restored, SeenBackup, Snapshot
from ronron.core.conditions import age
from ronron.core.errors import ReconcilerError
from ronron.core.inventory import Service
from ronron.core.model import SHORT

LONG_AGO = timedelta(hours=2)
"""What was looked at longer ago says so: nobody watches, and nobody would have noticed a gap."""


def backup_lines(seen: SeenBackup, now: datetime) -> list[str]:
    """One line of a service's backups, and two of each condition; as markup."""
    name = escape(seen.service)
    if seen.looked_at is None:
        return [f"  backup   {name}  [dim]not looked at yet[/]"]
    newest = f"newest {age(now - seen.taken)} ago" if seen.taken is not None else "no snapshot"
    word = {True: "passed", False: "failed", None: "did not end"}[seen.drill_passed]
    drill = f"drill {word} {age(now - seen.drilled)} ago" if seen.drilled is not None else "no drill yet"
    looked = f"looked at {age(now - seen.looked_at)} ago" if now - seen.looked_at > LONG_AGO else ""
    about = "  ".join(part for part in ((seen.newest or "")[:SHORT], looked) if part)
    lines = [f"  backup   {name}  {newest}  {drill}  [dim]{escape(about)}[/]"]
    for condition in seen.conditions:
        lines.append(f"           [bold red]{condition.kind}[/]: {escape(condition.message)}")
        lines.append(f"           [cyan]what to do[/]  {escape(condition.hint)}")
    return lines


def kept_line(kept: KeptBundle, now: datetime) -> str:
    """One line of the reconciler's own backup."""
    return f"  kept     own records and states, beside {kept.service}, {age(now - kept.at)} ago"


def snapshot_line(snapshot: Snapshot, now: datetime) -> str:
    """One line of a snapshot, for a list."""
    return (
        f"{snapshot.id[:SHORT]}  {snapshot.service}  {snapshot.version}  {local(snapshot.taken)}"
        f" ({age(now - snapshot.taken)} ago)  {snapshot.reason}  {contents(snapshot)}"
    )


def contents(snapshot: Snapshot) -> str:
    """What is in a snapshot: rows by what they are, and sizes."""
    parts = [f"{count} {what}" for what, count in sorted(snapshot.counts.items())]
    if snapshot.database is not None:
        parts.append(f"database {size(snapshot.database.bytes)}")
    parts.append(f"{snapshot.files.count} files {size(snapshot.files.bytes)}")
    return ", ".join(parts)


def size(count: int) -> str:
    """Bytes for people, in powers of 1024: `512 B`, `1.5 MiB`."""
    value, units = float(count), ("B", "KiB", "MiB", "GiB", "TiB")
    for unit in units[:-1]:
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} {units[-1]}"


def intent_lines(service: Service, snapshot: Snapshot, now: datetime, *, keep: bool) -> list[str]:
    """What a restore is going to do, before anybody says yes."""
    kept = (
        "what is there now becomes a snapshot first"
        if keep
        else "what is there now is NOT kept: it will be gone"
    )
    versions = (
        f"version {snapshot.version}, as it runs now"
        if snapshot.version == service.version
        else f"version {snapshot.version}; {service.version} runs now and will have to read it"
    )
    return [
        f"restore  {snapshot.service} from snapshot {snapshot.id[:SHORT]}",
        f"  taken    {local(snapshot.taken)}, {age(now - snapshot.taken)} ago, {snapshot.reason}",
        f"  holds    {contents(snapshot)}",
        f"  of       {versions}",
        f"  before   {kept}; the service is stopped meanwhile",
    ]


def restored_lines(restored: Restored) -> list[str]:
    """What a restore did."""
    lines = [f"restored: {restored.service} from snapshot {restored.snapshot[:SHORT]}: {restored.detail}"]
    lines += [f"  rows     {line}" for line in compared(restored.counts, restored.promised)]
    if restored.kept is not None:
        lines.append(f"  kept     what was there before is snapshot {restored.kept[:SHORT]}")
    word = {True: "healthy", False: "unhealthy", None: "not probed: it has no public URL"}[restored.healthy]
    return [*lines, f"  probe    {word}"]


def drill_lines(result: DrillResult) -> list[str]:
    """What a drill found."""
    word = "passed" if result.passed else "failed"
    took = age(result.finished - result.started)
    lines = [
        f"drill {word}: {result.service} from snapshot {result.snapshot[:SHORT]} in {took}: {result.detail}"
    ]
    lines += [f"  rows     {line}" for line in compared(result.counts, result.promised)]
    return [*lines, f"  probe    {result.probe}"] if result.probe else lines


def compared(counts: Mapping[str, int], promised: Mapping[str, int]) -> list[str]:
    """Rows that were found against those that the snapshot promises: `pads 12 of 12`."""
    return [f"{what} {counts.get(what, 0)} of {many}" for what, many in sorted(promised.items())]


def error_facts(service: str, error: ReconcilerError) -> dict[str, str]:
    """An error of one service among several, as JSON has it."""
    return {"service": service, "message": error.message, "where": error.where, "hint": error.hint}


def newest_first(snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    """In the order in which a person looks for one."""
    return sorted(snapshots, key=lambda one: one.taken, reverse=True)


def local(at: datetime) -> str:
    """A time as the machine's people read it."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
