"""Prints results as lines, tables and JSON. Reads nothing, decides nothing."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from datetime import UTC, datetime

from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.status import Status

from ronron.commands.screen_backups import backup_lines, own_backup_line
from ronron.core.errors import Problem, ReconcilerError
from ronron.core.model import (
    SHORT,
    Change,
    Operation,
    Outcome,
    Pass,
    Preview,
    Revision,
    Verdict,
    VerdictKind,
)
from ronron.core.redact import redact, redact_document
from ronron.core.status import CheckResult, EnvironmentStatus, State

COLOURS = {
    "updated": "green",
    "unchanged": "green",
    "live": "green",
    "healthy": "green",
    "failed": "bold red",
    "failing": "bold red",
    "error": "bold red",
    "cannot poll": "bold red",
    "internal error": "bold red",
    "stalled": "bold red",
    "unhealthy": "bold red",
    "degraded": "bold yellow",
    "rolled back": "bold yellow",
    "waiting": "yellow",
    "waiting for approval": "yellow",
    "interrupted": "yellow",
    "locked": "yellow",
    "suspended": "yellow",
    "restored": "green",
    "drill passed": "green",
    "drill failed": "bold red",
    "hint": "cyan",
}
"""The colour of the first word of a line; the rest has the colour of the terminal."""

SIGNS = {
    Operation.CREATE: ("+", "green"),
    Operation.IMPORT: ("=", "green"),
    Operation.UPDATE: ("~", "yellow"),
    Operation.DELETE: ("-", "red"),
    Operation.DISCARD: ("-", "red"),
    Operation.UNKNOWN: ("?", "bold red"),
}
REPLACES = ("±", "magenta")


class Screen:
    """A terminal or a file: results go to standard output, progress and errors to standard error.

    Args:
        as_json: results are printed as one JSON document, without progress.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self.facts = Console(highlight=False, soft_wrap=True)
        self.stderr = Console(stderr=True, highlight=False, soft_wrap=True)
        self.as_json = as_json
        self._secrets: tuple[str, ...] = ()
        self._status: Status | None = None
        self._lock = threading.Lock()

    def keep_secret(self, secrets: Iterable[str]) -> None:
        """Redact these from now on."""
        self._secrets = (*self._secrets, *secrets)

    def log(self, environment: str, line: str) -> None:
        """See ports.Progress: a plain line with the time, and the spinner's text on a terminal."""
        if self.as_json:
            return
        now = datetime.now().astimezone()
        clean = redact(line, self._secrets)
        with self._lock:
            if self._status is not None:
                self._status.update(escape(clean))
            self.stderr.print(f"[dim]{now:%H:%M:%S}[/] [bold]{escape(environment)}[/] {_coloured(clean)}")

    def working(self, what: str) -> AbstractContextManager[object]:
        """A spinner for long work, on a terminal only."""
        if self.as_json or not self.stderr.is_terminal:
            return nullcontext()
        self._status = self.stderr.status(escape(what))
        return self._status

    def print(self, line: str = "") -> None:
        """Print one line of results; a first word in COLOURS is coloured."""
        self.facts.print(_coloured(redact(line, self._secrets)))

    def json(self, document: object) -> None:
        """Print results as one JSON document."""
        # Redacted before it becomes JSON: in JSON an escape may split a secret.
        clean = redact_document(_plain(document), self._secrets, limit=sys.maxsize)
        self.facts.print(json.dumps(clean, indent=2, ensure_ascii=False), markup=False, emoji=False)

    def error(self, error: ReconcilerError) -> None:
        """Print an error: what failed, where, and the hint."""
        if self.as_json:
            self.json({"error": {"message": error.message, "where": error.where, "hint": error.hint}})
            return
        self.stderr.print(f"[bold red]error:[/] {escape(redact(str(error), self._secrets))}")
        if error.hint:
            self.stderr.print(f"[cyan]hint:[/] {escape(redact(error.hint, self._secrets))}")


