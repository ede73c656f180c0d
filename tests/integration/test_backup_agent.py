"""The backup agent on a real Docker engine, with a real PostgreSQL and Debian's restic."""

from __future__ import annotations

import io
import tarfile

from tests.backup_targets import agent_image, does, here, postgres_image, refuses, served
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


def test_a_restore_puts_back_what_was_there_with_owners_and_modes(
    here: Containers, agent_image: str, postgres_image: str
) -> None:
    pad = served(here, agent_image, postgres_image, roles=("var", "more"))
    pad.in_volume(
        "var",
        "mkdir -p deep; printf 1234 > deep/file; ln -s deep/file link; chown -R 1234:4321 .; chmod 0750 deep; chmod 0711 .",
    )
    pad.in_volume("more", "printf x > .hidden")
    pad.sql("create index on store (value); create table other (n int primary key)")
    listed = "find . | sort | xargs stat -c '%n %u:%g %a %F %s'"
    before = pad.in_volume("var", listed)
    taken = does(pad.agent, "now", "--reason", "asked")["snapshot"]

    pad.sql("drop table other; delete from store; insert into store values ('pad:new', 'lost')")
    pad.in_volume("var", "rm -r deep; printf other > link2; chmod 0777 .; mkdir new; printf 1 > new/1")
    restorer = pad.restorer()
    assert does(restorer, "put", "--snapshot", taken["id"], "--into", "restored") == {"counts": {"pads": 3}}
    assert does(restorer, "counts") == {"counts": {"pads": 1}}
    assert does(restorer, "put", "--snapshot", taken["id"][:12], "--files") == {"files": 2, "bytes": 5}
    assert does(restorer, "swap", "--from", "restored") == {"swapped": True}
    assert does(restorer, "swap", "--from", "restored") == {"swapped": True}

    assert does(restorer, "counts") == {"counts": {"pads": 3}}
    assert pad.in_volume("var", listed) == before
    assert pad.in_volume("more", "ls -A") == ".hidden\n"
    assert pad.sql("select count(*) from other") == "0"
    assert (
        pad.sql("select string_agg(datname, ' ' order by datname) from pg_database where not datistemplate")
        == "pad postgres"
    )
    # Not a word of an old name: the next restore begins with nothing left over.
    assert does(pad.agent, "now", "--reason", "asked")["snapshot"]["counts"] == {"pads": 3}


def test_what_a_snapshot_holds_comes_out_as_a_tar(
    here: Containers, agent_image: str, postgres_image: str
) -> None:
    pad = served(here, agent_image, postgres_image, sqlite=["/data/var/app.sqlite"])
    script = "import sqlite3; c = sqlite3.connect('app.sqlite'); c.execute('create table t (n)'); c.execute('insert into t values (7)'); c.commit()"
    pad.in_volume("var", f'mkdir d; printf 12 > d/f; python3 -c "{script}"; chown 7:8 app.sqlite')
    taken = does(pad.agent, "now", "--reason", "asked")["snapshot"]
    done = pad.agent.exec_run(["ronron-agent", "export", "--snapshot", taken["id"]], demux=True)
    assert done.exit_code == 0, done.output[1]
    with tarfile.open(fileobj=io.BytesIO(done.output[0])) as archive:
        names = archive.getnames()
        assert set(names) == {
            "manifest.json",
            "database.pgdump",
            "data/var",
            "data/var/d",
            "data/var/d/f",
            "data/var/app.sqlite",
        }
        dump = archive.extractfile("database.pgdump")
        assert dump is not None
        content = dump.read()
        assert len(content) == taken["database"]["bytes"]
        assert content.startswith(b"PGDMP")
        assert archive.getmember("data/var/app.sqlite").uid == 7
    assert refuses(pad.agent, "export", "--snapshot", "0" * 64)["code"] == "no-snapshot"
