"""Kills of the agent, of restic and of the database at the worst moments: the next backup is good."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.backup_targets import (
    Served,
    asks,
    begun,
    does,
    kill_when,
    killed,
    processes,
    running,
    served,
)
from tests.support.containers import Containers, runs, said, until
from tests.support.postgres_server import PostgresServer

pytestmark = pytest.mark.timeout(300)

BY_HAND = (
    "export RESTIC_REPOSITORY=/repository RESTIC_PASSWORD_FILE=/run/ronron-agent/repository-password; restic "
)


def filled(here: Containers, image: str, postgres: PostgresServer | str) -> tuple[Served, dict[str, Any]]:
    """A service with much to dump, and a good snapshot of it while it had little."""
    # Once a year: a backup is taken when a test asks for it.
    pad = served(here, image, postgres, schedule="0 3 1 1 *")
    pad.in_volume("var", "printf 1 > one")
    good = does(pad.agent, "backup", "--reason", "asked")["snapshot"]
    assert pad.server is not None
    pad.server.fill()
    pad.in_volume("var", "head -c 80000000 /dev/urandom > big")
    return pad, good


def is_well_again(pad: Served, good: dict[str, Any]) -> None:
    """The last good snapshot is there, nothing else counts, the next backup is good, and no lock stays."""
    until(lambda: not any("restic" in line for line in processes(pad.agent).values()), pad.agent)
    assert does(pad.agent, "list") == {"snapshots": [good]}
    taken = does(pad.agent, "backup", "--reason", "asked")["snapshot"]
    assert taken["counts"] == {"pads": 3}
    status = does(pad.agent, "status")
    assert [one["id"] for one in status["snapshots"]] == [taken["id"], good["id"]]
    assert status["locks"] == []
    does(pad.agent, "prune")
    code, text = runs(pad.agent, "sh", "-c", BY_HAND + "snapshots --json")
    assert code == 0, text
    halves = {row["id"] for row in json.loads(text)}
    assert halves == {one[half] for one in (taken, good) for half in ("id", "database_id")}
    code, text = runs(pad.agent, "sh", "-c", BY_HAND + "check --read-data")
    assert code == 0, text


@pytest.mark.parametrize(
    "victim",
    [("backup_agent", " backup --reason"), ("restic", "--stdin"), ("pg_dump", "--snapshot")],
    ids=lambda words: words[0],
)
def test_a_kill_during_the_dump_leaves_no_snapshot(
    here: Containers, agent_image: str, postgres_server: PostgresServer, victim: tuple[str, ...]
) -> None:
    pad, good = filled(here, agent_image, postgres_server)
    ended = begun(pad.agent, "backup", "--reason", "asked")
    running(pad.agent, "pg_dump", "--snapshot")
    killed(pad.agent, running(pad.agent, *victim))
    assert ended()[0] != 0
    is_well_again(pad, good)


@pytest.mark.parametrize(
    "victim", [("backup_agent", " backup --reason"), ("restic", "/data/var")], ids=lambda words: words[0]
)
def test_a_kill_during_the_upload_of_files_leaves_no_snapshot(
    here: Containers, agent_image: str, postgres_server: PostgresServer, victim: tuple[str, ...]
) -> None:
    pad, good = filled(here, agent_image, postgres_server)
    ended = begun(pad.agent, "backup", "--reason", "asked")
    running(pad.agent, "restic", "backup", "/data/var")
    killed(pad.agent, running(pad.agent, *victim))
    assert ended()[0] != 0
    is_well_again(pad, good)


@pytest.mark.parametrize(
    "victim", [("backup_agent", "prune"), ("restic", "prune")], ids=lambda words: words[0]
)
def test_a_kill_during_prune_loses_nothing(
    here: Containers, agent_image: str, postgres_server: PostgresServer, victim: tuple[str, ...]
) -> None:
    pad, good = filled(here, agent_image, postgres_server)
    lone = "head -c 60000000 /dev/urandom | restic backup --stdin --stdin-filename /database.pgdump "
    lone += "--host ronron-test-pad --tag database --tag run:lone"
    code, text = runs(pad.agent, "sh", "-c", BY_HAND + f"version; {lone}")
    assert code == 0, text
    ended = begun(pad.agent, "prune")
    kill_when(pad.agent, ("restic", "prune"), victim)
    assert ended()[0] != 0
    is_well_again(pad, good)


def test_a_kill_of_the_whole_container_during_the_dump_leaves_no_snapshot(
    here: Containers, agent_image: str, postgres_server: PostgresServer
) -> None:
    pad, good = filled(here, agent_image, postgres_server)
    begun(pad.agent, "backup", "--reason", "asked")
    running(pad.agent, "pg_dump", "--snapshot")
    pad.agent.kill()
    pad.agent.start()
    # The process died, and says nothing of how it ended.
    run = does(pad.agent, "status")["runs"]["backup"]
    assert (run["finished"], run["ok"]) == (None, None)
    is_well_again(pad, good)


def test_a_database_that_goes_away_during_the_dump_leaves_no_snapshot(
    here: Containers, agent_image: str, postgres_image: str
) -> None:
    """Takes over a minute: the agent notices a dead connection only when TCP does."""
    pad, good = filled(here, agent_image, postgres_image)
    ended = begun(pad.agent, "backup", "--reason", "update")
    running(pad.agent, "pg_dump", "--snapshot")
    pad.database.kill()
    code, document = ended()
    assert code == 1
    assert document["error"]["code"] == "dump-failed"
    pad.database.start()
    started = pad.database
    until(lambda: runs(started, "pg_isready", "-h", "127.0.0.1", "-d", "pad")[0] == 0, started)
    is_well_again(pad, good)


def locks_left(pad: Served) -> str:
    """The files of restic's locks in the repository, while no agent runs."""
    code, text = pad.here.output(
        pad.image,
        ["ls", "/repository/locks"],
        volumes={pad.repository: {"bind": "/repository", "mode": "ro"}},
    )
    assert code == 0, text
    return text


