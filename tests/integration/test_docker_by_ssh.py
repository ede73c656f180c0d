"""Backups of a service on a machine that is reached by ssh: a real sshd in front of a real Docker."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ronron.adapters.docker_agents.backups import DockerBackups
from ronron.adapters.docker_agents.failures import DockerContainerFailures
from ronron.adapters.docker_agents.services import DockerServiceContainers
from ronron.core.containers import ContainerState
from ronron.core.errors import AgentUnreachableError, BackupError
from ronron.core.inventory import Inventory
from ronron.core.operations import ContainerPlace
from ronron.ports.services import Streams
from tests.support.backed_up import NAME, BackedUp, backed_up
from tests.support.containers import runs
from tests.support.double_images import ensure_doubles
from tests.support.ssh_to_docker import Sshd, new_key, ssh_agent, sshd

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.timeout(300)

CONNECTS = """
import sys, time
from pathlib import Path
from ronron.adapters.docker_agents.connection import connected
from ronron.core.inventory import Inventory
inventory = Inventory.model_validate_json(sys.argv[1])
with connected(inventory, "board", inventory.services["board"], "look at") as client:
    client.version()
    print(Path("/proc/thread-self/children").read_text(), flush=True)
    time.sleep(60)
"""
"""A reconciler of its own, to be killed while it is connected."""


@pytest.fixture(scope="module")
def board(postgres_image: str, agent_image: str) -> Iterator[BackedUp]:
    with backed_up(postgres_image, agent_image, ensure_doubles()["kanboard"]) as made:
        made.write("over there")
        yield made


@pytest.fixture(scope="module")
def machine(board: BackedUp) -> Iterator[Sshd]:
    with tempfile.TemporaryDirectory(prefix="ronron-test-") as place:
        yield sshd(board.here, Path(place))


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ronron-test-") as made:  # a socket's path has to be short
        yield Path(made)


@pytest.fixture
def let_in(place: Path, machine: Sshd, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with ssh_agent(place, machine.key) as socket:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        yield


def nobody(line: str) -> None:
    """For who does not want to be told."""


def reached(board: BackedUp, address: str, host_key: str | None) -> Inventory:
    """The board's inventory, with another way to its machine."""
    document = board.inventory.model_dump(mode="json")
    document["machines"] = {"here": {"docker": address, "host_key": host_key}}
    return Inventory.model_validate(document)


def test_every_call_works_by_ssh(board: BackedUp, machine: Sshd, let_in: None, tmp_path: Path) -> None:
    inventory, backups = reached(board, machine.address, machine.host_key), DockerBackups()
    taken = backups.snapshot(inventory, NAME, "asked", None)
    assert taken.counts["tasks"] == len(board.titles())
    assert backups.snapshots(inventory, NAME)[0] == taken
    assert backups.status(inventory, NAME).reachable

    backups.export(inventory, NAME, taken, tmp_path / "place")
    assert (tmp_path / "place" / "database.pgdump").stat().st_size == taken.database.bytes  # type: ignore[union-attr]

    (tmp_path / "records").write_bytes(b"a record" * 100_000)
    bundle = tmp_path / "bundle.tar"
    subprocess.run(["tar", "-cf", str(bundle), "-C", str(tmp_path), "records"], check=True, timeout=30)
    assert re.fullmatch("[0-9a-f]{8,64}", backups.back_up_bundle(inventory, NAME, bundle))

    board.write("after the snapshot")
    restored = backups.restore(inventory, NAME, taken, safety_snapshot=False, log=nobody)
    assert dict(restored.counts) == dict(taken.counts)
    assert board.titles() == ["over there"]


