"""The command `pulumi`: runs Pulumi by hand, exactly as a pass would find it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from ronron.adapters.pulumi_engine.by_hand import PulumiByHand, may_write, runs_program, writes_a_file
from ronron.commands.arguments import Environment
from ronron.commands.tree_files import open_tree
from ronron.commands.wiring import Opened, opened, packages_of, source_of, targets_of
from ronron.commands.working_tree import no_working_tree, working_tree
from ronron.core.errors import ConfigError
from ronron.core.packages import VirtualEnvironment
from ronron.core.redact import redact
from ronron.policy.notations import nearest, quoted

PASSED_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False}
"""What stands behind the environment is Pulumi's, options too."""


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command(context_settings=PASSED_ON)(pulumi)


def pulumi(
    context: typer.Context,
    environment: Environment,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- ARGUMENTS", help="A command of Pulumi with its options, such as `up`."),
    ] = None,
) -> int:
    """Run Pulumi by hand on an environment's stack.

    Runs in the working tree around the current directory, with the engine, plugins, backend and passphrase
    of the service; elsewhere at the revision that the environment follows. A command that may change the
    stack locks it, and exits with 4 while a pass has it locked. Other exit codes are Pulumi's.
    """
    words = list(arguments or ())
    if words[:1] == ["--"]:
        words = words[1:]
    with opened(context, as_json=False) as parts, _by_hand(parts, environment, words) as (engine, stack):
        with ExitStack() as during:
            if may_write(words):
                during.enter_context(parts.store.lock(stack))
            code = engine.attach(words)
        if code != 0 and engine.lacks_stack() and not writes_a_file(words):
            parts.screen.error(engine.not_found())
        return code


@contextmanager
def _by_hand(parts: Opened, name: str, words: list[str]) -> Iterator[tuple[PulumiByHand, str]]:
    """Pulumi on the stack of an environment, and the stack's name."""
    top = working_tree(parts.settings)
    if top is not None:
        tree = open_tree(top, parts.settings.policy_file, hint="restore it from the repository")
        if name not in tree.environments:
            raise tree.unknown(name)
        stack = tree.stack(name)
        with _packages(parts, tree.project, words) as packages:
            yield _engine(parts, name, stack, tree.project, packages), stack
        return
    if writes_a_file(words) or (parts.settings.source is None):
        raise no_working_tree(parts.settings)
    source = source_of(parts.settings)
    source.refresh()
    targets = targets_of(source, parts.settings)()
    if name not in targets:
        near = nearest(name, targets)
        raise ConfigError(
            f"cannot find the environment {quoted(name)}",
            where=redact(parts.settings.policy_file),
            hint=f"use {near}" if near else f"use one of: {', '.join(sorted(targets))}",
        )
    target = targets[name]
    revision = source.resolve(target.policy.reference)
    with source.checkout(revision) as checkout:
        parts.screen.stderr.print(f"in no working tree: using {revision.short} of the repository")
        stack, project = target.policy.stack, checkout / target.project
        with _packages(parts, project, words) as packages:
            yield _engine(parts, name, stack, project, packages), stack


def _packages(
    parts: Opened, project: Path, words: list[str]
) -> AbstractContextManager[VirtualEnvironment | None]:
    """What the program runs in, for the block; None where the command does not run it."""
    return packages_of(parts.settings, parts.screen).of(project) if runs_program(words) else nullcontext()


def _engine(
    parts: Opened, name: str, stack: str, project: Path, packages: VirtualEnvironment | None
) -> PulumiByHand:
    live = parts.store.load(name).everywhere
    return PulumiByHand(
        parts.settings.engine(),
        directory=project,
        stack=stack,
        environment=name,
        running=live.commit if live is not None else None,
        packages=packages,
    )
