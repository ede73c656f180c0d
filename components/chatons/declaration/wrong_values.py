"""Says what to write instead of a value of the wrong type, size or length.

What is right comes from the JSON Schema of the models: type, limits, default, examples, and the unit in the
description. So each key of a new kind is explained without a line here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic_core import ErrorDetails

from chatons.schema.values import FREE_TEXT

Node = dict[str, Any]

_TYPES = {
    "int_type": "integer",
    "int_parsing": "integer",
    "int_from_float": "integer",
    "int_parsing_size": "integer",
    "float_type": "number",
    "float_parsing": "number",
    "finite_number": "number",
    "bool_type": "boolean",
    "bool_parsing": "boolean",
    "string_type": "string",
    "list_type": "array",
    "tuple_type": "array",
}
"""The type that is required, by pydantic's names of errors."""
_WORDS = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "a string",
    "array": "a list",
}
_UNIT = re.compile(r"\b(?:in|of) (MiB|GiB|CPUs|seconds)\b")
_NUMBER = re.compile(r"\s*(?P<number>\d{1,12}(?:[.,]\d{1,6})?)\s*(?P<unit>[A-Za-z]*)\s*", re.ASCII)
_FACTORS = {
    "MiB": {"": 1.0, "k": 1 / 1024, "m": 1.0, "g": 1024.0, "t": 1024.0**2},
    "GiB": {"": 1.0, "m": 1 / 1024, "g": 1.0, "t": 1024.0},
    "CPUs": {"": 1.0, "m": 0.001, "cpu": 1.0, "cpus": 1.0},
    "seconds": {"": 1.0, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0},
    "": {"": 1.0},
}
"""How many of a unit one of what people write is; of bytes only the first letter counts."""
_YES, _NO = frozenset({"true", "yes", "on", "y", "1"}), frozenset({"false", "no", "off", "n", "0"})
_HARMLESS = re.compile(r"[\w./:@+-]{1,60}", re.ASCII)
"""What a person wrote may be repeated in a hint, where it is one plain word."""


def explain(details: ErrorDetails, schema: Node, location: tuple[str | int, ...]) -> tuple[str, str] | None:
    """The problem and the remedy of a value; None for an error of another sort.

    Args:
        details: pydantic's, with the input.
        schema: the JSON Schema of the models.
        location: the keys from its top.
    """
    field = field_at(schema, location)
    node = next(iter(_shapes(schema, field)), {})
    written, context = details.get("input"), details.get("ctx", {})
    kind = _TYPES.get(details["type"])
    if kind is not None:
        node = next((shape for shape in _shapes(schema, field) if shape.get("type") == kind), node)
        if written is None:
            return "this key has no value", f"{_write(kind, field, node, None)}; or remove the key"
        return f"{_WORDS[kind]} is required, and this is {_called(written)}", _write(
            kind, field, node, written
        )
    match details["type"]:
        case "greater_than_equal" | "greater_than" | "less_than_equal" | "less_than":
            low = details["type"].startswith("greater")
            limit = next(iter(context.values()))
            said = (
                f"{written} is too small: {limit} or more"
                if low
                else f"{written} is too large: {limit} or less"
            )
            return f"{said} is possible", _write(str(node.get("type", "number")), field, node, None)
        case "string_too_long":
            return f"this has more than {context['max_length']} characters", "shorten it"
        case "too_short" | "string_too_short":
            lists = [shape for shape in _shapes(schema, field) if shape.get("type") == "array"]
            if lists:
                return "this list is empty", _write("array", field, lists[0], None)
            return "this is empty", f"write at least {context['min_length']} entry below it"
    return None


def node_at(schema: Node, location: tuple[str | int, ...]) -> Node:
    """The JSON Schema of the value at a location, without references; empty where none is known."""
    return next(iter(_shapes(schema, field_at(schema, location))), {})


def field_at(schema: Node, location: tuple[str | int, ...]) -> Node:
    """The JSON Schema of a field as the model above it has it, with description and default."""
    node = schema
    for part in location:
        node = next((found for shape in _shapes(schema, node) for found in _child(schema, shape, part)), {})
    return node


def _child(schema: Node, node: Node, part: str | int) -> Iterator[Node]:
    mapping = node.get("discriminator", {}).get("mapping", {})
    if part in mapping:
        yield _referred(schema, mapping[str(part)])
    if isinstance(part, int):
        if "items" in node:
            yield node["items"]
        return
    if part in node.get("properties", {}):
        yield node["properties"][part]
        return
    yield from node.get("patternProperties", {}).values()
    if isinstance(node.get("additionalProperties"), dict):
        yield node["additionalProperties"]


