"""The way back from a lost machine: the commands of docs/operations.md are read from the page and run.

Only the examples' names, addresses and paths are replaced, and restic runs in a container.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import docker
import pytest

from tests.support.collectives import Collective, Ran
from tests.support.documented import Shell, commands
from tests.support.lived_in import LivedIn

pytestmark = pytest.mark.timeout(900)

INSTALL, FETCH, RECOVER, CREATE, RESTORE, ACCEPT = range(6)
"""The blocks of commands below the heading, in order."""
SETTINGS = -1
"""What a shell has where the machine of the reconciler is not the lost one."""
REPOSITORY = "RONRON_REPOSITORY"


@pytest.fixture(scope="module")
def lived_in(found_for_module: Callable[[], Collective], doubles: Mapping[str, str]) -> Iterator[LivedIn]:
    """A board and notes, watched for a while: the reconciler's own records are beside the snapshots."""
    one = LivedIn(found_for_module(), doubles, ("board", "notes"))
    one.begin()
    watched = one.collective.ronron("watch", "--once")
    assert watched.code == 0, watched.said
    taken = one.collective.ronron("backup", "now", "local")
    assert taken.code == 0, taken.said
    yield one
    one.collective.remove()
    one.forget_images()


@pytest.fixture
def person(lived_in: LivedIn, tmp_path: Path) -> Callable[[int], Ran]:
    """Runs a block of the page, with `ronron` and a restic in a container on PATH."""
    collective = lived_in.collective
    home, tools = tmp_path / "home", tmp_path / "tools"
    (home / ".config" / "ronron").mkdir(parents=True)
    (home / ".config" / "ronron" / "repository-password").write_text(collective.sealed.clear)
    shutil.copyfile(collective.sealed.passphrase, home / ".config" / "ronron" / "passphrase")
    tools.mkdir()
    restic = tools / "restic"
    mounts = f"-v {collective.root}:{collective.root} -v {home}:{home}"
    image = agent_image(lived_in)
    restic.write_text(
        "#!/bin/sh\n"
        f"exec docker run --rm {mounts} -e RESTIC_PASSWORD_FILE -e HOME=/tmp {image} sh -c '\n"
        f'restic "$@"; code=$?; chown -R {os.getuid()}:{os.getgid()} {home}; exit $code\' restic "$@"\n'
    )
    restic.chmod(0o755)
    usual = collective.environment
    environment = {name: value for name, value in usual.items() if name != REPOSITORY}
    environment["PATH"] = os.pathsep.join([str(tools), str(Path(sys.executable).parent), usual["PATH"]])
    snapshots = f"{collective.snapshots}/{collective.name}-local"
    shell = Shell(
        home,
        environment,
        {
            "sudo apt install restic": "restic version",
            "sftp:backup@backup.example:/srv/backups/ronron-ours": snapshots,
            "https://example.org/your-collective/infrastructure.git": str(collective.repository),
            " ours": " local",
            " pad ": " board ",
        },
    )
    blocks = commands("operations.md", "Recover from a lost machine")
    assert len(blocks) == 6, "the names at the top of this module are those of the blocks"
    return lambda block: shell.run(
        blocks[block] if block >= 0 else f"export {REPOSITORY}={usual[REPOSITORY]}"
    )


def agent_image(lived_in: LivedIn) -> str:
    with closing(docker.from_env()) as engine:
        return str(engine.containers.get(lived_in.container("board-backup")).attrs["Image"])


def well(person: Callable[[int], Ran], *blocks: int) -> None:
    for block in blocks:
        ran = person(block)
        assert ran.code == 0, ran.said


def test_after_the_loss_of_the_reconciler_everything_is_known_and_nothing_is_made_twice(
    lived_in: LivedIn, person: Callable[[int], Ran]
) -> None:
    """Takes over a minute: it goes through the documented way back, and every command starts the engine."""
    ronron = lived_in.collective.ronron
    before, written = lived_in.things(), lived_in.read()
    history = ronron("history", "local", "--json").json()
    shutil.rmtree(lived_in.collective.state)

    well(person, INSTALL, FETCH, RECOVER)
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


