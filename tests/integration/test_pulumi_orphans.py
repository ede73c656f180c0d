"""The real engine when its reconciler dies: what goes on, what the next one finds, and what it may do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from ronron.adapters.processes import LinuxProcesses
from ronron.adapters.pulumi_engine.engine import PulumiEngine
from ronron.core.errors import PendingOperationsError, StackLockedError
from ronron.core.model import Preview, ProcessMark
from ronron.testing import Thing
from tests.support.engine_worlds import resources_in
from tests.support.pulumi_project import PulumiProject, nothing, until

pytestmark = pytest.mark.timeout(180)

ROOT = Path(__file__).resolve().parents[2]
LAMP, SOFA = Thing("lamp"), Thing("sofa", parent="lamp")
PROCESSES = LinuxProcesses()

RECONCILER = """
import json, pathlib, sys
from ronron.core.model import Preview
from tests.support.pulumi_project import PulumiProject

root, preview, waits = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "waits"
project = PulumiProject.at(root)

def started(mark):
    (root / "mark.json").write_text(mark.model_dump_json())
    if waits:
        sys.stdin.read()

project.engine().update(project.program(), Preview.model_validate_json(preview), started)
"""
"""A process that does what the reconciler does with an engine, and can be killed."""


@pytest.fixture
def project(tmp_path: Path) -> PulumiProject:
    return PulumiProject(tmp_path)


class Reconciler:
    """An update in a process of its own, that can be killed like one."""

    def __init__(self, project: PulumiProject, preview: Preview, *, waits: bool = False) -> None:
        self._project = project
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                RECONCILER,
                project.root,
                preview.model_dump_json(),
                "waits" if waits else "",
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
        )

    def kill(self) -> ProcessMark:
        """SIGKILL, and the mark that it wrote down."""
        note = self._project.root / "mark.json"
        until(lambda: note.exists() and note.read_text().endswith("}"), "the mark of the engine")
        self.process.kill()
        self.process.communicate()
        return ProcessMark.model_validate_json(note.read_text())


@pytest.fixture
def orphaned(project: PulumiProject) -> Iterator[Callable[[], tuple[ProcessMark, PulumiEngine]]]:
    """Kill a reconciler while its engine makes the lamp, and give what it wrote down and its successor."""
    marks: list[ProcessMark] = []

    def kill() -> tuple[ProcessMark, PulumiEngine]:
        project.declare(LAMP, SOFA)
        engine = project.engine()
        preview = engine.preview(project.program(create_stack=True))
        project.hold("lamp")
        reconciler = Reconciler(project, preview)
        project.await_begun("lamp")
        marks.append(reconciler.kill())
        return marks[0], engine

    yield kill
    project.let_go("lamp")
    for pid in project.left():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


Orphaned = Callable[[], tuple[ProcessMark, PulumiEngine]]


def test_the_engine_of_a_killed_reconciler_is_stopped_gently_and_its_work_kept(
    project: PulumiProject, orphaned: Orphaned
) -> None:
    mark, engine = orphaned()
    assert PROCESSES.alive(mark)
    found: list[str] = []
    settling = threading.Thread(
        target=lambda: found.append(engine.recover_from_crash(project.program(), mark))
    )
    settling.start()
    (up,) = project.work.glob("*-up.out")
    until(lambda: b"ancel" in up.read_bytes(), "the engine's word that it was asked to stop")
    project.let_go("lamp")
    settling.join()
    assert found == ["stopped its engine, which was still running"]
    assert project.left() == []
    state = engine.state(project.program())
    assert (resources_in(engine, project.program()), state.pending, project.locks()) == (1, (), [])
    updated = engine.update(project.program(), engine.preview(project.program()), nothing)
    assert [change.name for change in updated.changes if change.custom] == ["sofa"]
    assert (project.world / "lamp").read_text() == "made\n"


def test_an_engine_that_was_asked_to_stop_is_not_asked_again(
    project: PulumiProject, orphaned: Orphaned
) -> None:
    mark, _ = orphaned()
    impatient = project.engine(grace=timedelta(seconds=1))
    for _ in range(2):
        with pytest.raises(StackLockedError, match=f"process {mark.pid}") as caught:
            impatient.recover_from_crash(project.program(), mark)
        assert "it was asked to stop" in caught.value.hint
    project.let_go("lamp")
    until(lambda: not PROCESSES.alive(mark), "the end of the engine")
    # A second SIGINT would have left it half made.
    assert impatient.recover_from_crash(project.program(), mark) == "nothing was left"
    assert (project.world / "lamp").read_text() == "made\n"


def test_an_engine_that_survived_its_reconciler_may_end_by_itself(
    project: PulumiProject, orphaned: Orphaned
) -> None:
    mark, engine = orphaned()
    project.let_go("lamp")
    until(lambda: not PROCESSES.alive(mark), "the end of the engine")
    assert engine.recover_from_crash(project.program(), mark) == "nothing was left"
    assert engine.preview(project.program()).touching == ()


def test_an_engine_killed_with_its_reconciler_is_cleaned_up_and_its_half_thing_named(
    project: PulumiProject, orphaned: Orphaned
) -> None:
    mark, engine = orphaned()
    os.kill(mark.pid, signal.SIGKILL)
    until(lambda: not PROCESSES.alive(mark), "the end of the engine")
    assert project.left(), "its language host and provider go on"
    for _ in range(2):
        with pytest.raises(PendingOperationsError, match="lamp") as caught:
            engine.recover_from_crash(project.program(), mark)
        assert "ronron pulumi dev -- refresh" in caught.value.hint
    assert project.left() == []
    assert project.locks() == []
    # What the hint leads to, where the person has seen that there is no lamp.
    assert not (project.world / "lamp").exists()
    project.pulumi("refresh", "--yes", "--clear-pending-creates", "--stack", "dev")
    assert engine.recover_from_crash(project.program(), mark) == "nothing was left"
    project.let_go("lamp")
    engine.update(project.program(), engine.preview(project.program()), nothing)
    assert (project.world / "lamp").read_text() == "made\n"


def test_an_engine_whose_reconciler_died_before_it_wrote_that_down_never_begins(
    project: PulumiProject,
) -> None:
    project.declare(LAMP)
    engine = project.engine()
    preview = engine.preview(project.program(create_stack=True))
    mark = Reconciler(project, preview, waits=True).kill()
    until(lambda: not PROCESSES.alive(mark), "the end of what would have been the engine")
    assert engine.recover_from_crash(project.program(), mark) == "nothing was left"
    assert resources_in(engine, project.program()) == 0
    assert not project.begun("lamp")
    engine.update(project.program(), preview, nothing)
    assert (project.world / "lamp").read_text() == "made\n"
