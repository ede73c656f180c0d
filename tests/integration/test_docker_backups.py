"""Restores and drills on a real Docker, with a real service, when things go wrong."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ronron.adapters.docker_agents.backups import DockerBackups
from ronron.adapters.docker_agents.exec import run
from ronron.core.errors import AgentSilentError, BackupError
from ronron.core.inventory import Inventory
from tests.support.backed_up import NAME, BackedUp, backed_up
from tests.support.containers import runs
from tests.support.double_images import ensure_doubles

ROOT = Path(__file__).resolve().parents[2]
PICTURE = bytes(range(256)) * 256

pytestmark = pytest.mark.timeout(300)

RESTORES = """
import sys
from ronron.adapters.docker_agents.backups import DockerBackups
from ronron.core.inventory import Inventory
inventory = Inventory.model_validate_json(sys.argv[1])
backups = DockerBackups()
snapshot = backups.snapshots(inventory, "board")[0]
def told(line):
    print(line, flush=True)
if sys.argv[2] == "restore":
    backups.restore(inventory, "board", snapshot, keep=False, told=told)
else:
    backups.drill(inventory, "board", snapshot, told)
"""
"""A reconciler of its own, to be killed."""


@pytest.fixture(scope="module")
def shared(postgres_image: str, agent_image: str) -> Iterator[BackedUp]:
    with backed_up(postgres_image, agent_image, ensure_doubles()["kanboard"]) as made:
        yield made


@pytest.fixture
def board(shared: BackedUp) -> BackedUp:
    """An empty board; its repository has the snapshots of the tests before."""
    shared.begin_again()
    return shared


@pytest.fixture
def own(postgres_image: str, agent_image: str) -> Iterator[BackedUp]:
    """A board of one test, which destroys what `begin_again` does not mend."""
    with backed_up(postgres_image, agent_image, ensure_doubles()["kanboard"]) as made:
        yield made


@pytest.fixture
def backups() -> DockerBackups:
    return DockerBackups()


def nobody(line: str) -> None:
    """For who does not want to be told."""


def killed_when(board: BackedUp, what: str, line: str) -> None:
    """Let another process restore or drill, and kill it as soon as it says this."""
    words = [sys.executable, "-c", RESTORES, board.inventory.model_dump_json(), what]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        said = []
        for each in child.stdout:
            said.append(each)
            if line in each:
                child.kill()
                return
        raise AssertionError(said)


def test_destroyed_volumes_are_filled_again_with_the_same_data(
    board: BackedUp, backups: DockerBackups
) -> None:
    file = board.write("before the fire", PICTURE)
    owner = runs(board.board, "stat", "-c", "%u:%g %a", "/var/www/app/data/files")
    taken = backups.snapshot(board.inventory, NAME)

    board.sql("drop table comments, task_has_files, tasks, projects, users cascade")
    code, text = runs(board.board, "sh", "-c", "rm -rf /var/www/app/data/* /var/www/app/plugins/*")
    assert code == 0, text
    before = board.standing()

    told: list[str] = []
    restored = backups.restore(board.inventory, NAME, taken, keep=False, told=told.append)

    assert board.titles() == ["before the fire"]
    assert board.picture(file) == PICTURE
    assert runs(board.board, "stat", "-c", "%u:%g %a", "/var/www/app/data/files") == owner
    assert dict(restored.counts) == {"projects": 1, "tasks": 1, "task_has_files": 1}
    after = board.standing()
    assert {name: each[0] for name, each in after.items()} == {name: each[0] for name, each in before.items()}
    assert board.left() == []
    assert told[0] == "stopping board"
    assert told[-1] == "starting board again"


def test_what_a_restore_replaces_can_be_had_back(board: BackedUp, backups: DockerBackups) -> None:
    board.write("first")
    taken = backups.snapshot(board.inventory, NAME)
    file = board.write("second", PICTURE)
    restored = backups.restore(board.inventory, NAME, taken, told=nobody)
    assert board.titles() == ["first"]
    kept = next(each for each in backups.snapshots(board.inventory, NAME) if each.id == restored.kept)
    backups.restore(board.inventory, NAME, kept, told=nobody)
    assert board.titles() == ["first", "second"]
    assert board.picture(file) == PICTURE


def test_a_drill_leaves_the_running_service_as_it_is_and_nothing_behind(
    board: BackedUp, backups: DockerBackups
) -> None:
    file = board.write("a task", PICTURE)
    taken = backups.snapshot(board.inventory, NAME)
    board.write("after the snapshot")
    standing, titles = board.standing(), board.titles()

    result = backups.drill(board.inventory, NAME, taken, nobody)

    assert result.passed, result.detail
    assert result.probe.startswith("200 in ")
    assert result.detail.startswith("1 projects, 1 task_has_files, 1 tasks; 200 in ")
    assert board.standing() == standing
    assert board.titles() == titles
    assert board.picture(file) == PICTURE
    assert board.left() == []


def test_a_drill_finds_a_service_that_does_not_come_up_on_what_was_restored(
    board: BackedUp, backups: DockerBackups
) -> None:
    board.write()
    # The health check of the double asks the database; what it has to answer is promised by the inventory.
    service = board.inventory.services[NAME]
    assert service.backup is not None
    assert service.backup.probe is not None
    probe = service.backup.probe.model_copy(update={"contains": "a text that is not there"})
    backup = service.backup.model_copy(update={"probe": probe})
    services = {NAME: service.model_copy(update={"backup": backup})}
    inventory = board.inventory.model_copy(update={"services": services})
    standing = board.standing()
    result = backups.drill(inventory, NAME, backups.snapshot(inventory, NAME), nobody)
    assert not result.passed
    assert "without the text 'a text that is not there'" in result.detail
    assert dict(result.counts) == dict(result.promised)
    assert board.standing() == standing
    assert board.left() == []


def test_a_killed_drill_is_cleared_away_by_the_next_one(board: BackedUp, backups: DockerBackups) -> None:
    board.write()
    taken = backups.snapshot(board.inventory, NAME)
    standing = board.standing()
    killed_when(board, "drill", "restoring snapshot")
    assert board.left(), "otherwise there is nothing to clear away"
    assert board.standing() == standing
    told: list[str] = []
    result = backups.drill(board.inventory, NAME, taken, told.append)
    assert result.passed, result.detail
    assert any(line.startswith("removed what an interrupted drill has left: ") for line in told)
    assert board.left() == []
    assert board.standing() == standing


@pytest.mark.parametrize(
    "line", ["stopping board", "restoring the database", "restoring 1 files", "in place"]
)
def test_a_restore_that_is_killed_anywhere_is_done_by_the_next_one(
    board: BackedUp, backups: DockerBackups, line: str
) -> None:
    file = board.write("before the fire", PICTURE)
    taken = backups.snapshot(board.inventory, NAME)
    board.write("lost")
    killed_when(board, "restore", line)
    backups.restore(board.inventory, NAME, taken, keep=False, told=nobody)
    assert board.titles() == ["before the fire"]
    assert board.picture(file) == PICTURE
    assert board.left() == []


@dataclass
class Interrupting:
    """Is told what happens, and does something at one line: a Ctrl-C, unless it is said otherwise.

    Args:
        line: begins so.
        does: what.
    """

    line: str
    does: Callable[[], None] | None = None

    def __call__(self, line: str) -> None:
        if line.startswith(self.line):
            if self.does is None:
                raise KeyboardInterrupt
            self.does()


@pytest.mark.parametrize("line", ["stopping", "restoring the database", "restoring 1 files"])
def test_an_interrupted_restore_starts_the_service_again(
    board: BackedUp, backups: DockerBackups, line: str
) -> None:
    file = board.write("a task", PICTURE)
    taken = backups.snapshot(board.inventory, NAME)
    with pytest.raises(KeyboardInterrupt):
        backups.restore(board.inventory, NAME, taken, keep=False, told=Interrupting(line))
    board.await_board()
    assert board.titles() == ["a task"]
    assert board.picture(file) == PICTURE
    assert board.left() == []


@pytest.mark.parametrize(
    "line", ["starting an empty database", "restoring snapshot", "starting ronron-local"]
)
def test_an_interrupted_drill_leaves_nothing_behind(
    board: BackedUp, backups: DockerBackups, line: str
) -> None:
    board.write()
    taken = backups.snapshot(board.inventory, NAME)
    standing = board.standing()
    with pytest.raises(KeyboardInterrupt):
        backups.drill(board.inventory, NAME, taken, Interrupting(line))
    assert board.standing() == standing
    assert board.left() == []


def test_two_drills_of_one_service_do_not_disturb_each_other(board: BackedUp, backups: DockerBackups) -> None:
    board.write()
    taken = backups.snapshot(board.inventory, NAME)
    refused: list[str] = []

    def another() -> None:
        with pytest.raises(BackupError, match="another drill of it is under way") as error:
            backups.drill(board.inventory, NAME, taken, nobody)
        refused.append(error.value.hint)

    result = backups.drill(board.inventory, NAME, taken, Interrupting("starting an empty database", another))
    assert result.passed, result.detail
    assert refused == ["wait until it has ended"]
    assert board.left() == []


def test_a_restore_that_fails_in_its_last_step_says_what_the_service_runs_on(
    board: BackedUp, backups: DockerBackups
) -> None:
    file = board.write("a task", PICTURE)
    taken = backups.snapshot(board.inventory, NAME)
    stop = Interrupting("putting the restored database", lambda: board.database.stop(timeout=30))
    with pytest.raises(BackupError, match="with the snapshot's files and the database that it had"):
        backups.restore(board.inventory, NAME, taken, keep=False, told=stop)
    board.database.start()
    board.await_board()
    backups.restore(board.inventory, NAME, taken, keep=False, told=nobody)
    assert board.titles() == ["a task"]
    assert board.picture(file) == PICTURE


def test_a_database_that_does_not_answer_leaves_the_service_on_what_it_had(
    board: BackedUp, backups: DockerBackups
) -> None:
    file = board.write("a task", PICTURE)
    taken = backups.snapshot(board.inventory, NAME)
    board.database.stop(timeout=30)
    with pytest.raises(BackupError, match="board is started again on what it had") as failed:
        backups.restore(board.inventory, NAME, taken, keep=False, told=nobody)
    assert failed.value.hint
    board.database.start()
    board.await_board()
    assert board.titles() == ["a task"]
    assert board.picture(file) == PICTURE
    assert board.left() == []


def test_a_snapshot_that_fails_stops_the_restore_before_it_begins(
    own: BackedUp, backups: DockerBackups
) -> None:
    own.write()
    taken = backups.snapshot(own.inventory, NAME)
    standing = own.standing()
    code, text = runs(own.agent, "sh", "-c", "mv /repository/config /repository/config.gone")
    assert code == 0, text
    with pytest.raises(BackupError) as failed:
        backups.restore(own.inventory, NAME, taken, told=nobody)
    assert failed.value.hint
    assert own.standing() == standing


def test_a_damaged_repository_fails_a_drill_or_says_so(own: BackedUp, backups: DockerBackups) -> None:
    own.write("a task", PICTURE)
    taken = backups.snapshot(own.inventory, NAME)
    standing = own.standing()
    spoil = "for pack in $(find /repository/data -type f); do chmod u+w $pack; printf spoilt 1<>$pack; done"
    code, text = runs(own.agent, "sh", "-c", spoil)
    assert code == 0, text
    result = backups.drill(own.inventory, NAME, taken, nobody)
    assert not result.passed
    assert result.detail
    assert own.standing() == standing
    assert own.left() == []


def test_an_agent_that_does_not_exist_any_more_is_named(own: BackedUp, backups: DockerBackups) -> None:
    name = own.agent.name
    own.agent.remove(force=True)
    with pytest.raises(AgentSilentError, match=f"cannot reach the container {name}: it does not exist"):
        backups.status(own.inventory, NAME)


def test_a_docker_that_nobody_listens_for_is_silent(tmp_path: Path, board: BackedUp) -> None:
    nowhere = board.inventory.model_dump(mode="json")
    nowhere["machines"]["here"]["docker"] = f"unix://{tmp_path}/docker.sock"
    with pytest.raises(AgentSilentError, match="cannot reach the Docker of here: no such file or directory"):
        DockerBackups().status(Inventory.model_validate(nowhere), NAME)


def test_an_answer_is_not_waited_for_longer_than_said(board: BackedUp) -> None:
    began = time.monotonic()
    with pytest.raises(AgentSilentError, match="did not end in time"):
        run(board.here.client, str(board.agent.name), ["sleep", "20"], seconds=1)
    assert time.monotonic() - began < 10


def test_an_answer_without_end_is_cut_off(board: BackedUp) -> None:
    with pytest.raises(BackupError, match="more than 8 MiB"):
        run(board.here.client, str(board.agent.name), ["head", "-c", "20000000", "/dev/zero"], seconds=60)
