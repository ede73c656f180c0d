"""The backup agent on a real Docker engine, with a real PostgreSQL and Debian's restic."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

from chatons.images.backup_agent import idle
from tests.support.backup_targets import (
    REPOSITORY_PASSWORD,
    asks,
    does,
    exported,
    refuses,
    served,
)
from tests.support.containers import Containers, runs, until
from tests.support.postgres_server import PASSWORD, PostgresServer


def test_a_snapshot_is_taken_verified_listed_and_in_the_status(
    here: Containers, agent_image: str, postgres_server: PostgresServer
) -> None:
    pad = served(here, agent_image, postgres_server)
    pad.in_volume(
        "var", "mkdir -p deep; printf 1234 > deep/file; printf 1 > one; chown -R 1234:1234 .; chmod 0700 deep"
    )
    taken = does(pad.agent, "backup", "--reason", "asked", "--revision", "abc")["snapshot"]
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
    assert status["max_age_hours"] == status["promise_hours"] == 26.0
    assert status["locks"] == []
    assert set(status["next"]) == {"backup", "prune", "check"}
    assert all(status["next"].values())


def test_a_restore_brings_back_rows_and_files_with_owners_and_modes(
    here: Containers, agent_image: str, postgres_server: PostgresServer
) -> None:
    pad = served(here, agent_image, postgres_server, roles=("var", "more"))
    pad.in_volume(
        "var",
        "mkdir -p deep; printf 1234 > deep/file; ln -s deep/file link; chown -R 1234:4321 .; "
        "chmod 0750 deep; chmod 0711 .",
    )
    pad.in_volume("more", "printf x > .hidden")
    pad.sql("create index on store (value); create table other (n int primary key)")
    listed = "find . | sort | xargs stat -c '%n %u:%g %a %F %s'"
    before = pad.in_volume("var", listed)
    taken = does(pad.agent, "backup", "--reason", "asked")["snapshot"]

    pad.sql("drop table other; delete from store; insert into store values ('pad:new', 'lost')")
    pad.in_volume("var", "rm -r deep; printf other > link2; chmod 0777 .; mkdir new; printf 1 > new/1")
    restorer = pad.restorer()
    assert does(restorer, "restore", "--snapshot", taken["id"], "--into", "restored") == {
        "counts": {"pads": 3}
    }
    assert does(restorer, "counts") == {"counts": {"pads": 1}}
    assert does(restorer, "restore", "--snapshot", taken["id"][:12], "--files") == {"files": 2, "bytes": 5}
    assert does(restorer, "rename-database", "--from", "restored") == {"swapped": True}
    assert does(restorer, "rename-database", "--from", "restored") == {"swapped": True}

    assert does(restorer, "counts") == {"counts": {"pads": 3}}
    assert pad.in_volume("var", listed) == before
    assert pad.in_volume("more", "ls -A") == ".hidden\n"
    assert pad.sql("select count(*) from other") == "0"
    assert (
        pad.sql("select string_agg(datname, ' ' order by datname) from pg_database where not datistemplate")
        == "pad postgres"
    )
    # Not a word of an old name: the next restore begins with nothing left over.
    assert does(pad.agent, "backup", "--reason", "asked")["snapshot"]["counts"] == {"pads": 3}


def test_a_snapshot_is_exported_as_a_tar(
    here: Containers, agent_image: str, postgres_server: PostgresServer
) -> None:
    pad = served(here, agent_image, postgres_server, sqlite=["/data/var/app.sqlite"])
    script = "import sqlite3; c = sqlite3.connect('app.sqlite'); c.execute('create table t (n)'); c.commit()"
    pad.in_volume("var", f'mkdir d; printf 12 > d/f; python3 -c "{script}"; chown 7:8 app.sqlite')
    taken = does(pad.agent, "backup", "--reason", "asked")["snapshot"]
    with tarfile.open(fileobj=io.BytesIO(exported(pad.agent, taken["id"]))) as archive:
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


def test_a_snapshot_of_another_service_or_a_newer_database_is_not_restored(
    here: Containers, agent_image: str, postgres_server: PostgresServer
) -> None:
    pad = served(here, agent_image, postgres_server)
    taken = does(pad.agent, "backup", "--reason", "asked")["snapshot"]
    other = pad.restorer(service="other", host="ronron-test-other")
    assert refuses(other, "restore", "--snapshot", taken["id"], "--files")["code"] == "other-service"
    assert (
        refuses(other, "restore", "--snapshot", taken["id"], "--into", "restored")["code"] == "other-service"
    )
    older = pad.restorer(database={**pad.document["database"], "major": 14})
    error = refuses(older, "restore", "--snapshot", taken["id"], "--into", "restored")
    assert error["code"] == "newer-database"
    assert "PostgreSQL 15" in error["message"]
    same = pad.restorer()
    for name in ("pad", "postgres", "template1"):
        assert refuses(same, "restore", "--snapshot", taken["id"], "--into", name)["code"] == "failed"
    assert refuses(same, "rename-database", "--from", "nothing")["code"] == "failed"
    assert refuses(same, "restore", "--snapshot", "ffffffff", "--files")["code"] == "no-snapshot"
    assert pad.sql("select count(*) from store") == "3"


def test_a_wrong_password_is_an_error_and_changes_nothing(
    here: Containers, agent_image: str, postgres_server: PostgresServer
) -> None:
    pad = served(here, agent_image, postgres_server)
    taken = does(pad.agent, "backup", "--reason", "asked")["snapshot"]
    pad.secrets["repository-password"] = "not this one"
    pad.start()
    assert refuses(pad.agent, "backup", "--reason", "update")["code"] == "wrong-password"
    status = does(pad.agent, "status")
    assert (status["reachable"], status["trouble"]["code"]) == (False, "wrong-password")
    assert status["runs"]["backup"]["error"]["code"] == "wrong-password"
    # The status still has what the journal knows.
    assert status["snapshots"] == [taken]
    pad.secrets["repository-password"] = REPOSITORY_PASSWORD
    pad.start()
    assert does(pad.agent, "list") == {"snapshots": [taken]}


def test_a_repository_that_is_gone_is_not_created_again(here: Containers, agent_image: str) -> None:
    pad = served(here, agent_image, None)
    does(pad.agent, "backup", "--reason", "asked")
    pad.repository = here.volume()
    pad.start()
    error = refuses(pad.agent, "backup", "--reason", "asked")
    assert error["code"] == "unreachable"
    assert "the repository does not exist" in error["message"]
    assert here.output(agent_image, ["ls", "-A", "/r"], volumes={pad.repository: {"bind": "/r"}}) == (0, "")


# Restic 0.14 may stand still over the last packs that find no room, until the agent ends it.
@pytest.mark.timeout(120 + 2 * idle.LONGEST)
def test_a_full_target_does_not_lose_the_last_snapshot(here: Containers, agent_image: str) -> None:
    pad = served(here, agent_image, None)
    pad.repository = here.volume(driver_opts={"type": "tmpfs", "device": "tmpfs", "o": "size=6m"})
    pad.start()
    taken = does(pad.agent, "backup", "--reason", "asked")["snapshot"]
    pad.in_volume("var", "head -c 20000000 /dev/urandom > big")
    assert refuses(pad.agent, "backup", "--reason", "asked")["code"] == "full"
    assert does(pad.agent, "list") == {"snapshots": [taken]}
    pad.in_volume("var", "rm big")
    does(pad.agent, "prune")
    assert len(does(pad.agent, "backup", "--reason", "asked")["snapshot"]["id"]) == 64


def test_ten_checks_find_a_damaged_pack(here: Containers, agent_image: str) -> None:
    pad = served(here, agent_image, None)
    pad.in_volume("var", "head -c 100000 /dev/urandom > file")
    does(pad.agent, "backup", "--reason", "asked")
    assert does(pad.agent, "check") == {"checked": "1/10"}
    assert does(pad.agent, "check") == {"checked": "2/10"}
    damage = "f=$(ls -S /repository/data/*/* | head -1); chmod u+w $f; "
    damage += "printf damaged | dd of=$f bs=1 seek=500 conv=notrunc"
    assert runs(pad.agent, "sh", "-ec", damage)[0] == 0
    answers = [asks(pad.agent, "check") for _ in range(10)]
    failed = [document["error"] for code, document in answers if code]
    assert {error["code"] for error in failed} == {"corrupt"}
    # A damaged part is read again until the repository is repaired.
    status = does(pad.agent, "status")
    assert status["runs"]["check"]["error"]["code"] == "corrupt"


def test_a_database_that_refuses_is_an_error_and_there_is_no_snapshot(
    here: Containers, agent_image: str, postgres_image: str
) -> None:
    pad = served(here, agent_image, postgres_image)
    pad.database.stop(timeout=5)
    error = refuses(pad.agent, "backup", "--reason", "update")
    assert error["code"] == "database-refused"
    assert PASSWORD not in str(error)
    assert does(pad.agent, "list") == {"snapshots": []}
    pad.database.start()
    started = pad.database
    until(lambda: runs(started, "pg_isready", "-h", "127.0.0.1")[0] == 0, started)
    pad.secrets["database-password"] = "wrong"
    pad.start()
    assert refuses(pad.agent, "backup", "--reason", "update")["code"] == "database-refused"


def test_a_count_that_is_not_a_number_is_an_error(
    here: Containers, agent_image: str, postgres_server: PostgresServer
) -> None:
    pad = served(here, agent_image, postgres_server, counts={"pads": "select key from store"})
    assert refuses(pad.agent, "backup", "--reason", "asked")["code"] == "failed"
    pad.document["counts"] = {"pads": "select nothing from nowhere"}
    pad.start()
    assert refuses(pad.agent, "backup", "--reason", "asked")["code"] == "database-refused"
    pad.document["counts"] = {}
    pad.start()
    assert does(pad.agent, "backup", "--reason", "asked")["snapshot"]["counts"] == {"public.store": 3}


def test_prune_removes_old_snapshots_and_lone_halves_and_frees_the_space(
    here: Containers, agent_image: str
) -> None:
    pad = served(here, agent_image, None, keep={"daily": 0, "weekly": 0, "monthly": 1})
    pad.in_volume("var", "echo x > file")
    taken = does(pad.agent, "backup", "--reason", "asked")["snapshot"]
    by_hand = (
        "export RESTIC_REPOSITORY=/repository RESTIC_PASSWORD_FILE=/run/ronron-agent/repository-password; "
    )
    lone = "head -c 3000000 /dev/urandom | restic backup --stdin --stdin-filename /database.pgdump "
    lone += "--host ronron-test-pad --tag database --tag run:lone"
    old = (
        'for d in 01 02; do restic backup /etc/hostname --host ronron-test-pad --time "2026-01-$d 03:00:00" '
    )
    old += "--tag files --tag run:old$d; done"
    foreign = "restic backup /etc/hosts --host somebody --time '2020-01-01 00:00:00'"
    for script in (lone, old, foreign):
        code, text = runs(pad.agent, "sh", "-ec", by_hand + script)
        assert code == 0, text
    size = "du -s /repository | cut -f1"
    before = int(runs(pad.agent, "sh", "-c", size)[1])
    assert does(pad.agent, "prune") == {"removed": ["lone", "old01", "old02"]}
    assert int(runs(pad.agent, "sh", "-c", size)[1]) < before - 2500
    code, text = runs(pad.agent, "sh", "-c", by_hand + "restic snapshots --json --no-lock")
    left = json.loads(text)
    # What others keep in this repository is none of the agent's.
    assert {row["hostname"] for row in left} == {"ronron-test-pad", "somebody"}
    assert [row["id"] for row in left if row["hostname"] == "ronron-test-pad"] == [taken["id"]]
    assert does(pad.agent, "status")["runs"]["prune"]["ok"] is True


def test_a_copy_of_a_sqlite_file_is_consistent_while_the_service_writes(
    here: Containers, agent_image: str
) -> None:
    pad = served(here, agent_image, None, sqlite=["/data/var/app.sqlite"])
    missing = refuses(pad.agent, "backup", "--reason", "asked")
    assert missing["code"] == "source-unreadable"
    write = (
        "import sqlite3, time; c = sqlite3.connect('/put/app.sqlite'); c.execute('pragma journal_mode=wal'); "
    )
    write += "c.execute('create table t (a, b)'); c.commit(); open('/put/begun', 'w').close()\n"
    write += "while True:\n for n in 1, 2: c.execute('insert into t values (?, 1)', (n,))\n c.commit()"
    volumes = {pad.volumes["var"]: {"bind": "/put", "mode": "rw"}}
    writer = here.start(agent_image, ["python3", "-c", write], volumes=volumes)
    until(lambda: runs(writer, "test", "-e", "/put/begun")[0] == 0, writer)
    taken = does(pad.agent, "backup", "--reason", "asked")["snapshot"]
    # Killed, so that the log stays: SQLite cannot open the file read-only any more.
    writer.kill()
    pad.in_volume("var", "rm -f app.sqlite-shm; chown 33:33 app.sqlite; chmod 0640 app.sqlite")
    again = does(pad.agent, "backup", "--reason", "asked")["snapshot"]
    look = "import sqlite3; c = sqlite3.connect('app.sqlite'); print(c.execute('pragma integrity_check')"
    look += ".fetchone()[0], c.execute('select count(*) % 2, count(*) > 1 from t').fetchone())"
    for snapshot in (taken, again):
        pad.in_volume("var", "rm -f app.sqlite*")
        does(pad.restorer(), "restore", "--snapshot", snapshot["id"], "--files")
        assert pad.in_volume("var", f'python3 -c "{look}"') == "ok (0, 1)\n"
    assert pad.in_volume("var", "stat -c '%u:%g %a' app.sqlite; ls -A") == "33:33 640\napp.sqlite\nbegun\n"


def test_a_bundle_is_stored_in_the_repository_reconciler_and_an_incomplete_tar_is_not(
    here: Containers, agent_image: str
) -> None:
    pad = served(here, agent_image, None)
    pad.more_volumes[here.volume()] = {"bind": "/reconciler", "mode": "rw"}
    pad.start()
    script = "tar c /etc/hostname | ronron-agent backup-bundle ronron.tar"
    code, text = runs(pad.agent, "sh", "-c", script)
    assert code == 0, text
    assert (
        runs(
            pad.agent, "sh", "-c", "tar c /etc/hostname | head -c 700 | ronron-agent backup-bundle ronron.tar"
        )[0]
        == 1
    )
    assert runs(pad.agent, "sh", "-c", "ronron-agent backup-bundle ronron.tar < /dev/null")[0] == 1
    by_hand = "export RESTIC_REPOSITORY=/reconciler "
    by_hand += "RESTIC_PASSWORD_FILE=/run/ronron-agent/repository-password; restic --no-lock "
    assert len(json.loads(runs(pad.agent, "sh", "-c", by_hand + "snapshots --json")[1])) == 1
    code, text = runs(pad.agent, "sh", "-c", by_hand + "dump latest /ronron.tar | tar t")
    assert (code, text) == (0, "etc/hostname\n")


def test_a_probe_judges_an_answer(here: Containers, agent_image: str) -> None:
    pad = served(here, agent_image, None)
    page = "mkdir /www; echo 'hello there' > /www/page; exec python3 -m http.server 8000 -d /www"
    web = here.start(agent_image, ["sh", "-c", page], network=pad.network)
    until(lambda: does(pad.agent, "probe", f"http://{web.name}:8000/page")["healthy"], web)
    url = f"http://{web.name}:8000"
    assert does(pad.agent, "probe", f"{url}/page", "--contains", "hello")["healthy"] is True
    assert (
        does(pad.agent, "probe", f"{url}/page", "--contains", "bye")["detail"] == "200 without the text 'bye'"
    )
    assert does(pad.agent, "probe", f"{url}/none")["detail"] == "404 instead of 200"
    assert does(pad.agent, "probe", f"{url}/none", "--status", "200", "--status", "404")["healthy"] is True
    assert does(pad.agent, "probe", "http://nowhere.invalid/")["healthy"] is False
    assert refuses(pad.agent, "probe", "file:///etc/passwd")["code"] == "failed"


def test_a_drill_is_recorded(here: Containers, agent_image: str) -> None:
    pad = served(here, agent_image, None)
    result = {
        "started": "2026-11-25T10:00:00+00:00",
        "finished": "2026-11-25T10:01:00+00:00",
        "passed": False,
    }
    failed = json.dumps({**result, "detail": "its counts fell"})
    assert does(pad.agent, "record-drill", stdin=failed) == {"remembered": True}
    run = does(pad.agent, "status")["runs"]["drill"]
    assert (run["ok"], run["error"]["message"]) == (False, "its counts fell")
    assert does(pad.agent, "record-drill", stdin=json.dumps({**result, "passed": True})) == {
        "remembered": True
    }
    assert does(pad.agent, "status")["runs"]["drill"]["ok"] is True


def test_a_command_line_that_is_not_understood_exits_with_2(here: Containers, agent_image: str) -> None:
    pad = served(here, agent_image, None)
    for words in (["nonsense"], ["backup"], ["backup", "--reason", "whim"], ["restore", "--snapshot", "1"]):
        assert runs(pad.agent, "ronron-agent", *words)[0] == 2
