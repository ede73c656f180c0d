"""How the programs on this machine are found: there, missing with a remedy, or of a wrong version."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from ronron.adapters.local_tools import (
    INSTALL_DOCKER,
    INSTALL_ENGINE,
    MAKE_SETUP,
    Installation,
    check_docker,
    check_engine,
    check_git,
    check_plugins,
    check_python,
    check_tools,
    docker_hosts,
    in_clone,
)
from ronron.core.status import CheckResult
from ronron.installation import NO_DOWNLOADS
from tests.support.stand_ins import bare_path, engine_on_machine, program


def machine(
    top: Path, environ: Mapping[str, str] = MappingProxyType({}), *, clone: bool = False
) -> Installation:
    """A machine without any of the programs, whose home is below `top`."""
    variables = {
        "PATH": str(bare_path(top / "bin")),
        "HOME": str(top / "home"),
        "DOCKER_HOST": f"unix://{top}/none.sock",
    }
    return Installation({**variables, **environ}, (top / "plugins",), clone)


def plugin(top: Path, package: str, version: str) -> Path:
    folder = top / "plugins" / f"resource-{package}-v{version}"
    return program(folder / f"pulumi-resource-{package}", "exit 0")


# -- Python and git ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "good"), [((3, 11), True), ((3, 14), True), ((4, 0), True), ((3, 10), False)]
)
def test_python_has_to_be_new_enough(version: tuple[int, int], good: bool) -> None:
    found = check_python(version)
    assert found.good is good
    assert found.remedy == ("" if good else "install Python 3.11 or newer")


def test_git_is_shown_with_version_and_path(tmp_path: Path) -> None:
    installed = machine(tmp_path)
    git = program(tmp_path / "bin" / "git", "echo git version 2.39.5")
    assert check_git(installed) == CheckResult(name="git", good=True, version="2.39.5", origin=str(git))


@pytest.mark.parametrize("script", [None, "exit 1", "echo no version"])
def test_a_git_that_does_not_work_is_missing(tmp_path: Path, script: str | None) -> None:
    installed = machine(tmp_path)
    if script is not None:
        program(tmp_path / "bin" / "git", script)
    found = check_git(installed)
    assert not found.good
    assert found.remedy.startswith("install git")


# -- the engine --------------------------------------------------------------------------------------------


def test_engine_and_language_host_are_shown_with_their_paths(tmp_path: Path) -> None:
    installed = machine(tmp_path)
    folder = engine_on_machine(tmp_path / "bin", "3.274.1")
    engine, host = check_engine(installed)
    assert engine == CheckResult(name="engine", good=True, version="3.274.1", origin=str(folder / "pulumi"))
    assert host == CheckResult(name="language host", good=True, origin=str(folder / "pulumi-language-python"))


def test_the_language_host_beside_a_linked_engine_is_found(tmp_path: Path) -> None:
    installed = machine(tmp_path)
    folder = engine_on_machine(tmp_path / "opt", "3.274.1")
    (tmp_path / "bin" / "pulumi").symlink_to(folder / "pulumi")
    assert check_engine(installed)[1].origin == str(folder / "pulumi-language-python")


def test_an_engine_without_a_language_host_is_good_and_the_host_is_not(tmp_path: Path) -> None:
    installed = machine(tmp_path)
    engine_on_machine(tmp_path / "bin", "3.274.1", with_host=False)
    engine, host = check_engine(installed)
    assert (engine.good, host.good, host.remedy) == (True, False, INSTALL_ENGINE)


@pytest.mark.parametrize(("clone", "remedy"), [(False, INSTALL_ENGINE), (True, MAKE_SETUP)])
def test_a_missing_engine_has_the_remedy_of_this_installation(
    tmp_path: Path, clone: bool, remedy: str
) -> None:
    assert [found.remedy for found in check_engine(machine(tmp_path, clone=clone))] == [remedy, remedy]


@pytest.mark.parametrize("version", ["3.100.0", "3.271.9", "4.0.0"])
def test_an_engine_of_another_version_is_shown_and_not_good(tmp_path: Path, version: str) -> None:
    installed = machine(tmp_path)
    engine_on_machine(tmp_path / "bin", version)
    engine, _ = check_engine(installed)
    assert (engine.good, engine.version) == (False, version)
    assert engine.remedy == f"use Pulumi 3.272 or newer, below 4: {INSTALL_ENGINE}"


# -- the plugins -------------------------------------------------------------------------------------------


def test_plugins_are_shown_with_version_and_directory(tmp_path: Path) -> None:
    plugin(tmp_path, "docker", "5.2.0")
    plugin(tmp_path, "proxmoxve", "8.6.0")
    docker, proxmox = check_plugins(machine(tmp_path))
    place = str(tmp_path / "plugins")
    assert docker == CheckResult(name="docker plugin", good=True, version="5.2.0", origin=place)
    assert proxmox == CheckResult(name="proxmox plugin", good=True, version="8.6.0", origin=place)


def test_pulumi_downloads_a_missing_plugin_where_it_may(tmp_path: Path) -> None:
    docker, proxmox = check_plugins(machine(tmp_path))
    assert docker.good
    assert docker.origin == "not installed; Pulumi downloads 5.2.0 when needed"
    assert proxmox.good


@pytest.mark.parametrize(("clone", "remedy"), [(False, f"unset {NO_DOWNLOADS}"), (True, MAKE_SETUP)])
def test_without_downloads_the_docker_plugin_is_missing(tmp_path: Path, clone: bool, remedy: str) -> None:
    docker, proxmox = check_plugins(machine(tmp_path, {NO_DOWNLOADS: "true"}, clone=clone))
    assert not docker.good
    assert docker.remedy.startswith(remedy)
    assert proxmox.good, "most stacks need no machine on Proxmox VE"
    assert ("ensure proxmox" in proxmox.remedy) is clone
    assert ("unset" in proxmox.remedy) is not clone


def test_an_unfinished_download_and_another_version_do_not_count(tmp_path: Path) -> None:
    installed = machine(tmp_path, {NO_DOWNLOADS: "true"})
    plugin(tmp_path, "docker", "4.0.0")
    assert not check_plugins(installed)[0].good
    program_ = plugin(tmp_path, "docker", "5.2.0")
    program_.parent.with_name(f"{program_.parent.name}.partial").touch()
    assert not check_plugins(installed)[0].good


def test_a_plugin_on_path_counts(tmp_path: Path) -> None:
    installed = machine(tmp_path, {NO_DOWNLOADS: "true"})
    found = program(tmp_path / "bin" / "pulumi-resource-docker", "exit 0")
    assert check_plugins(installed)[0] == CheckResult(name="docker plugin", good=True, origin=str(found))


# -- Docker ------------------------------------------------------------------------------------------------


def test_a_chosen_docker_is_the_only_one_tried() -> None:
    assert docker_hosts({"DOCKER_HOST": "tcp://192.0.2.1:2375", "XDG_RUNTIME_DIR": "/run/user/7"}) == (
        "tcp://192.0.2.1:2375",
    )


def test_the_usual_sockets_are_tried_in_order(tmp_path: Path) -> None:
    assert docker_hosts({"HOME": str(tmp_path), "XDG_RUNTIME_DIR": "/run/user/7"}) == (
        "unix:///var/run/docker.sock",
        "unix:///run/user/7/docker.sock",
    )


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("unix:///nonexistent/docker.sock", "no such file or directory"),
        ("tcp://127.0.0.1:1", "connection refused"),
    ],
)
def test_a_docker_that_does_not_answer_is_named_with_the_cause(tmp_path: Path, host: str, why: str) -> None:
    assert check_docker(machine(tmp_path, {"DOCKER_HOST": host})) == CheckResult(
        name="docker engine", good=False, origin=f"{host}: {why}", remedy=INSTALL_DOCKER
    )


# -- all of them -------------------------------------------------------------------------------------------


def test_all_programs_are_checked_and_nothing_is_made(tmp_path: Path) -> None:
    found = check_tools(machine(tmp_path))
    assert [each.name for each in found] == [
        "python", "git", "engine", "language host", "docker plugin", "proxmox plugin", "docker engine",
    ]  # fmt: skip
    assert not (tmp_path / "home").exists()
    assert not (tmp_path / "plugins").exists()


def test_a_clone_is_recognised_from_a_directory_below_it(tmp_path: Path) -> None:
    (tmp_path / "toolchain").mkdir()
    (tmp_path / "toolchain" / "setup.sh").touch()
    assert in_clone([Path("/nonexistent"), tmp_path / ".venv"])
    assert not in_clone([Path("/nonexistent")])
