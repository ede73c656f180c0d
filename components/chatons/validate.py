"""`python -m chatons.validate STACKFILE ...`: check declarations without engine, network or passphrase.

Exit codes: 0 every declaration can be used; 2 one cannot, or the command was used wrongly.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from chatons import catalogue
from chatons.declaration import stack_file
from chatons.declaration.load import DeclarationError, load
from chatons.declaration.secrets import BACKUP_PASSWORD, backup_key, backup_roles, required
from chatons.declaration.stack_file import Located, StackFileError
from chatons.schema.problems import render

OK, UNUSABLE = 0, 2


def problems_of(path: Path, stack: str, *, ask_for_secrets: bool) -> list[Located]:
    """Every problem of a stack file; empty when it can be used."""
    try:
        file = stack_file.read(path, stack)
    except StackFileError as error:
        return [error.located]
    try:
        load(file.configuration, ask_for_secrets=ask_for_secrets)
    except DeclarationError as error:
        found = [Located(problem=problem, line=file.line(problem.path)) for problem in error.problems]
        return [*file.problems, *found]
    return list(file.problems)


def needs_of(path: Path, stack: str) -> dict[str, object]:
    """What a service may be, and which secrets the declared ones need: what `ronron add service` asks for.

    Returns:
        `kinds`: by name, the image of a new service (None where there is none) and its required keys;
        `secrets`: key, purpose and service of each, and whether any random text will do; None where the
        declaration has problems, so that nobody knows.
    """
    kinds = {
        name: {
            "image": kind.image,
            "required": [key for key, field in kind.model.model_fields.items() if field.is_required()],
        }
        for name, kind in catalogue.kinds().items()
    }
    try:
        declaration = load(stack_file.read(path, stack).configuration, ask_for_secrets=False)
    except (StackFileError, DeclarationError):
        return {"kinds": kinds, "secrets": None}
    secrets = [{**asdict(secret), "random": secret.service is not None} for secret in required(declaration)]
    if BACKUP_PASSWORD in backup_roles(declaration):
        key = backup_key(BACKUP_PASSWORD)
        purpose = "the password of the backup repositories"
        secrets.append({"key": key, "purpose": purpose, "service": None, "random": True})
    return {"kinds": kinds, "secrets": secrets}


def main(arguments: Sequence[str] | None = None) -> int:
    """Check each file, print what is wrong with it, and return the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.stack and len(options.stackfiles) > 1:
        parser.error("--stack names the stack of one file")
    stacks: dict[Path, str] = {}
    for path in options.stackfiles:
        stack = options.stack or stack_file.stack_name(path)
        if stack is None:
            parser.error(f"cannot derive the stack from the file name {path.name!r}: pass it with --stack")
        stacks[path] = stack
    show = partial(_print_json, with_needs=options.needs) if options.json else _print_text
    usable = True
    for path, stack in stacks.items():
        located = problems_of(path, stack, ask_for_secrets=not options.without_secrets)
        show(path, stack, located)
        usable = usable and not located
    return OK if usable else UNUSABLE


def _print_text(path: Path, stack: str, located: Sequence[Located]) -> None:
    if located:
        places = [f"{path}:{each.line}: " if each.line else f"{path}: " for each in located]
        print(render([each.problem for each in located], places), file=sys.stderr)
    else:
        print(f"{path}: the declaration of {stack} can be used")


def _print_json(path: Path, stack: str, located: Sequence[Located], *, with_needs: bool = False) -> None:
    rows = [
        {
            "key": each.problem.key,
            "file": str(path),
            "line": each.line,
            "problem": each.problem.problem,
            "remedy": each.problem.remedy,
        }
        for each in located
    ]
    needs = needs_of(path, stack) if with_needs else {}
    # Flushed, so that the answers before a file that ends this process are not lost.
    print(
        json.dumps({"file": str(path), "problems": rows, **needs}, ensure_ascii=False),
        flush=True,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m chatons.validate",
        description="Check what stacks declare, without engine, network or passphrase.",
    )
    parser.add_argument(
        "stackfiles", type=Path, metavar="STACKFILE", nargs="+", help="such as stacks/Pulumi.local.yaml"
    )
    parser.add_argument("--stack", help="name of the stack, when the name of the one file does not tell it")
    parser.add_argument(
        "--json", action="store_true", help="print a line for each file: a JSON object with its problems"
    )
    parser.add_argument(
        "--needs", action="store_true", help="with --json, also print the kinds of services and the secrets"
    )
    parser.add_argument("--without-secrets", action="store_true", help="accept secrets that are not set yet")
    return parser


if __name__ == "__main__":
    sys.exit(main())
