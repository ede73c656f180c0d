"""A collective that was made by an earlier Ronron goes on with this one: records, stack, snapshots."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import docker
import pytest

from demo import throw_away
from tests.support.collectives import PROGRAM, PROJECT, Collective, Ran
from tests.support.lived_in import LivedIn

pytestmark = pytest.mark.timeout(600)

EARLIER = Path(__file__).parents[1] / "earlier" / "273dcc0.tar.xz"
SERVICES = ("board", "notes")


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The earlier Ronron, unpacked: both halves."""
    place = tmp_path_factory.mktemp("earlier")
    with tarfile.open(EARLIER) as archive:
        archive.extractall(place, filter="data")
    return place


class Earlier:
    """Runs the earlier reconciler on a collective."""

    def __init__(self, collective: Collective, place: Path) -> None:
        self.collective, self.place = collective, place

    def ronron(self, *words: str) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "reconciler.cli", *words],
            cwd=self.collective.root,
            env={**self.collective.environment, "PYTHONPATH": str(self.place)},
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def site(
    found_for_module: Callable[[], Collective], doubles: Mapping[str, str], earlier: Path
) -> Iterator[LivedIn]:
    """A board and a site of files made by the earlier Ronron, with something in them and a snapshot of it."""
    collective = found_for_module()
    site = LivedIn(collective, doubles, SERVICES)
    then = Earlier(collective, earlier)
    collective.policy(local={})
    collective.take_program(earlier, ("__main__.py", "components"))
    site.declare()
    stack_file = collective.tree / "stacks" / "Pulumi.local.yaml"
    now_declared = stack_file.read_text()
    stack_file.write_text(now_declared.replace("max_age:", "promise:"))
    collective.push()
    first = then.ronron("update", "local")
    assert first.code == 0, first.said
    site.project = site.board.settle()
    site.task = site.board.write(site.project, "clean up", cat_png=b"a cat")
    taken = then.ronron("backup", "now", "local")
    assert taken.code == 0, taken.said
    site.board.write(site.project, "after the snapshot")
    yield site
    collective.remove()
    site.forget_images()


def in_volumes(site: LivedIn, script: str) -> None:
    """Run a shell script in each volume of the collective; it must succeed."""
    mine = f"{site.collective.name}-"
    with closing(docker.from_env()) as engine:
        for volume in [str(each.name) for each in engine.volumes.list()]:
            if volume.startswith(mine):
                place = {volume: {"bind": "/place", "mode": "rw"}}
                throw_away.run(engine, site.collective.images["edge"], ["sh", "-c", script], volumes=place)


def test_a_stack_of_an_earlier_version_is_updated_and_restored_by_this_one(
    site: LivedIn, doubles: Mapping[str, str]
) -> None:
    """Takes minutes: it brings up a collective twice, by both versions."""
    collective = site.collective
    written = site.read()
    in_volumes(site, "touch /place/of-the-earlier-version")
    history = collective.ronron("history", "local", "--json")
    assert history.code == 0, history.said
    assert [each["outcome"]["kind"] for each in history.json()["passes"]] == ["updated"]
    status = collective.ronron("status", "--json")
    assert status.code == 1, "this version has probed nothing yet"
    (environment,) = status.json()["environments"]
    assert environment["state"] == "live"
    assert {one["health"] for one in environment["services"]} == {"unknown"}
    (before,) = (site.snapshots("board"),)
    containers = collective.containers()

    collective.take_program(PROJECT, PROGRAM)
    site.declare(board_image=site.image(doubles["kanboard"], "board:1.2.54", "LABEL new=yes"))
    collective.push("Take the new version, and another image of the board")
    updated = collective.ronron("update", "local", seconds=500)
    assert updated.code == 0, updated.said

    after = collective.containers()
    replaced = {name for name in after if containers.get(name) != after[name]}
    assert replaced == {"local-board", "local-board-backup", "local-notes-backup"}
    in_volumes(site, "test -f /place/of-the-earlier-version")
    assert site.read() == written
    newest, *older = site.snapshots("board")
    assert older == before, "the new agent lists the snapshots of the earlier one"
    assert newest["reason"] == "update"
    assert newest["revision"] == history.json()["passes"][0]["revision"]["commit"]
    assert newest["version"] == before[0]["version"], "the earlier agent took it, before anything changed"
    unchanged = collective.ronron("update", "local")
    assert unchanged.code == 0, unchanged.said
    assert "unchanged" in unchanged.out

    restored = collective.ronron("restore", "local", "board", "--snapshot", before[0]["id"], "--yes")
    assert restored.code == 0, restored.said
    assert site.board.titles(site.project) == ["clean up"]
