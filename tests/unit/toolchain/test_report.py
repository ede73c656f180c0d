"""What the report says of each piece: there, missing with a remedy, or of the wrong version."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.stand_ins import bare_path, engine_on_machine, go_script, program
from toolchain import versions

ROOT = Path(__file__).resolve().parents[3]
Pieces = dict[str, dict[str, Any]]


def run(tmp_path: Path, *words: str, settings: dict[str, str] | None = None) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "toolchain", "report", *words],
        cwd=ROOT,
        env={
            "PATH": str(bare_path(tmp_path / "bin")),
            "HOME": str(tmp_path / "home"),
            "RONRON_CACHE": str(tmp_path / "cache"),
            "DOCKER_HOST": f"unix://{tmp_path}/none.sock",
            "COLUMNS": "300",
            **(settings or {}),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def pieces(tmp_path: Path, settings: dict[str, str] | None = None) -> tuple[int, Pieces]:
    code, out, err = run(tmp_path, "--json", settings=settings)
    assert err == ""
    return code, {piece["name"]: piece for piece in json.loads(out)}


def test_a_bare_machine_is_told_a_remedy_for_each_piece(tmp_path: Path) -> None:
    code, found = pieces(tmp_path)
    assert code == 1
    assert list(found) == [
        "python", "git", "go", "engine", "language host", "docker plugin", "proxmox plugin",
        "docker engine", "image registry", "local images",
    ]  # fmt: skip
    assert found["python"]["ok"]
    for name, remedy in {
        "git": "install git",
        "go": f"install Go {versions.GO_MINIMUM} or newer",
        "engine": "run `make setup` in the clone, or install the engine",
        "language host": "run `make setup` in the clone, or install the engine",
        "docker plugin": "run `make setup` in the clone",
        "docker engine": "install Docker Engine",
        "image registry": "start a Docker engine first",
        "local images": "start a Docker engine first",
    }.items():
        assert not found[name]["ok"], name
        assert found[name]["remedy"].startswith(remedy)
        assert found[name]["path"] is None


def test_the_proxmox_plugin_is_told_but_not_asked_for_where_it_is_not_there(tmp_path: Path) -> None:
    plugin = pieces(tmp_path)[1]["proxmox plugin"]
    assert (plugin["ok"], plugin["version"]) == (True, None)
    assert plugin["remedy"].startswith("run `python -m toolchain ensure proxmox` in the clone")
    folder = tmp_path / f"home/.pulumi/plugins/resource-proxmoxve-v{versions.PROXMOXVE_PLUGIN}"
    program(folder / "pulumi-resource-proxmoxve", "exit 0")
    plugin = pieces(tmp_path)[1]["proxmox plugin"]
    assert (plugin["version"], plugin["origin"]) == (versions.PROXMOXVE_PLUGIN, "machine")
    assert (plugin["path"], plugin["remedy"]) == (str(folder.parent), None)


def test_the_report_makes_nothing(tmp_path: Path) -> None:
    pieces(tmp_path)
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "home").exists()


def test_pieces_on_the_machine_are_told_with_version_and_place(tmp_path: Path) -> None:
    folder = bare_path(tmp_path / "bin")
    engine_on_machine(folder, versions.ENGINE_MINIMUM)
    program(folder / "git", "echo git version 2.39.5")
    plugin = tmp_path / f"home/.pulumi/plugins/resource-docker-v{versions.DOCKER_PLUGIN}"
    program(plugin / "pulumi-resource-docker", "exit 0")
    code, found = pieces(tmp_path)
    assert code == 1  # there is no Docker engine
    for name, version, path in (
        ("git", "2.39.5", folder / "git"),
        ("engine", versions.ENGINE_MINIMUM, folder / "pulumi"),
        ("language host", versions.ENGINE_MINIMUM, folder / "pulumi-language-python"),
        ("docker plugin", versions.DOCKER_PLUGIN, plugin.parent),
    ):
        piece = found[name]
        assert (piece["ok"], piece["version"], piece["path"]) == (True, version, str(path))
        assert (piece["origin"], piece["remedy"]) == ("machine", None)


def test_go_is_not_asked_for_where_nothing_has_to_be_built(tmp_path: Path) -> None:
    engine_on_machine(bare_path(tmp_path / "bin"), versions.ENGINE)
    plugin = tmp_path / f"home/.pulumi/plugins/resource-docker-v{versions.DOCKER_PLUGIN}"
    program(plugin / "pulumi-resource-docker", "exit 0")
    go = pieces(tmp_path)[1]["go"]
    assert (go["ok"], go["remedy"], go["version"]) == (True, None, None)


@pytest.mark.parametrize("version", ["3.100.0", "4.0.0", "no version at all"])
def test_an_engine_of_a_wrong_version_counts_as_missing(tmp_path: Path, version: str) -> None:
    engine_on_machine(bare_path(tmp_path / "bin"), version)
    engine = pieces(tmp_path)[1]["engine"]
    assert not engine["ok"]
    assert "make setup" in engine["remedy"]


def test_a_go_that_is_too_old_is_told_with_its_version(tmp_path: Path) -> None:
    folder = bare_path(tmp_path / "bin")
    script = go_script(tmp_path / "calls", tmp_path / "source", version="go1.19.8")
    program(folder / "go", script)
    go = pieces(tmp_path)[1]["go"]
    assert not go["ok"]
    assert go["version"] == "1.19.8"
    assert go["remedy"].startswith("this is Go 1.19.8: install Go")


def test_a_plugin_that_the_engine_has_not_finished_is_missing(tmp_path: Path) -> None:
    plugins = tmp_path / "home/.pulumi/plugins"
    program(plugins / f"resource-docker-v{versions.DOCKER_PLUGIN}/pulumi-resource-docker", "exit 0")
    (plugins / f"resource-docker-v{versions.DOCKER_PLUGIN}.partial").write_text("")
    assert not pieces(tmp_path)[1]["docker plugin"]["ok"]


def test_a_plugin_of_another_version_is_missing(tmp_path: Path) -> None:
    program(tmp_path / "home/.pulumi/plugins/resource-docker-v4.0.0/pulumi-resource-docker", "exit 0")
    assert not pieces(tmp_path)[1]["docker plugin"]["ok"]


def test_an_address_of_docker_that_says_nothing_is_named(tmp_path: Path) -> None:
    docker = pieces(tmp_path, {"DOCKER_HOST": "tcp://127.0.0.1:1"})[1]["docker engine"]
    assert not docker["ok"]
    assert "no Docker engine answers at tcp://127.0.0.1:1" in docker["remedy"]


def test_the_table_for_people_has_a_line_and_a_remedy_for_each_piece(tmp_path: Path) -> None:
    code, out, err = run(tmp_path)
    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert len(lines) == 11
    assert any(line.startswith("ok") and "python" in line for line in lines)
    assert any(line.startswith("missing") and "git" in line and "install git" in line for line in lines)
