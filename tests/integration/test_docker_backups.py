"""Restores and drills on a real Docker with a real service, and their failures."""

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
from ronron.core.errors import AgentUnreachableError, BackupError
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
def log(line):
    print(line, flush=True)
if sys.argv[2] == "restore":
    backups.restore(inventory, "board", snapshot, safety_snapshot=False, log=log)
else:
    backups.drill(inventory, "board", snapshot, log)
"""
"""A restore or a drill in another process, which a test kills."""


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
    """A board of one test, which destroys what `begin_again` does not restore."""
    with backed_up(postgres_image, agent_image, ensure_doubles()["kanboard"]) as made:
        yield made


@pytest.fixture
def backups() -> DockerBackups:
    return DockerBackups()


def ignore(line: str) -> None:
    """Ignore the line."""


def killed_when(board: BackedUp, what: str, line: str) -> None:
    """Restore or drill in another process, and kill it as soon as it prints `line`."""
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

    lines: list[str] = []
    restored = backups.restore(board.inventory, NAME, taken, safety_snapshot=False, log=lines.append)

    assert board.titles() == ["before the fire"]
    assert board.picture(file) == PICTURE
    assert runs(board.board, "stat", "-c", "%u:%g %a", "/var/www/app/data/files") == owner
    assert dict(restored.counts) == {"projects": 1, "tasks": 1, "task_has_files": 1}
    after = board.standing()
    assert {name: each[0] for name, each in after.items()} == {name: each[0] for name, each in before.items()}
    assert board.left() == []
    assert lines[0] == "stopping board"
    assert lines[-1] == "starting board again"


def test_a_safety_snapshot_can_be_restored(board: BackedUp, backups: DockerBackups) -> None:
    board.write("first")
    taken = backups.snapshot(board.inventory, NAME)
    file = board.write("second", PICTURE)
    restored = backups.restore(board.inventory, NAME, taken, log=ignore)
    assert board.titles() == ["first"]
    safety = next(
        each for each in backups.snapshots(board.inventory, NAME) if each.id == restored.safety_snapshot
    )
    backups.restore(board.inventory, NAME, safety, log=ignore)
    assert board.titles() == ["first", "second"]
    assert board.picture(file) == PICTURE


def test_a_drill_leaves_the_running_service_as_it_is_and_nothing_behind(
    board: BackedUp, backups: DockerBackups
) -> None:
    file = board.write("a task", PICTURE)
    taken = backups.snapshot(board.inventory, NAME)
    board.write("after the snapshot")
    standing, titles = board.standing(), board.titles()

    result = backups.drill(board.inventory, NAME, taken, ignore)

    assert result.passed, result.detail
    assert result.probe.startswith("200 in ")
    assert result.detail.startswith("1 project, 1 task_has_files, 1 task; 200 in ")
    assert board.standing() == standing
    assert board.titles() == titles
    assert board.picture(file) == PICTURE
    assert board.left() == []


def test_a_drill_finds_a_service_that_does_not_come_up_on_what_was_restored(
    board: BackedUp, backups: DockerBackups
) -> None:
    board.write()
    # The health check of the double asks the database; the inventory says what it has to answer.
    service = board.inventory.services[NAME]
    assert service.backup is not None
    assert service.backup.probe is not None
    probe = service.backup.probe.model_copy(update={"contains": "a text that is not there"})
    backup = service.backup.model_copy(update={"probe": probe})
    services = {NAME: service.model_copy(update={"backup": backup})}
    inventory = board.inventory.model_copy(update={"services": services})
    standing = board.standing()
    result = backups.drill(inventory, NAME, backups.snapshot(inventory, NAME), ignore)
    assert not result.passed
    assert "without the text 'a text that is not there'" in result.detail
    assert dict(result.counts) == dict(result.expected)
    assert board.standing() == standing
    assert board.left() == []


def test_the_next_drill_removes_what_a_killed_one_left(board: BackedUp, backups: DockerBackups) -> None:
    board.write()
    taken = backups.snapshot(board.inventory, NAME)
    standing = board.standing()
    killed_when(board, "drill", "restoring snapshot")
    assert board.left(), "otherwise there is nothing to clear away"
    assert board.standing() == standing
    lines: list[str] = []
    result = backups.drill(board.inventory, NAME, taken, lines.append)
    assert result.passed, result.detail
    assert any(line.startswith("removed what an interrupted drill left: ") for line in lines)
    assert board.left() == []
    assert board.standing() == standing


@pytest.mark.parametrize(
    "line", ["stopping board", "restoring the database", "restoring 1 file", "replacing the database"]
)
def test_the_next_restore_completes_one_that_was_killed(
    board: BackedUp, backups: DockerBackups, line: str
) -> None:
    file = board.write("before the fire", PICTURE)
    taken = backups.snapshot(board.inventory, NAME)
    board.write("lost")
    killed_when(board, "restore", line)
    backups.restore(board.inventory, NAME, taken, safety_snapshot=False, log=ignore)
    assert board.titles() == ["before the fire"]
    assert board.picture(file) == PICTURE
    assert board.left() == []


@dataclass
class Interrupting:
    """A log that does something at one line: raises KeyboardInterrupt by default.

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


