"""The command `ronron`: wires the parts, prints what they say, and exits. Alone imports the adapters.

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
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from reconciler.adapters.git_source import GitSource
from reconciler.adapters.http_prober import HttpProber
from reconciler.adapters.processes import LinuxProcesses
from reconciler.adapters.sql_store import SqlStore
from reconciler.adapters.system_clock import SystemClock
from reconciler.core.errors import ConfigError, ReconcilerError
from reconciler.core.model import SHORT, Pass, VerdictKind
from reconciler.core.record import Suspension
from reconciler.core.redact import redact
from reconciler.core.status import ExitCode, code_of, exit_code, exit_code_of, status
from reconciler.doctor import examine
from reconciler.loop import Loop, Result
from reconciler.notations import nearest, quoted
from reconciler.ports import Source
from reconciler.reconcile import Ports, Target, look, reconcile
from reconciler.settings import Settings, load_settings
from reconciler.targets import Targets
from reconciler.terminal import (
    Screen,
    show_explanation,
    show_findings,
    show_history,
    show_preview,
    show_problems,
    show_status,
)
from reconciler.validate import check
from toolchain.report import report


def _end(code: ExitCode, **_options: object) -> NoReturn:
    raise typer.Exit(code)


app = typer.Typer(
    name="ronron",
    result_callback=_end,
    help="Keeps a CHATONS purring: watches a git repository, and previews and updates its environments.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Environment = Annotated[str, typer.Argument(metavar="ENV", help="Name of an environment of the policy.")]
MaybeEnvironment = Annotated[str | None, typer.Argument(metavar="ENV", help="One environment; else all.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print facts as one JSON document.")]


@dataclass
class _Options:
    """What stands before the command's name."""

    repository: str | None = None
    state: Path | None = None
    debug: bool = False


@dataclass
class _Opened:
    """What every command has: settings, records, a screen."""

    settings: Settings
    store: SqlStore
    screen: Screen


@dataclass
class _Wired:
    """All the parts, put together for one command."""

    settings: Settings
    ports: Ports
    targets: Targets
    screen: Screen

    def target(self, name: str) -> Target:
        """An environment of the policy as it stands in the source now.

        Raises:
            ConfigError: the policy has no such environment.
            SourceError: the repository cannot be read.
        """
        self.ports.source.refresh()
        targets = self.targets()
        if name not in targets:
            near = nearest(name, targets)
            raise ConfigError(
                f"cannot find the environment {quoted(name)}",
                where=self.settings.policy_file,
                hint=f"use {near}" if near else f"use one of: {', '.join(sorted(targets))}",
            )
        return targets[name]


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
    context.obj = _Options(repository, state, debug)


# -- looking ---------------------------------------------------------------------------------------


@app.command()
def preview(context: typer.Context, environment: Environment, as_json: AsJson = False) -> ExitCode:
    """Show what an update would do; changes nothing.

    With what is thought of it, and the plan that an approval would name.
    """
    with _wired(context, as_json) as wired:
        target = wired.target(environment)
        revision = wired.ports.source.resolve(target.policy.reference)
        with (
            wired.screen.working(f"previewing {environment}"),
            tempfile.TemporaryDirectory(prefix="ronron-preview-") as work,
        ):
            computed, verdict = look(target, wired.ports, revision, Path(work))
        show_preview(wired.screen, revision, computed, verdict)
        held = verdict.kind in {VerdictKind.NEEDS_APPROVAL, VerdictKind.FORBIDDEN}
        return ExitCode.HELD if held else ExitCode.DONE


@app.command(name="status")
def status_(
    context: typer.Context, environment: MaybeEnvironment = None, as_json: AsJson = False
) -> ExitCode:
    """Show what is live, healthy, and waiting.

    Asks the records alone.
    """
    with _opened(context, as_json) as opened:
        store = opened.store
        names = [environment] if environment else list(store.environments())
        statuses = [status(store.load(name), store.history(name)) for name in names]
        show_status(opened.screen, statuses)
        return exit_code(statuses)


@app.command()
def history(
    context: typer.Context,
    environment: MaybeEnvironment = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many passes.")] = 20,
    as_json: AsJson = False,
) -> ExitCode:
    """Show the passes that were made, the newest first."""
    with _opened(context, as_json) as opened:
        show_history(opened.screen, opened.store.history(environment, limit))
        return ExitCode.DONE


@app.command()
def explain(context: typer.Context, environment: Environment, as_json: AsJson = False) -> ExitCode:
    """Say why an environment changed, or did not.

    Asks the records alone.
    """
    with _opened(context, as_json) as opened:
        record = opened.store.load(environment)
        passes = opened.store.history(environment, 3)
        decision = f"{record.decision.reason}: {record.decision.why}" if record.decision else ""
        how = status(record, passes)
        show_explanation(opened.screen, how, decision, passes)
        return exit_code([how])


# -- changing --------------------------------------------------------------------------------------


