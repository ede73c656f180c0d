"""Restored files replace the old ones, from any phase that a killed run had reached."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from chatons.images.backup_agent.errors import AgentError
from chatons.images.backup_agent.restore_files import PROGRESS, REPLACED, phase, recover, replace
from chatons.images.backup_agent.snapshot import RESTORED

OLD = {"a": "old a", "b": "old b", "only-old": "1"}
NEW = {"a": "new a", "b": "new b", "only-new": "2"}


def write(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def at(root: Path, reached: str, moved: int) -> Path:
    """A volume after a run that was killed in a phase, when it had moved `moved` entries."""
    root.mkdir()
    fresh = root / RESTORED / str(root).lstrip("/")
    write(fresh, NEW)
    if reached == "replacing":
        write(root / REPLACED, dict(list(OLD.items())[:moved]))
        write(root, dict(list(OLD.items())[moved:]))
    else:
        write(root / REPLACED, OLD)
        for name in list(NEW)[:moved]:
            (fresh / name).rename(root / name)
    (root / PROGRESS).write_text(json.dumps({"snapshot": "one", "phase": reached}))
    return fresh


@pytest.mark.parametrize("reached", ["replacing", "placing"])
@pytest.mark.parametrize("moved", range(4))
def test_the_same_restore_completes_from_any_phase(tmp_path: Path, reached: str, moved: int) -> None:
    root = tmp_path / "volume"
    fresh = at(root, reached, moved)
    recover(root, "one")
    replace(root, fresh)
    assert contents(root) == NEW
    replace(root, fresh)
    assert contents(root) == NEW


@pytest.mark.parametrize(("reached", "left"), [("restoring", OLD), ("replacing", OLD), ("placing", NEW)])
@pytest.mark.parametrize("moved", range(4))
def test_a_restore_of_another_snapshot_undoes_one_that_had_not_begun_to_place_files(
    tmp_path: Path, reached: str, left: dict[str, str], moved: int
) -> None:
    root = tmp_path / "volume"
    if reached == "restoring":
        at(root, "replacing", 0)
        (root / PROGRESS).write_text(json.dumps({"snapshot": "one", "phase": "restoring"}))
    else:
        at(root, reached, moved)
    recover(root, "another")
    assert contents(root) == left
    assert phase(root) is None


def test_interrupted_cleaning_is_completed(tmp_path: Path) -> None:
    root = tmp_path / "volume"
    at(root, "placing", 3)
    (root / PROGRESS).write_text(json.dumps({"snapshot": "one", "phase": "cleaning"}))
    shutil.rmtree(root / RESTORED)
    replace(root, root / RESTORED / "x")
    assert contents(root) == NEW


def test_the_mode_of_the_volume_is_restored(tmp_path: Path) -> None:
    root = tmp_path / "volume"
    fresh = at(root, "replacing", 1)
    fresh.chmod(0o711)
    replace(root, fresh)
    assert root.stat().st_mode & 0o7777 == 0o711


def test_a_phase_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / PROGRESS).write_text("{")
    with pytest.raises(AgentError, match="cannot read the phase"):
        phase(tmp_path)