@pytest.mark.parametrize("line", ["stopping", "restoring the database", "restoring 1 file"])
def test_an_interrupted_restore_starts_the_service_again(
    board: BackedUp, backups: DockerBackups, line: str
) -> None:
    file = board.write("a task", PICTURE)
    taken = backups.snapshot(board.inventory, NAME)
    with pytest.raises(KeyboardInterrupt):
        backups.restore(board.inventory, NAME, taken, safety_snapshot=False, log=Interrupting(line))
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


def test_a_second_drill_of_one_service_is_refused(board: BackedUp, backups: DockerBackups) -> None:
    board.write()
    taken = backups.snapshot(board.inventory, NAME)
    refused: list[str] = []

    def another() -> None:
        with pytest.raises(BackupError, match="another drill of it is running") as error:
            backups.drill(board.inventory, NAME, taken, ignore)
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
    stop = Interrupting("replacing the database", lambda: board.database.stop(timeout=30))
    with pytest.raises(BackupError, match="on the snapshot's files and its old database"):
        backups.restore(board.inventory, NAME, taken, safety_snapshot=False, log=stop)
    board.database.start()
    board.await_board()
    backups.restore(board.inventory, NAME, taken, safety_snapshot=False, log=ignore)
    assert board.titles() == ["a task"]
    assert board.picture(file) == PICTURE


def test_a_database_that_does_not_answer_leaves_the_service_on_what_it_had(
    board: BackedUp, backups: DockerBackups
) -> None:
    file = board.write("a task", PICTURE)
    taken = backups.snapshot(board.inventory, NAME)
    board.database.stop(timeout=30)
    with pytest.raises(BackupError, match="board is started again on its old data") as failed:
        backups.restore(board.inventory, NAME, taken, safety_snapshot=False, log=ignore)
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
        backups.restore(own.inventory, NAME, taken, log=ignore)
    assert failed.value.hint
    assert own.standing() == standing


def test_a_damaged_repository_fails_a_drill_or_says_so(own: BackedUp, backups: DockerBackups) -> None:
    own.write("a task", PICTURE)
    taken = backups.snapshot(own.inventory, NAME)
    standing = own.standing()
    spoil = "for pack in $(find /repository/data -type f); do chmod u+w $pack; printf spoilt 1<>$pack; done"
    code, text = runs(own.agent, "sh", "-c", spoil)
    assert code == 0, text
    result = backups.drill(own.inventory, NAME, taken, ignore)
    assert not result.passed
    assert result.detail
    assert own.standing() == standing
    assert own.left() == []


def test_an_agent_that_does_not_exist_any_more_is_named(own: BackedUp, backups: DockerBackups) -> None:
    name = own.agent.name
    own.agent.remove(force=True)
    with pytest.raises(AgentUnreachableError, match=f"cannot reach the container {name}: it does not exist"):
        backups.status(own.inventory, NAME)


def test_a_docker_without_a_socket_is_unreachable(tmp_path: Path, board: BackedUp) -> None:
    nowhere = board.inventory.model_dump(mode="json")
    nowhere["machines"]["here"]["docker"] = f"unix://{tmp_path}/docker.sock"
    with pytest.raises(
        AgentUnreachableError, match="cannot reach the Docker of here: no such file or directory"
    ):
        DockerBackups().status(Inventory.model_validate(nowhere), NAME)


def test_a_program_that_does_not_end_is_timed_out(board: BackedUp) -> None:
    began = time.monotonic()
    with pytest.raises(AgentUnreachableError, match="did not end in time"):
        run(board.here.client, str(board.agent.name), ["sleep", "20"], seconds=1)
    assert time.monotonic() - began < 10


def test_an_output_that_is_too_long_is_refused(board: BackedUp) -> None:
    with pytest.raises(BackupError, match="more than 8 MiB"):
        run(board.here.client, str(board.agent.name), ["head", "-c", "20000000", "/dev/zero"], seconds=60)
