"""What the documents promise is what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from ronron.commands.cli import app
from ronron.core.backups import ConditionKind
from ronron.core.digest import IRRELEVANT
from ronron.core.model import Reason
from ronron.settings import variables

ROOT = Path(__file__).parents[3]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
POLICY = (ROOT / "docs" / "policy.md").read_text()
PAGES = [page for page in ROOT.glob("**/*.md") if ".venv" not in page.parts]


def commands() -> dict[str, str]:
    group = typer.main.get_command(app)
    found = group.commands  # type: ignore[attr-defined]
    return {name: command.help or "" for name, command in found.items()}


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_is_documented_and_has_help(name: str) -> None:
    assert f"`ronron {name}" in OPERATIONS
    assert commands()[name]


def test_no_document_names_a_command_that_is_not_there() -> None:
    named = {
        (page.name, word)
        for page in PAGES
        for word in re.findall(r"`ronron ([a-z]+)[ `]", page.read_text())
        if word not in commands()
    }
    assert named == set()


def test_every_promise_of_the_front_page_names_a_test_that_there_is() -> None:
    section = (ROOT / "README.md").read_text().partition("## What it promises\n")[2].partition("\n## ")[0]
    rows = [row for row in section.splitlines() if row.startswith("| ")][1:]
    named = [re.findall(r"`(test_\w+\.py)::(test_\w+)`", row) for row in rows]
    assert len(named) >= 5
    for tests in named:
        ((file, test),) = tests
        source = (ROOT / "tests" / "end_to_end" / file).read_text()
        assert f"\ndef {test}(" in source


@pytest.mark.parametrize("variable", sorted(variables().values()))
def test_every_setting_is_documented(variable: str) -> None:
    assert f"| `{variable}` |" in OPERATIONS


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_documented(reason: Reason) -> None:
    listed = re.findall(r"^\| ([a-z, ]+) \| ", POLICY, re.MULTILINE)
    assert reason in {word.strip() for line in listed for word in line.split(",")}


@pytest.mark.parametrize("kind", ConditionKind)
def test_every_condition_is_documented(kind: ConditionKind) -> None:
    listed = re.findall(r"^\| ([a-z, ]+) \| ", OPERATIONS, re.MULTILINE)
    assert kind in {word.strip() for line in listed for word in line.split(",")}


@pytest.mark.parametrize("name", IRRELEVANT)
def test_every_name_that_does_not_count_is_documented(name: str) -> None:
    assert f"`{name}`" in POLICY


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"^\| (\d+) \| \[.+\]\((.+)\) \|$", (folder / "README.md").read_text(), re.MULTILINE)
    assert [name for _, name in listed] == sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert [int(number) for number, _ in listed] == [int(name[:4]) for _, name in listed]


def test_every_file_that_contributing_names_exists() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text()
    folders = (ROOT, ROOT / "components" / "chatons", ROOT / "reconciler" / "ronron")
    named = re.findall(r"`((?:[\w-]+/)+|(?:[\w-]+/)*[\w-]+\.(?:py|md|yaml|toml))`", page)
    assert named
    assert [name for name in named if not any((folder / name).exists() for folder in folders)] == []


def test_both_front_pages_have_the_same_parts() -> None:
    def shape(page: str) -> list[str]:
        return re.findall(r"^(#+|```\w*|\|)", (ROOT / page).read_text(), re.MULTILINE)

    assert shape("README.md") == shape("LISEZMOI.md")
