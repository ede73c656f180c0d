"""`python -m chatons.schema.reference --write`: the tables of keys in docs/declaration.md.

They are made from the models, between two marks each, so that the page cannot promise what is not there.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from chatons.schema import models

PAGE = Path("docs/declaration.md")
"""Relative to the top of the clone, where the command is run."""

_MARKED = re.compile(
    r"<!-- keys of (?P<names>\w+(?: besides \w+)?) -->\n(?P<table>.*?)<!-- end -->\n", re.DOTALL
)


def table(model: type[BaseModel], besides: type[BaseModel] | None = None) -> str:
    """The keys of a model: name, default and meaning, in the order in which they are declared.

    Args:
        model: what is described.
        besides: a model whose keys are described elsewhere; only what differs from them is shown.
    """
    known = besides.model_fields if besides else {}
    lines = ["| key | if absent | meaning |", "|---|---|---|"]
    for key, declared in model.model_fields.items():
        if key in known and _row(key, known[key]) == _row(key, declared):
            continue
        lines.append(_row(key, declared))
    return "\n".join(lines) + "\n"


def filled(page: str) -> str:
    """A page with each table between its marks made anew."""
    return _MARKED.sub(
        lambda match: f"<!-- keys of {match['names']} -->\n{_named(match['names'])}<!-- end -->\n", page
    )


def described(page: str) -> set[str]:
    """The models whose keys a page has a table of."""
    return {match["names"].partition(" besides ")[0] for match in _MARKED.finditer(page)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the page with its tables made anew, or write it."""
    parser = argparse.ArgumentParser(prog="python -m chatons.schema.reference")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} instead of printing it")
    text = filled(PAGE.read_text(encoding="utf-8"))
    if parser.parse_args(arguments).write:
        PAGE.write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    return 0


def _named(names: str) -> str:
    model, _, besides = names.partition(" besides ")
    return table(_model(model), _model(besides) if besides else None)


def _model(name: str) -> type[BaseModel]:
    model = getattr(models, name)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise TypeError(f"{name} is no part of the declaration")
    return model


def _row(key: str, declared: FieldInfo) -> str:
    meaning = (declared.description or "").replace("|", "\\|")
    return f"| `{key}` | {_default(declared)} | {meaning} |"


def _default(declared: FieldInfo) -> str:
    if declared.is_required():
        return "needed"
    default: Any = declared.get_default(call_default_factory=True)
    if default is None:
        return "none"
    if isinstance(default, BaseModel):
        return "as below"
    if isinstance(default, tuple | dict):
        return "none" if not default else f"`{json.dumps(default)}`"
    return f"`{default}`" if isinstance(default, str) else f"`{json.dumps(default)}`"


if __name__ == "__main__":
    sys.exit(main())
