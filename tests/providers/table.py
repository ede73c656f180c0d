"""The table of the Proxmox VE provider's schema, put to use: what is wrong, left out, different.

Inputs are those of the engine: names in camelCase, whole numbers as `int`. What a preview does not know yet
is the text `UNKNOWN`, which differs from everything and fits everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pulumi.runtime.rpc import UNKNOWN
from ruamel.yaml import YAML

FILE = Path(__file__).parents[1] / "official_proxmox_schema.yaml"
TABLE: dict[str, Any] = YAML(typ="safe").load(FILE.read_text(encoding="utf-8"))
RESOURCES: dict[str, dict[str, dict[str, Any]]] = TABLE["resources"]
TYPES: dict[str, dict[str, dict[str, Any]]] = TABLE["types"]
PLAIN = {"text": str, "whole number": int, "truth value": bool}

Rows = Mapping[str, Mapping[str, Any]]


def wrong(inputs: Mapping[str, Any], rows: Rows, path: str = "") -> Iterator[tuple[str, str]]:
    """What the provider would not understand: path and reason."""
    for key, value in inputs.items():
        if key not in rows:
            yield f"{path}{key}", "is no input of this resource in the table"
        else:
            yield from _misfits(value, rows[key]["type"], f"{path}{key}")
    for key, row in rows.items():
        if row.get("required") and key not in inputs:
            yield f"{path}{key}", "Missing required argument"


def _misfits(value: Any, type_: str, path: str) -> Iterator[tuple[str, str]]:
    if value == UNKNOWN:
        return
    if type_ in PLAIN:
        # bool is an int to Python, and not to the provider.
        if type(value) is not PLAIN[type_]:
            yield path, f"{value!r} is no {type_}"
    elif type_ in TYPES:
        yield from wrong(value, TYPES[type_], f"{path}.")
    elif type_.startswith("["):
        for index, each in enumerate(value):
            yield from _misfits(each, type_[1:-1], f"{path}[{index}]")
    else:
        for key, each in value.items():
            yield from _misfits(each, type_[1:-1], f"{path}.{key}")


def filled(inputs: Mapping[str, Any], rows: Rows) -> dict[str, Any]:
    """With the defaults for what is left out, in what is written within too."""
    whole = {key: row["default"] for key, row in rows.items() if "default" in row}
    for key, value in inputs.items():
        type_ = rows[key]["type"] if key in rows else "text"
        inner = TYPES.get(type_.strip("[]"))
        if inner is None or value == UNKNOWN:
            whole[key] = value
        elif type_.startswith("["):
            whole[key] = [each if each == UNKNOWN else filled(each, inner) for each in value]
        else:
            whole[key] = filled(value, inner)
    return whole


def differences(
    state: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any], rows: Rows, path: str = ""
) -> dict[str, bool]:
    """Where what is wanted differs from what is there, and whether that replaces.

    Args:
        state: what is there.
        before: what was written the last time; what is no longer written then differs.
        after: what is written now, `filled`.
        rows: of the resource or type.
        path: of it.
    """
    found: dict[str, bool] = {}
    for key, row in rows.items():
        here, replaces = f"{path}{key}", _replaces(row, after)
        if key not in after:
            if key in before and key in state:
                found[here] = replaces
        elif (inner := TYPES.get(row["type"].strip("[]"))) is None or UNKNOWN in (after[key], state.get(key)):
            if state.get(key) != after[key]:
                found[here] = replaces
        elif row["type"].startswith("["):
            found.update(_of_lists(state.get(key, []), before.get(key, []), after[key], inner, here))
        else:
            there, was = state.get(key) or {}, before.get(key) or {}
            found.update(differences(there, was, after[key], inner, f"{here}."))
    return found


def _of_lists(
    state: list[Any], before: list[Any], after: list[Any], rows: Rows, path: str
) -> dict[str, bool]:
    found = {}
    for index in range(max(len(state), len(after))):
        here = f"{path}[{index}]"
        if index >= len(state) or index >= len(after):
            found[here] = False
        else:
            was = before[index] if index < len(before) else {}
            found.update(differences(state[index], was, after[index], rows, f"{here}."))
    return found


def _replaces(row: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    replaces = row.get("replaces", False)
    return not after.get(replaces["unless"], False) if isinstance(replaces, Mapping) else bool(replaces)
