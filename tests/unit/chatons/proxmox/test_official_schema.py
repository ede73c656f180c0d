"""Every input of a machine and its image, compared with the schema of the provider for Proxmox VE."""

from __future__ import annotations

from importlib.metadata import version

import pulumi
import pulumi_proxmoxve as proxmox
import pytest
from packaging.version import Version
from pulumi._types import input_type_py_to_pulumi_names

from chatons.proxmox import virtual_machines
from tests.support.declarations import DATA, proxmox_declaration
from tests.support.official_schemas import PLAIN, Table
from tests.support.programs import VM, Program, Registered, registered

TABLE = Table.read("official_proxmox_schema.yaml")
RESOURCES, TYPES = TABLE.resources, TABLE.types
COLUMNS = {"type", "required", "replaces", "secret", "default"}

IMAGE, PROVIDER = "proxmoxve:download/file:File", "pulumi:providers:proxmoxve"
MACHINES = (VM, IMAGE, PROVIDER)
"""The table also has the resources that `machine_backup` replaces."""

NEVER_CHANGES = {"vmId"}
"""The engine refuses a change, unless `replace` permits it."""

SDK = {
    VM: proxmox.VmLegacyArgs,
    IMAGE: proxmox.download.FileArgs,
    "proxmoxve:backup/job:Job": proxmox.backup.JobArgs,
    "proxmoxve:storage/pbs:Pbs": proxmox.storage.PbsArgs,
    PROVIDER: proxmox.ProviderArgs,
    **{name: getattr(proxmox, f"{name}Args") for name in TYPES},
}


@pytest.fixture(scope="module")
def program() -> Program:
    """A program with a machine that uses every key."""
    declared = proxmox_declaration(
        machines={
            "vm01": {
                "data": DATA, "dns": ["192.0.2.53"], "vlan": 20, "pool": "collective", "start_order": 3,
                "tags": ["web"], "user_data": "local:snippets/first-boot.yaml",
            }
        }
    )  # fmt: skip
    return registered(lambda: virtual_machines.make(declared, lambda _: pulumi.Output.secret("a token")))


def written(program: Program) -> list[Registered]:
    return [each for each in program.resources if each.type in MACHINES]


def test_only_the_expected_types_are_registered(program: Program) -> None:
    assert {each.type for each in program.resources} == {*MACHINES, "chatons:index:VirtualMachine"}


def test_every_input_fits_the_schema(program: Program) -> None:
    for each in written(program):
        inputs = dict(each.inputs)
        if each.type == PROVIDER:
            # A provider's configuration has values that are not text as JSON.
            inputs["insecure"] = {"true": True, "false": False}[inputs["insecure"]]
            inputs.pop("version", None)
        assert list(TABLE.wrong(inputs, RESOURCES[each.type])) == [], each.name


def test_inputs_that_replace_a_machine_are_ignored(program: Program) -> None:
    replaces = {key: row["replaces"] for key, row in RESOURCES[VM].items() if row.get("replaces")}
    inside = {("disks", "fileId"), ("initialization", "vendorDataFileId")}
    for each in program.of(VM):
        for key, unless in replaces.items():
            is_avoided = isinstance(unless, dict) and each.inputs[unless["unless"]] is True
            assert is_avoided or key in NEVER_CHANGES, key
        assert each.request.protect
        for whole, key in inside:
            if whole == "disks":
                paths = {f"disks[{index}].{key}" for index in range(len(each.inputs[whole]))}
            else:
                paths = {f"{whole}.{key}"} if whole in each.inputs else set()
            assert paths <= set(each.request.ignoreChanges)
    replacing = {
        (name, key) for name, rows in TYPES.items() for key, row in rows.items() if row.get("replaces")
    }
    assert replacing == {("VmLegacyDisk", "fileId"), ("VmLegacyInitialization", "vendorDataFileId")}


def test_no_default_of_the_provider_is_used_where_data_is_at_risk(program: Program) -> None:
    """Defaults that would lose data, wait long, or restart a guest."""
    explicit = {
        "deleteUnreferencedDisksOnDestroy", "migrate", "onBoot", "protection", "purgeOnDestroy",
        "rebootAfterUpdate", "scsiHardware", "started", "stopOnDestroy",
    }  # fmt: skip
    assert explicit == {key for key, row in RESOURCES[VM].items() if "default" in row}
    for each in program.of(VM):
        assert explicit <= set(each.inputs)
        for disk in each.inputs["disks"]:
            assert {"datastoreId", "size", "discard"} <= set(disk)


def test_secret_inputs_of_the_provider_are_secret(program: Program) -> None:
    (found,) = program.of(PROVIDER)
    assert ("apiToken",) in found.secrets


@pytest.mark.parametrize("name", [*RESOURCES, *TYPES])
def test_the_installed_library_has_every_input_of_the_table(name: str) -> None:
    known = set(input_type_py_to_pulumi_names(SDK[name]).values())
    assert set({**RESOURCES, **TYPES}[name]) <= known


def test_the_table_is_not_newer_than_the_installed_library() -> None:
    installed = Version(version("pulumi-proxmoxve"))
    assert Version(TABLE.whole["version"]) <= installed
    assert Version(TABLE.whole["version"]).major == installed.major


def test_every_row_of_the_table_has_known_columns_and_types() -> None:
    assert TABLE.whole["source"].startswith("https://")
    for rows in [*RESOURCES.values(), *TYPES.values()]:
        for key, row in rows.items():
            assert set(row) <= COLUMNS, key
            bare = row["type"].strip("[]{}")
            assert bare in PLAIN or bare in TYPES, key
