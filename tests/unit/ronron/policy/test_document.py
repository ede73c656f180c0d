"""The JSON Schema of the policy file: up to date, and of one mind with what is loaded."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from ronron.core.errors import ConfigError
from ronron.core.policy import Policy, Promotion, Retry
from ronron.policy.document import schema
from ronron.policy.load import load_policies
from ronron.policy.notations import read_duration

ROOT = Path(__file__).parents[4]
WINDOW = '{days: mon-thu, from: "18:00", to: "23:00", timezone: Europe/Paris}'


def agrees(text: str) -> bool:
    return bool(Draft202012Validator(schema()).is_valid(YAML(typ="safe", pure=True).load(text)))


def loads(text: str) -> bool:
    try:
        load_policies(text, file="f.yaml")
    except ConfigError:
        return False
    return True


def test_the_schema_file_is_up_to_date() -> None:
    text = (ROOT / "docs" / "schemas" / "environments.schema.json").read_text(encoding="utf-8")
    assert json.loads(text) == schema(), (
        "write it again: python -m ronron.policy.document > docs/schemas/environments.schema.json"
    )


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("folder", ["stacks", "examples/single-host/stacks", "examples/proxmox/stacks"])
def test_the_policies_of_this_repository_have_the_schema(folder: str) -> None:
    assert agrees((ROOT / folder / "environments.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "body",
    [
        "",
        "stack: x, reference: main, update: approval",
        "on_failure: rollback, create_stack: true, probe_for: 90s, probe_every: 10s",
        f"window: {WINDOW}",
        "window: {days: [mon, wed-fri], from: '00:00', to: '24:00', timezone: UTC}",
        "window: {days: daily, from: '22:00', to: '02:00', timezone: UTC}",
        "guard: {deletes: 0}, retry: {after: 10s, ceiling: 1h, limit: 3}",
        "after: {environments: [b], for: 1h30m}",
        "drift: {every: 1h}",
        "drift: {on_drift: report}",
        "drift: {every: 30s, on_drift: propose}",
    ],
)
def test_what_is_loaded_has_the_schema(body: str) -> None:
    text = f"environments: {{b: {{}}, a: {{{body}}}}}"
    assert loads(text)
    assert agrees(text)


@pytest.mark.parametrize(
    "body",
    [
        "stak: x",
        "stack: -x",
        "stack: 1",
        "update: auto",
        "on_failure: stop",
        "create_stack: 'yes'",
        "probe_for: 90",
        "probe_for: ''",
        "probe_every: 60",
        "signatures: {keys: k}",
        "drift: {on_drift: repair}",
        "drift: {often: 1h}",
        "window: {days: [], from: '18:00', to: '23:00', timezone: UTC}",
        "window: {days: mon, from: '24:00', to: '23:00', timezone: UTC}",
        "window: {days: mon, to: '23:00', timezone: UTC}",
        "guard: {deletes: -1}",
        "guard: ~",
        "retry: {limit: 0}",
        "after: {environments: []}",
        "after: {environments: b}",
    ],
)
def test_what_is_refused_lacks_the_schema_too(body: str) -> None:
    text = f"environments: {{b: {{}}, a: {{{body}}}}}"
    assert not loads(text)
    assert not agrees(text)


@pytest.mark.parametrize(
    "text", ["environments: {}", "{}", "environments: {'a b': {}}", "environments: {a: 1}", "x: 1"]
)
def test_a_document_that_is_refused_lacks_the_schema_too(text: str) -> None:
    assert not loads(text)
    assert not agrees(text)


def test_the_defaults_that_editors_show_are_those_of_the_policy() -> None:
    definitions = schema()["$defs"]

    def shown(entry: str, key: str) -> timedelta:
        return read_duration(definitions[entry]["properties"][key]["default"])

    policy = Policy(name="a", stack="a", reference="main")
    assert shown("EnvironmentEntry", "probe_for") == policy.probe_for
    assert shown("EnvironmentEntry", "probe_every") == policy.probe_every
    assert shown("DriftEntry", "every") == policy.drift.every
    assert shown("RetryEntry", "after") == Retry().after
    assert shown("RetryEntry", "ceiling") == Retry().ceiling
    assert definitions["RetryEntry"]["properties"]["limit"]["default"] == Retry().limit
    assert shown("PromotionEntry", "for") == Promotion(environments=("b",)).healthy_for
