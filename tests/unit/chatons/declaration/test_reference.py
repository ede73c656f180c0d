"""docs/declaration.md and the schema for editors say what the models say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from chatons import catalogue
from chatons.catalogue.kind import Kind
from chatons.declaration import editor, reference, stack_file
from chatons.declaration.configuration import Configuration
from chatons.declaration.load import load
from chatons.declaration.secrets import COMMON, ROLES
from chatons.schema import models
from chatons.schema.values import Strict

PAGE = (Path(__file__).parents[4] / reference.PAGE).read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
MODELS = {
    name: model
    for name, model in (*vars(models).items(), (Configuration.__name__, Configuration))
    if isinstance(model, type) and issubclass(model, Strict) and model is not Strict and name[0] != "_"
}


def test_the_tables_are_those_of_the_models() -> None:
    again = "write them again: python -m chatons.declaration.reference --write"
    assert reference.filled(PAGE) == PAGE, again


@pytest.mark.parametrize("name", MODELS)
def test_every_part_of_a_declaration_has_a_table(name: str) -> None:
    assert name in reference.described(PAGE)


@pytest.mark.parametrize(("name", "model"), MODELS.items())
def test_every_key_says_what_it_means(name: str, model: type[BaseModel]) -> None:
    assert [key for key, declared in model.model_fields.items() if not declared.description] == []


@pytest.mark.parametrize("role", [*ROLES, "secret-<VARIABLE>"])
def test_every_secret_of_a_service_is_documented(role: str) -> None:
    assert f"| `<service>-{role}` |" in PAGE
    assert [key for key in COMMON if f"| `{key}` |" not in PAGE] == []


def test_every_kind_is_documented() -> None:
    assert set(re.findall(r"### `kind: (\w+)`", PAGE)) == set(catalogue.kinds())


@pytest.mark.parametrize("kind", catalogue.kinds().values(), ids=list(catalogue.kinds()))
def test_every_key_of_a_kind_says_what_it_means(kind: Kind[Any]) -> None:
    assert [key for key, declared in kind.model.model_fields.items() if not declared.description] == []
    for key in set(kind.model.model_fields) - set(models.Service.model_fields):
        assert f"| `{key}` |" in PAGE


def test_a_stale_table_is_seen() -> None:
    stale = PAGE.replace("name of the collective, as people know it", "former name of the collective")
    assert stale != PAGE
    assert reference.filled(stale) == PAGE


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_example_can_be_used(example: str, tmp_path: Path) -> None:
    written = tmp_path / "Pulumi.local.yaml"
    written.write_text(example)
    read = stack_file.read(written, "local")
    assert read.problems == ()
    load(read.configuration, ask_for_secrets=False)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 2


def test_the_schema_for_editors_is_one() -> None:
    Draft202012Validator.check_schema(editor.schema())
