"""A value of the wrong type in the policy: the hint says what to write, and what it says is accepted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from ronron.core.errors import ConfigError, ConfigProblemsError, Problem
from ronron.policy.document import EnvironmentEntry, PolicyDocument
from ronron.policy.load import load_policies

FULL: dict[str, dict[str, Any]] = {
    "after": {"environments": ["staging"], "for": "0s"},
    "window": {"days": "daily", "from": "18:00", "to": "23:00", "timezone": "UTC"},
}
"""The parts whose keys cannot stand alone."""
EXAMPLE = re.compile('`([^`]+)`|(?<=write )([0-9]+)(?= or)|(?<=such as )("[^"]+")')


def keys(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key of an environment that has no keys below it."""
    for name, field in model.model_fields.items():
        key = (*path, field.alias or name)
        parts = [part for part in getattr(field.annotation, "__args__", ()) if isinstance(part, type)]
        inner = [part for part in parts if issubclass(part, BaseModel)]
        if inner:
            yield from keys(inner[0], key)
        else:
            yield key


ALL = sorted(keys(EnvironmentEntry))
WRONG = st.one_of(
    st.booleans(),
    st.integers(-5, 99_999),
    st.floats(allow_nan=False, allow_infinity=False, width=16),
    st.text("abc0159 .:-", max_size=8),
    st.sampled_from(["5", "30", "30 s", "1 hour", "yes", "off", "auto", "Paris", "25:00", "monday"]),
    st.lists(st.integers(0, 3), min_size=1, max_size=2),
    st.dictionaries(st.just("x"), st.integers(0, 3), min_size=1, max_size=1),
)


def found_at(key: tuple[str, ...], text: str) -> list[Problem]:
    """The problems of a policy in which one key has a value, as it is written; those at the key alone."""
    entry: dict[str, Any] = {}
    node = entry
    for part in key[:-1]:
        node = node.setdefault(part, {**FULL.get(part, {})})
    node[key[-1]] = "HERE"
    policy = json.dumps({"environments": {"staging": {}, "ours": entry}}).replace('"HERE"', text)
    try:
        load_policies(policy, file="environments.yaml")
    except ConfigProblemsError as error:
        place = ".".join(("environments", "ours", *key))
        return [each for each in error.problems if place in each.where]
    except ConfigError:
        return []
    return []


@settings(max_examples=300)
@given(key=st.sampled_from(ALL), wrong=WRONG)
def test_what_the_hint_says_is_accepted(key: tuple[str, ...], wrong: object) -> None:
    for problem in found_at(key, json.dumps(wrong)):
        if "keys with values" in problem.remedy or problem.what.startswith("cannot use the name"):
            continue
        match = EXAMPLE.search(problem.remedy)
        assert match is not None, problem.remedy
        example = match[1] or match[2] or match[3]
        in_a_list = problem.where.endswith("]")
        written = example if example.startswith(("[", '"')) else f'"{example}"'
        if re.fullmatch(r"true|false|\d+", example):
            written = example
        left = found_at(key, f"[{written}]" if in_a_list else written)
        # What is said of other environments is no matter of the type.
        others = ("cannot wait for", "by two environments")
        assert [each for each in left if not any(word in each.what for word in others)] == [], problem.remedy


@pytest.mark.parametrize(
    ("key", "text", "remedy"),
    [
        (("retry", "limit"), '"5"', "write a whole number, such as `5`, without quotes"),
        (("retry", "limit"), "2.5", "write a whole number, such as `5`"),
        (("guard", "deletes"), '"none"', "write a whole number, such as `0`"),
        (("retry", "limit"), "0", "write 1 or more"),
        (("create_stack",), '"true"', "write `true` or `false`, without quotes"),
        (("create_stack",), "yes", "write `true` or `false`"),
        (("after", "environments"), '"staging"', "write a list, such as `[staging]`"),
        (
            ("stack",),
            "5",
            "write text, such as `staging`; put it in quotes where it looks like something else",
        ),
        (("probe_for",), "30", "write numbers with a unit, such as `30s`, `30m`, `1h30m` or `2d`"),
        (("window", "from"), "18", 'write it with two digits each, such as "18:00"'),
        (("guard",), "5", "write keys with values, indented below it"),
    ],
)
def test_the_hint_is_about_what_was_written(key: tuple[str, ...], text: str, remedy: str) -> None:
    (problem,) = found_at(key, text)
    assert problem.remedy == remedy


def test_a_key_of_the_top_has_an_example_too() -> None:
    with pytest.raises(ConfigProblemsError) as caught:
        load_policies("project: 5\nenvironments: {a: {}}\n", file="environments.yaml")
    assert "project" in PolicyDocument.model_fields
    assert caught.value.hint == "write it from the repository's top, such as `.`"
