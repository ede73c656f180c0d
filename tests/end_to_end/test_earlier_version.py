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


def volumes(collective: Collective) -> dict[str, str]:
    """When each volume of the collective was made, by its name."""
    with closing(docker.from_env()) as engine:
        return {
            str(each.name): str(each.attrs["CreatedAt"])
            for each in engine.volumes.list()
            if str(each.name).startswith(f"{collective.name}-")
        }


def test_a_stack_of_an_earlier_version_is_updated_and_restored_by_this_one(site: LivedIn) -> None:
    """Takes minutes: it brings up a collective twice, by both versions."""
    collective = site.collective
    written, made = site.read(), volumes(collective)
    history = collective.ronron("history", "local", "--json")
    assert history.code == 0, history.said
    assert [each["outcome"]["kind"] for each in history.json()["passes"]] == ["updated"]
    status = collective.ronron("status", "--json")
    assert status.code == 0, status.said
    (before,) = (site.snapshots("board"),)
    containers = collective.containers()

    collective.take_program(PROJECT, PROGRAM)
    stack_file = collective.tree / "stacks" / "Pulumi.local.yaml"
    stack_file.write_text(stack_file.read_text().replace("promise:", "max_age:"))
    revision = collective.push("Take the new version")
    updated = collective.ronron("update", "local", seconds=500)
    assert updated.code == 0, updated.said

    after = collective.containers()
    replaced = {name for name in after if containers.get(name) != after[name]}
    assert replaced == {f"local-{name}-backup" for name in SERVICES}, "only the agents are new"
    assert volumes(collective) == made
    assert site.read() == written
    newest, *older = site.snapshots("board")
    assert older == before, "snapshots of the earlier agent are listed by the new one"
    assert newest["reason"] == "update"
    assert newest["revision"] == revision
    unchanged = collective.ronron("update", "local")
    assert unchanged.code == 0, unchanged.said
    assert "unchanged" in unchanged.out

    restored = collective.ronron("restore", "local", "board", "--snapshot", before[0]["id"], "--yes")
    assert restored.code == 0, restored.said
    assert site.board.titles(site.project) == ["clean up"]
