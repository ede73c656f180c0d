"""A kind of service is one file: everything else follows from a module put beside the others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.support.declarations import EVERY_KIND

ROOT = Path(__file__).parents[4]

KIND = '''
from typing import Literal

from pydantic import Field

from chatons.catalogue.description import Description, Health, ProbeDefault, Storage, Template
from chatons.catalogue.kind import Kind
from chatons.catalogue.versions import Jump, Requirement
from chatons.schema.models import Service
from chatons.schema.problems import Problem
from chatons.schema.values import Hostname, Line


class NotesService(Service):
    """Notes: shared notebooks."""

    kind: Literal["notes"] = Field(description="kind of the service: `notes`")
    hostname: Hostname = Field(description="public hostname of the notebooks")
    greeting: Line = Field(default="Hello", description="first line of a new notebook")


def describe(service, context):
    return Description(
        port=3000,
        environment={"GREETING": service.greeting, "PUBLIC_URL": context.url},
        secret_environment={"DB": context.database.url, "SESSION": Template("{session-key}")},
        storages=(Storage("uploads", "/srv/uploads"),),
        health=Health(test=("CMD", "true")),
        probe=ProbeDefault(path="/status", open=True),
    )


def problems(service):
    if service.greeting == "Goodbye":
        yield Problem(path=("greeting",), problem="this is no greeting", remedy="write one")


KIND = Kind(
    model=NotesService,
    describe=describe,
    secrets={"session-key": "key that signs sessions"},
    problems=problems,
    warnings=lambda name, service: (f"{name} is new",),
    jumps=(Jump(change="downgrade", because="it forgets", instead="stay", see="https://notes.example"),),
    requirements=(Requirement(version=">=2", postgresql=">=16", see="https://notes.example"),),
)
'''

SCRIPT = """
import json
import sys

import chatons.catalogue

chatons.catalogue.__path__.append(sys.argv[1])

from chatons import catalogue
from chatons.declaration import editor, reference, secrets, upgrades
from chatons.inventory import inventory
from tests.support.declarations import configuration, declaration, problems
from tests.support.programs import CONTAINER, VOLUME, run

BOOK = ("services", "book")
NOTES = {"kind": "notes", "machine": "here", "hostname": "book.test.example", "image": "notes:1.5"}


def said(edits):
    return [(each.key, each.problem, each.remedy) for each in problems(configuration({BOOK: NOTES, **edits}),
            ask_for_secrets=False)]


declared = declaration({BOOK: NOTES})
older = declaration({BOOK: {**NOTES, "image": "notes:1.4"}})
newer = declaration({BOOK: {**NOTES, "image": "notes:2.0"}})
book = declared.services["book"]
page = "<!-- kinds of services -->\\n<!-- end -->\\n<!-- secrets -->\\n<!-- end -->\\n"
program = run(declared)
container = program.one(CONTAINER, "book")
print(json.dumps({
    "good": said({}),
    "mistyped": said({(*BOOK, "greting"): "x"}),
    "wrong": said({(*BOOK, "greeting"): "Goodbye"}),
    "wrong_kind": said({(*BOOK, "kind"): "nots"}),
    "missing": [each.key for each in problems(configuration({BOOK: NOTES}))],
    "older": [each.problem for each in upgrades.refused(older, inventory(declared))],
    "newer": [each.problem for each in upgrades.refused(newer, inventory(declared))],
    "warnings": list(catalogue.kind_of(book).warnings("book", book)),
    "schema": editor.schema(),
    "reference": reference.filled(page),
    "envs": sorted(container.inputs["envs"]),
    "volumes": [volume.inputs["name"] for volume in program.of(VOLUME)],
    "inventory": inventory(declared)["services"]["book"],
}))
"""


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the script in a process whose catalogue has the modules of a folder as well."""
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "components")])},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process with one more module in the catalogue says."""
    folder = tmp_path_factory.mktemp("catalogue")
    (folder / "notes.py").write_text(KIND, encoding="utf-8")
    done = run(folder)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_a_service_of_the_new_kind_can_be_declared(seen: dict[str, Any]) -> None:
    assert seen["good"] == []
    assert seen["wrong_kind"] == [
        [
            "ronron:services.book.kind",
            "unknown kind 'nots'; the nearest known one is 'notes'",
            "write 'notes'",
        ]
    ]


def test_an_unknown_key_is_refused_with_the_nearest_one(seen: dict[str, Any]) -> None:
    assert seen["mistyped"] == [
        [
            "ronron:services.book.greting",
            "unknown key; the nearest known one is 'greeting'",
            "rename it to 'greeting'",
        ]
    ]


def test_the_rules_of_the_kind_are_applied(seen: dict[str, Any]) -> None:
    assert seen["wrong"] == [["ronron:services.book.greeting", "this is no greeting", "write one"]]
    assert seen["older"] == ["notes must not go from 1.5 to 1.4: it forgets"]
    assert seen["newer"] == ["notes 2.0 does not work with PostgreSQL 15"]
    assert seen["warnings"] == ["book is new"]


def test_the_secrets_of_the_kind_are_asked_for(seen: dict[str, Any]) -> None:
    assert seen["missing"] == ["ronron:book-database-password", "ronron:book-session-key"]


def test_the_schema_for_editors_and_the_reference_have_the_kind(seen: dict[str, Any]) -> None:
    validator = Draft202012Validator(seen["schema"])
    book = {"kind": "notes", "machine": "here", "hostname": "book.test.example", "image": "notes:1.5"}
    secret = {"secure": "v1:abc"}

    def is_valid(**more: object) -> bool:
        values = {**EVERY_KIND, "services": {"book": {**book, **more}}, "book-session-key": secret}
        return validator.is_valid({"config": {f"ronron:{key}": value for key, value in values.items()}})

    assert is_valid(greeting="Good morning")
    assert not is_valid(greting="Good morning")
    assert "### `kind: notes`\n\nNotes: shared notebooks.\n" in seen["reference"]
    assert "| `greeting` | `Hello` | first line of a new notebook |" in seen["reference"]
    assert "| `<service>-session-key` | key that signs sessions |" in seen["reference"]


def test_the_program_makes_its_resources(seen: dict[str, Any]) -> None:
    assert "GREETING=Hello" in seen["envs"]
    assert "PUBLIC_URL=http://book.test.example:8080" in seen["envs"]
    assert "SESSION=open-sesame-book-session-key" in seen["envs"]
    assert {"ronron-local-book-uploads", "ronron-local-book-database"} <= set(seen["volumes"])
    assert seen["inventory"]["probe"]["url"] == "http://book.test.example:8080/status"


def test_two_modules_with_one_kind_are_refused(tmp_path: Path) -> None:
    for name in ("notes", "notes_again"):
        (tmp_path / f"{name}.py").write_text(KIND, encoding="utf-8")
    done = run(tmp_path)
    assert done.returncode != 0
    assert (
        "two modules of chatons.catalogue define the kind 'notes': notes_again is one of them" in done.stderr
    )
