"""The tree of errors at the head of `chatons.schema.errors` is the tree that there is."""

from __future__ import annotations

import importlib
import pkgutil
import re

import chatons
from chatons.schema import errors
from chatons.schema.errors import ChatonsError

LINE = re.compile(r"^  (?P<depth> *)[x+] (?P<name>\w+)(?: +(?P<module>[a-z_]+\.[a-z_]+))?  +\S", re.MULTILINE)
INSIDE_A_CONTAINER = "chatons.images."
"""The agent runs with what its image has, and imports nothing of the program."""


def defined() -> dict[str, type[Exception]]:
    """Every error class of the program, by name."""
    found: dict[str, type[Exception]] = {}
    for module in pkgutil.walk_packages(chatons.__path__, "chatons."):
        if module.name.startswith(INSIDE_A_CONTAINER):
            continue
        for value in vars(importlib.import_module(module.name)).values():
            own = isinstance(value, type) and value.__module__ == module.name
            if own and issubclass(value, Exception):
                found[value.__name__] = value
    return found


def test_every_error_is_in_the_tree_at_its_place() -> None:
    drawn = {line["name"]: line for line in LINE.finditer(errors.__doc__ or "")}
    classes = defined()
    assert set(drawn) | {"ChatonsError"} == set(classes)
    for name, line in drawn.items():
        (base,) = classes[name].__bases__
        assert (base is ChatonsError) == (line["depth"] == ""), name
        if line["module"]:
            assert classes[name].__module__ == f"chatons.{line['module']}"
