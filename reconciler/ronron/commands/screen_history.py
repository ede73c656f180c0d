"""Prints past passes: the history, and what explains an environment. Reads nothing, decides nothing."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape

from ronron.commands.screen import COLOURS, Screen, change_lines, local, show_status
from ronron.commands.screen_health import duration
from ronron.core.model import SHORT, Outcome, Pass
from ronron.core.outcomes import one_line
from ronron.core.status import EnvironmentStatus


def show_history(screen: Screen, passes: Sequence[Pass], environment: str | None = None) -> None:
    """The passes, newest first.

    Args:
        screen: to print on.
        passes: the newest first.
        environment: the one that they are of; None for all.
    """
    if screen.as_json:
        screen.json({"passes": list(passes)})
        return
    if not passes:
        first = f"run ronron update {environment}" if environment else "ronron watch makes the first ones"
        screen.print(f"no pass yet; {first}")
        return
    for made in passes:
        outcome = made.outcome.kind if made.outcome else "running"
        took = f" {duration(made)}" if made.finished else ""
        screen.facts.print(
            f"[dim]{made.id:>4}  {local(made.started)}[/]  [bold]{escape(made.environment)}[/]"
            f"  [{COLOURS.get(outcome, 'default')}]{outcome}[/]{took}"
        )
        message = one_line(made.outcome.message) if made.outcome else f"updating to {made.revision.short}"
        screen.print(f"      {made.decision.reason}: {message}")


def show_explanation(
    screen: Screen, environment: EnvironmentStatus, why: str, passes: Sequence[Pass]
) -> None:
    """Why an environment changed, or did not, from its record and its last passes."""
    if screen.as_json:
        screen.json({"environment": environment, "decision": why, "passes": list(passes)})
        return
    show_status(screen, [_brief(environment, passes)])
    if why:
        screen.print(f"  last decision  {why}")
    for made in passes:
        screen.print()
        screen.print(f"pass {made.id}, {local(made.started)}: {made.revision.short}")
        screen.print(f"  because   {made.decision.reason}: {made.decision.why}")
        if made.outcome is None:
            screen.print("  outcome   running, or its process died; the next pass finds out")
            continue
        _show_outcome(screen, made.outcome)


def _brief(environment: EnvironmentStatus, passes: Sequence[Pass]) -> EnvironmentStatus:
    """The status without what the newest pass says below."""
    newest = passes[0] if passes else None
    if newest is None or newest.outcome is None or not newest.outcome.message:
        return environment
    if newest.outcome.message in environment.why:
        environment = environment.with_(why="see its last pass below")
    hint = "" if environment.hint == newest.outcome.hint else environment.hint
    short = newest.with_(outcome=newest.outcome.with_(message="see below"))
    return environment.with_(hint=hint, last=short)


def _show_outcome(screen: Screen, outcome: Outcome) -> None:
    if outcome.verdict is not None:
        screen.print(f"  verdict   {outcome.verdict.kind}: {outcome.verdict.why}")
    for line in change_lines(outcome.changes):
        screen.facts.print(f"  change    {line}")
    for line in change_lines(outcome.failed_changes):
        screen.facts.print(f"  failed    {line}")
    for taken in outcome.snapshots:
        screen.print(f"  snapshot  {taken.id[:SHORT]} of {taken.service}, taken before the update")
    for probe in outcome.probes:
        word = "healthy" if probe.healthy else "unhealthy"
        screen.print(f"  probe     {probe.service} {word}: {probe.detail}")
    for line in _way_back_lines(outcome):
        screen.print(line)
    first, *more = outcome.message.splitlines() or [""]
    screen.print(f"  outcome   {outcome.kind}: {first}")
    for line in more:
        screen.print(f"            {line}")
    if "\n" in outcome.cause:
        for number, line in enumerate(outcome.cause.splitlines()):
            screen.print(f"  {'failure' if number == 0 else '':<8}  {line}")
    for container in outcome.containers:
        details = container.details()
        if details:
            screen.print(f"  container {container.name}")
        for line in details:
            screen.print(f"            {line}")
    if outcome.hint:
        screen.print(f"  hint      {outcome.hint}")


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
