"""Git sources that are killed, and those that get in each other's way."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from ronron.adapters.git_source.locks import locked
from ronron.adapters.processes import LinuxProcesses
from ronron.core.errors import SourceError, SourceUnavailableError
from tests.support.git_servers import Daemon, daemon
from tests.support.git_sources import (
    LOOK,
    ends,
    is_whole,
    kill_all,
    refusal,
    running,
    source,
    tell,
    working_in,
)
from tests.support.repositories import Repository

CUT = 1 << 16
"""Bytes after which answers stall: far more than a list of references, far less than the history."""

FILES = {"Pulumi.yaml": "name: ours\n", "app/__main__.py": "print('hello')\n"}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """With a commit on main that takes a while to send."""
    made = Repository.create(tmp_path / "ours.git")
    made.commit({**FILES, "large": os.urandom(1 << 20)})
    return made


@pytest.fixture
def server() -> Iterator[Daemon]:
    with daemon() as serving:
        yield serving


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """Where sources keep what is their own; no process may be left there at the end of any test."""
    yield tmp_path / "state"
    left = working_in(tmp_path / "state")
    kill_all(tmp_path / "state")
    assert left == {}


# -- fetches that die ------------------------------------------------------------------------------


def test_after_a_killed_fetch_the_next_one_works(server: Daemon, repository: Repository, state: Path) -> None:
    server.after = CUT
    with running(LOOK, server.url(repository.path), state) as process:
        assert server.stalled.wait(30)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        assert [arguments for arguments in working_in(state).values() if " fetch " in arguments]
    server.after = None
    ours = source(server.url(repository.path), state)
    assert ours.refresh()
    assert ends(lambda: not working_in(state))
    assert ours.read(ours.resolve("main"), "Pulumi.yaml") == FILES["Pulumi.yaml"]
    assert is_whole(state)


def test_a_killed_fetch_takes_nothing_away(server: Daemon, repository: Repository, state: Path) -> None:
    ours = source(server.url(repository.path), state)
    ours.refresh()
    before = ours.resolve("main")
    repository.commit({"more": os.urandom(1 << 20)})
    server.after = CUT
    with running(LOOK, server.url(repository.path), state) as process:
        assert server.stalled.wait(30)
        process.kill()
        process.wait(10)
    restarted = source(server.url(repository.path), state)
    assert restarted.resolve("main") == before
    with restarted.checkout(before) as directory:
        assert (directory / "Pulumi.yaml").read_text() == FILES["Pulumi.yaml"]
    server.after = None
    assert restarted.refresh()
    assert restarted.resolve("main").commit == repository.at("refs/heads/main")
    assert is_whole(state)


def test_a_git_that_is_killed_alone_is_an_error_and_the_next_fetch_works(
    server: Daemon, repository: Repository, state: Path
) -> None:
    server.after = CUT
    ours = source(server.url(repository.path), state)
    with ThreadPoolExecutor(1) as threads:
        looking = threads.submit(ours.refresh)
        assert server.stalled.wait(30)
        kill_all(state)
        with pytest.raises(SourceError, match="cannot poll"):
            looking.result(30)
    server.after = None
    assert ours.refresh()
    assert is_whole(state)


def test_an_interrupted_source_takes_its_git_with_it(
    server: Daemon, repository: Repository, state: Path
) -> None:
    server.after = CUT
    with running(LOOK, server.url(repository.path), state) as process:
        assert server.stalled.wait(30)
        process.send_signal(signal.SIGINT)
        process.wait(10)
        assert ends(lambda: not working_in(state))
    server.after = None
    assert source(server.url(repository.path), state).refresh()
    assert is_whole(state)


def test_a_fetch_that_stalls_is_given_up_with_all_its_processes(
    server: Daemon, repository: Repository, state: Path
) -> None:
    server.after = CUT
    ours = source(server.url(repository.path), state, timeout=timedelta(seconds=1))
    error = refusal(ours.refresh, SourceUnavailableError)
    assert error.message == f"cannot poll {ours.address}: no answer within 1 s"
    assert ends(lambda: not working_in(state))
    server.after = None
    assert source(server.url(repository.path), state).refresh()
    assert is_whole(state)


@pytest.mark.parametrize("when", range(6))
def test_a_source_that_is_killed_at_any_moment_leaves_a_mirror_that_works(
    repository: Repository, state: Path, when: int
) -> None:
    with running(LOOK, str(repository.path), state) as process:
        # The first look takes some 60 ms; this is how far it gets, not a wait for something.
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.005 + 0.015 * when)
        process.kill()
    ours = source(repository.path, state)
    ours.refresh()
    assert ours.resolve("main").commit == repository.at("refs/heads/main")
    with ours.checkout(ours.resolve("main")) as directory:
        assert (directory / "large").stat().st_size == 1 << 20
    assert is_whole(state)
    assert ends(lambda: not working_in(state))


def test_helpers_that_outlive_both_git_and_its_owner_give_up_the_lock(state: Path) -> None:
    state.mkdir()
    code = """
