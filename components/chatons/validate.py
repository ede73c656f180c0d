"""`python -m chatons.validate STACKFILE`: check a declaration without engine, network or passphrase.

Exit codes: 0 the declaration can be used; 2 it cannot, or the usage is wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from chatons.declaration import stack_file
from chatons.declaration.load import DeclarationError, load
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Check one file, print its problems, and return the exit code."""
    options = _parser().parse_args(arguments)
    path: Path = options.stackfile
    stack = options.stack or stack_file.stack_name(path)
    if stack is None:
        _parser().error(f"cannot derive the stack from the file name {path.name!r}: pass it with --stack")
    located = problems_of(path, stack, ask_for_secrets=not options.without_secrets)
    if options.json:
        print(json.dumps({"problems": [_row(path, each) for each in located]}, ensure_ascii=False, indent=2))
    elif located:
        places = [f"{path}:{each.line}: " if each.line else f"{path}: " for each in located]
        print(render([each.problem for each in located], places), file=sys.stderr)
    else:
        print(f"{path}: the declaration of {stack} can be used")
    return UNUSABLE if located else OK


def _row(path: Path, located: Located) -> dict[str, object]:
    return {
        "key": located.problem.key,
        "file": str(path),
        "line": located.line,
        "problem": located.problem.problem,
        "remedy": located.problem.remedy,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m chatons.validate",
        description="Check what a stack declares, without engine, network or passphrase.",
    )
    parser.add_argument("stackfile", type=Path, metavar="STACKFILE", help="such as stacks/Pulumi.local.yaml")
    parser.add_argument("--stack", help="name of the stack. Default: from the name of the file")
    parser.add_argument("--json", action="store_true", help="print every problem as JSON")
    parser.add_argument("--without-secrets", action="store_true", help="accept secrets that are not set yet")
    return parser


if __name__ == "__main__":
    sys.exit(main())
