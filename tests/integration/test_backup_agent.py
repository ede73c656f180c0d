"""The backup agent on a real Docker engine, with a real PostgreSQL and Debian's restic."""

from __future__ import annotations

from tests.backup_targets import agent_image, does, here, postgres_image, served
from tests.containers import Containers

__all__ = ["agent_image", "here", "postgres_image"]


def test_a_snapshot_is_taken_verified_listed_and_told_of(
    here: Containers, agent_image: str, postgres_image: str
) -> None:
    pad = served(here, agent_image, postgres_image)
    pad.in_volume(
        "var", "mkdir -p deep; printf 1234 > deep/file; printf 1 > one; chown -R 1234:1234 .; chmod 0700 deep"
    )
    taken = does(pad.agent, "now", "--reason", "asked", "--revision", "abc")["snapshot"]
    assert taken["counts"] == {"pads": 3}
    assert taken["files"] == {"count": 2, "bytes": 5}
    assert taken["database"]["major"] == 15
    assert taken["database"]["bytes"] > 500
    assert (taken["reason"], taken["revision"], taken["version"]) == ("asked", "abc", "3.3.1")
    assert len(taken["id"]) == len(taken["database_id"]) == 64
    assert len(taken["run"]) == 32
    assert does(pad.agent, "list") == {"snapshots": [taken]}
    status = does(pad.agent, "status")
    assert status["reachable"] is True
    assert status["trouble"] is None
    assert status["snapshots"] == [taken]
    assert status["runs"]["backup"]["ok"] is True
    assert status["promise_hours"] == 26.0
    assert status["locks"] == []
    assert set(status["next"]) == {"backup", "prune", "check"}
    assert all(status["next"].values())
