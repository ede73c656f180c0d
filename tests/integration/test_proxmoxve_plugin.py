"""The plugin for Proxmox VE that is here speaks of the same things as the SDK that is installed."""

from __future__ import annotations

import inspect
import json
import subprocess
from typing import Any

import pulumi_proxmoxve as proxmoxve
import pytest

from tests.providers.place import compiled

USED = {
    "proxmoxve:backup/job:Job": proxmoxve.backup.JobArgs,
    "proxmoxve:download/file:File": proxmoxve.download.FileArgs,
    "proxmoxve:index/poolLegacy:PoolLegacy": proxmoxve.PoolLegacyArgs,
    "proxmoxve:index/vmLegacy:VmLegacy": proxmoxve.VmLegacyArgs,
    "proxmoxve:storage/pbs:Pbs": proxmoxve.storage.PbsArgs,
}
"""By token: what the components make, and what may become of it."""

NESTED = {
    f"proxmoxve:index/VmLegacy{name}:VmLegacy{name}": getattr(proxmoxve, f"VmLegacy{name}Args")
    for name in (
        "Agent", "Cpu", "Disk", "Initialization", "InitializationIpConfigIpv4", "InitializationUserAccount",
        "Memory", "NetworkDevice", "OperatingSystem", "SerialDevice", "Startup",
    )
}  # fmt: skip

NEWER = {"proxmoxve:backup/job:Job": {"excludes"}}
"""What the SDK knows and a plugin that was built here does not; nothing of ours says it."""


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    program = compiled()
    assert program is not None, "there is no plugin: `python -m toolchain ensure proxmox` makes one"
    done = subprocess.run(
        ["pulumi", "package", "get-schema", str(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_plugin_says_the_version_that_the_sdk_asks_for(schema: dict[str, Any]) -> None:
    assert (schema["name"], schema["version"]) == ("proxmoxve", "8.6.0")


@pytest.mark.parametrize("token", USED)
def test_a_resource_takes_what_the_sdk_sends(schema: dict[str, Any], token: str) -> None:
    taken = {name.lower() for name in schema["resources"][token]["inputProperties"]}
    assert _sent(USED[token]) - taken <= NEWER.get(token, set())
    assert taken <= _sent(USED[token])


@pytest.mark.parametrize("token", NESTED)
def test_a_part_of_a_machine_takes_what_the_sdk_sends(schema: dict[str, Any], token: str) -> None:
    assert {name.lower() for name in schema["types"][token]["properties"]} == _sent(NESTED[token])


def test_the_provider_takes_what_the_sdk_sends_and_keeps_the_token_secret(schema: dict[str, Any]) -> None:
    taken = schema["provider"]["inputProperties"]
    assert {name.lower() for name in taken} == _sent(proxmoxve.ProviderArgs)
    assert taken["apiToken"]["secret"]


def test_passwords_are_secret_in_the_state(schema: dict[str, Any]) -> None:
    assert schema["resources"]["proxmoxve:storage/pbs:Pbs"]["properties"]["password"]["secret"]
    account = schema["types"][
        "proxmoxve:index/VmLegacyInitializationUserAccount:VmLegacyInitializationUserAccount"
    ]
    assert account["properties"]["password"]["secret"]


def test_what_replaces_a_machine_is_known(schema: dict[str, Any]) -> None:
    inputs = schema["resources"]["proxmoxve:index/vmLegacy:VmLegacy"]["inputProperties"]
    assert {name for name, each in inputs.items() if each.get("willReplaceOnChanges")} == {"amdSev"}
    cloud_init = schema["types"]["proxmoxve:index/VmLegacyInitialization:VmLegacyInitialization"][
        "properties"
    ]
    assert {name for name, each in cloud_init.items() if each.get("willReplaceOnChanges")} == {
        "metaDataFileId", "networkDataFileId", "type", "userDataFileId", "vendorDataFileId",
    }  # fmt: skip


def _sent(arguments: type) -> set[str]:
    """The names of arguments as they come, without underscores and capitals: `vm_id` is `vmid`."""
    return {name.replace("_", "") for name in inspect.signature(arguments).parameters}
