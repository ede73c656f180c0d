"""Backups of a collective: from what visitors wrote to the same read back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing

import docker
import pytest

from tests.support.collectives import Collective, Ran
from tests.support.lived_in import SERVICES, LivedIn, in_the_past, notes

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def lived_in(found_for_module: Callable[[], Collective], doubles: Mapping[str, str]) -> Iterator[LivedIn]:
    one = LivedIn(found_for_module(), doubles)
    one.begin()
    taken = one.collective.ronron("backup", "now", "local")
    assert taken.code == 0, taken.said
    yield one
    one.collective.remove()
    one.forget_images()


def test_what_was_written_comes_back_from_a_backup_after_the_volumes_were_destroyed(
    lived_in: LivedIn,
) -> None:
    """Takes over a minute: each service is backed up, destroyed, restored and updated."""
    written = lived_in.read()
    ronron = lived_in.collective.ronron
    taken = ronron("backup", "now", "local", "--json")
    assert taken.code == 0, taken.said
    lived_in.board.write(lived_in.project, "after the snapshot")

    lived_in.destroy(*SERVICES)
    assert lived_in.board.call("getAllProjects") == [], "everything is gone"
    for service in SERVICES:
        restored = ronron("restore", "local", service, "--yes", "--json")
        assert restored.code == 0, restored.said
        facts = restored.json()["restored"]
        assert facts["counts"] == facts["promised"]
        assert facts["healthy"] is True
        assert facts["kept"] == lived_in.snapshots(service)[0]["id"], "the safety snapshot"
    assert lived_in.read() == written

    unchanged = ronron("update", "local")
    assert unchanged.code == 0, unchanged.said
    assert "unchanged" in unchanged.out, "the containers are those that Pulumi knows"
    lived_in.board.write(lived_in.project, "life goes on")
    assert lived_in.board.titles(lived_in.project) == [*written["tasks"], "life goes on"]


def test_a_drill_proves_the_newest_snapshots_and_leaves_the_running_collective_as_it_was(
    lived_in: LivedIn,
) -> None:
    """Takes over a minute: a drill starts a clone of every service beside it, with its database."""
    ronron = lived_in.collective.ronron
    taken = ronron("backup", "now", "local")
    assert taken.code == 0, taken.said
    before, written = lived_in.things(), lived_in.read()

    drilled = ronron("drill", "local", "--json", seconds=400)
    assert drilled.code == 0, drilled.said
    results = {result["service"]: result for result in drilled.json()["drills"]}
    assert set(results) == set(SERVICES)
    for service, result in results.items():
        assert result["passed"], result
        assert result["snapshot"] == lived_in.snapshots(service)[0]["id"]
        assert result["counts"] == result["promised"], result
        assert result["probe"], "the service's own image answered on the restored data"
    assert results["board"]["counts"]["tasks"] == len(written["tasks"])
    assert results["board"]["counts"]["task_has_files"] == 1
    assert results["pad"]["counts"]["pads"] >= 1

    assert lived_in.things() == before
    assert lived_in.read() == written
    assert lived_in.agent("board", "status")["runs"]["drill"]["ok"] is True
    status = ronron("backup", "status", "local")
    assert status.code == 0, status.said


def test_a_snapshot_above_the_max_age_is_a_condition_and_exit_code_1(
    collective: Collective, doubles: Mapping[str, str]
) -> None:
    """Over 60 s: a collective of its own, whose agent gets an image with another clock and two snapshots."""
    ronron = collective.ronron
    collective.policy(local={})
    collective.declare({"notes": notes(collective.images)}, backup=collective.backup())
    collective.push()
    assert ronron("update", "local").code == 0
    new = ronron("backup", "status", "local")
    assert new.code == 0, f"the age counts from the agent's first day\n{new.said}"

    site = LivedIn(collective, doubles)
    agent = site.container("notes-backup")
    with closing(docker.from_env()) as engine:
        ours = str(engine.containers.get(agent).attrs["Image"])
        image = site.image(ours, "agent-and-clock:1", "RUN apt-get update && apt-get install --yes faketime")
        try:
            told = in_the_past(engine, agent, image, ["backup", "--reason", "asked"], days=3)
        finally:
            site.forget_images()
    (old,) = site.snapshots("notes")
    assert old["id"] == json.loads(told)["snapshot"]["id"]

    late = ronron("backup", "status", "local")
    assert late.code == 1, late.said
    assert "backup overdue" in late.out
    assert "the newest snapshot is 3 d" in late.out
    assert "ronron backup now local notes" in late.out

    assert ronron("backup", "now", "local", "notes").code == 0
    in_time = ronron("backup", "status", "local")
    assert in_time.code == 0, in_time.said


@pytest.mark.parametrize("way", ["by hand", "by the reconciler"])
def test_no_image_is_changed_without_a_snapshot(lived_in: LivedIn, way: str) -> None:
    """Over 60 s: the same update is refused for want of a snapshot, then takes one and replaces a board."""
    collective, ronron = lived_in.collective, lived_in.collective.ronron
    image = lived_in.image(
        lived_in.doubles["kanboard"], f"kanboard:1.2.54-{way.replace(' ', '-')}", f'LABEL way="{way}"'
    )
    before, written = without_agents(collective), lived_in.read()
    lived_in.declare(board_image=image)
    collective.push(f"Change the board's image {way}")

    def change() -> Ran:
        return lived_in.pulumi("up", "--yes") if way == "by hand" else ronron("update", "local")

    with lived_in.locked_out("board"):
        stopped = change()
    assert stopped.code == 1, stopped.said
    assert "board" in stopped.said
    assert "wrong password" in stopped.said
    assert without_agents(collective) == before, "nothing was changed"
    assert lived_in.read() == written

    if way == "by the reconciler":
        resumed = ronron("resume", "local")
        assert resumed.code == 0, resumed.said
    changed = change()
    assert changed.code == 0, changed.said
    after = without_agents(collective)
    assert {name for name in before if before[name] != after[name]} == {"local-board"}
    assert lived_in.read() == written
    newest = lived_in.snapshots("board")[0]
    assert newest["reason"] == "update"
    if way == "by the reconciler":
        assert newest["revision"] == lived_in.revision, "the one that ran"
        history = ronron("history", "local", "--json")
        assert newest["id"] in history.out


def without_agents(collective: Collective) -> dict[str, str]:
    """Ids of the containers; an agent is told what runs, and so is recreated with it."""
    return {name: id_ for name, id_ in collective.containers().items() if not name.endswith("-backup")}