def _coloured(line: str) -> str:
    for word, colour in COLOURS.items():
        if line == word or line.startswith((f"{word}:", f"{word} ")):
            return f"[{colour}]{word}[/]{escape(line[len(word) :])}"
    return escape(line)


def _plain(document: object) -> object:
    if isinstance(document, BaseModel):
        return document.model_dump(mode="json")
    if isinstance(document, dict):
        return {str(key): _plain(value) for key, value in document.items()}
    if isinstance(document, (list, tuple)):
        return [_plain(item) for item in document]
    return document


# -- what the commands print -----------------------------------------------------------------------


def show_preview(screen: Screen, revision: Revision, preview: Preview, verdict: Verdict) -> None:
    """The changes of a preview, the verdict, and the ID of the plan to approve."""
    if screen.as_json:
        screen.json({"revision": revision, "preview": preview, "verdict": verdict})
        return
    for line in change_lines(preview.touching):
        screen.facts.print(line)
    screen.print(f"verdict: {verdict.kind}: {verdict.why}")
    screen.print(f"revision {revision.short}")
    if verdict.kind is VerdictKind.NEEDS_APPROVAL:
        screen.print(f"plan {preview.identity[:SHORT]}")


def change_lines(changes: Sequence[Change]) -> list[str]:
    """One line for each resource, with Pulumi's signs: + create, ~ update, - delete, ± replace."""
    shown: dict[str, Change] = {}
    for change in changes:
        if change.custom and not change.type.startswith("pulumi:"):
            shown[change.urn] = _stronger(shown.get(change.urn), change)
    lines = []
    for change in shown.values():
        sign, colour = SIGNS.get(change.operation, REPLACES)
        inputs = f" ({', '.join(change.properties)})" if change.properties else ""
        kind = change.type.rpartition(":")[2]
        word = change.original or ("replace" if sign == "±" else change.operation)
        lines.append(f"[{colour}]{sign} {word}[/] {escape(change.name)} [dim]{escape(kind + inputs)}[/]")
    return lines


def _stronger(seen: Change | None, change: Change) -> Change:
    # A replacement has up to three steps; the one that names the inputs is shown.
    return change if seen is None or len(change.properties) > len(seen.properties) else seen


def show_status(screen: Screen, statuses: Sequence[EnvironmentStatus]) -> None:
    """The state of each environment, with its services and backups."""
    if screen.as_json:
        screen.json({"environments": list(statuses)})
        return
    if not statuses:
        screen.print("no environment has had a pass yet; run ronron update ENV")
    for environment in statuses:
        colour = COLOURS.get(environment.state, "default")
        screen.facts.print(
            f"[bold]{escape(environment.name)}[/]  [{colour}]{environment.state}[/]"
            f"  {escape(environment.why)}"
        )
        if environment.live is not None:
            since = f" since {_local(environment.since)}" if environment.since else ""
            screen.print(f"  live     {environment.live.short}{since}")
        if environment.wanted is not None and environment.state is not State.LIVE:
            screen.print(f"  wanted   {environment.wanted.short}")
        for service in environment.services:
            word = {True: "[green]healthy[/]", False: "[bold red]unhealthy[/]", None: "not probed"}[
                service.healthy
            ]
            about = f"{service.kind} {service.version}"
            screen.facts.print(
                f"  service  {escape(service.name)}  {escape(about)}  {escape(service.url or '-')}  {word}"
                f" [dim]{escape(service.detail)}[/]"
            )
        now = datetime.now(UTC)
        for seen in environment.backups:
            for line in backup_lines(seen, now):
                screen.facts.print(line)
        if environment.kept is not None:
            screen.print(own_backup_line(environment.kept, now))
        if environment.hint:
            screen.facts.print(f"  [cyan]hint[/]     {escape(environment.hint)}")


