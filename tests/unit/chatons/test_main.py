"""`__main__.py` runs the components of its own checkout, whatever else is installed or on PYTHONPATH."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MESSAGE_WAS_SHOWN = 32

AS_PROGRAM = """
import runpy, sys
from pulumi.runtime import Mocks, set_mocks

class NoResources(Mocks):
    def call(self, args):
        raise AssertionError(args.token)
    def new_resource(self, args):
        raise AssertionError(args.name)

set_mocks(NoResources(), project="ronron", stack="local")
"""
"""As the language host runs a program: in this process, with nothing of the program on the path."""

REPORT = """
import json, sys
print(json.dumps({name: module.__file__ for name, module in sys.modules.items() if name.split(".")[0] ==
"chatons"}))
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another checkout: what this one has of the program."""
    there = tmp_path_factory.mktemp("checkout")
    shutil.copytree(
        ROOT / "components" / "chatons",
        there / "components" / "chatons",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    shutil.copy(ROOT / "__main__.py", there)
    (there / "chatons").symlink_to((ROOT / "chatons").readlink())
    return there


def run(script: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in a process whose PYTHONPATH names the components of this checkout first."""
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT / "components")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def outside(checkout: Path, done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """The modules of the program that were loaded from somewhere else."""
    modules: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    assert len(modules) > 1, done.stderr
    return {name: file for name, file in modules.items() if not Path(file).is_relative_to(checkout)}


def test_the_program_is_that_of_its_checkout(checkout: Path, tmp_path: Path) -> None:
    main = f"try:\n    runpy.run_path({str(checkout / '__main__.py')!r}, run_name='__main__')\nfinally:\n"
    done = run(AS_PROGRAM + main + "".join(f"    {line}\n" for line in REPORT.strip().splitlines()), tmp_path)
    assert done.returncode == MESSAGE_WAS_SHOWN, done.stderr
    assert outside(checkout, done) == {}


def test_dynamic_providers_are_those_of_the_checkout(checkout: Path) -> None:
    # The engine starts `python -m pulumi.dynamic` in the project, so that the project is first on the path.
    done = run("import chatons.machine.access, chatons.proxmox.backup_job" + REPORT, checkout)
    assert done.returncode == 0, done.stderr
    assert outside(checkout, done) == {}


def test_the_other_components_would_be_taken_elsewhere(checkout: Path, tmp_path: Path) -> None:
    done = run("import chatons.machine.access" + REPORT, tmp_path)
    assert "chatons.machine.access" in outside(checkout, done)