def test_after_the_loss_of_both_the_services_wait_a_day_for_their_data(
    lived_in: LivedIn, person: Callable[[int], Ran]
) -> None:
    """Takes minutes: every service is made again, then restored from its snapshot."""
    collective = lived_in.collective
    ronron = collective.ronron
    before, written = lived_in.things(), lived_in.read()
    full = {name: lived_in.snapshots(name)[0]["id"] for name in lived_in.services}
    shutil.rmtree(collective.state)
    lose_everything(collective)
    assert not collective.containers()

    well(person, INSTALL, FETCH)
    # The preview of this block shows what is created.
    person(RECOVER)
    created = person(CREATE)
    assert created.code == 3, created.said
    held = ronron("update", "local")
    assert held.code == 3, held.said
    for name in lived_in.services:
        assert f"{name} is held back: its data (" in held.said
        assert f"--accept-empty {name}" in held.said
    running = collective.containers()
    assert not {f"local-{name}" for name in lived_in.services} & set(running)

    # A day passes: the schedule runs, a commit comes, the watcher goes on.
    for name in lived_in.services:
        assert lived_in.agent(name, "backup", "--reason", "schedule") == {"snapshot": None}
        assert lived_in.agent(name, "prune") == {"removed": []}
    watched = ronron("watch", "--once")
    assert watched.code == 0, watched.said
    assert set(collective.containers()) == set(running)
    status = ronron("backup", "status", "local")
    assert status.code == 1, status.said
    assert status.out.count("volumes recreated") == 2
    assert "backup overdue" not in status.out
    waiting = ronron("status", "local")
    assert waiting.code != 0, waiting.said
    assert "waiting for a restore" in waiting.said

    restored = person(RESTORE)
    assert f"from snapshot {full['board'][:12]}" in restored.out, restored.said
    assert "the newest of the data before" in restored.out
    assert "local-board" in collective.containers(), restored.said
    assert "local-notes" not in collective.containers()
    notes = ronron("restore", "local", "notes", "--yes")
    assert notes.code == 0, notes.said
    assert lived_in.read() == written
    after = lived_in.things()
    assert {part: sorted(found) for part, found in after.items()} == {
        part: sorted(found) for part, found in before.items()
    }, "as much as before, and nothing twice"
    lived_in.board.write(lived_in.project, "life goes on")
    assert lived_in.board.titles(lived_in.project) == [*written["tasks"], "life goes on"]
    for command in (("update", "local"), ("status", "local"), ("backup", "now", "local")):
        ran = ronron(*command)
        assert ran.code == 0, ran.said
    backups = ronron("backup", "status", "local")
    assert backups.code == 0, backups.said


def test_a_volume_that_was_removed_is_not_created_empty_in_silence(
    lived_in: LivedIn, person: Callable[[int], Ran]
) -> None:
    """Takes minutes: a service loses its volume twice, is restored, and is then started with empty data."""
    collective = lived_in.collective
    ronron = collective.ronron
    with closing(docker.from_env()) as engine:
        site = engine.containers.get(lived_in.container("notes"))
        assert site.exec_run(["sh", "-c", "echo our page > /srv/index.html"]).exit_code == 0
    written = lived_in.read()
    assert written["page"] == "our page\n"
    taken = ronron("backup", "now", "local", "notes")
    assert taken.code == 0, taken.said

    remove_volume(lived_in)
    stopped = ronron("update", "local")
    assert stopped.code == 1, stopped.said
    said = " ".join(stopped.said.split())
    assert f"the volume {lived_in.container('notes-pages')} of notes no longer exists on here" in said
    assert "`ronron pulumi local -- refresh`" in said
    assert "`ronron restore local notes`" in said
    assert "local-notes" not in collective.containers()
    assert lived_in.board.titles(lived_in.project) == written["tasks"], "the others go on"

    well(person, SETTINGS)
    created = person(CREATE)
    assert created.code == 3, created.said
    assert "notes is held back: its data (" in created.said
    assert "local-notes" not in collective.containers()
    restored = ronron("restore", "local", "notes", "--yes")
    assert restored.code == 0, restored.said
    assert lived_in.read() == written

    remove_volume(lived_in)
    refreshed = ronron("pulumi", "local", "--", "refresh", "--yes")
    assert refreshed.code == 0, refreshed.said
    held = ronron("update", "local")
    assert held.code == 3, held.said
    accepted = person(ACCEPT)
    assert accepted.code == 0, accepted.said
    assert collective.get("notes.localhost").text == "a page\n", "it begins again"
    now = ronron("backup", "now", "local", "notes")
    assert now.code == 0, now.said
    assert [one["recreated"] for one in lived_in.snapshots("notes")][:1] == [False]
    unchanged = ronron("update", "local")
    assert unchanged.code == 0, unchanged.said
    assert "unchanged" in unchanged.said


def remove_volume(lived_in: LivedIn) -> None:
    """Remove the volume of notes, and the containers that use it, by hand."""
    with closing(docker.from_env()) as engine:
        for role in ("notes", "notes-backup"):
            engine.containers.get(lived_in.container(role)).remove(force=True)
        engine.volumes.get(lived_in.container("notes-pages")).remove()


def lose_everything(collective: Collective) -> None:
    """Every container, network and volume; the snapshots are elsewhere."""
    aside = collective.snapshots.with_name("elsewhere")
    collective.snapshots.rename(aside)
    collective.remove()
    aside.rename(collective.snapshots)
