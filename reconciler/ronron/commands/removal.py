"""The command `remove service`: edits the stack file, and records the request that a pass serves."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer

from ronron.commands.arguments import AsJson, end
from ronron.commands.program_facts import ProgramFacts, program_facts
from ronron.commands.service_blocks import SERVICES, without_service
from ronron.commands.services import Directory, Names, named
from ronron.commands.tree_files import BOM, WorkingTree, open_tree, read_text, write_text
from ronron.commands.wiring import Opened, opened, packages_of
from ronron.core.errors import ConfigError, PackagesError
from ronron.core.inventory import Service, read_inventory
from ronron.core.record import Record
from ronron.core.removals import Left, Removal, volumes_of
from ronron.core.status import ExitCode
from ronron.policy.notations import nearest, quoted
from ronron.policy.yaml_edit import YamlDocument

remove = typer.Typer(
    name="remove",
    result_callback=end,
    help="Remove a service; its data stays.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    remove.callback()(_nothing)
    app.add_typer(remove)


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Edit:
    """A stack file of the working tree that has the service.

    Attributes:
        tree: the working tree.
        file: path of the stack file.
        before, after: its text.
    """

    tree: WorkingTree
    file: str
    before: str
    after: str


@remove.command("service")
def remove_service(
    context: typer.Context, names: Names, directory: Directory = Path(), as_json: AsJson = False
) -> ExitCode:
    """Remove a service; its volumes and snapshots stay.

    Takes its block out of the stack file, and records the request: the pass that updates to the pushed
    commit then removes containers and network, as far as the policy allows. Its volumes stay on the
    machine. Without a working tree only the request is recorded.
    """
    with opened(context, as_json) as parts:
        tree = _tree(directory, parts.settings.policy_file)
        environment, name = _chosen(parts, tree, names)
        edit = _edit(parts, tree, environment, name) if tree is not None else None
        record = parts.store.load(environment)
        inventory = read_inventory(record.inventory)
        service = inventory.services.get(name) if inventory is not None else None
        if edit is None and service is None:
            raise _unknown(tree, environment, name, list(inventory.services) if inventory else [])
        stack = tree.stack(environment) if tree is not None else record.stack
        with _locked(parts, stack if service is not None else None):
            if edit is not None:
                write_text(edit.tree.top, edit.file, edit.before, edit.after)
            if service is not None:
                _record(parts, environment, name, service)
        _show(parts, environment, name, edit, service)
        return ExitCode.DONE


def _tree(directory: Path, policy_file: str) -> WorkingTree | None:
    return open_tree(directory, policy_file) if (directory / policy_file).is_file() else None


def _chosen(parts: Opened, tree: WorkingTree | None, names: list[str]) -> tuple[str, str]:
    if tree is not None:
        return named(tree, names, "remove")
    known = parts.store.environments()
    if len(names) == 2:
        return parts.known(names[0]), names[1]
    if len(names) == 1 and len(known) == 1:
        return known[0], names[0]
    some = known[0] if known else "production"
    raise ConfigError(
        f"cannot choose an environment: {', '.join(known) or 'there is no record of one'}",
        hint=f"name one: ronron remove service {some} {names[-1]}",
    )


def _edit(parts: Opened, tree: WorkingTree, environment: str, name: str) -> Edit | None:
    """The edit of the stack file; None where the file has no such service."""
    file = tree.stack_file(environment)
    text = read_text(tree.top, file)
    bare = text.removeprefix(BOM)
    document = YamlDocument(bare, file=file)
    if not document.has((*SERVICES, name)):
        return None
    after = without_service(document, name)
    refused = _refused_secrets(parts, tree, file, name, bare, after)
    if refused:
        # An earlier version of the program accepts no secret of a service that is gone.
        after = YamlDocument(after, file=file).without([("config", key) for key in refused])
    return Edit(tree, file, text, text[: len(text) - len(bare)] + after)


def _refused_secrets(
    parts: Opened, tree: WorkingTree, file: str, name: str, before: str, after: str
) -> list[str]:
    """The keys of the service's secrets that the program refuses once the service is gone."""

    def ask(text: str) -> ProgramFacts:
        packages = packages_of(parts.settings, parts.screen)
        return program_facts(tree.project, packages, Path(file).name, text, shown=file)

    keys = [
        key for key in YamlDocument(after, file=file).keys(("config",)) if key.startswith(f"ronron:{name}-")
    ]
    if not keys:
        return []
    try:
        known = {problem.key for problem in ask(before).problems}
        new = {problem.key for problem in ask(after).problems} - known
    except (ConfigError, PackagesError):
        return []
    return [key for key in keys if key in new]


