"""Every input of every resource, held against what the provider itself says about it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import pulumi_docker as docker
import pytest
from packaging.version import Version
from pulumi._types import input_type_py_to_pulumi_names
from ruamel.yaml import YAML

from chatons import catalogue
from chatons.docker.containers import REPLACED_FOR
from tests.support.declarations import BACKUP, EVERY_KIND, HOST_KEY, declaration
from tests.support.official_schemas import PLAIN, Table
from tests.support.programs import CONTAINER, PROVIDER, Program, Registered, run

TABLE = Table.read("official_schema.yaml")
RESOURCES, TYPES, wrong = TABLE.resources, TABLE.types, TABLE.wrong
COLUMNS = {"type", "required", "replaces", "secret", "since"}

IN_PLACE = {"memory", "memorySwap", "restart"}
"""What Docker changes in a container that runs. Source: Docker's API, `POST /containers/{id}/update`."""
OF_THE_PROVIDER = {"destroyGraceSeconds", "mustRun", "wait", "waitTimeout"}
"""What the provider does with a container, and what no container holds."""

SDK = {
    "docker:index/container:Container": docker.ContainerArgs,
    "docker:index/remoteImage:RemoteImage": docker.RemoteImageArgs,
    "docker:index/volume:Volume": docker.VolumeArgs,
    "docker:index/network:Network": docker.NetworkArgs,
    "pulumi:providers:docker": docker.ProviderArgs,
    **{name: getattr(docker, f"{name}Args") for name in TYPES},
}


@pytest.fixture(scope="module")
def program() -> Program:
    """All that the program can write: every kind, both ways to a machine, an old Etherpad, commands."""
    return run(
        declaration(
            {
                ("backup",): BACKUP,
                ("machines", "old"): {"docker": "ssh://tech@old.test.example", "host_key": HOST_KEY},
                ("services", "attic"): {
                    **EVERY_KIND["services"]["pad"], "machine": "old", "hostname": "attic.test.example",
                    "image": "etherpad/etherpad:1.8.14",
                },
                ("services", "job"): {
                    "kind": "container", "machine": "old", "image": "job:1", "command": ["run"],
                },
            }
        )
    )  # fmt: skip


def docker_resources(program: Program) -> list[Registered]:
    return [each for each in program.resources if not each.type.startswith("chatons:")]


def inputs(resource: Registered) -> Mapping[str, Any]:
    """As the provider gets them: what is no text travels to a provider's own configuration as JSON."""
    if resource.type != PROVIDER:
        return resource.inputs
    return {
        key: YAML(typ="safe").load(value) if isinstance(value, str) and value.startswith("[") else value
        for key, value in resource.inputs.items()
    }


def test_every_resource_is_of_a_type_that_the_table_has(program: Program) -> None:
    assert {resource.type for resource in docker_resources(program)} == set(RESOURCES)


@pytest.mark.parametrize("kind", catalogue.kinds())
def test_every_kind_writes_only_what_the_provider_understands(kind: str) -> None:
    services = {name: each for name, each in EVERY_KIND["services"].items() if each["kind"] == kind}
    assert services
    for resource in docker_resources(run(declaration({("services",): services}))):
        assert list(wrong(inputs(resource), RESOURCES[resource.type])) == [], resource.name


def test_machines_by_ssh_and_old_versions_write_only_what_the_provider_understands(program: Program) -> None:
    for resource in docker_resources(program):
        assert list(wrong(inputs(resource), RESOURCES[resource.type])) == [], resource.name


def test_the_table_has_no_input_that_is_not_used(program: Program) -> None:
    used = {
        each for resource in docker_resources(program) for each in TABLE.used(resource.type, inputs(resource))
    }
    assert used == {(name, key) for name, rows in {**RESOURCES, **TYPES}.items() for key in rows}


def test_a_change_of_any_input_reaches_the_container(program: Program) -> None:
    told = {key for key, row in RESOURCES[CONTAINER].items() if row.get("replaces")}
    for container in program.containers:
        assert set(container.inputs) <= told | IN_PLACE | OF_THE_PROVIDER | set(REPLACED_FOR), container.name
    assert told.isdisjoint(IN_PLACE | OF_THE_PROVIDER | set(REPLACED_FOR))


def test_whatever_could_replace_a_volume_is_not_written_or_cannot_change(program: Program) -> None:
    """Its name is all that it has, and names are decided by names of services alone: see test_wiring."""
    for resource in program.of("docker:index/volume:Volume"):
        assert set(resource.inputs) == {"name"}


def test_what_the_provider_calls_secret_is_written_as_a_secret(program: Program) -> None:
    for resource in docker_resources(program):
        for key, row in RESOURCES[resource.type].items():
            if row.get("secret") and key in resource.inputs:
                assert (key,) in resource.secrets, (resource.name, key)


def test_a_provider_is_never_left_to_find_a_docker_by_itself(program: Program) -> None:
    """Without `host` it takes DOCKER_HOST, or this machine."""
    for provider in program.of(PROVIDER):
        assert provider.inputs["host"].startswith(("unix:///", "ssh://")), provider.name


@pytest.mark.parametrize("name", [*RESOURCES, *TYPES])
def test_the_installed_library_has_every_input_of_the_table(name: str) -> None:
    known = set(input_type_py_to_pulumi_names(SDK[name]).values())
    rows = {**RESOURCES, **TYPES}[name]
    assert set(rows) <= known


def test_the_table_is_not_newer_than_the_installed_library() -> None:
    installed = Version(version("pulumi-docker"))
    sinces = [
        row["since"]
        for rows in [*RESOURCES.values(), *TYPES.values()]
        for row in rows.values()
        if "since" in row
    ]
    for since in (TABLE.whole["version"], *sinces):
        assert Version(since) <= installed
        assert Version(since).major == installed.major


def test_every_row_is_one_that_this_test_understands() -> None:
    assert TABLE.whole["source"].startswith("https://")
    for rows in [*RESOURCES.values(), *TYPES.values()]:
        for key, row in rows.items():
            assert set(row) <= COLUMNS, key
            bare = row["type"].strip("[]{}")
            assert bare in PLAIN or bare in TYPES, key


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"image": "x", "naem": "y"}, "knows no such input"),
        ({"name": "y"}, "required and not there"),
        ({"image": "x", "memory": "512"}, "is no whole number"),
        ({"image": "x", "memory": True}, "is no whole number"),
        ({"image": "x", "envs": "A=b"}, "is no list"),
        ({"image": "x", "labels": [{"label": "a"}]}, "required and not there"),
        ({"image": "x", "logOpts": {"max-file": 3}}, "is no text"),
    ],
)
def test_a_wrong_input_is_found(value: dict[str, Any], said: str) -> None:
    (found,) = wrong(value, RESOURCES[CONTAINER])
    assert said in found
