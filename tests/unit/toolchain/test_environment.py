"""The lines of the shell environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.stand_ins import engine_on_machine, program
from toolchain import environment, versions
from toolchain.cache import Cache
from toolchain.errors import ToolchainError

AWKWARD = [
    "plain",
    "with space",
    "it's",
    'say "x"',
    "$HOME `id` $(id)",
    "back\\slash",
    "line\nbreak",
    "*",
    "",
    "~/x",
]


def taken_over(values: dict[str, str]) -> dict[str, str]:
    shown = " ".join(f'"${name}"' for name in values)
    done = subprocess.run(
        ["sh", "-c", f'eval "$1"; printf "%s\\0" {shown}', "sh", environment.exports(values)],
        capture_output=True,
        env={},
        check=True,
    )
    return dict(zip(values, done.stdout.decode().split("\0"), strict=False))


def test_a_shell_reads_back_exactly_what_was_set() -> None:
    values = {f"VALUE_{number}": value for number, value in enumerate(AWKWARD)}
    assert taken_over(values) == values


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30))
def test_any_value_survives_the_quoting(value: str) -> None:
    assert taken_over({"VALUE": value}) == {"VALUE": value}


def test_lines_are_sorted_by_name() -> None:
    assert environment.exports({"B": "2", "A": "1"}) == "export A=1\nexport B=2\n"


def world(tmp_path: Path, *, awkward: str = "bin") -> dict[str, str]:
    folder = engine_on_machine(tmp_path / awkward, versions.ENGINE)
    plugin = tmp_path / f".pulumi/plugins/resource-docker-v{versions.DOCKER_PLUGIN}"
    program(plugin / "pulumi-resource-docker", "exit 0")
    return {"PATH": f"/usr/bin{os.pathsep}{folder}{os.pathsep}/bin", "HOME": str(tmp_path)}


def test_the_python_that_runs_comes_first_then_the_engine_and_nothing_twice(tmp_path: Path) -> None:
    environ = world(tmp_path)
    values = environment.variables(Cache(tmp_path / "cache"), environ)
    python = str(Path(sys.executable).parent)
    assert values["PATH"].split(os.pathsep) == [python, str(tmp_path / "bin"), "/usr/bin", "/bin"]
    assert values["RONRON_PULUMI_PLUGINS"] == str(tmp_path / ".pulumi/plugins")
    assert values["PULUMI_SKIP_UPDATE_CHECK"] == "true"


def test_taking_it_over_twice_changes_nothing(tmp_path: Path) -> None:
    environ = world(tmp_path)
    once = environment.variables(Cache(tmp_path / "cache"), environ)
    assert environment.variables(Cache(tmp_path / "cache"), {**environ, **once}) == once


def test_downloads_of_the_engine_stay_on_where_the_plugin_came_from_one(tmp_path: Path) -> None:
    values = environment.variables(Cache(tmp_path / "cache"), world(tmp_path))
    assert "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION" not in values


def test_an_awkward_folder_is_found_from_the_shell(tmp_path: Path) -> None:
    environ = world(tmp_path, awkward="it's a $folder")
    values = environment.variables(Cache(tmp_path / "cache"), environ)
    path = taken_over(values)["PATH"]
    assert shutil.which("pulumi", path=path) == str(tmp_path / "it's a $folder" / "pulumi")


def test_without_the_plugin_there_is_no_environment(tmp_path: Path) -> None:
    environ = world(tmp_path)
    shutil.rmtree(tmp_path / ".pulumi")
    with pytest.raises(ToolchainError, match="Docker plugin of the Pulumi engine is missing") as caught:
        environment.variables(Cache(tmp_path / "cache"), environ)
    assert caught.value.hint == "run `make setup` in the clone"