@contextmanager
def _locked(parts: Opened, stack: str | None) -> Iterator[None]:
    """The stack to ourselves for the block, where a record is written."""
    if stack is None:
        yield
        return
    with parts.store.lock(stack):
        yield


def _record(parts: Opened, environment: str, name: str, service: Service) -> None:
    record: Record = parts.store.load(environment)
    by, at = getpass.getuser(), parts.factories.clock().now()
    removal = Removal(by=by, at=at, resource=service.resource or "")
    parts.store.save(record.with_(removals={**record.removals, name: removal}))
    if record.stalled is not None or record.failed is not None:
        # The commit without the service may be what failed: the next pass tries it again.
        parts.store.ask(environment, by, at)


def _unknown(tree: WorkingTree | None, environment: str, name: str, live: list[str]) -> ConfigError:
    declared: list[str] = []
    if tree is not None:
        file = tree.stack_file(environment)
        text = read_text(tree.top, file).removeprefix(BOM)
        declared = list(YamlDocument(text, file=file).keys(SERVICES))
    names = sorted({*declared, *live})
    near = nearest(name, names)
    return ConfigError(
        f"cannot find the service {quoted(name)} in {environment}",
        where=tree.stack_file(environment) if tree is not None else "",
        hint=f"use {near}" if near else f"use one of: {', '.join(names) or 'none is declared'}",
    )


def _show(parts: Opened, environment: str, name: str, edit: Edit | None, service: Service | None) -> None:
    left = volumes_of(service) if service is not None else ()
    repository = service.backup.repository if service is not None and service.backup is not None else None
    publish = (
        f'git add {edit.file} && git commit -m "Remove {name}" && git push' if edit is not None else None
    )
    if parts.screen.as_json:
        parts.screen.json(
            {
                "environment": environment,
                "service": name,
                "file": edit.file if edit is not None else None,
                "requested": service is not None,
                "volumes": [one.model_dump() for one in left],
                "snapshots": repository,
                "next": [word for word in (publish, f"ronron update {environment}") if word is not None],
            }
        )
        return
    show = parts.screen.print
    if edit is not None:
        show(f"removed: {name} from {edit.file}; its secrets stay there, for a new service of this name")
    if service is not None:
        show(f"requested: the next pass of {environment} whose commit has no {name} lets it go")
    for one in left:
        show(f"stays: {one}")
    if repository is not None:
        show(f"stays: its snapshots in {repository}")
    if publish is not None:
        show(f"next: {publish}")
    elif service is not None:
        show(f"next: push a commit without {name}, if the branch of {environment} still has it")
    if service is None:
        show(
            f"no update of {name} is recorded here: if it is live, run ronron remove service {environment} "
            f"{name} also where ronron watch runs"
        )
        return
    show(f"then ronron watch removes its containers and network, or ronron update {environment}")
    for line in _for_good(left):
        show(line)


def _for_good(left: tuple[Left, ...]) -> list[str]:
    """How to delete the volumes, machine by machine."""
    machines = dict.fromkeys(one.machine for one in left)
    return [
        f"to delete its data for good, once it is gone: on {machine}, docker volume rm "
        + " ".join(one.name for one in left if one.machine == machine)
        for machine in machines
    ]
