"""docs/declaration.md names every key that a stack file may have, with its default."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from components import declaration_models
from components.declaration_models import ContainerService, Edge

PAGE = (Path(__file__).parents[2] / "docs" / "declaration.md").read_text()


def models() -> Iterator[type[BaseModel]]:
    for each in vars(declaration_models).values():
        if (
            isinstance(each, type)
            and issubclass(each, BaseModel)
            and each.__module__ == declaration_models.__name__
        ):
            yield each


KEYS = sorted({name for model in models() for name in model.model_fields})


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_documented(key: str) -> None:
    assert re.search(rf"(`|ronron:|\b){key}\b[`:]?", PAGE), key


@pytest.mark.parametrize(
    ("model", "key"),
    [(Edge, "tls"), (Edge, "http_port"), (Edge, "https_port"), (Edge, "bind")]
    + [(ContainerService, key) for key in ("upload_mib", "start_seconds", "grace_seconds")],
)
def test_a_default_is_as_documented(model: type[BaseModel], key: str) -> None:
    default = model.model_fields[key].default
    assert default is not PydanticUndefined
    assert re.search(rf"^\| `{key}` \| `?{re.escape(str(default))}`? \|", PAGE, re.MULTILINE)


def test_every_row_of_a_table_names_a_key_that_is_there() -> None:
    tables = PAGE.partition("## Secrets")[0]
    named = {
        word
        for row in re.findall(r"^\| (`[^|]+) \|", tables, re.MULTILINE)
        for word in re.findall(r"`(\w+)`", row)
    }
    assert named - set(KEYS) == set()
