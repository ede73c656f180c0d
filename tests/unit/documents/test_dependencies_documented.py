"""Every dependency has its reason in docs/decisions/dependencies.md, and no reason outlives it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "decisions" / "dependencies.md").read_text(encoding="utf-8")
DISTRIBUTIONS = ("components", "reconciler")
ROW = re.compile(r"^\| (?P<name>[A-Za-z0-9._-]+) \| (?P<why>[^|]+) \| (?P<else>[^|]+) \|$", re.MULTILINE)


def declared(part: str) -> list[str]:
    if part == "dev":
        listed = settings(ROOT)["dependency-groups"]["dev"]
    else:
        listed = [
            entry for half in DISTRIBUTIONS for entry in settings(ROOT / half)["project"]["dependencies"]
        ]
    return sorted({re.split(r"[<>=!~;\[ ]", entry, maxsplit=1)[0] for entry in listed})


def settings(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


def documented(part: str) -> list[str]:
    run, _, dev = PAGE.partition("## To build and test")
    rows = ROW.finditer(run if part == "run" else dev)
    return [row["name"] for row in rows if row["name"] != "package" and not row["name"].startswith("-")]


@pytest.mark.parametrize("part", ["run", "dev"])
def test_the_page_and_the_project_name_the_same_dependencies(part: str) -> None:
    assert declared(part)
    assert sorted(documented(part), key=str.lower) == sorted(declared(part), key=str.lower)


@pytest.mark.parametrize("part", ["run", "dev"])
def test_the_page_is_in_order(part: str) -> None:
    assert documented(part) == sorted(documented(part), key=str.lower)
