"""How the lines of /proc are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from ronron.adapters.processes import LinuxProcesses


def proc(root: Path, pid: int, name: str, state: str = "S") -> LinuxProcesses:
    """A /proc with one process; only the fields that are read have other values than 0."""
    fields = [state, "1", "77", str(pid), *["0"] * 15, "123456", "0", "0"]
    (root / "sys/kernel/random").mkdir(parents=True)
    (root / "sys/kernel/random/boot_id").write_text("f00d-cafe\n")
    (root / str(pid)).mkdir()
    (root / str(pid) / "stat").write_text(f"{pid} ({name}) {' '.join(fields)}\n")
    return LinuxProcesses(proc=root, host="pica01")


def test_a_mark_holds_host_boot_id_and_start(tmp_path: Path) -> None:
    mark = proc(tmp_path, 42, "pulumi").mark_of(42)
    assert mark is not None
    assert (mark.host, mark.boot, mark.pid, mark.started) == ("pica01", "f00d-cafe", 42, 123456)


@pytest.mark.parametrize("name", ["pulumi", "a) S 1 2", "(x)", "two words"])
def test_a_name_with_brackets_and_blanks_moves_no_field(tmp_path: Path, name: str) -> None:
    processes = proc(tmp_path, 42, name)
    mark = processes.mark_of(42)
    assert mark is not None
    assert mark.started == 123456
    assert processes.name_of(42) == name
    assert processes.in_session(42) == (42,)


@pytest.mark.parametrize("state", ["Z", "X"])
def test_a_zombie_is_dead(tmp_path: Path, state: str) -> None:
    processes = proc(tmp_path, 42, "pulumi", state)
    assert processes.mark_of(42) is None
    assert processes.name_of(42) is None
    assert processes.in_session(42) == ()
