"""The commands that check before anything is changed: `doctor`, `validate`."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from ronron.adapters.local_tools import Installation, check_tools
from ronron.adapters.pulumi_engine.environment import environment as environment_of
from ronron.commands.arguments import AsJson, Options
from ronron.commands.doctor import READABLE, check_environment, check_machine
from ronron.commands.screen import Screen, show_checks, show_problems
from ronron.commands.validate import check
from ronron.commands.wiring import errors, opened, packages_of, source_of, targets_of, wired
from ronron.core.status import ExitCode
from ronron.installation import NO_DOWNLOADS
from ronron.settings import Settings, load_settings


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (doctor, validate):
        app.command()(command)


def doctor(
    context: typer.Context,
    environment: Annotated[
        str | None, typer.Argument(metavar="ENV", help="Also run the checks of this environment's project.")
    ] = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Check this machine: programs, settings, repository.

    With ENV, also runs the checks of that environment's project. Changes nothing.
    """
    with opened(context, as_json) as parts:
        settings, screen = parts.settings, parts.screen
        installed = pulumi_here(settings)
        with screen.working("checking this machine"):
            findings = check_machine(
                settings,
                lambda: source_of(settings),
                lambda source: targets_of(source, settings)(),
                lambda: check_tools(installed),
            )
    if environment is not None and all(each.good for each in findings if each.name in READABLE):
        with wired(context, as_json) as whole:
            target = whole.target(environment)
            with (
                whole.screen.working(f"running the checks of {environment}"),
                tempfile.TemporaryDirectory(prefix="ronron-doctor-") as work,
            ):
                findings = (*findings, *check_environment(target, whole.ports, Path(work)))
    show_checks(screen, findings)
    return ExitCode.DONE if all(finding.good for finding in findings) else ExitCode.FAILED


def pulumi_here(settings: Settings) -> Installation:
    """Where programs are looked up: exactly where the engine of a pass finds them."""
    engine = settings.engine()
    seen = environment_of(engine, os.environ)
    shared = {name: seen[name] for name in ("PATH", NO_DOWNLOADS) if name in seen}
    sources = engine.installed.plugins if engine.plugins is None else (engine.plugins,)
    return Installation.here({**os.environ, **shared}, (engine.home / "plugins", *sources))


def validate(
    context: typer.Context,
    directory: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="Top of the working tree to check.")
    ] = Path(),
    as_json: AsJson = False,
) -> ExitCode:
    """Check the policy and the stack files of a working tree.

    Needs no engine, so it suits a CI job. Installs the packages of the lock file first, if there is one.
    """
    options: Options = context.obj
    screen = Screen(as_json=as_json)
    with errors(screen, options.debug):
        settings = load_settings(state=options.state, debug=options.debug or None)
        screen.keep_secret(settings.secrets())
        problems = check(directory, settings.policy_file, packages_of(settings, screen))
        show_problems(screen, problems)
        return ExitCode.USAGE if problems else ExitCode.DONE
