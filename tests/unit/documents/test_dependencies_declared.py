"""Each distribution declares what its modules import, and nothing else."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DISTRIBUTIONS = {"components": "chatons", "reconciler": "ronron"}
NOT_IMPORTED = {
    "pip": "the engine runs it",
    "tzdata": "zoneinfo reads its files",
}
IN_CONTAINERS = ROOT / "components" / "chatons" / "images"
"""Runs in containers of its own, with Debian's packages."""


def normal(name: str) -> str:
    """A distribution's name, as the packaging standard compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(half: str) -> set[str]:
    settings = tomllib.loads((ROOT / half / "pyproject.toml").read_text(encoding="utf-8"))
    listed = settings["project"]["dependencies"]
    return {normal(re.split(r"[<>=!~;\[ ]", entry, maxsplit=1)[0]) for entry in listed}


def modules_in(source: str) -> Iterator[str]:
    """The top-level names of the modules that a source imports, wherever in it; not relative ones."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def imported(half: str) -> dict[str, Path]:
    """The distributions that one half imports, each with one of the files that does."""
    package = DISTRIBUTIONS[half]
    providers = metadata.packages_distributions()
    found: dict[str, Path] = {}
    for file in sorted((ROOT / half / package).rglob("*.py")):
        if file.is_relative_to(IN_CONTAINERS):
            continue
        for module in modules_in(file.read_text(encoding="utf-8")):
            if module not in sys.stdlib_module_names and module != package:
                for provider in providers.get(module, [module]):
                    found[normal(provider)] = file.relative_to(ROOT)
    return found


@pytest.mark.parametrize("half", DISTRIBUTIONS)
def test_everything_that_is_imported_is_declared(half: str) -> None:
    undeclared = {name: file for name, file in imported(half).items() if name not in declared(half)}
    assert undeclared == {}


@pytest.mark.parametrize("half", DISTRIBUTIONS)
def test_everything_that_is_declared_is_imported(half: str) -> None:
    assert declared(half) - set(imported(half)) - set(NOT_IMPORTED) == set()


def test_imports_are_found_wherever_they_stand_in_a_source() -> None:
    source = (
        "import a.b\n"
        "from c.d import e\n"
        "from . import f\n"
        "def g():\n"
        "    import h, i\n"
        "if TYPE_CHECKING:\n"
        "    from j import k\n"
    )
    assert set(modules_in(source)) == {"a", "c", "h", "i", "j"}
