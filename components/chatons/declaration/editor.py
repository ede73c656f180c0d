"""`python -m chatons.declaration.editor`: the JSON Schema of stack files, for editors.

It is generated from the models; `--write` writes it to docs/schemas, where stack files name it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chatons.declaration.configuration import Configuration
from chatons.declaration.secrets import COMMON, ROLES
from chatons.schema.problems import NAMESPACE

SCHEMA_FILE = Path("docs/schemas/declaration.schema.json")
"""Relative to the top of the clone, where the command is run."""

_SECRET = {
    "type": "object",
    "properties": {"secure": {"type": "string"}},
    "required": ["secure"],
    "additionalProperties": False,
    "description": "written by `pulumi config set --secret`",
}


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a stack file."""
    models = Configuration.model_json_schema(mode="validation")
    properties = {f"{NAMESPACE}:{key}": value for key, value in models["properties"].items()}
    secret_keys = rf"^{NAMESPACE}:([a-z][a-z0-9-]*-({'|'.join(ROLES)}|secret-.+)|{'|'.join(COMMON)})$"
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Stack file of Ronron",
        "type": "object",
        "required": ["config"],
        "properties": {
            "config": {
                "type": "object",
                "properties": properties,
                "required": [f"{NAMESPACE}:{key}" for key in models["required"]],
                "patternProperties": {secret_keys: _SECRET, rf"^(?!{NAMESPACE}:).+:.+$": {}},
                "additionalProperties": False,
            },
            "encryptionsalt": {"type": "string"},
            "secretsprovider": {"type": "string"},
            "encryptedkey": {"type": "string"},
        },
        "$defs": models["$defs"],
    }


def text() -> str:
    """The JSON Schema as the text of its file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the JSON Schema, or write it to its file."""
    parser = argparse.ArgumentParser(prog="python -m chatons.declaration.editor", description=schema.__doc__)
    parser.add_argument(
        "--write", action="store_true", help=f"write {SCHEMA_FILE.name} instead of printing it"
    )
    if parser.parse_args(arguments).write:
        SCHEMA_FILE.write_text(text(), encoding="utf-8")
    else:
        print(text(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
