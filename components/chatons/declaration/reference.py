"""`python -m chatons.declaration.reference --write`: the generated parts of docs/declaration.md.

They come from the models, the catalogue and the list of secrets, each between two marks in the page:

- `<!-- keys of MODEL -->`: the keys of one model,
- `<!-- kinds of services -->`: every kind of the catalogue with its keys,
- `<!-- secrets -->`: the keys of secrets.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from inspect import cleandoc
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from chatons import catalogue
from chatons.declaration.configuration import Configuration
from chatons.declaration.secrets import COMMON, ROLES
from chatons.schema import models

PAGE = Path("docs/declaration.md")
"""Relative to the top of the clone, where the command is run."""

_MARKED = re.compile(
    r"<!-- (?P<what>keys of \w+|kinds of services|secrets) -->\n.*?<!-- end -->\n", re.DOTALL
)
_END = "<!-- end -->\n"


def table(model: type[BaseModel], besides: type[BaseModel] | None = None) -> str:
    """The keys of a model as a table: name, default and meaning, in the order of the declaration.

    Args:
        model: the model.
        besides: a model whose keys are described elsewhere; only differing keys are shown.
    """
    known = besides.model_fields if besides else {}
    lines = ["| key | if absent | meaning |", "|---|---|---|"]
    for key, declared in model.model_fields.items():
        if key in known and _row(key, known[key]) == _row(key, declared):
            continue
        lines.append(_row(key, declared))
    return "\n".join(lines) + "\n"


def filled(page: str) -> str:
    """A page with every generated part replaced by its present text."""
    return _MARKED.sub(lambda match: f"<!-- {match['what']} -->\n{_generated(match['what'])}{_END}", page)


def described(page: str) -> set[str]:
    """The names of the models whose keys a page has a table of, besides those of the catalogue."""
    return {
        match["what"].removeprefix("keys of ") for match in _MARKED.finditer(page) if " of " in match["what"]
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the page with its generated parts replaced, or write it."""
    parser = argparse.ArgumentParser(prog="python -m chatons.declaration.reference")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} instead of printing it")
    text = filled(PAGE.read_text(encoding="utf-8"))
    if parser.parse_args(arguments).write:
        PAGE.write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    return 0


def _generated(what: str) -> str:
    if what == "secrets":
        return _secrets()
    if what == "kinds of services":
        return "\n".join(_kind(name) for name in catalogue.kinds())
    return table(_model(what.removeprefix("keys of ")))


def _model(name: str) -> type[BaseModel]:
    model = Configuration if name == Configuration.__name__ else getattr(models, name, None)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise TypeError(f"{name} is not a model of the declaration")
    return model


def _kind(name: str) -> str:
    model = catalogue.kinds()[name].model
    parts = [
        f"### `kind: {name}`\n",
        f"{cleandoc(model.__doc__ or '')}\n",
        table(model, besides=models.Service),
    ]
    for path, part in _own_parts(model, ()):
        parts += [f"The keys of `{'.'.join(path)}`:\n", table(part)]
    return "\n".join(parts)


def _own_parts(
    model: type[BaseModel], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], type[BaseModel]]]:
    """The models inside a kind that its own module defines, each with the keys that lead to it."""
    for key, declared in model.model_fields.items():
        for part in _inside(declared.annotation):
            if issubclass(part, BaseModel) and part.__module__ == model.__module__:
                yield (*path, key), part
                yield from _own_parts(part, (*path, key))


def _inside(annotation: Any) -> Iterator[type]:
    """Every class in an annotation such as `dict[str, X | None]`."""
    arguments = get_args(annotation)
    if not arguments and isinstance(annotation, type):
        yield annotation
    for argument in arguments:
        yield from _inside(argument)


def _secrets() -> str:
    rows = {
        **{f"<service>-{role}": meaning for role, meaning in ROLES.items()},
        "<service>-secret-<VARIABLE>": "value of an environment variable of your own",
        **COMMON,
    }
    return "\n".join(
        ["| key | meaning |", "|---|---|", *(f"| `{key}` | {meaning} |" for key, meaning in rows.items()), ""]
    )


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
