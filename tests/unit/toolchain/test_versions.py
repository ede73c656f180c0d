"""Which versions are taken as they are."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path

import pytest

from toolchain import go_build, proxmoxve_plugin, versions

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("3.274.1", (3, 274, 1)),
        ("v3.274.1", (3, 274, 1)),
        (" v3.274.1-alpha.7+abc\n", (3, 274, 1)),
        ("1.26rc1", (1, 26)),
        ("15", (15,)),
    ],
)
def test_the_numbers_of_a_version_are_read(text: str, numbers: tuple[int, ...]) -> None:
    assert versions.parsed(text) == numbers


@pytest.mark.parametrize("text", ["", "devel", "version 3.2", "vv1"])
def test_what_is_no_version_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        versions.parsed(text)


@pytest.mark.parametrize(
    ("version", "good"),
    [
        ("v3.272.0", True),
        ("3.272.1", True),
        ("3.1000.0", True),
        ("3.271.99", False),
        ("3.99.9", False),  # by number, not by letter
        ("4.0.0", False),
        ("2.999.0", False),
    ],
)
def test_an_engine_is_good_from_the_minimum_on_within_its_major_version(version: str, good: bool) -> None:
    assert versions.is_good_engine(version) is good


def test_the_engine_that_is_built_would_be_taken_from_the_machine_too() -> None:
    assert versions.is_good_engine(versions.ENGINE)


def test_the_minimum_is_no_older_than_the_sdk_that_is_locked() -> None:
    locked = re.search(r"^pulumi==([\d.]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert locked is not None
    assert versions.parsed(versions.ENGINE_MINIMUM) >= versions.parsed(locked[1])


@pytest.mark.parametrize(
    ("sdk", "version"),
    [("pulumi-docker", versions.DOCKER_PLUGIN), ("pulumi-proxmoxve", versions.PROXMOXVE_PLUGIN)],
)
def test_the_plugin_is_the_one_that_the_locked_sdk_asks_for(sdk: str, version: str) -> None:
    locked = re.search(rf"^{sdk}==([\d.]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert locked is not None
    assert locked[1] == version


def test_the_proxmox_plugin_is_downloaded_from_where_its_sdk_wanted() -> None:
    asked = json.loads((resources.files("pulumi_proxmoxve") / "pulumi-plugin.json").read_text())
    plugin = proxmoxve_plugin.PLUGIN
    assert (asked["name"], asked["version"], asked["server"]) == (
        plugin.package,
        plugin.version,
        plugin.server,
    )


@pytest.mark.parametrize(
    ("module", "path", "version"),
    [
        ("engine", "github.com/pulumi/pulumi/pkg/v3", versions.ENGINE),
        ("language_host", "github.com/pulumi/pulumi/sdk/v3", versions.LANGUAGE_HOST),
        ("proxmoxve_plugin", "github.com/bpg/terraform-provider-proxmox", versions.PROXMOX_PROVIDER),
        ("s3_gateway", "github.com/versity/versitygw", versions.S3_GATEWAY),
    ],
)
def test_the_go_modules_pin_the_versions_that_are_told(module: str, path: str, version: str) -> None:
    text = (go_build.MODULES / module / "go.mod").read_text()
    assert re.search(rf"^\s*(?:require )?{re.escape(path)} v{re.escape(version)}\b", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("version", "toolchain", "wanted"),
    [
        (versions.GO_MINIMUM, "local", None),
        ("1.99", "local", None),
        ("1.26.5", "auto", None),  # fetches a newer one by itself
        ("1.21.0", None, None),
        ("1.26.5", "local", "this is Go 1.26.5: install Go"),
        ("1.20.14", "auto", "this is Go 1.20.14: install Go"),
        (None, "auto", "install Go"),
    ],
)
def test_a_go_that_cannot_build_here_gets_a_remedy(
    version: str | None, toolchain: str | None, wanted: str | None
) -> None:
    remedy = go_build.go_remedy(version, toolchain)
    assert (remedy is None) if wanted is None else (remedy or "").startswith(wanted)