def test_log_and_programs_work_by_ssh(board: BackedUp, machine: Sshd, let_in: None) -> None:
    inventory, services = reached(board, machine.address, machine.host_key), DockerServiceContainers()
    (container, *_) = inventory.services[NAME].containers
    lines: list[str] = []
    services.log(inventory, "here", container, lines.append, lines=5)
    assert lines

    ours, theirs = os.pipe()
    os.write(theirs, b"hello\n")
    os.close(theirs)
    out, err = io.BytesIO(), io.BytesIO()
    words = ["sh", "-c", "cat; echo why >&2; exit 3"]
    code = services.execute(inventory, "here", container, words, Streams(ours, out, err))
    os.close(ours)
    assert (code, out.getvalue(), err.getvalue()) == (3, b"hello\n", b"why\n")

    services.restart(inventory, "here", container)
    assert services.look(inventory, "here", container).state is ContainerState.RUNNING
    place = ContainerPlace(name=container, machine="here", docker=machine.address, host_key=machine.host_key)
    with DockerContainerFailures().watch() as watch:
        watch.begun(place)
        found = watch.reason(place)
    assert found is not None
    assert not found.unknown


def test_a_connection_leaves_nothing_behind(
    board: BackedUp, machine: Sshd, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = place / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))  # the machine's own has files of others
    with ssh_agent(place, machine.key) as socket:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        children = Path("/proc/thread-self/children").read_text()
        DockerBackups().status(reached(board, machine.address, machine.host_key), NAME)
        assert Path("/proc/thread-self/children").read_text() == children
    assert list(temporary.iterdir()) == []


def test_another_host_key_than_the_declared_one_is_refused(
    board: BackedUp, machine: Sshd, let_in: None, place: Path
) -> None:
    other = new_key(place / "other").with_suffix(".pub").read_text().split()
    with pytest.raises(AgentUnreachableError, match="its host key differs from the declared one") as refused:
        DockerBackups().status(reached(board, machine.address, " ".join(other[:2])), NAME)
    assert "declare it as `host_key`" in refused.value.hint


def test_a_refused_login_is_reported_in_the_words_of_ssh(
    board: BackedUp, machine: Sshd, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ssh_agent(place) as socket:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        with pytest.raises(AgentUnreachableError, match="Permission denied"):
            DockerBackups().status(reached(board, machine.address, machine.host_key), NAME)


def test_a_refused_connection_is_reported_in_the_words_of_ssh(board: BackedUp, machine: Sshd) -> None:
    nowhere = machine.address.replace(":2222", ":2223")
    with pytest.raises(AgentUnreachableError, match="Connection refused"):
        DockerBackups().status(reached(board, nowhere, machine.host_key), NAME)


def test_a_user_who_may_not_use_docker_gets_the_command_that_allows_it(
    board: BackedUp, machine: Sshd, let_in: None
) -> None:
    inventory = reached(board, machine.address, machine.host_key)
    assert runs(machine.container, "gpasswd", "--delete", "tech", "dockers")[0] == 0
    try:
        with pytest.raises(AgentUnreachableError, match="open failed") as refused:
            DockerBackups().status(inventory, NAME)
    finally:
        assert runs(machine.container, "gpasswd", "--add", "tech", "dockers")[0] == 0
    assert "usermod -aG docker tech" in refused.value.hint
    assert DockerBackups().status(inventory, NAME).service == NAME


@pytest.mark.parametrize("address", ["tcp://192.0.2.1:2375", "ssh://192.0.2.1", "ssh://tech@192.0.2.1"])
def test_an_unsafe_address_is_refused(board: BackedUp, address: str) -> None:
    with pytest.raises(BackupError, match="neither unix:///path nor ssh://user@host with a host key"):
        DockerBackups().status(reached(board, address, None), NAME)


def test_ssh_ends_with_a_reconciler_that_is_killed(board: BackedUp, machine: Sshd, let_in: None) -> None:
    inventory = reached(board, machine.address, machine.host_key)
    words = [sys.executable, "-c", CONNECTS, inventory.model_dump_json()]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        ssh = int(child.stdout.readline())
        assert Path(f"/proc/{ssh}/comm").read_text().strip() == "ssh"
        os.kill(child.pid, signal.SIGKILL)
    end = time.monotonic() + 30
    while Path(f"/proc/{ssh}").exists() and "State:\tZ" not in Path(f"/proc/{ssh}/status").read_text():
        assert time.monotonic() < end
        time.sleep(0.05)
