"""Locks of Pulumi's own backends: whose they are, and which may be removed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ronron.adapters.pulumi_engine.locks import Lock, file_locks, free, locked, named_locks, proven_dead
from ronron.testing import FakeProcesses
from ronron.testing.processes import OURS

SINCE = "2026-11-25T03:49:26.572069695Z"
TOLD = f"""error: the stack is currently locked by 2 lock(s). Either wait for the other process(es) to end or
delete the lock file with `pulumi cancel`.
  file:///var/lib/ronron/.pulumi/locks/organization/tiny/dev/86c2fc7c.json: created by tech@old01.example \
(pid 4711) at {SINCE}
  file:///var/lib/ronron/.pulumi/locks/organization/tiny/dev/97d3ad8d.json: created by alice b@laptop \
(pid 12) at 2026-11-25T03:50:00Z
"""


def write(backend: Path, where: str, **changes: object) -> Path:
    content = {"pid": 4711, "username": "tech", "hostname": "here", "timestamp": SINCE, **changes}
    file = backend / ".pulumi" / "locks" / where
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))
    file.with_name(f"{file.name}.attrs").write_text("{}")
    return file


@pytest.mark.parametrize("stack", ["dev", "organization/tiny/dev"])
def test_a_lock_is_found_by_project_and_stack(tmp_path: Path, stack: str) -> None:
    file = write(tmp_path, "organization/tiny/dev/1.json")
    write(tmp_path, "organization/tiny/production/1.json")
    write(tmp_path, "organization/other/dev/1.json")
    assert file_locks(tmp_path, "tiny", stack) == (Lock(4711, "here", "tech", SINCE, file),)


def test_a_lock_of_an_old_state_directory_is_found_too(tmp_path: Path) -> None:
    file = write(tmp_path, "dev/1.json")
    assert [lock.file for lock in file_locks(tmp_path, "tiny", "dev")] == [file]


def test_a_backend_without_locks_has_none(tmp_path: Path) -> None:
    assert file_locks(tmp_path / "none", "tiny", "dev") == ()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"pid": "no number"}', "\xff"])
def test_a_lock_that_cannot_be_read_is_held_by_somebody_unknown(tmp_path: Path, content: str) -> None:
    file = write(tmp_path, "organization/tiny/dev/1.json")
    file.write_text(content, encoding="latin-1")
    (lock,) = file_locks(tmp_path, "tiny", "dev")
    assert proven_dead(lock, FakeProcesses()) is False


def test_locks_are_read_out_of_the_engines_words() -> None:
    assert named_locks(TOLD) == (
        Lock(4711, "old01.example", "tech", SINCE),
        Lock(12, "laptop", "alice b", "2026-11-25T03:50:00Z"),
    )


def test_words_without_a_lock_name_none() -> None:
    assert named_locks("error: no stack named 'dev' found") == ()


def test_an_owner_whose_id_nobody_has_is_dead() -> None:
    processes = FakeProcesses()
    mark = processes.spawn("pulumi")
    lock = Lock(mark.pid, processes.host, "tech", SINCE)
    assert proven_dead(lock, processes) is False
    processes.end(mark)
    assert proven_dead(lock, processes) is True


def test_an_owner_whose_id_is_another_program_now_is_dead() -> None:
    assert proven_dead(Lock(OURS, "here", "tech", SINCE), FakeProcesses()) is True


@pytest.mark.parametrize("name", ["pulumi", "pulumi-engine", "my-pulumi"])
def test_an_id_that_is_an_engine_proves_nothing(name: str) -> None:
    processes = FakeProcesses()
    mark = processes.spawn(name)
    assert proven_dead(Lock(mark.pid, processes.host, "tech", SINCE), processes) is False


@pytest.mark.parametrize("host", ["elsewhere", "HERE", ""])
def test_an_owner_on_another_host_is_never_proven_dead(host: str) -> None:
    assert proven_dead(Lock(999999, host, "tech", SINCE), FakeProcesses()) is False


def test_only_the_given_locks_are_removed_with_what_belongs_to_them(tmp_path: Path) -> None:
    mine, other = (write(tmp_path, f"organization/tiny/dev/{number}.json") for number in (1, 2))
    lock = next(one for one in file_locks(tmp_path, "tiny", "dev") if one.file == mine)
    free([lock, lock, Lock(1, "here", "tech", SINCE)])
    assert sorted(mine.parent.iterdir()) == [other, other.with_name("2.json.attrs")]


def test_the_error_names_every_owner_and_the_way_out() -> None:
    error = locked(named_locks(TOLD), "dev")
    assert "tech@old01.example (process 4711) since 2026-11-25T03:49:26" in error.message
    assert "alice b@laptop (process 12)" in error.message
    assert "`ronron pulumi dev -- cancel`" in error.hint
    assert error.retryable


def test_the_error_says_so_where_the_owner_is_not_known() -> None:
    assert locked([], "dev").message == "the stack is locked by another process"