def _shapes(schema: Node, node: Node) -> Iterator[Node]:
    """A node and its alternatives, without references and without null."""
    if "$ref" in node:
        yield from _shapes(schema, _referred(schema, node["$ref"]))
    elif "discriminator" not in node and "anyOf" in node:
        outer = {key: value for key, value in node.items() if key in {"examples"}}
        for choice in node["anyOf"]:
            yield from ({**outer, **shape} for shape in _shapes(schema, choice))
    elif node.get("type") != "null":
        yield node


def _referred(schema: Node, reference: str) -> Node:
    found: Node = schema["$defs"][reference.rsplit("/", 1)[1]]
    return found


def _write(kind: str, field: Node, node: Node, written: object) -> str:
    unit = next(iter(_UNIT.findall(str(field.get("description", "")))), "")
    if kind in {"integer", "number"}:
        meant = _meant(written, node, unit, whole=kind == "integer")
        example = meant if meant is not None else _example(field, node, kind)
        quotes = isinstance(written, str) and str(example) == written.strip()
        text = f"`{example}` without quotes" if quotes else f"`{example}`"
        of = f" of {unit}" if unit else ""
        return f"write {text}, {_WORDS[kind]}{of}{_limits(node)}"
    if kind == "boolean":
        word = str(written).strip().lower()
        flag = True if word in _YES else False if word in _NO else not field.get("default", False)
        one, other = ("true", "false") if flag else ("false", "true")
        return f"write `{one}` or `{other}`, without quotes"
    if kind == "array":
        example = [written] if _fits(written, node.get("items", {})) else _example(field, node, kind)
        return f"write a list, such as `{_yaml(example)}`"
    example = _example(field, node, kind)
    if isinstance(written, int | float) and not isinstance(written, bool):
        return f"write a string, such as `{_yaml(example)}`; put it in quotes where it looks like a number"
    return f"write a string, such as `{_yaml(example)}`"


def _fits(written: object, items: Node) -> bool:
    """Whether a text is certainly right as an entry of a list, and harmless to repeat."""
    if not isinstance(written, str) or not _HARMLESS.fullmatch(written):
        return False
    pattern = items.get("pattern")
    return re.search(pattern, written) is not None if pattern else items.get("examples") == [FREE_TEXT]


def _example(field: Node, node: Node, kind: str) -> Any:
    default = field.get("default")
    given = [*field.get("examples", ()), *node.get("examples", ()), *node.get("enum", ())]
    if default is not None and default not in ("", []):
        given.insert(0, default)
    if kind == "array":
        item = next(iter(node.get("items", {}).get("examples", ())), "value")
        given = [*(each for each in given if isinstance(each, list) and each), [item]]
    if kind in {"integer", "number"}:
        given = [*(each for each in given if isinstance(each, int | float)), node.get("minimum", 1)]
    return next(iter(given), "value")


def _meant(written: object, node: Node, unit: str, *, whole: bool) -> int | float | None:
    """The number that was meant by a text such as `384M`; None where that is not certain."""
    match = _NUMBER.fullmatch(written) if isinstance(written, str) else None
    if match is not None:
        word = match["unit"].lower()
        if unit in {"MiB", "GiB"} and re.fullmatch(r"[kmgt](?:i?b)?", word):
            word = word[0]
        factor = _FACTORS.get(unit, _FACTORS[""]).get(word)
        if factor is None:
            return None
        number = float(match["number"].replace(",", ".")) * factor
    elif isinstance(written, float):
        number = written
    else:
        return None
    found: int | float = int(number) if number == int(number) else round(number, 3)
    if whole and not isinstance(found, int):
        return None
    fits = node.get("minimum", found) <= found <= node.get("maximum", found)
    return found if fits else None


def _limits(node: Node) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    return f", {low} or more" if low is not None else f", {high} or less" if high is not None else ""


def _called(written: object) -> str:
    match written:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
    return "something else"


def _yaml(value: Any) -> str:
    """A value as a person writes it into a stack file, on one line."""
    if isinstance(value, list):
        return f"[{', '.join(_yaml(each) for each in value)}]"
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z/][\w./@:+ -]*", value, re.ASCII):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and (value.lower() in _YES | _NO | {"null"} or ": " in value):
        return json.dumps(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
