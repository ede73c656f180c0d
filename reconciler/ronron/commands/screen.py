"""Prints results as lines, tables and JSON. Reads nothing, decides nothing."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from datetime import datetime

from pydantic import BaseModel
from rich.markup import escape
from rich.status import Status

from ronron.commands.screen_backups import backup_lines, own_backup_line
from ronron.commands.screen_health import pass_line, service_lines
from ronron.commands.wrapping import WrappingConsole
from ronron.commands.wrapping import one_line as one_line_of
from ronron.core.errors import Problem, ReconcilerError
from ronron.core.model import SHORT, Change, Operation, Preview, Revision, Verdict, VerdictKind
from ronron.core.outcomes import one_line
from ronron.core.redact import redact, redact_document
from ronron.core.status import CheckResult, EnvironmentStatus, State
from ronron.core.words import counted

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
    "recovered": "green",
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
_SPINNER = 3
"""Columns that it takes itself."""

REPLACES = ("±", "magenta")


class Screen:
    """A terminal or a file: results go to standard output, progress and errors to standard error.

    Args:
        as_json: results are printed as one JSON document, without progress.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self.facts = WrappingConsole(highlight=False, soft_wrap=True)
        self.stderr = WrappingConsole(stderr=True, highlight=False, soft_wrap=True)
        self.as_json = as_json
        self._secrets: tuple[str, ...] = ()
        self._status: Status | None = None
        self._lock = threading.Lock()

    def keep_secret(self, secrets: Iterable[str]) -> None:
        """Redact these from now on."""
        self._secrets = (*self._secrets, *secrets)

    def redacted(self, text: str) -> str:
        """The text without the secrets that are known here."""
        return redact(text, self._secrets)

    def log(self, environment: str, line: str) -> None:
        """See ports.Progress: a plain line with the time, and the spinner's text on a terminal."""
        if self.as_json:
            return
        now = datetime.now().astimezone()
        clean = redact(line, self._secrets)
        with self._lock:
            if self._status is not None:
                self._status.update(self._brief(clean))
            self.stderr.print(f"[dim]{now:%H:%M:%S}[/] [bold]{escape(environment)}[/] {_coloured(clean)}")

    def doing(self, environment: str, what: str) -> None:
        """See ports.Progress: the spinner's text, on a terminal only."""
        with self._lock:
            if self._status is not None:
                self._status.update(self._brief(f"{environment}: {redact(what, self._secrets)}"))

    def _brief(self, line: str) -> str:
        """Markup for the spinner, which has room for one line."""
        return escape(one_line_of(line, self.stderr.width - _SPINNER))

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
    """The state of each environment, with its services and backups; those of the policy first."""
    if screen.as_json:
        screen.json({"environments": list(statuses)})
        return
    if not statuses:
        screen.print("no environment has had a pass yet; ronron watch makes the first one of each")
    for environment in sorted(statuses, key=lambda one: one.state is State.REMOVED):
        colour = COLOURS.get(environment.state, "default")
        screen.facts.print(
            f"[bold]{escape(environment.name)}[/]  [{colour}]{environment.state}[/]"
            f"  {escape(one_line(environment.why))}"
        )
        if environment.live is not None:
            since = f" since {local(environment.since)}" if environment.since else ""
            screen.print(f"  live     {environment.live.short}{since}")
        if environment.wanted is not None and environment.state is not State.LIVE:
            screen.print(f"  wanted   {environment.wanted.short}")
        if environment.state is not State.REMOVED:
            screen.print(pass_line(environment))
        for line in service_lines(environment):
            screen.facts.print(line)
        for line in drift_lines(environment):
            screen.print(line)
        for seen in environment.backups:
            for line in backup_lines(seen, environment.at):
                screen.facts.print(line)
        if environment.kept is not None:
            screen.print(own_backup_line(environment.kept, environment.at))
        if environment.hint:
            screen.facts.print(f"  [cyan]hint[/]     {escape(environment.hint)}")


def drift_lines(environment: EnvironmentStatus) -> list[str]:
    """What `status` says of containers that differ from what was made."""
    lines = [f"  drift    {one.sentence}, since {local(one.since)}" for one in environment.drift]
    lines += [f"  drift    stalled: {why}" for why in environment.stalled_drift]
    lines += [f"  drift    unknown on {name}: {why}" for name, why in environment.unknown.items()]
    waiting = environment.waiting_repair
    if waiting is not None and not waiting.forbidden and environment.drift:
        yes = f"ronron approve {environment.name} {waiting.identity[:SHORT]}"
        lines.append(f"  drift    waits for approval of plan {waiting.identity[:SHORT]}: {yes}")
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
    screen.print(counted(len(problems), "problems") if problems else "no problems")


def local(at: datetime) -> str:
    """A time in the time zone of this machine."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
