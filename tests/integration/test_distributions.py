"""The wheels `chatons` and `ronron`: what they contain, and that a project's own folders keep their names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
DISTRIBUTIONS = {"chatons": ROOT / "components", "ronron": ROOT / "reconciler"}
"""The import name of each distribution, which is also its own name, and its folder."""

OWN_FOLDERS = ("components", "demo", "reconciler")
"""Folders of a collective's project. They have the names of folders of this repository."""

WHERE = """
import importlib, importlib.util, json, sys
names = sys.argv[1:]
print(json.dumps({n: importlib.util.find_spec(n) and importlib.import_module(n).__file__ for n in names}))
"""


def run(*command: str | Path, cwd: Path) -> str:
    ended = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "HOME": str(cwd), "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Both wheels, by name. Built without a network: hatchling is in this environment."""
    built = {}
    for name, folder in DISTRIBUTIONS.items():
        target = tmp_path_factory.mktemp(f"wheel-{name}")
        run(
            sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", target, cwd=folder
        )
        [built[name]] = target.glob("*.whl")
    return built


@dataclass(frozen=True)
class Installed:
    """A virtual environment with both wheels and nothing else of this repository, and a project beside it."""

    site: Path
    bin: Path
    project: Path

    def origins(self, *names: str) -> dict[str, str | None]:
        """The file that each import name comes from in the project's folder; None where there is none."""
        found = json.loads(run(self.bin / "python", "-c", WHERE, *names, cwd=self.project))
        assert isinstance(found, dict)
        return found


@pytest.fixture(scope="session")
def installed(wheels: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Installed:
    base = tmp_path_factory.mktemp("installed")
    environment = base / "environment"
    venv.create(environment, symlinks=True, with_pip=False)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
    options = ["--quiet", "--no-index", "--no-deps", "--no-compile"]
    run(*pip, "install", *options, *wheels.values(), cwd=base)
    paths = sysconfig.get_paths(vars={"base": str(environment), "platbase": str(environment)})
    site = Path(paths["purelib"])
    # The dependencies come from this environment. Python does not read the .pth files of a folder that is
    # added this way, so the editable installs of this repository stay unknown.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    project = base / "project"
    for name in OWN_FOLDERS:
        (project / name).mkdir(parents=True)
        (project / name / "__init__.py").write_text(f"OWNER = 'the collective: {name}'\n")
    return Installed(site=site, bin=environment / "bin", project=project)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_wheel_contains_its_package_and_nothing_else(name: str, wheels: Mapping[str, Path]) -> None:
    with ZipFile(wheels[name]) as wheel:
        names = {each for each in wheel.namelist() if not each.endswith("/")}
    metadata = {each for each in names if each.startswith(f"{name}-") and ".dist-info/" in each}
    folder = DISTRIBUTIONS[name]
    package = {
        str(path.relative_to(folder))
        for path in (folder / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names - metadata == package
    assert f"{name}/py.typed" in names


def test_the_wheel_of_the_program_contains_what_is_not_python(wheels: Mapping[str, Path]) -> None:
    with ZipFile(wheels["chatons"]) as wheel:
        assert {
            "chatons/images/backup_agent/.dockerignore",
            "chatons/images/backup_agent/Dockerfile",
            "chatons/machine/setup.sh",
        } <= set(wheel.namelist())


def test_an_install_takes_only_the_two_names(installed: Installed) -> None:
    packages = {path.name for path in installed.site.iterdir() if path.suffix not in {".dist-info", ".pth"}}
    assert packages == set(DISTRIBUTIONS)
    assert installed.origins("toolchain") == {"toolchain": None}


def test_both_halves_come_from_their_wheels(installed: Installed) -> None:
    assert installed.origins(*DISTRIBUTIONS) == {
        name: str(installed.site / name / "__init__.py") for name in DISTRIBUTIONS
    }
    run(installed.bin / "python", "-c", "import chatons.program, chatons.collective", cwd=installed.project)


def test_the_command_works_beside_folders_of_these_names(installed: Installed) -> None:
    shown = run(installed.bin / "ronron", "--help", cwd=installed.project)
    assert {"watch", "preview", "doctor"} <= set(shown.split())


def test_folders_of_a_project_win_their_names(installed: Installed) -> None:
    assert installed.origins(*OWN_FOLDERS) == {
        name: str(installed.project / name / "__init__.py") for name in OWN_FOLDERS
    }
