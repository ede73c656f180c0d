"""The inventory: program, schema and reconciler agree on what is written, described and read."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from chatons.declaration.load import load
from chatons.declaration.resolved import SERVICE_TYPE
from chatons.inventory import VERSION as WRITTEN
from chatons.inventory import inventory
from ronron.core.errors import ConfigError
from ronron.core.inventory import VERSION as READ
from ronron.core.inventory import Inventory, read_inventory
from tests.support.declarations import (
    BACKUP,
    DATA,
    HOST_KEY,
    OFF_SITE,
    PASSWORD,
    PROXMOX,
    VM,
    Document,
    Edits,
    configuration,
    declaration,
    pinned,
    proxmox_declaration,
)
from tests.support.programs import run

pytestmark = pytest.mark.check

SCHEMA: Document = json.loads(
    (Path(__file__).parents[2] / "docs" / "schemas" / "inventory.schema.json").read_text()
)
VALIDATOR = Draft202012Validator(SCHEMA)

KeyPath = tuple[str | int, ...]
"""The keys and indexes that lead to a value."""

HERE = ("machines", "here")
WIKI = ("services", "wiki")
DECLARED: dict[str, Edits] = {
    "one of each kind": {},
    "a probe of its own": {
        (*WIKI, "probe"): {"path": "/health?deep=1", "status": [200, 302], "contains": "all « well »"}
    },
    "a container with nothing": {WIKI: {"kind": "container", "machine": "here", "image": "job:1"}},
    "no service": {("services",): {}},
    "a machine by ssh": {HERE: {"docker": "ssh://tech@old.test.example", "host_key": HOST_KEY}},
    "a virtual machine": {("proxmox",): PROXMOX, HERE: {"proxmox": VM}},
    "a virtual machine with a data disk": {
        ("proxmox",): PROXMOX,
        HERE: {"proxmox": {**VM, "data": {**DATA, "datastore": "slow"}}, "host_key": HOST_KEY},
    },
    "public certificates": {("edge",): {"image": "caddy:2.10.2", "bind": "192.0.2.11"}},
    "a newer database": {("database", "image"): "postgres:18.1-alpine"},
    "backups": {("backup",): BACKUP},
    "backups elsewhere, of an old Etherpad": {
        ("backup",): OFF_SITE,
        ("services", "pad", "image"): "etherpad/etherpad:1.8.14",
    },
    "a backup of a container without a probe": {
        ("backup",): BACKUP,
        WIKI: {"kind": "container", "machine": "here", "image": "job:1", "volumes": {"work": "/work"}},
    },
}


def written(edits: Edits | None = None) -> Document:
    """An inventory after a round trip through JSON, as the engine returns it."""
    document: Document = json.loads(json.dumps(inventory(declaration(edits))))
    return document


def refusals(document: object) -> list[str]:
    """The errors of a document by the schema."""
    return [error.message for error in VALIDATOR.iter_errors(document)]


def is_readable(document: object) -> bool:
    try:
        return read_inventory(document) is not None
    except ConfigError:
        return False


def places(document: object, above: KeyPath = ()) -> Iterator[KeyPath]:
    """The paths of all keys of a document."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield (*above, key)
            yield from places(value, (*above, key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from places(value, (*above, index))


def parent(document: Any, path: KeyPath) -> Any:
    for key in path[:-1]:
        document = document[key]
    return document


def schema_at(path: KeyPath) -> Document:
    """The part of the schema that describes a path."""
    schema = SCHEMA
    for key in path:
        if isinstance(key, int):
            schema = schema["items"]
        else:
            schema = schema.get("properties", {}).get(key) or schema["additionalProperties"]
        if "$ref" in schema:
            schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema


def documents(schema: Document) -> st.SearchStrategy[Any]:
    """Documents that a schema allows, for the keywords that this schema uses."""
    if "$ref" in schema:
        return documents(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    return st.one_of([_of_kind(kind, schema) for kind in kinds])


def _of_kind(kind: str, schema: Document) -> st.SearchStrategy[Any]:
    match kind:
        case "null":
            return st.none()
        case "integer":
            return st.integers(schema.get("minimum"), schema.get("maximum"))
        case "string" if "pattern" in schema:
            return st.from_regex(schema["pattern"])
        case "string":
            return st.text(min_size=schema.get("minLength", 0), max_size=20)
        case "array":
            return st.lists(documents(schema["items"]), min_size=schema.get("minItems", 0), max_size=3)
        case "object" if "properties" in schema:
            assert sorted(schema["required"]) == sorted(schema["properties"])
            return st.fixed_dictionaries(
                {name: documents(inner) for name, inner in schema["properties"].items()}
            )
        case "object" if "additionalProperties" in schema:
            return st.dictionaries(
                st.text(min_size=1, max_size=8), documents(schema["additionalProperties"]), max_size=3
            )
        case "object":
            return st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=8), max_size=3)
    raise AssertionError(f"{kind} is a word that this test does not know")


# -- the program writes what the schema describes --------------------------------------------------


def test_the_schema_is_valid() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_program_schema_and_reconciler_have_one_version() -> None:
    assert WRITTEN == READ == SCHEMA["properties"]["version"]["const"]


@pytest.mark.parametrize("edits", DECLARED.values(), ids=DECLARED)
def test_what_the_program_writes_is_valid_by_the_schema(edits: Edits) -> None:
    assert refusals(written(edits)) == []


def test_pinned_images_keep_their_digest() -> None:
    document = json.loads(json.dumps(inventory(declaration(stack="production", base=pinned()))))
    assert refusals(document) == []
    digests = {service["image_digest"] for service in document["services"].values()}
    assert digests == {"sha256:" + "1f" * 32}


def test_an_inventory_has_no_secret() -> None:
    assert PASSWORD not in json.dumps(inventory(load(configuration())))


def test_a_virtual_machine_has_its_ssh_address_and_host_key() -> None:
    declared = proxmox_declaration()
    assert inventory(declared)["machines"]["vm01"] == {
        "docker": "ssh://ronron@192.0.2.11",
        "host_key": None,
        "proxmox": {
            "node": "alice",
            "vm_id": 101,
            "disk_gib": 64,
            "data": {"vm_id": 1101, "gib": 100, "datastore": "local-lvm"},
        },
    }
    assert inventory(declared, {"vm01": HOST_KEY})["machines"]["vm01"]["host_key"] == HOST_KEY


def test_a_host_key_that_is_an_output_is_written_in_plain_text() -> None:
    async def read() -> tuple[object, bool]:
        learned = pulumi.Output.secret(HOST_KEY)
        found = inventory(proxmox_declaration(), {"vm01": learned})["machines"]["vm01"]["host_key"]
        return await found.future(), await found.is_secret()

    assert asyncio.run(read()) == (HOST_KEY, False)


def test_an_inventory_with_an_unknown_host_key_can_be_read() -> None:
    # Its value in a preview. Source: pulumi/pulumi, sdk/python/lib/pulumi/runtime/rpc.py, UNKNOWN.
    unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
    document = json.loads(json.dumps(inventory(proxmox_declaration(), {"vm01": unknown})))
    found = read_inventory(document)
    assert found is not None
    assert found.machines["vm01"].host_key == unknown


def test_a_service_has_the_urn_of_its_component() -> None:
    declared = declaration()
    named = {service["resource"] for service in inventory(declared)["services"].values()}
    # The engine omits the stack from the types in a URN; Pulumi's mocks do not.
    # Source: pulumi/pulumi, sdk/go/common/resource/urn/urn.go, New.
    made = {resource.urn.replace("pulumi:pulumi:Stack$", "") for resource in run(declared).of(SERVICE_TYPE)}
    assert made == named
    assert len(made) == len(declared.services)


# -- the reconciler reads what the schema describes ------------------------------------------------


@pytest.mark.parametrize("edits", DECLARED.values(), ids=DECLARED)
def test_what_the_program_writes_is_read_completely(edits: Edits) -> None:
    document = written(edits)
    found = read_inventory(document)
    assert found is not None
    assert found.model_dump(mode="json") == document


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents(SCHEMA))
def test_every_document_that_the_schema_allows_is_read_completely(document: Document) -> None:
    assert refusals(document) == []
    found = read_inventory(document)
    assert found is not None
    assert found.model_dump(mode="json") == document


