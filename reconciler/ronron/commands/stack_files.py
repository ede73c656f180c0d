"""The commands that edit stack files of a working tree: `pin`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ronron.commands.arguments import AsJson, Options
from ronron.commands.pins import Action, Pin, is_local
from ronron.commands.pins import pin as pinned
from ronron.commands.screen import Screen
from ronron.commands.tree_files import open_tree
from ronron.commands.wiring import errors
from ronron.core.errors import ConfigError, ImageRegistryError
from ronron.core.status import ExitCode
from ronron.settings import load_settings

Directory = Annotated[
    Path, typer.Option(exists=True, file_okay=False, help="Top of the working tree to edit.")
]


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(pin)


def pin(
    context: typer.Context,
    environment: Annotated[
        str | None,
        typer.Argument(metavar="ENV", help="One environment; default all whose images need a digest."),
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Also replace digests whose tag has another one now.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 if a digest would be written.")
    ] = False,
    directory: Directory = Path(),
    as_json: AsJson = False,
) -> ExitCode:
    """Write the digest of each image into the stack file.

    Asks the registry of each image. Nothing else in the file changes. Without ENV, stacks called `local` are
    skipped: their images need no digest.
    """
    options: Options = context.obj
    screen = Screen(as_json=as_json)
    with errors(screen, options.debug):
        tree = open_tree(directory, load_settings(debug=options.debug or None).policy_file)
        if environment is not None:
            chosen = [tree.environment(environment, "ronron pin {}")]
        else:
            chosen = [name for name in tree.environments if not is_local(tree.stack(name))]
            if not chosen:
                raise ConfigError(
                    f"cannot find a stack whose images need a digest: there is only "
                    f"{', '.join(tree.environments)}",
                    where=tree.policies.file,
                    hint=f"pin it all the same with ronron pin {tree.environments[0]}",
                )
        registry = options.factories.image_registry()
        with screen.working("asking the registries"):
            found = list(pinned(tree, chosen, registry, update=update, write=not check))
        _show(screen, found, check=check)
    failed = any(each.action is Action.FAILED for each in found)
    open_ = check and any(each.changes for each in found)
    return ExitCode.FAILED if failed or open_ else ExitCode.DONE


def _show(screen: Screen, found: list[Pin], *, check: bool) -> None:
    if screen.as_json:
        screen.json({"images": [asdict(each) for each in found]})
        return
    for each in found:
        place = f"{each.file}:{each.line} {each.key}"
        if each.changes:
            verb = {Action.PINNED: "no digest yet" if check else "pinned", Action.MOVED: "moved"}[each.action]
            screen.print(f"{verb}: {each.pinned} ({place})")
        elif each.action is Action.FAILED:
            screen.error(ImageRegistryError(each.why, where=place, hint=each.hint))
        elif each.action is Action.SKIPPED:
            screen.print(f"skipped: {each.image} ({place}): {each.why}")
    unchanged = sum(each.action is Action.UNCHANGED for each in found)
    if unchanged:
        images = "1 image" if unchanged == 1 else f"{unchanged} images"
        screen.print(f"unchanged: {images}")
    if not found:
        screen.print("unchanged: no image is declared")
