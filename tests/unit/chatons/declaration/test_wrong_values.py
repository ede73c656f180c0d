"""A value of the wrong type: the hint says what to write, and what it says is accepted."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from chatons.declaration.configuration import Configuration
from chatons.declaration.load import DeclarationError, StackConfiguration, load
from chatons.schema.problems import KeyPath, Problem
from tests.support.declarations import EVERY_KIND, configuration, problems

SCHEMA = Configuration.model_json_schema()
NAMES = {"machines": "here", "services": "pad", "environment": "LANG", "volumes": "files", "sqlite": "files"}
"""A key of each mapping whose keys people choose."""
SECRETS = {("backup", role) for role in ("password", "login", "ssh_key")}
"""Their hints name the command that sets them."""

Leaf = tuple[KeyPath, dict[str, Any]]


def resolved(node: dict[str, Any]) -> list[dict[str, Any]]:
    if "$ref" in node:
        return resolved(SCHEMA["$defs"][node["$ref"].rsplit("/", 1)[1]])
    if "anyOf" in node:
        return [shape for choice in node["anyOf"] for shape in resolved(choice)]
    return [] if node.get("type") == "null" else [node]


def leaves(node: dict[str, Any], path: KeyPath = ()) -> Iterator[Leaf]:
    """Every key that has no keys below it, with one of its shapes."""
    for shape in resolved(node):
        if "discriminator" in shape:
            for kind, reference in shape["discriminator"]["mapping"].items():
                yield from leaves({"$ref": reference}, (*path[:-1], kind))
        elif "properties" in shape and path not in SECRETS:
            for key, field in shape["properties"].items():
                yield from leaves(field, (*path, key))
        elif shape.get("type") == "object":
            inner = [*shape.get("patternProperties", {}).values(), shape.get("additionalProperties")]
            for each in inner:
                if isinstance(each, dict):
                    yield from leaves(each, (*path, NAMES[str(path[-1])]))
        elif path[:2] not in SECRETS:
            yield path, shape


ALL = [leaf for leaf in leaves(SCHEMA) if leaf[0][-1] != "kind"]
WRONG = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 99_999),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(["18080", "384M", "1.5G", "2 GiB", "500m", "1h", "yes", "off", "a, b", "ghcr.io"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.just("x"), st.integers(), max_size=1),
)
RIGHT: dict[str, type | tuple[type, ...]] = {
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "string": str,
    "array": list,
}


def found_at(path: KeyPath, value: object) -> list[Problem]:
    """The problems at a key with some value, or below it."""
    values: dict[str, Any] = {"collective": EVERY_KIND["collective"]}
    node = values
    for key in path[:-1]:
        node = node.setdefault(str(key), {})
    node[str(path[-1])] = value
    if path[0] == "services":
        node = values["services"].pop(path[1])
        values["services"]["pad"] = {"kind": path[1], **node}
        path = ("services", "pad", *path[2:])
    try:
        load(StackConfiguration(stack="local", values=values), ask_for_secrets=False)
    except DeclarationError as error:
        return [each for each in error.problems if each.path[: len(path)] == path]
    return []


def test_every_sort_of_key_is_among_them() -> None:
    kinds = {str(shape.get("type", "enum" if "enum" in shape else "const")) for _, shape in ALL}
    assert kinds == {*RIGHT}
    assert len(ALL) > 100


@settings(max_examples=500)
@given(leaf=st.sampled_from(ALL), wrong=WRONG)
def test_what_the_hint_says_is_accepted(leaf: Leaf, wrong: object) -> None:
    path, shape = leaf
    right = RIGHT[str(shape["type"])]
    if isinstance(wrong, right) and (right is bool or not isinstance(wrong, bool)):
        return
    found = found_at(path, wrong)
    if not found:
        # An optional key may have no value, and one status may stand without a list around it.
        assert wrong is None or path[-1] == "status"
        return
    for problem in found:
        assert "declaration.schema.json" not in problem.remedy
        examples = re.findall("`([^`]+)`|(?<=use )('[^']+')", problem.remedy)
        assert examples, problem.remedy
        again = YAML(typ="safe", pure=True).load(io.StringIO(f"value: {examples[0][0] or examples[0][1]}"))[
            "value"
        ]
        in_a_list = isinstance(problem.path[-1], int)
        assert found_at(path, [again] if in_a_list else again) == [], problem.remedy


@pytest.mark.parametrize(
    ("path", "value", "remedy"),
    [
        (("edge", "http_port"), "18080", "write `18080` without quotes, a whole number from 1 to 65535"),
        (("edge", "http_port"), 99999, "write `80`, a whole number from 1 to 65535"),
        (("edge", "http_port"), None, "write `80`, a whole number from 1 to 65535; or remove the key"),
        (("edge", "http_port"), 8080.5, "write `80`, a whole number from 1 to 65535"),
        (("edge", "memory_mib"), "384M", "write `384`, a whole number of MiB from 16 to 1048576"),
        (("edge", "memory_mib"), "1.5 GiB", "write `1536`, a whole number of MiB from 16 to 1048576"),
        (("edge", "memory_mib"), "384 MB/s", "write `256`, a whole number of MiB from 16 to 1048576"),
        (("edge", "cpus"), "500m", "write `0.5`, a number of CPUs from 0.05 to 256"),
        (("edge", "cpus"), "1,5", "write `1.5`, a number of CPUs from 0.05 to 256"),
        (("edge", "cpus"), True, "write `1.0`, a number of CPUs from 0.05 to 256"),
        (
            ("services", "wiki", "start_seconds"),
            "2min",
            "write `120`, a whole number of seconds from 1 to 3600",
        ),
        (("services", "wiki", "read_only"), "yes", "write `true` or `false`, without quotes"),
        (("services", "wiki", "read_only"), "no", "write `false` or `true`, without quotes"),
        (("services", "wiki", "read_only"), 1, "write `true` or `false`, without quotes"),
        (("services", "wiki", "tmpfs"), "/run/wiki", "write a list, such as `[/var/lib/wiki]`"),
        (("services", "wiki", "capabilities"), "NET_RAW", "write a list, such as `[NET_RAW]`"),
        (("services", "wiki", "command"), "serve", "write a list, such as `[serve]`"),
        (("services", "wiki", "environment", "PORT"), 8080, 'put the value in quotes: write `"8080"`'),
        (("services", "wiki", "environment", "DEBUG"), True, 'put the value in quotes: write `"true"`'),
        (("services", "wiki", "hostname"), 5, "write a string, such as `pad.picasoft.example`"),
        (("services", "wiki", "probe", "status"), "200", "write a list, such as `[200]`"),
        (("edge", "tls"), False, "use 'off', 'internal' or 'acme'"),
        (("edge", "tls"), "none", "use 'off', 'internal' or 'acme'"),
    ],
)
def test_the_hint_is_about_what_was_written(path: KeyPath, value: object, remedy: str) -> None:
    edits = {path: value}
    if path[:3] == ("services", "wiki", "environment"):
        edits = {path[:3]: {path[3]: value}}
    if path[:3] == ("services", "wiki", "probe"):
        edits = {path[:3]: {path[3]: value}}
    (problem,) = [each for each in problems(configuration(edits)) if each.path == path]
    assert problem.remedy.startswith(remedy)
