"""The commands that run passes: `preview`, `update`, `watch`."""

from __future__ import annotations

import getpass
import signal
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from ronron.commands import held_services
from ronron.commands.arguments import AsJson, Environment
from ronron.commands.screen import show_preview
from ronron.commands.wiring import wired
from ronron.core.errors import ReconcilerError
from ronron.core.model import Pass, VerdictKind
from ronron.core.outcomes import one_line
from ronron.core.redact import redact
from ronron.core.status import ExitCode, code_of, exit_code_of
from ronron.passes.reconcile import preview_only, reconcile
from ronron.passes.removed import note_removed
from ronron.watch.drift_checks import drift_job, look_everywhere
from ronron.watch.health_checks import health_job
from ronron.watch.loop import Loop, Result


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (preview, update, watch):
        app.command()(command)


def preview(context: typer.Context, environment: Environment, as_json: AsJson = False) -> ExitCode:
    """Preview an update; changes nothing.

    Also shows the verdict and the ID of the plan to approve.
    """
    with wired(context, as_json) as parts:
        target = parts.target(environment)
        revision = parts.ports.source.resolve(target.policy.reference)
        with (
            parts.screen.working(f"previewing {environment}"),
            tempfile.TemporaryDirectory(prefix="ronron-preview-") as work,
        ):
            computed, verdict = preview_only(target, parts.ports, revision, Path(work))
        show_preview(parts.screen, revision, computed, verdict)
        waiting = verdict.kind in {VerdictKind.NEEDS_APPROVAL, VerdictKind.FORBIDDEN}
        return ExitCode.WAITING if waiting else ExitCode.DONE


def update(
    context: typer.Context,
    environment: Environment,
    accept_empty: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SERVICE",
            help="Its data were lost, and empty is right: start it, and take snapshots of it again.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Run one pass now: preview, judge, update, probe.

    Runs now, ignoring poll interval, window and back-off. A missing approval still blocks it.
    """
    with wired(context, as_json) as parts:
        target = parts.target(environment)
        if accept_empty:
            held_services.accept_empty(parts, environment, accept_empty)
            target = replace(target, accept_empty=tuple(accept_empty))
        store = parts.ports.store
        note_removed(parts.targets(), parts.ports)
        store.ask(environment, getpass.getuser(), parts.ports.clock.now())
        with _stopping(parts.ports.engine.interrupt), parts.screen.working(f"updating {environment}"):
            made = reconcile(target, parts.ports)
        if as_json:
            parts.screen.json({"pass": made})
        elif made.outcome is None:
            parts.screen.print(f"{made.decision.reason}: {made.decision.why}")
        else:
            # The progress above has the whole of it.
            parts.screen.print(f"{made.outcome.kind}: {one_line(made.outcome.message)}")
        return exit_code_of(made.outcome, made.decision.reason)


def watch(
    context: typer.Context,
    environments: Annotated[
        list[str] | None, typer.Argument(metavar="ENV", help="Only these environments; default all.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Poll every environment once, then exit.")] = False,
    poll: Annotated[str | None, typer.Option(help="Poll interval, such as 30s; default RONRON_POLL.")] = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Update each environment when its branch moves.

    Runs until SIGINT or SIGTERM; a second signal interrupts running passes.
    """
    with wired(context, as_json, poll=poll) as parts:
        settings = parts.settings
        loop = Loop(
            parts.ports,
            parts.targets,
            settings.poll,
            settings.workers,
            settings.debug,
            frozenset(environments or ()),
            redact(settings.repository),
            settings.backup_poll,
            jobs=(health_job(parts.ports), drift_job(parts.ports, lambda: loop.wake())),
        )
        polling = f"polling {redact(settings.repository)}"
        parts.screen.log("watch", polling if once else f"{polling} every {settings.poll.total_seconds():g} s")
        if once:
            look_everywhere(parts.ports, parts.targets, environments or ())
        with _stopping(loop.stop):
            results = loop.run(once=once)
        if as_json:
            parts.screen.json({"results": {name: _as_fact(result) for name, result in results.items()}})
        return _worst(_code_of(result) for result in results.values()) if once else ExitCode.DONE


@contextmanager
def _stopping(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on SIGINT and SIGTERM during the block."""

    def asked(_number: int, _frame: FrameType | None) -> None:
        stop()

    before = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def _code_of(result: Result) -> ExitCode:
    if isinstance(result, ReconcilerError):
        return code_of(result)
    return exit_code_of(result.outcome, result.decision.reason)


def _worst(codes: Iterable[ExitCode]) -> ExitCode:
    """The worst of several environments: failed, then misconfigured, locked, waiting for a person, done."""
    order = (ExitCode.FAILED, ExitCode.USAGE, ExitCode.LOCKED, ExitCode.WAITING)
    found = set(codes)
    return next((code for code in order if code in found), ExitCode.DONE)


def _as_fact(result: Result) -> object:
    if isinstance(result, Pass):
        return result
    return {"error": {"message": result.message, "where": result.where, "hint": result.hint}}
