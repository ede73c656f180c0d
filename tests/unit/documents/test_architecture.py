"""docs/architecture.md names the rooms that there are, and places that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
HALVES = {"components/chatons": "chatons", "reconciler/ronron": "ronron"}


def section(heading: str) -> str:
    _, _, rest = PAGE.partition(f"### `{heading}/`\n")
    return rest.partition("\n### ")[0]


def rooms(half: str) -> set[str]:
    there = (ROOT / half).iterdir()
    return {
        path.stem
        for path in there
        if (path.is_dir() and (path / "__init__.py").exists()) or path.suffix == ".py"
    } - {"__init__"}


@pytest.mark.parametrize("half", HALVES)
def test_every_room_has_a_row_and_every_row_a_room(half: str) -> None:
    first_cells = re.findall(r"^\| (.*?) \|", section(half), re.MULTILINE)
    named = {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}
    assert named == rooms(half)


def test_every_file_that_the_page_names_exists() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    named = set(re.findall(r"`((?:[\w-]+/)*[\w-]+\.(?:py|md|json|yaml))`", PAGE))
    missing = {
        name for name in named if not any(path == name or path.endswith(f"/{name}") for path in tracked)
    }
    assert named
    assert missing == set()


def test_every_term_of_the_glossary_stands_once() -> None:
    _, _, glossary = PAGE.partition("## Glossary")
    terms = re.findall(r"^\| ([^|]+) \|", glossary, re.MULTILINE)[2:]
    each = [word.strip() for row in terms for word in re.split("[;,]", row)]
    assert len(each) == len(set(each)) > 40