@app.command()
def update(context: typer.Context, environment: Environment, as_json: AsJson = False) -> ExitCode:
    """Make one pass now: preview, judge, update, probe.

    Whatever the timer says; a window or a cooling down does not stop it, an approval that is missing does.
    """
    with _wired(context, as_json) as wired:
        target = wired.target(environment)
        store = wired.ports.store
        store.ask(environment, getpass.getuser(), wired.ports.clock.now())
        with _stopping(wired.ports.engine.interrupt), wired.screen.working(f"updating {environment}"):
            made = reconcile(target, wired.ports)
        if as_json:
            wired.screen.json({"pass": made})
        elif made.outcome is None:
            wired.screen.print(f"{made.decision.reason}: {made.decision.why}")
        else:
            wired.screen.print(f"{made.outcome.kind}: {made.outcome.message}")
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
    with _wired(context, as_json, poll=poll) as wired:
        settings = wired.settings
        loop = Loop(
            wired.ports,
            wired.targets,
            settings.poll,
            settings.workers,
            settings.debug,
            frozenset(environments or ()),
        )
        looking = f"looking at {redact(settings.repository)}"
        wired.screen.tell(
            "watch", looking if once else f"{looking} every {settings.poll.total_seconds():g} s"
        )
        with _stopping(loop.stop):
            results = loop.run(once=once)
        if as_json:
            wired.screen.json({"results": {name: _as_fact(result) for name, result in results.items()}})
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
    with _wired(context, as_json=False) as wired:
        held = wired.ports.store.load(environment).held
        if held is None or held.forbidden:
            what = "is forbidden and waits for another revision" if held else "waits for no approval"
            raise ConfigError(f"{environment} {what}", hint=f"look at it with ronron explain {environment}")
        if len(plan) < 8 or not held.identity.startswith(plan):
            raise ConfigError(
                f"{environment} waits for another plan: {held.identity[:SHORT]}",
                hint=f"look at it with ronron preview {environment}, then approve that one",
            )
        wired.ports.store.approve(environment, held.identity, getpass.getuser(), wired.ports.clock.now())
        wired.screen.print(f"approved plan {held.identity[:SHORT]}; the next pass carries it out")
        return ExitCode.DONE


@app.command()
def suspend(
    context: typer.Context,
    environment: Environment,
    why: Annotated[str, typer.Option(help="For those who find it so.")] = "",
) -> ExitCode:
    """Leave an environment alone until it is resumed."""
    with _wired(context, as_json=False) as wired:
        name = wired.target(environment).name
        with wired.ports.store.hold(wired.target(environment).policy.stack):
            suspension = Suspension(by=getpass.getuser(), at=wired.ports.clock.now(), why=why)
            wired.ports.store.save(wired.ports.store.load(name).with_(suspended=suspension))
        wired.screen.print(f"suspended: {name}; go on with ronron resume {name}")
        return ExitCode.DONE


@app.command()
def resume(context: typer.Context, environment: Environment) -> ExitCode:
    """Go on after a suspension, a stall or failures."""
    with _wired(context, as_json=False) as wired:
        target = wired.target(environment)
        with wired.ports.store.hold(target.policy.stack):
            wired.ports.store.save(wired.ports.store.load(target.name).resumed())
        wired.screen.print(f"resumed: {target.name}; the next pass goes on")
        return ExitCode.DONE


# -- checking --------------------------------------------------------------------------------------


@app.command()
def doctor(context: typer.Context, as_json: AsJson = False) -> ExitCode:
    """Say what this machine has and lacks."""
    with _opened(context, as_json) as opened:
        settings = opened.settings
        with opened.screen.working("looking at this machine"):
            findings = examine(
                settings, lambda: _source(settings), lambda source: _targets(source, settings)(), report
            )
        show_findings(opened.screen, findings)
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
    options: _Options = context.obj
    screen = Screen(as_json=as_json)
    with _errors(screen, options.debug):
        problems = check(directory, load_settings(debug=options.debug or None).policy_file)
        show_problems(screen, problems)
        return ExitCode.USAGE if problems else ExitCode.DONE


# -- wiring ----------------------------------------------------------------------------------------


@contextmanager
def _opened(context: typer.Context, as_json: bool, **options: object) -> Iterator[_Opened]:
    before: _Options = context.obj
    screen = Screen(as_json=as_json)
    with _errors(screen, before.debug):
        given = {"repository": before.repository, "state": before.state, "debug": before.debug or None}
        settings = load_settings(**given, **options)
        screen.keep_secret(settings.secrets())
        with SqlStore(settings.state, secrets=settings.secrets()) as store:
            yield _Opened(settings, store, screen)


@contextmanager
def _wired(context: typer.Context, as_json: bool, **options: object) -> Iterator[_Wired]:
    with _opened(context, as_json, **options) as opened:
        # The Automation API takes most of a second to import, and the records are read without it.
        from reconciler.adapters.pulumi_engine import PulumiEngine

        settings = opened.settings
        processes = LinuxProcesses()
        source = _source(settings)
        ports = Ports(
            source=source,
            engine=PulumiEngine(settings.engine(), processes),
            store=opened.store,
            prober=HttpProber(),
            clock=SystemClock(),
            processes=processes,
            progress=opened.screen,
            work=settings.state / "passes",
        )
        yield _Wired(settings, ports, _targets(source, settings), opened.screen)


def _source(settings: Settings) -> GitSource:
    return GitSource(settings.repository, settings.state, LinuxProcesses(), timeout=settings.git_timeout)


def _targets(source: Source, settings: Settings) -> Targets:
    return Targets(source, settings.policy_reference, settings.policy_file)


@contextmanager
def _errors(screen: Screen, debug: bool) -> Iterator[None]:
    try:
        yield
    except ReconcilerError as error:
        if debug:
            raise
        screen.error(error)
        raise typer.Exit(code_of(error)) from error


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