def fields(model: type[BaseModel]) -> Document:
    """The keys that the reader knows, nested; an empty mapping for values."""
    schema = model.model_json_schema()

    def below(part: Mapping[str, Any]) -> Document:
        part = schema["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part
        inner = [*part.get("anyOf", ()), part.get("items"), part.get("additionalProperties")]
        found = {name: below(value) for name, value in part.get("properties", {}).items()}
        for one in inner:
            found |= below(one) if isinstance(one, dict) else {}
        return found

    return below(schema)


def described(part: Mapping[str, Any]) -> Document:
    """The keys that the schema has, nested; an empty mapping for values."""
    part = SCHEMA["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part
    found = {name: described(value) for name, value in part.get("properties", {}).items()}
    for one in (part.get("items"), part.get("additionalProperties")):
        found |= described(one) if isinstance(one, dict) else {}
    return found


def test_the_reader_knows_exactly_the_keys_of_the_schema() -> None:
    assert fields(Inventory) == described(SCHEMA)


# -- other documents are refused ---------------------------------------------------------------


ALL = written(
    {
        **DECLARED["a virtual machine with a data disk"],
        ("backup",): BACKUP,
        ("services", "pad", "image"): "etherpad/etherpad:1.8.14",
    }
)
KEYS = [path for path in places(ALL) if isinstance(path[-1], str) and "properties" in schema_at(path[:-1])]


def dotted(path: KeyPath) -> str:
    return ".".join(map(str, path))


def differing(path: KeyPath, value: object = None) -> Document:
    """The inventory with another value at a path, or without its key."""
    document = copy.deepcopy(ALL)
    if value is None:
        del parent(document, path)[path[-1]]
    else:
        parent(document, path)[path[-1]] = value
    return document


def test_a_key_that_is_missing_is_refused_by_both() -> None:
    assert len(KEYS) > 150
    found = []
    for path in KEYS:
        document = differing(path)
        if not refusals(document):
            found.append(f"the schema allows it without {dotted(path)}")
        # Without its component every change counts as one of the service: safe, so the key may be missing.
        # A machine with a local socket has no host key, and earlier inventories lack that key, `proxmox` and
        # `held`.
        optional = path[-1] in ("resource", "host_key", "proxmox", "held")
        if is_readable(document) != optional:
            found.append(f"without {dotted(path)} the reader {'refuses' if optional else 'takes'} it")
    assert found == []


def test_a_value_of_another_kind_is_refused_by_both() -> None:
    asked, found = 0, []
    for path in places(ALL):
        if path[-1] == "backup" or path == ("version",):
            continue
        for stranger in (["?"], {"?": 1.5}, 1.5):
            if isinstance(parent(ALL, path)[path[-1]], type(stranger)):
                continue
            asked += 1
            document = differing(path, stranger)
            if not refusals(document):
                found.append(f"the schema allows {stranger} as {dotted(path)}")
            if is_readable(document):
                found.append(f"the reader takes {stranger} as {dotted(path)}")
    assert asked > 400
    assert found == []


@pytest.mark.parametrize("version", [0, 2, 17, -1, "1", None, True, [1], {"major": 1}, 1.5])
def test_an_unknown_version_is_refused_by_both_and_named(version: object) -> None:
    document = {**ALL, "version": version}
    assert refusals(document)
    with pytest.raises(ConfigError, match="cannot read the inventory: version") as caught:
        read_inventory(document)
    assert repr(version) in caught.value.message
    assert caught.value.where == "stack output inventory"
    assert "same release" in caught.value.hint


@pytest.mark.parametrize("output", ["", "an inventory", 1, True, [], [ALL], {}, {"inventory": ALL}])
def test_another_output_is_refused(output: object) -> None:
    assert refusals(output)
    with pytest.raises(ConfigError) as caught:
        read_inventory(output)
    assert caught.value.hint


def test_a_project_without_an_inventory_has_none() -> None:
    assert read_inventory(None) is None


def test_a_refusal_names_the_key() -> None:
    document = copy.deepcopy(ALL)
    document["services"]["pad"]["probe"]["status"] = ["fine"]
    with pytest.raises(ConfigError, match=r"services\.pad\.probe\.status\.0"):
        read_inventory(document)


@pytest.mark.parametrize("path", [(), ("collective",), ("services", "pad"), ("services", "pad", "probe")])
def test_the_schema_refuses_an_unknown_key_and_the_reader_ignores_it(path: tuple[str, ...]) -> None:
    # A newer program of the same version may write more.
    document = copy.deepcopy(ALL)
    parent(document, (*path, ""))["motto"] = "purr"
    assert refusals(document)
    found = read_inventory(document)
    assert found is not None
    assert found.model_dump(mode="json") == ALL
