"""The whole way back: a machine is lost with its volumes and the reconciler, and the snapshots are left.

By the commands of docs/operations.md, with the restic of Debian that is in an agent's image.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from contextlib import closing
from typing import Any

import docker
import pytest

from tests.double_images import ensure_doubles
from tests.end_to_end.collectives import Collective, Ran
from tests.end_to_end.visitors import Board

pytestmark = pytest.mark.timeout(600)

SECRETS = ("board-database-password",)


def lose(collective: Collective) -> None:
    """The machine is gone: containers, networks, volumes, and everything that the reconciler knew."""
    mine = f"{collective.name}-"
    with closing(docker.from_env()) as engine:
        for container in engine.containers.list(all=True):
            if str(container.name).startswith(mine):
                container.remove(force=True, v=True)
        for network in engine.networks.list():
            if str(network.name).startswith(mine):
                network.remove()
        for volume in engine.volumes.list():
            if str(volume.name).startswith(mine):
                volume.remove()
    shutil.rmtree(collective.state)


def restic(collective: Collective, image: str, *words: str) -> str:
    """Run restic on the reconciler's own repository; `/fetched` is the directory that it may write to."""
    password = collective.root / "repository-password"
    password.touch(mode=0o600)
    password.write_text(collective.sealed.clear)
    fetched = collective.root / "fetched"
    fetched.mkdir(mode=0o700, exist_ok=True)
    done = subprocess.run(
        [
            *("docker", "run", "--rm", "--name", f"{collective.name}-restic", "--network", "none"),
            *("--entrypoint", "restic", "--user", "0", "--env", "HOME=/tmp"),
            *("--volume", f"{collective.snapshots}:/snapshots", "--volume", f"{fetched}:/fetched"),
            *("--volume", f"{password}:/password:ro", image),
            *("-r", f"/snapshots/{collective.name}-local/reconciler", "-p", "/password", *words),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def agent_image(collective: Collective, service: str) -> str:
    with closing(docker.from_env()) as engine:
        found = engine.containers.get(f"{collective.name}-local-{service}-backup").attrs["Config"]["Image"]
    return str(found)


def pulumi(collective: Collective, *words: str) -> Ran:
    """Pulumi by hand in a clone, on the state that was brought back."""
    done = subprocess.run(
        ["pulumi", *words, "--stack", "local", "--non-interactive", "--color", "never"],
        cwd=collective.tree,
        env={
            **collective.environment,
            "PULUMI_HOME": str(collective.state / "pulumi-home"),
            "PULUMI_BACKEND_URL": f"file://{collective.state / 'pulumi-state'}",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def environment(collective: Collective) -> Any:
    ran = collective.ronron("status", "--json")
    (found,) = json.loads(ran.out)["environments"]
    return found


def test_a_collective_comes_back_from_its_snapshots_alone(collective: Collective) -> None:
    board = Board(collective)
    collective.policy(local={})
    collective.declare(
        {"board": {"kind": "kanboard", "image": ensure_doubles()["kanboard"], "hostname": "board.localhost"}},
        *SECRETS,
        backup=collective.backup(),
    )
    collective.push()
    first = collective.ronron("watch", "--once", seconds=500)
    assert first.code == 0, first.said
    project = board.settle()
    board.write(project, "clean up")
    taken = collective.ronron("backup", "now", "local")
    assert taken.code == 0, taken.said
    before = environment(collective)
    assert before["kept"]["service"] == "board"
    image = agent_image(collective, "board")

    lose(collective)
    (listed,) = json.loads(restic(collective, image, "snapshots", "--tag", "reconciler", "--json"))
    # Restic names what it has just made by the beginning of its id.
    assert listed["id"].startswith(before["kept"]["id"])
    restic(collective, image, "restore", "latest", "--tag", "reconciler", "--target", "/fetched")
    recovered = collective.ronron("recover", str(collective.root / "fetched"))
    assert recovered.code == 0, recovered.said
    after = environment(collective)
    assert (after["state"], after["live"]) == ("live", before["live"])

    refreshed = pulumi(collective, "refresh", "--yes")
    assert refreshed.code == 0, refreshed.said
    updated = collective.ronron("update", "local", seconds=500)
    assert updated.code == 0, updated.said
    restored = collective.ronron("restore", "local", "board", "--without-keeping", "--yes")
    assert restored.code == 0, restored.said
    assert board.titles(project) == ["clean up"]
    status = collective.ronron("backup", "status", "local")
    assert status.code == 0, status.said


def test_nothing_is_made_twice_where_only_the_reconciler_was_lost(collective: Collective) -> None:
    collective.policy(local={})
    collective.declare(
        {"board": {"kind": "kanboard", "image": ensure_doubles()["kanboard"], "hostname": "board.localhost"}},
        *SECRETS,
        backup=collective.backup(),
    )
    collective.push()
    first = collective.ronron("watch", "--once", seconds=500)
    assert first.code == 0, first.said
    there, image = collective.containers(), agent_image(collective, "board")

    shutil.rmtree(collective.state)
    restic(collective, image, "restore", "latest", "--tag", "reconciler", "--target", "/fetched")
    recovered = collective.ronron("recover", str(collective.root / "fetched"))
    assert recovered.code == 0, recovered.said
    previewed = collective.ronron("preview", "local")
    assert previewed.code == 0, previewed.said
    assert "verdict: unchanged" in previewed.out
    again = collective.ronron("watch", "--once")
    assert again.code == 0, again.said
    assert collective.containers() == there
