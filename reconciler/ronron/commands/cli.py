"""The command `ronron`: has the parts wired, prints what they say, and exits.

Exit codes: 0 done or nothing to do, 1 failed, 2 usage or configuration, 3 held for a person,
4 busy: the stack is locked by another live process.
"""

from __future__ import annotations

import getpass
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from ronron.commands.backups import AsJson, end, register
from ronron.commands.doctor import READABLE, examine, surroundings
from ronron.commands.screen import (
    Screen,
    show_explanation,
    show_findings,
    show_history,
    show_preview,
    show_problems,
    show_status,
)
from ronron.commands.validate import check
from ronron.commands.wiring import Options, errors, opened, source_of, targets_of, wired
from ronron.core.errors import ConfigError, ReconcilerError
from ronron.core.model import SHORT, Pass, VerdictKind
from ronron.core.record import Suspension
from ronron.core.redact import redact
from ronron.core.status import ExitCode, code_of, exit_code, exit_code_of, status
from ronron.passes.reconcile import look, reconcile
from ronron.settings import load_settings
from ronron.watch.loop import Loop, Result

app = typer.Typer(
    name="ronron",
    result_callback=end,
    help="Keeps a CHATONS purring: watches a git repository, and previews and updates its environments.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

register(app)

Environment = Annotated[str, typer.Argument(metavar="ENV", help="Name of an environment of the policy.")]
MaybeEnvironment = Annotated[str | None, typer.Argument(metavar="ENV", help="One environment; else all.")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ronron {metadata.version('ronron')}")
        raise typer.Exit


@app.callback()
def _before(
    context: typer.Context,
    repository: Annotated[
        str | None, typer.Option(help="URL or path of the git repository; else RONRON_REPOSITORY.")
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="Directory of the records and the Pulumi state; else RONRON_STATE.")
    ] = None,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
    version: Annotated[  # noqa: ARG001 - eager: it has ended the process before
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    given: Options = context.obj or Options()
    context.obj = replace(given, repository=repository, state=state, debug=debug)


# -- looking ---------------------------------------------------------------------------------------


@app.command()
def preview(context: typer.Context, environment: Environment, as_json: AsJson = False) -> ExitCode:
    """Show what an update would do; changes nothing.

    With what is thought of it, and the plan that an approval would name.
    """
    with wired(context, as_json) as parts:
        target = parts.target(environment)
        revision = parts.ports.source.resolve(target.policy.reference)
        with (
            parts.screen.working(f"previewing {environment}"),
            tempfile.TemporaryDirectory(prefix="ronron-preview-") as work,
        ):
            computed, verdict = look(target, parts.ports, revision, Path(work))
        show_preview(parts.screen, revision, computed, verdict)
        held = verdict.kind in {VerdictKind.NEEDS_APPROVAL, VerdictKind.FORBIDDEN}
        return ExitCode.HELD if held else ExitCode.DONE


@app.command(name="status")
def status_(
    context: typer.Context, environment: MaybeEnvironment = None, as_json: AsJson = False
) -> ExitCode:
    """Show what is live, healthy, and waiting.

    Asks the records alone.
    """
    with opened(context, as_json) as parts:
        store = parts.store
        names = [parts.known(environment)] if environment else list(store.environments())
        statuses = [status(store.load(name), store.history(name)) for name in names]
        show_status(parts.screen, statuses)
        return exit_code(statuses)


@app.command()
def history(
    context: typer.Context,
    environment: MaybeEnvironment = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many passes.")] = 20,
    as_json: AsJson = False,
) -> ExitCode:
    """Show the passes that were made, the newest first."""
    with opened(context, as_json) as parts:
        show_history(parts.screen, parts.store.history(environment, limit))
        return ExitCode.DONE


@app.command()
def explain(context: typer.Context, environment: Environment, as_json: AsJson = False) -> ExitCode:
    """Say why an environment changed, or did not.

    Asks the records alone.
    """
    with opened(context, as_json) as parts:
        record = parts.store.load(parts.known(environment))
        passes = parts.store.history(environment, 3)
        decision = f"{record.decision.reason}: {record.decision.why}" if record.decision else ""
        how = status(record, passes)
        show_explanation(parts.screen, how, decision, passes)
        return exit_code([how])


# -- changing --------------------------------------------------------------------------------------


@app.command()
def update(context: typer.Context, environment: Environment, as_json: AsJson = False) -> ExitCode:
    """Make one pass now: preview, judge, update, probe.

    Whatever the timer says; a window or a cooling down does not stop it, an approval that is missing does.
    """
    with wired(context, as_json) as parts:
        target = parts.target(environment)
        store = parts.ports.store
        store.ask(environment, getpass.getuser(), parts.ports.clock.now())
        with _stopping(parts.ports.engine.interrupt), parts.screen.working(f"updating {environment}"):
            made = reconcile(target, parts.ports)
        if as_json:
            parts.screen.json({"pass": made})
        elif made.outcome is None:
            parts.screen.print(f"{made.decision.reason}: {made.decision.why}")
        else:
            parts.screen.print(f"{made.outcome.kind}: {made.outcome.message}")
        return exit_code_of(made.outcome, made.decision.reason)


@app.command()
def watch(
    context: typer.Context,
    environments: Annotated[
        list[str] | None, typer.Argument(metavar="ENV", help="Only these environments; else all.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Look once at every environment, then end.")] = False,
    poll: Annotated[
        str | None, typer.Option(help="Time from one look to the next, such as 30s; else RONRON_POLL.")
    ] = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Keep every environment as its branch says.

    Until it is told to stop: once to let passes end, twice to interrupt them.
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
            settings.backup_look,
        )
        looking = f"looking at {redact(settings.repository)}"
        parts.screen.tell(
            "watch", looking if once else f"{looking} every {settings.poll.total_seconds():g} s"
        )
        with _stopping(loop.stop):
            results = loop.run(once=once)
        if as_json:
            parts.screen.json({"results": {name: _as_fact(result) for name, result in results.items()}})
        return _worst(_code_of(result) for result in results.values()) if once else ExitCode.DONE


@app.command()
def approve(
    context: typer.Context,
    environment: Environment,
    plan: Annotated[
        str, typer.Argument(metavar="ID", help="The plan that status names; 8 characters or more.")
    ],
) -> ExitCode:
    """Say yes to the plan that waits.

    The next pass carries it out, if it is still the same.
    """
    with wired(context, as_json=False) as parts:
        held = parts.ports.store.load(environment).held
        if held is None or held.forbidden:
            what = "is forbidden and waits for another revision" if held else "waits for no approval"
            raise ConfigError(f"{environment} {what}", hint=f"look at it with ronron explain {environment}")
        if len(plan) < 8 or not held.identity.startswith(plan):
            raise ConfigError(
                f"{environment} waits for another plan: {held.identity[:SHORT]}",
                hint=f"look at it with ronron preview {environment}, then approve that one",
            )
        parts.ports.store.approve(environment, held.identity, getpass.getuser(), parts.ports.clock.now())
        parts.screen.print(f"approved plan {held.identity[:SHORT]}; the next pass carries it out")
        return ExitCode.DONE


@app.command()
def suspend(
    context: typer.Context,
    environment: Environment,
    why: Annotated[str, typer.Option(help="For those who find it so.")] = "",
) -> ExitCode:
    """Leave an environment alone until it is resumed."""
    with wired(context, as_json=False) as parts:
        name = parts.target(environment).name
        with parts.ports.store.hold(parts.target(environment).policy.stack):
            suspension = Suspension(by=getpass.getuser(), at=parts.ports.clock.now(), why=why)
            parts.ports.store.save(parts.ports.store.load(name).with_(suspended=suspension))
        parts.screen.print(f"suspended: {name}; go on with ronron resume {name}")
        return ExitCode.DONE


@app.command()
def resume(context: typer.Context, environment: Environment) -> ExitCode:
    """Go on after a suspension, a stall or failures."""
    with wired(context, as_json=False) as parts:
        target = parts.target(environment)
        with parts.ports.store.hold(target.policy.stack):
            parts.ports.store.save(parts.ports.store.load(target.name).resumed())
        parts.screen.print(f"resumed: {target.name}; the next pass goes on")
        return ExitCode.DONE


# -- checking --------------------------------------------------------------------------------------


@app.command()
def doctor(
    context: typer.Context,
    environment: Annotated[
        str | None,
        typer.Argument(metavar="ENV", help="An environment: what its machines have and lack, too."),
    ] = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Say what this machine has and lacks.

    With an environment its own project is asked what it finds; nothing is changed.
    """
    with opened(context, as_json) as parts:
        settings, screen = parts.settings, parts.screen
        from ronron.adapters.local_tools import Installation, check_tools

        installed = Installation.here(settings.pulumi_plugins or settings.engine().home / "plugins")
        with screen.working("checking this machine"):
            findings = examine(
                settings,
                lambda: source_of(settings),
                lambda source: targets_of(source, settings)(),
                lambda: check_tools(installed),
            )
    if environment is not None and all(each.good for each in findings if each.name in READABLE):
        with wired(context, as_json) as whole:
            target = whole.target(environment)
            with (
                whole.screen.working(f"asking the project of {environment}"),
                tempfile.TemporaryDirectory(prefix="ronron-doctor-") as work,
            ):
                findings = (*findings, *surroundings(target, whole.ports, Path(work)))
    show_findings(screen, findings)
    return ExitCode.DONE if all(finding.good for finding in findings) else ExitCode.FAILED


@app.command()
def validate(
    context: typer.Context,
    directory: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="The working tree to check.")
    ] = Path(),
    as_json: AsJson = False,
) -> ExitCode:
    """Check the policy and the stack files here.

    Asks neither the engine nor the network; made for a CI job, too.
    """
    options: Options = context.obj
    screen = Screen(as_json=as_json)
    with errors(screen, options.debug):
        problems = check(directory, load_settings(debug=options.debug or None).policy_file)
        show_problems(screen, problems)
        return ExitCode.USAGE if problems else ExitCode.DONE


# -- ends ------------------------------------------------------------------------------------------


@contextmanager
def _stopping(stop: Callable[[], None]) -> Iterator[None]:
    """Hand SIGINT and SIGTERM to `stop` for the block."""

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
    """Of several environments: what failed goes before what is misconfigured, busy, held and done."""
    order = (ExitCode.FAILED, ExitCode.USAGE, ExitCode.BUSY, ExitCode.HELD)
    found = set(codes)
    return next((code for code in order if code in found), ExitCode.DONE)


def _as_fact(result: Result) -> object:
    if isinstance(result, Pass):
        return result
    return {"error": {"message": result.message, "where": result.where, "hint": result.hint}}


def main() -> None:
    """Run the command line; whatever nobody expected ends in one line, unless --debug asks for more."""
    try:
        app()
    except Exception as error:
        if "--debug" in sys.argv or isinstance(error, ReconcilerError):
            raise
        screen = Screen()
        screen.error(
            ReconcilerError(
                f"internal error: {type(error).__name__}: {error}", hint="run it again with --debug"
            )
        )
        sys.exit(ExitCode.FAILED)


if __name__ == "__main__":
    main()