def show_history(screen: Screen, passes: Sequence[Pass]) -> None:
    """The passes, newest first."""
    if screen.as_json:
        screen.json({"passes": list(passes)})
        return
    if not passes:
        screen.print("no pass yet; run ronron update ENV")
        return
    for made in passes:
        outcome = made.outcome.kind if made.outcome else "running"
        took = f" in {(made.finished - made.started).total_seconds():.1f} s" if made.finished else ""
        screen.facts.print(
            f"[dim]{made.id:>4}  {_local(made.started)}[/]  [bold]{escape(made.environment)}[/]"
            f"  [{COLOURS.get(outcome, 'default')}]{outcome}[/]{took}"
        )
        message = made.outcome.message if made.outcome else f"updating to {made.revision.short}"
        screen.print(f"      {made.decision.reason}: {message}")


def show_explanation(
    screen: Screen, environment: EnvironmentStatus, why: str, passes: Sequence[Pass]
) -> None:
    """Why an environment changed, or did not, from its record and its last passes."""
    if screen.as_json:
        screen.json({"environment": environment, "decision": why, "passes": list(passes)})
        return
    show_status(screen, [environment])
    if why:
        screen.print(f"  last decision  {why}")
    for made in passes:
        screen.print()
        screen.print(f"pass {made.id}, {_local(made.started)}: {made.revision.short}")
        screen.print(f"  because   {made.decision.reason}: {made.decision.why}")
        if made.outcome is None:
            screen.print("  outcome   running, or its process died; the next pass finds out")
            continue
        if made.outcome.verdict is not None:
            screen.print(f"  verdict   {made.outcome.verdict.kind}: {made.outcome.verdict.why}")
        for line in change_lines(made.outcome.changes):
            screen.facts.print(f"  change    {line}")
        for taken in made.outcome.snapshots:
            screen.print(f"  snapshot  {taken.id[:SHORT]} of {taken.service}, taken before the update")
        for probe in made.outcome.probes:
            word = "healthy" if probe.healthy else "unhealthy"
            screen.print(f"  probe     {probe.service} {word}: {probe.detail}")
        for line in _way_back_lines(made.outcome):
            screen.print(line)
        screen.print(f"  outcome   {made.outcome.kind}: {made.outcome.message}")
        if made.outcome.hint:
            screen.print(f"  hint      {made.outcome.hint}")


def _way_back_lines(outcome: Outcome) -> list[str]:
    """What a way back left in the world, and whose data went back or did not."""
    lines = [f"  released  {one.text}" for one in outcome.released]
    for restored in outcome.restored_data:
        lines.append(f"  restored  {restored.service} from snapshot {restored.snapshot[:SHORT]}")
        if restored.safety_snapshot is not None:
            until = restored.safety_snapshot[:SHORT]
            lines.append(f"  restored  the data of {restored.service} until then is snapshot {until}")
    for one in outcome.unrestored:
        before = f"snapshot {one.snapshot[:SHORT]} has them" if one.snapshot else "no snapshot has them"
        lines.append(f"  data      of {one.service} may have been migrated; as they were before: {before}")
    return lines


def show_checks(screen: Screen, findings: Sequence[CheckResult]) -> None:
    """The results of checks, a line each, then the remedies."""
    if screen.as_json:
        screen.json({"findings": list(findings)})
        return
    wide = max(len(finding.name) for finding in findings)
    for finding in findings:
        sign = "[green]✓[/]" if finding.good else "[bold red]✗[/]"
        about = "  ".join(part for part in (finding.version, finding.origin) if part)
        screen.facts.print(f"{sign} {escape(finding.name):<{wide}}  {escape(about) or 'missing'}")
    for finding in findings:
        if finding.remedy:
            screen.facts.print(f"[cyan]{escape(finding.name)}:[/] {escape(finding.remedy)}")


def show_problems(screen: Screen, problems: Sequence[Problem]) -> None:
    """The problems of a working tree, two lines each, then their number."""
    if screen.as_json:
        screen.json({"problems": [asdict(problem) for problem in problems]})
        return
    for problem in problems:
        screen.facts.print(f"[bold red]{escape(problem.where)}[/] {escape(problem.what)}")
        screen.facts.print(f"  [cyan]hint:[/] {escape(problem.remedy)}")
    many = f"{len(problems)} problems" if len(problems) > 1 else "1 problem"
    screen.print(many if problems else "no problems")


def _local(at: datetime) -> str:
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
