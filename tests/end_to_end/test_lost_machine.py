"""The way back from a lost machine, by the words of docs/operations.md."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import docker
import pytest

from demo import throw_away
from tests.support.collectives import Collective, empty
from tests.support.lived_in import LivedIn

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def lived_in(collective: Collective, doubles: Mapping[str, str]) -> LivedIn:
    """A board and notes, watched for a while: the reconciler's own records are beside the snapshots."""
    one = LivedIn(collective, doubles, ("board", "notes"))
    one.begin()
    watched = collective.ronron("watch", "--once")
    assert watched.code == 0, watched.said
    taken = collective.ronron("backup", "now", "local")
    assert taken.code == 0, taken.said
    return one


def fetch(lived_in: LivedIn, agent_image: str) -> Path:
    """Step 2: restic from Debian, with the password of the repository and nothing else."""
    collective = lived_in.collective
    fetched, password = collective.root / "fetched", collective.root / "repository-password"
    fetched.mkdir()
    password.write_text(collective.sealed.clear)
    repository = f"/snapshots/{collective.name}-local/reconciler"
    with closing(docker.from_env()) as engine:
        for words in ("snapshots --tag reconciler", "restore latest --tag reconciler --target /fetched"):
            throw_away.run(
                engine,
                agent_image,
                ["restic", "-r", repository, *words.split()],
                environment={"RESTIC_PASSWORD_FILE": "/password"},
                volumes={
                    str(collective.snapshots): {"bind": "/snapshots", "mode": "rw"},
                    str(fetched): {"bind": "/fetched", "mode": "rw"},
                    str(password): {"bind": "/password", "mode": "ro"},
                },
            )
    return fetched


def agent_image(lived_in: LivedIn) -> str:
    with closing(docker.from_env()) as engine:
        return str(engine.containers.get(lived_in.container("board-backup")).attrs["Image"])


def test_without_its_state_directory_everything_is_known_again_and_nothing_is_made_twice(
    lived_in: LivedIn,
) -> None:
    """Takes over a minute: it goes through the documented way back, and every command starts the engine."""
    collective = lived_in.collective
    ronron = collective.ronron
    before, written = lived_in.things(), lived_in.read()
    history = ronron("history", "local", "--json").json()
    shutil.rmtree(collective.state)

    fetched = fetch(lived_in, agent_image(lived_in))
    recovered = ronron("recover", str(fetched))
    assert recovered.code == 0, recovered.said
    remove(lived_in, fetched)

    status = ronron("status", "--json")
    assert status.code == 1, "nobody has probed the services since"
    (environment,) = status.json()["environments"]
    assert environment["state"] == "live"
    assert {one["name"]: one["health"] for one in environment["services"]} == dict.fromkeys(
        lived_in.services, "unknown"
    )
    known = ronron("history", "local", "--json").json()
    assert known["passes"][-1] == history["passes"][-1], "the first pass is remembered"
    preview = ronron("preview", "local")
    assert preview.code == 0, preview.said
    assert "verdict: unchanged" in preview.out
    updated = ronron("update", "local")
    assert updated.code == 0, updated.said
    assert ronron("status").code == 0
    assert lived_in.things() == before
    assert lived_in.read() == written
    backups = ronron("backup", "status", "local")
    assert backups.code == 0, backups.said


def test_without_containers_and_volumes_the_services_come_back_with_what_was_written(
    lived_in: LivedIn,
) -> None:
    """Takes over a minute: every service is made again, then restored from its snapshot."""
    collective = lived_in.collective
    ronron = collective.ronron
    before, written = lived_in.things(), lived_in.read()
    image = agent_image(lived_in)
    shutil.rmtree(collective.state)
    lose_everything(collective)
    assert not collective.containers()

    fetched = fetch(lived_in, image)
    recovered = ronron("recover", str(fetched))
    assert recovered.code == 0, recovered.said
    remove(lived_in, fetched)
    refreshed = lived_in.pulumi("refresh", "--yes")
    assert refreshed.code == 0, refreshed.said
    updated = ronron("update", "local")
    assert updated.code == 0, updated.said
    after = lived_in.things()
    assert {part: sorted(found) for part, found in after.items()} == {
        part: sorted(found) for part, found in before.items()
    }, "as much as before, and nothing twice"

    for service in lived_in.services:
        restored = ronron("restore", "local", service, "--no-safety-snapshot", "--yes")
        assert restored.code == 0, restored.said
    assert lived_in.read() == written
    backups = ronron("backup", "status", "local")
    assert backups.code == 0, backups.said
    lived_in.board.write(lived_in.project, "life goes on")
    assert lived_in.board.titles(lived_in.project) == [*written["tasks"], "life goes on"]


def remove(lived_in: LivedIn, fetched: Path) -> None:
    """What restic has written in a container is root's."""
    with closing(docker.from_env()) as engine:
        empty(engine, str(fetched), lived_in.collective.images["edge"])
    fetched.rmdir()


def lose_everything(collective: Collective) -> None:
    """Every container, network and volume; the snapshots are elsewhere."""
    aside = collective.snapshots.with_name("elsewhere")
    collective.snapshots.rename(aside)
    collective.remove()
    aside.rename(collective.snapshots)
