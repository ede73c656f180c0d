"""The engine runs a program in its virtual environment, keeps that in use, asks the backend without."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ronron.adapters.processes import LinuxProcesses
from ronron.adapters.pulumi_engine.engine import PulumiEngine
from ronron.core.errors import PackagesUnavailableError
from ronron.core.model import ProcessMark
from ronron.core.packages import VirtualEnvironment
from ronron.testing import FakeVirtualEnvironments
from tests.support.pulumi_project import PulumiProject

PREFIX = "import sys; declared['inventory'] = {'prefix': sys.prefix}"


class OneEnvironment(FakeVirtualEnvironments):
    """One virtual environment for every project: that of the tests, by another path."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.directory, self.lock = root / "venv", root / "venv.lock"
        self.directory.symlink_to(sys.prefix)
        self.used = 0
        self.broken = False

    @contextmanager
    def of(self, project: Path) -> Iterator[VirtualEnvironment | None]:
        del project
        if self.broken:
            raise PackagesUnavailableError("cannot install it", where="requirements.lock")
        self.used += 1
        with self.lock.open("w") as opened:
            yield VirtualEnvironment(directory=self.directory, in_use=opened.fileno())


@pytest.fixture
def project(tmp_path: Path) -> PulumiProject:
    project = PulumiProject(tmp_path / "project")
    project.declare(before=PREFIX)
    return project


def test_program_and_engine_have_the_virtual_environment(project: PulumiProject, tmp_path: Path) -> None:
    packages = OneEnvironment(tmp_path)
    engine = PulumiEngine(
        project.settings(), LinuxProcesses(), packages=packages, inherited=project.inherited()
    )
    program = project.program(create_stack=True)
    preview = engine.preview(program)
    inherited: list[bool] = []

    def started(mark: ProcessMark) -> None:
        files = [str(each.readlink()) for each in Path(f"/proc/{mark.pid}/fd").iterdir()]
        inherited.append(str(packages.lock) in files)

    updated = engine.update(program, preview, started)
    assert updated.inventory == {"prefix": str(packages.directory)}
    assert inherited == [True]

    used = packages.used
    packages.broken = True
    assert engine.state(program).inventory == {"prefix": str(packages.directory)}
    assert engine.export(program) is not None
    assert packages.used == used
    with pytest.raises(PackagesUnavailableError):
        engine.preview(program)


def test_an_interrupt_reaches_what_is_being_installed(project: PulumiProject, tmp_path: Path) -> None:
    packages = OneEnvironment(tmp_path)
    PulumiEngine(project.settings(), LinuxProcesses(), packages=packages).interrupt()
    assert packages.interrupted
