"""Data that were recreated, and another repository: the real agent, restic and PostgreSQL."""

from __future__ import annotations

from typing import Any

from tests.support.backup_targets import REPOSITORY_PASSWORD, Served, does, refuses, served
from tests.support.containers import Containers, said, until
from tests.support.documented import commands
from tests.support.postgres_server import PostgresServer

VOLUME = "/data/var"


def lose(pad: Served, here: Containers, *, machine: bool) -> None:
    """Make the volume of files again, and on another machine the agent's own, too."""
    pad.agent.remove(force=True)
    del pad.agent
    pad.volumes = {"var": here.volume()}
    if machine:
        pad.state = here.volume()
    pad.start()


def list_of(pad: Served) -> list[dict[str, Any]]:
    return list(does(pad.agent, "list")["snapshots"])


def test_a_lost_volume_is_not_snapshotted_before_a_person_restores(
    here: Containers, agent_image: str, postgres_server: PostgresServer
) -> None:
    pad = served(here, agent_image, postgres_server)
    pad.in_volume("var", "printf 1234 > file")
    assert does(pad.agent, "data") == {
        "data": {"state": "known", "lineage": "", "recreated": [], "since": None, "word": None},
        "before": None,
    }
    full = does(pad.agent, "backup", "--reason", "asked")["snapshot"]
    pad.miss_a_backup()
    lose(pad, here, machine=False)

    # The schedule makes up for the missed backup at once, and takes none.
    agent = pad.agent
    until(lambda: "no snapshot: volumes were recreated" in said(agent), agent)
    found = does(pad.agent, "data")
    assert found["data"]["recreated"] == [VOLUME], "the database is the same"
    assert found["before"]["id"] == full["id"]
    assert refuses(pad.agent, "backup", "--reason", "asked")["code"] == "recreated"
    status = does(pad.agent, "status")
    assert status["data"] == found["data"]
    assert status["runs"]["backup"]["ok"] is True, "none is no failure"
    assert list_of(pad) == [full]
    own = does(pad.agent, "backup", "--reason", "asked", "--recreated")["snapshot"]
    assert (own["recreated"], own["lineage"]) == (True, found["data"]["lineage"])

    restorer = pad.restorer()
    does(restorer, "restore", "--snapshot", full["id"], "--files")
    restored = does(pad.agent, "record-restore", "--snapshot", full["id"])["data"]
    assert (restored["state"], restored["lineage"], restored["word"]) == ("known", "", "restored")
    taken = does(pad.agent, "backup", "--reason", "schedule")["snapshot"]
    assert (taken["files"], taken["lineage"], taken["recreated"]) == (full["files"], "", False)


def test_on_another_machine_a_person_may_accept_empty_data_and_the_full_ones_stay(
    here: Containers, agent_image: str
) -> None:
    pad = served(here, agent_image, None, keep={"daily": 0, "weekly": 0, "monthly": 0})
    pad.in_volume("var", "printf 1234 > file")
    full = does(pad.agent, "backup", "--reason", "asked")["snapshot"]
    lose(pad, here, machine=True)
    assert does(pad.agent, "data")["data"]["recreated"] == [VOLUME]
    assert does(pad.agent, "backup", "--reason", "schedule") == {"snapshot": None}
    assert does(pad.agent, "accept-data")["data"]["word"] == "accepted"
    empty = does(pad.agent, "backup", "--reason", "schedule")["snapshot"]
    assert empty["files"]["count"] == 0
    assert [one["id"] for one in list_of(pad)] == [empty["id"], full["id"]]
    assert does(pad.agent, "prune") == {"removed": []}

    # The agent's own volume alone is lost: the newest snapshot has the identity of the data.
    pad.state = here.volume()
    pad.start()
    known = does(pad.agent, "data")["data"]
    assert (known["state"], known["lineage"]) == ("known", empty["lineage"])


def copy(pad: Served, here: Containers, new: str) -> None:
    """The documented commands, in a container with both repositories."""
    (block,) = commands("operations.md", "Move the backups to another repository")
    for word, instead in {
        "~/.config/ronron/repository-password": "/password",
        "board notes pad reconciler": "pad",
        "sftp:backup@backup.example:/srv/backups/ronron-ours": "/old",
        "sftp:backup@new.example:/srv/backups/ronron-ours": "/new",
    }.items():
        assert word in block
        block = block.replace(word, instead)
    code, text = here.output(
        pad.image,
        ["bash", "-ec", f'printf %s "$WORD" > /password\n{block}'],
        environment={"WORD": REPOSITORY_PASSWORD, "HOME": "/root"},
        volumes={
            pad.repository: {"bind": "/old/pad", "mode": "rw"},
            new: {"bind": "/new/pad", "mode": "rw"},
        },
    )
    assert code == 0, text


def test_a_repository_is_moved_by_the_documented_commands(here: Containers, agent_image: str) -> None:
    """Takes over a minute on a busy machine: restic opens a repository two dozen times, each with scrypt."""
    pad = served(here, agent_image, None)
    pad.in_volume("var", "printf 1234 > file")
    for _ in range(2):
        does(pad.agent, "backup", "--reason", "asked")
    before = list_of(pad)

    new = here.volume()
    old = pad.repository
    pad.document["moved"] = {"from": "/srv/old/pad", "to": "/srv/new/pad", "copied": True}
    pad.repository = new
    pad.start()
    missing = does(pad.agent, "status")
    assert missing["trouble"]["code"] == "unreachable"
    assert "<" not in missing["trouble"]["hint"]
    assert "docs/operations.md" in missing["trouble"]["hint"]
    assert refuses(pad.agent, "backup", "--reason", "asked")["code"] == "unreachable"

    pad.repository = old
    copy(pad, here, new)
    pad.repository = new
    pad.start()
    after = list_of(pad)
    assert [one["run"] for one in after] == [one["run"] for one in before]
    assert does(pad.agent, "status")["trouble"] is None
    assert does(pad.agent, "data")["data"]["state"] == "known"
    pad.in_volume("var", "rm file")
    does(pad.restorer(), "restore", "--snapshot", after[-1]["id"], "--files")
    assert pad.in_volume("var", "cat file") == "1234"
    taken = does(pad.agent, "backup", "--reason", "schedule")["snapshot"]
    assert [one["id"] for one in list_of(pad)] == [taken["id"], *(one["id"] for one in after)]


def test_a_repository_that_was_left_is_a_new_beginning(here: Containers, agent_image: str) -> None:
    pad = served(here, agent_image, None)
    pad.in_volume("var", "printf 1234 > file")
    does(pad.agent, "backup", "--reason", "asked")
    pad.repository = here.volume()
    pad.start()
    gone = does(pad.agent, "status")["trouble"]
    assert gone["code"] == "unreachable", "without a word it looks like a disk that is not mounted"
    pad.document["moved"] = {"from": "/srv/old/pad", "to": "/srv/new/pad", "copied": False}
    pad.start()
    status = does(pad.agent, "status")
    assert (status["trouble"], status["snapshots"]) == (None, [])
    taken = does(pad.agent, "backup", "--reason", "schedule")["snapshot"]
    assert list_of(pad) == [taken]
    pad.start()
    assert list_of(pad) == [taken], "it is forgotten once"