import subprocess, sys
from datetime import timedelta
from pathlib import Path
from ronron.adapters.git_source.locks import locked
from ronron.adapters.processes import LinuxProcesses
print("ready", flush=True)
with locked(Path(sys.argv[2], "lock"), timedelta(seconds=1), LinuxProcesses()) as held:
    git = subprocess.Popen(
        ["sh", "-c", "sleep 600 & wait"], cwd=sys.argv[2], start_new_session=True, pass_fds=[held.descriptor]
    )
    held.working(git.pid)
    print(git.pid, flush=True)
    sys.stdin.read()
"""
    with running(code, "", state) as process:
        assert process.stdout is not None
        git_ = int(process.stdout.readline())
        assert ends(lambda: len(working_in(state)) == 2)
        process.kill()
        process.wait(10)
        os.kill(git_, signal.SIGKILL)
        assert ends(lambda: list(working_in(state).values()) == ["sleep 600 "])
        with locked(state / "lock", timedelta(seconds=10), LinuxProcesses()) as held:
            assert held.unclean
        assert ends(lambda: not working_in(state))


# -- locks -----------------------------------------------------------------------------------------

LEFT = [
    *("HEAD.lock", "config.lock", "packed-refs.lock", "shallow.lock", "refs/heads/main.lock"),
    *("refs/heads/new.lock", "objects/info/commit-graph.lock", "objects/pack/tmp_pack_0123AB"),
]


@pytest.mark.parametrize("name", LEFT)
def test_a_lock_that_a_dead_process_left_is_removed_where_it_hinders(
    repository: Repository, state: Path, name: str
) -> None:
    ours = source(repository.path, state)
    ours.refresh()
    left = state / "mirror" / name
    left.parent.mkdir(parents=True, exist_ok=True)
    left.touch()
    # What a process that was killed in its fetch leaves in our own lock.
    (state / "mirror.lock").write_text("dead")
    new = repository.commit({"a": "b"})
    repository.commit({"a": "c"}, branch="new")
    repository.git("pack-refs", "--all")
    assert ours.refresh()
    assert ours.resolve("main").commit == new
    assert is_whole(state)


def test_a_lock_in_the_way_is_removed_even_when_nobody_is_known_to_have_died(
    repository: Repository, state: Path
) -> None:
    ours = source(repository.path, state)
    ours.refresh()
    (state / "mirror" / "refs" / "heads" / "main.lock").touch()
    new = repository.commit({"a": "b"})
    assert ours.refresh()
    assert ours.resolve("main").commit == new
    assert is_whole(state)


def test_locks_of_a_process_that_lives_are_respected(
    server: Daemon, repository: Repository, state: Path
) -> None:
    url = server.url(repository.path)
    server.after = CUT
    with running(LOOK, url, state) as process:
        assert server.stalled.wait(30)
        mirror = next((state / "mirrors").iterdir())
        theirs = mirror / "config.lock"
        theirs.touch()
        before = working_in(state)
        error = refusal(source(url, state, timeout=timedelta(seconds=1)).refresh, SourceUnavailableError)
        lock = state / "mirror.lock"
        assert error.message == f"cannot poll {url}: another process has locked {lock}"
        assert f"`fuser -v {lock}`" in error.hint
        assert theirs.exists()
        assert before
        assert before.items() <= working_in(state).items()
        assert process.poll() is None
        theirs.unlink()
        process.send_signal(signal.SIGINT)
        process.wait(10)


def test_many_processes_may_begin_with_the_same_state(repository: Repository, state: Path) -> None:
    with ThreadPoolExecutor(3) as threads:
        seen = list(threads.map(lambda _: tell(str(repository.path), state), range(3)))
    assert seen == [["Pulumi.yaml", "app", "large"]] * 3
    assert len(list((state / "mirrors").iterdir())) == 1
    assert is_whole(state)
