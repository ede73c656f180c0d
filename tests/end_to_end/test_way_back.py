"""A revision that failed goes away again: by the policy, by a revert, with its data or without."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from contextlib import closing

import docker
import pytest

from tests.support.collectives import Collective, Document, web
from tests.support.lived_in import LivedIn, notes

pytestmark = pytest.mark.timeout(600)

HOSTNAME = "notes.localhost"
WRITTEN = "what we wrote"


def broken_notes(collective: Collective, **more: object) -> Document:
    """The notes with another volume, and a health check that never succeeds."""
    volumes = {"pages": "/srv", "plugins": "/plugins"}
    return {
        **notes(collective.images),
        "volumes": volumes,
        "health": ["CMD", "false"],
        "start_seconds": 8,
        **more,
    }


def volumes_of(collective: Collective) -> set[str]:
    """The volumes of a collective, without its name."""
    mine = f"{collective.name}-local-"
    with closing(docker.from_env()) as engine:
        return {
            str(each.name).removeprefix(mine)
            for each in engine.volumes.list()
            if str(each.name).startswith(mine) and "edge-" not in str(each.name)
        }


def in_state(collective: Collective) -> set[str]:
    """The names of the services' volumes in the stack's state."""
    found = next((collective.state / "pulumi-state").rglob("stacks/**/local.json"))
    resources = json.loads(found.read_text())["checkpoint"]["latest"]["resources"]
    names = {one["urn"].rpartition("::")[2] for one in resources if one["type"].endswith(":Volume")}
    return {name for name in names if not name.startswith("edge-")}


def write(collective: Collective) -> None:
    """Write into the notes' volume, as their container does."""
    with closing(docker.from_env()) as engine:
        container = engine.containers.get(f"{collective.name}-local-notes")
        done = container.exec_run(["sh", "-c", f"echo '{WRITTEN}' > /srv/index.html"])
        assert done.exit_code == 0, done.output


def test_a_failed_revision_with_a_new_volume_goes_back_by_itself_and_by_a_revert(
    collective: Collective,
) -> None:
    """Takes over a minute: it goes forward and back twice, and waits each time for a health check to fail."""
    ronron = collective.ronron
    collective.policy(local={"on_failure": "rollback"})
    good = {"notes": notes(collective.images)}
    collective.declare(good)
    first = collective.push()
    made = ronron("update", "local")
    assert made.code == 0, made.said
    write(collective)

    # A new volume and a new service, both with what an edit never deletes, and another port of the edge.
    wiki = {**web(collective.images, "wiki"), "hostname": "wiki.localhost", "volumes": {"data": "/data"}}
    collective.declare({"notes": broken_notes(collective), "wiki": wiki})
    collective.push("Add plugins")
    back = ronron("update", "local")
    assert back.code == 1, back.said
    assert "rolled back" in back.out, back.said
    assert f"went back to main@{first[:12]}" in back.out
    for volume in ("notes-plugins", "wiki-data"):
        assert f"the volume {collective.name}-local-{volume} stays on here" in back.out, back.said
    assert collective.get(HOSTNAME).text.strip() == WRITTEN
    assert in_state(collective) == {"notes-pages"}
    assert volumes_of(collective) == {"notes-pages", "notes-plugins", "wiki-data"}
    assert not any("wiki" in name for name in collective.containers())
    explained = ronron("explain", "local")
    assert f"released  the volume {collective.name}-local-notes-plugins stays on here" in explained.out

    # The same again, where a person has to revert it.
    collective.policy(local={"on_failure": "hold"})
    collective.declare({"notes": broken_notes(collective, memory_mib=200)})
    collective.push("Add plugins again")
    failed = ronron("update", "local")
    assert failed.code == 1, failed.said
    assert in_state(collective) == {"notes-pages", "notes-plugins"}

    collective.declare(good)
    collective.push("Revert it")
    before = ronron("preview", "local")
    assert before.code == 1, before.said
    assert "ronron update local" in before.said
    reverted = ronron("update", "local")
    assert reverted.code == 0, reverted.said
    assert f"the volume {collective.name}-local-notes-plugins stays on here" in reverted.out
    assert collective.get(HOSTNAME).text.strip() == WRITTEN
    assert in_state(collective) == {"notes-pages"}
    assert ronron("status").code == 0

    # What was released is used again where it is declared again.
    collective.declare({"notes": {**broken_notes(collective), **_healthy(collective)}})
    collective.push("Add plugins, and mend them")
    mended = ronron("update", "local")
    assert mended.code == 0, mended.said
    assert in_state(collective) == {"notes-pages", "notes-plugins"}
    assert collective.get(HOSTNAME).text.strip() == WRITTEN


def _healthy(collective: Collective) -> Document:
    return {"health": notes(collective.images)["health"], "start_seconds": 60}


MAJOR = """
import os, psycopg2
from http.server import BaseHTTPRequestHandler, HTTPServer

with psycopg2.connect(os.environ["DATABASE_URL"].replace("postgres://", "postgresql://", 1)) as connection:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE tasks RENAME COLUMN title TO headline")
        cursor.execute("DELETE FROM task_has_files")

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        # Healthy for Docker, which asks from inside, and for nobody else.
        self.send_response(200 if self.client_address[0] == "127.0.0.1" else 503)
        self.end_headers()

HTTPServer(("", 80), Answer).serve_forever()
"""
"""A version that migrates its database, and does not work then."""


def test_a_major_version_that_migrates_and_fails_goes_back_with_its_data(
    found: Callable[[], Collective], doubles: Mapping[str, str]
) -> None:
    """Takes over a minute: a board with its database and agent fails, goes back, and is restored."""
    lived_in = LivedIn(found(), doubles, services=("board",))
    collective, ronron = lived_in.collective, lived_in.collective.ronron
    lived_in.begin()
    written = lived_in.read()
    encoded = base64.b64encode(MAJOR.encode()).decode()
    lines = (f"RUN echo {encoded} | base64 -d > /double/major.py", 'CMD ["python3", "/double/major.py"]')
    major = lived_in.image(doubles["kanboard"], "board:2.0.0", *lines)
    try:
        collective.policy(local={"on_failure": "restore", "probe_for": "3s"})
        lived_in.declare(board_image=major)
        collective.push("Take the next major version")
        back = ronron("update", "local", seconds=400)
        assert back.code == 1, back.said
        assert "rolled back" in back.out, back.said
        assert lived_in.read() == written, back.said
        snapshots = lived_in.snapshots("board")
        first = next(one for one in reversed(snapshots) if one["reason"] == "update")
        safety = next(one for one in snapshots if one["reason"] == "restore")
        assert f"restored board from snapshot {first['id'][:12]}" in back.out
        assert f"its data until then is snapshot {safety['id'][:12]}" in back.out
        assert first["counts"]["task_has_files"] == 1
        assert safety["counts"]["task_has_files"] == 0
        explained = ronron("explain", "local").out
        assert f"restored  board from snapshot {first['id'][:12]}" in explained
    finally:
        collective.remove()
        lived_in.forget_images()