def test_a_stop_in_the_middle_of_a_backup_is_clean_and_quick(
    here: Containers, agent_image: str, postgres_server: PostgresServer
) -> None:
    pad, good = filled(here, agent_image, postgres_server)
    # As the schedule runs it, so that it is stopped with its agent.
    until(lambda: "serving:" in said(pad.agent), pad.agent)
    pad.miss_a_backup()
    pad.start()
    running(pad.agent, "pg_dump", "--snapshot")
    pad.agent.stop(timeout=10)
    pad.agent.reload()
    assert pad.agent.attrs["State"]["ExitCode"] == 0
    assert locks_left(pad) == ""
    pad.start()
    # The interrupted backup runs again by itself.
    running(pad.agent, "backup_agent", " backup --reason schedule")
    until(lambda: len(does(pad.agent, "list")["snapshots"]) == 2, pad.agent)
    assert does(pad.agent, "list")["snapshots"][1] == good


def test_a_killed_restore_of_files_is_completed_by_another_run(here: Containers, agent_image: str) -> None:
    pad = served(here, agent_image, None)
    pad.in_volume("var", "mkdir d; for n in $(seq 300); do printf $n > d/$n; printf $n > $n; done")
    listed = "find . | sort | xargs stat -c '%n %u:%g %a %F'; find . -type f | sort | xargs md5sum"
    before = pad.in_volume("var", listed)
    good = does(pad.agent, "backup", "--reason", "asked")["snapshot"]
    pad.in_volume("var", "rm -r d; for n in $(seq 200 500); do printf other > $n; done; rm 1 2 3")
    for words in (("restic", "restore"), ("backup_agent", " restore --snapshot")):
        restorer = pad.restorer()
        ended = begun(restorer, "restore", "--snapshot", good["id"], "--files")
        killed(restorer, running(restorer, *words))
        assert ended()[0] != 0
        restorer.remove(force=True)
    assert does(pad.restorer(), "restore", "--snapshot", good["id"], "--files")["files"] == 600
    assert pad.in_volume("var", listed) == before


def test_a_second_backup_waits_and_both_succeed(here: Containers, agent_image: str) -> None:
    pad = served(here, agent_image, None)
    pad.in_volume("var", "head -c 50000000 /dev/urandom > big")
    first = begun(pad.agent, "backup", "--reason", "asked")
    running(pad.agent, "backup_agent", " backup --reason")
    assert asks(pad.agent, "backup", "--reason", "update")[0] == 0
    assert first()[0] == 0
    assert len(does(pad.agent, "list")["snapshots"]) == 2
