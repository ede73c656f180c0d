"""The command `add service`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from ronron.commands.arguments import AsJson, end
from ronron.commands.program_facts import ProgramFacts, program_facts
from ronron.commands.service_blocks import Added, Wanted, add_service
from ronron.commands.tree_files import BOM, WorkingTree, open_tree, read_text, write_text
from ronron.commands.wiring import Opened, opened, packages_of
from ronron.core.errors import ConfigError
from ronron.core.status import ExitCode
from ronron.policy.notations import quoted
from ronron.policy.yaml_edit import YamlDocument

Names = Annotated[
    list[str],
    typer.Argument(metavar="[ENV] NAME", help="Name of the service; the environment if there are several."),
]
Directory = Annotated[
    Path, typer.Option(exists=True, file_okay=False, help="Top of the working tree to edit.")
]

add = typer.Typer(
    name="add",
    result_callback=end,
    help="Add a service to a stack file.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for group in (add,):
        group.callback()(_nothing)
        app.add_typer(group)


def _nothing() -> None:
    pass


@add.command("service")
def add_service_(
    context: typer.Context,
    names: Names,
    kind: Annotated[str, typer.Option(help="Kind of the service, such as etherpad.")],
    hostname: Annotated[str | None, typer.Option(help="Public hostname; not needed by a container.")] = None,
    machine: Annotated[str | None, typer.Option(help="Machine that runs it; default the only one.")] = None,
    image: Annotated[
        str | None, typer.Option(help="Image, as repository:tag; default that of the kind.")
    ] = None,
    more: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A further key; may be repeated.")
    ] = None,
    directory: Directory = Path(),
    as_json: AsJson = False,
) -> ExitCode:
    """Add a service to a stack file, with its secrets.

    Writes its block with the digest of its image, and random encrypted secrets. Nothing else in the file
    changes, and nothing at all when the program refuses the service.
    """
    with opened(context, as_json) as parts:
        tree = open_tree(directory, parts.settings.policy_file)
        environment, name = named(tree, names, "add", f" --kind {kind}")
        file, stack = tree.stack_file(environment), tree.stack(environment)
        text = read_text(tree.top, file)
        bare = text.removeprefix(BOM)
        wanted = Wanted(name, kind, hostname, machine, image, _keys(more or []))

        def ask(asked: str) -> ProgramFacts:
            packages = packages_of(parts.settings, parts.screen)
            return program_facts(tree.project, packages, Path(file).name, asked, shown=file)

        def encrypt(secrets: Mapping[str, SecretStr]) -> tuple[Mapping[str, str], str | None]:
            from ronron.adapters.pulumi_engine.encryption import encrypt as encrypted

            parts.screen.keep_secret(value.get_secret_value() for value in secrets.values())
            found = encrypted(
                parts.settings.engine(),
                project=tree.project_name,
                stack=stack,
                environment=environment,
                text=bare,
                secrets=secrets,
            )
            return found.values, found.salt

        with parts.screen.working(f"adding {name}"):
            added = add_service(
                YamlDocument(bare, file=file),
                stack,
                wanted,
                ask,
                encrypt,
                context.obj.factories.image_registry(),
            )
            with _no_removal(parts, environment, name, stack):
                write_text(tree.top, file, text, text[: len(text) - len(bare)] + added.text)
        _show_added(parts, environment, file, wanted, added)
        return ExitCode.DONE


@contextmanager
def _no_removal(parts: Opened, environment: str, name: str, stack: str) -> Iterator[None]:
    """For the block, and after it without a request to remove a service of this name."""
    if environment not in parts.store.environments() or name not in parts.store.load(environment).removals:
        yield
        return
    with parts.store.lock(stack):
        yield
        record = parts.store.load(environment)
        others = {other: removal for other, removal in record.removals.items() if other != name}
        parts.store.save(record.with_(removals=others))


def _show_added(parts: Opened, environment: str, file: str, wanted: Wanted, added: Added) -> None:
    publish = f'git add {file} && git commit -m "Add {wanted.name}" && git push'
    if parts.screen.as_json:
        parts.screen.json(
            {
                "environment": environment,
                "service": wanted.name,
                "file": file,
                "machine": added.machine,
                "image": added.image,
                "secrets": added.secrets,
                "kept_secrets": added.kept,
                "missing_secrets": added.missing,
                "next": [*added.missing, publish, f"ronron update {environment}"],
            }
        )
        return
    show = parts.screen.print
    show(f"added: {wanted.name} on {added.machine}, in {file}")
    show(f"image: {added.image}")
    for key in added.secrets:
        path = "--path " if "." in key else ""
        show(f"secret: {key} is new; read it with ronron pulumi {environment} -- config get {path}{key}")
    for key in added.kept:
        show(f"secret: {key} stays as it is, so that the service finds its data")
    for command in added.missing:
        show(f"missing secret: {command}")
    show(f"next: {publish}")
    show(f"then ronron watch updates it, or ronron update {environment}")


def named(tree: WorkingTree, names: list[str], verb: str, more: str = "") -> tuple[str, str]:
    """The environment and the service that a person named.

    Raises:
        ConfigError: there are not one or two names, or the environment is unknown or not certain.
    """
    if len(names) not in {1, 2}:
        raise ConfigError(
            f"cannot {verb} {len(names)} services at once",
            hint=f"name the environment and one service: ronron {verb} service "
            f"{tree.environments[0]} {names[-1]}{more}",
        )
    *environments, name = names
    environment = environments[0] if environments else None
    return tree.environment(environment, f"ronron {verb} service {{}} {name}{more}"), name


def _keys(given: list[str]) -> dict[str, str]:
    keys = {}
    for each in given:
        key, separator, value = each.partition("=")
        if not separator or not key.isidentifier() or not value.strip() or "\n" in value:
            raise ConfigError(
                f"cannot read {quoted(each)}", where="--set", hint="write KEY=VALUE, such as --set port=3000"
            )
        keys[key] = value
    return keys
