"""The agent's configuration, manifests, journal, probes and file counts."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chatons.images.backup_agent import manifest as manifests
from chatons.images.backup_agent.configuration import (
    Configuration,
    Places,
    Retention,
    Running,
    parsed,
    secrets,
)
from chatons.images.backup_agent.errors import AgentError
from chatons.images.backup_agent.journal import Journal
from chatons.images.backup_agent.manifest import Dumped, Manifest
from chatons.images.backup_agent.probe import judged
from chatons.images.backup_agent.snapshot import exclusions, literal, measured
from chatons.images.backup_agent.sqlite import copied

DOCUMENT: dict[str, Any] = {
    "version": 1,
    "project": "ronron",
    "stack": "local",
    "service": "pad",
    "kind": "etherpad",
    "running": {"version": "3.3.1", "image": "etherpad/etherpad:3.3.1", "image_digest": None},
    "repository": "/repository",
    "ssh": {"user": "backup", "host": "backup.example", "port": 22, "host_key": "ssh-ed25519 AAAA"},
    "host": "ronron-local-pad",
    "database": {"host": "database", "port": 5432, "name": "pad", "user": "pad", "major": 15},
    "counts": {"pads": "select 1"},
    "volumes": {"var": "/data/var"},
    "sqlite": ["/data/files/app.sqlite"],
    "exclude": ["/data/logs"],
    "schedule": "0 3 * * *",
    "keep": {"daily": 7, "weekly": 4, "monthly": 6},
    "forget": True,
    "check": "weekly",
    "drill": "weekly",
    "max_age_hours": None,
}
MANIFEST = Manifest(
    run="1" * 32,
    taken="2026-11-25T03:00:12+00:00",
    reason="schedule",
    project="ronron",
    stack="local",
    service="pad",
    kind="etherpad",
    running=Running("3.3.1", "etherpad/etherpad:3.3.1", None),
    revision=None,
    database_id="abcdef01",
    database=Dumped(15, "15.14", "pad", 123),
    counts={"pads": 12},
    files=10,
    bytes=2048,
    seconds=3.21,
)


def configuration() -> Configuration:
    return parsed(DOCUMENT)


def test_the_documented_configuration_is_read() -> None:
    found = configuration()
    assert found.keep == Retention(7, 4, 6)
    assert found.database is not None
    assert (found.database.name, found.sqlite, found.max_age_hours) == (
        "pad",
        ("/data/files/app.sqlite",),
        None,
    )


@pytest.mark.parametrize(
    ("change", "hours"),
    [
        ({"max_age_hours": 48}, 48),
        ({"promise_hours": 26}, 26),
        ({"promise_hours": None}, None),
        ({"max_age_hours": None, "promise_hours": 26}, None),
        ({}, None),
    ],
)
def test_the_maximum_age_is_read_from_a_configuration_of_either_interface(
    change: dict[str, Any], hours: float | None
) -> None:
    document = {key: value for key, value in DOCUMENT.items() if key != "max_age_hours"}
    assert parsed({**document, **change}).max_age_hours == hours


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"version": 2}, "version is 2"),
        ({"repository": ""}, "'repository'"),
        ({"keep": {"daily": -1, "weekly": 0, "monthly": 0}}, "'daily'"),
        ({"check": "yearly"}, "'check'"),
        ({"volumes": {"var": "data/var"}}, "not an absolute path"),
        ({"sqlite": ["/data/../etc/passwd"]}, "not an absolute path"),
        ({"ssh": {"user": "-oProxyCommand=x", "host": "h", "port": 22, "host_key": "k"}}, "not a name"),
        ({"database": {"host": "d"}}, "'port'"),
        ({"host": "a\nb"}, "'host'"),
    ],
)
def test_a_wrong_configuration_is_an_error_with_a_hint(change: dict[str, Any], why: str) -> None:
    with pytest.raises(AgentError, match=why) as caught:
        parsed({**DOCUMENT, **change})
    assert caught.value.code == "failed"
    assert "update the environment" in caught.value.hint


def test_secrets_are_read_from_their_files(tmp_path: Path) -> None:
    places = Places(secrets=tmp_path)
    with pytest.raises(AgentError, match="repository's password"):
        secrets(places)
    (tmp_path / "repository-password").write_text("word\n")
    (tmp_path / "repository-login").write_text("user:pass:word\n")
    found = secrets(places)
    assert found.repository_login == ("user", "pass:word")
    assert found.words == ("word", "pass:word")
    assert (found.database_password, found.ssh_key) == (None, None)


def test_a_manifest_reads_back_as_the_documented_snapshot() -> None:
    document = manifests.read(manifests.written(MANIFEST))
    assert manifests.snapshot("f" * 64, document) == {
        "id": "f" * 64,
        "database_id": "abcdef01",
        "run": "1" * 32,
        "taken": "2026-11-25T03:00:12+00:00",
        "reason": "schedule",
        "service": "pad",
        "kind": "etherpad",
        "version": "3.3.1",
        "image": "etherpad/etherpad:3.3.1",
        "image_digest": None,
        "revision": None,
        "database": {"major": 15, "server_version": "15.14", "name": "pad", "bytes": 123},
        "counts": {"pads": 12},
        "files": {"count": 10, "bytes": 2048},
        "seconds": 3.2,
        "lineage": "",
        "recreated": False,
    }


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"format": 9}', b'{"format": 1}'])
def test_a_document_that_is_not_a_manifest_is_corrupt(text: bytes) -> None:
    with pytest.raises(AgentError) as caught:
        manifests.read(text)
    assert caught.value.code == "corrupt"


@pytest.mark.parametrize("change", [{"service": "team"}, {"stack": "production"}, {"project": "other"}])
def test_a_snapshot_of_another_service_is_refused(change: dict[str, str]) -> None:
    document = {**manifests.read(manifests.written(MANIFEST)), **change}
    with pytest.raises(AgentError) as caught:
        manifests.refuse_foreign(document, configuration())
    assert caught.value.code == "other-service"


@pytest.mark.parametrize("major", [14, 15])
def test_a_dump_of_an_older_server_is_accepted(major: int) -> None:
    dumped = replace(MANIFEST, database=Dumped(major, "x", "pad", 1))
    manifests.refuse_foreign(manifests.read(manifests.written(dumped)), configuration())


def test_a_dump_of_a_newer_server_is_refused() -> None:
    dumped = replace(MANIFEST, database=Dumped(16, "x", "pad", 1))
    with pytest.raises(AgentError) as caught:
        manifests.refuse_foreign(manifests.read(manifests.written(dumped)), configuration())
    assert caught.value.code == "newer-database"


def test_live_sqlite_files_and_folders_of_unfinished_restores_are_excluded() -> None:
    found = exclusions(configuration())
    app = "/data/files/app.sqlite"
    assert found == [
        "/data/logs",
        app,
        f"{app}-wal",
        f"{app}-shm",
        f"{app}-journal",
        "/data/var/.ronron-restored",
    ]
    assert literal("/a[1]*?\\b") == "/a\\[1]\\*\\?\\\\b"


def test_excluded_files_are_not_counted(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "logs").mkdir()
    for name, size in (("one", 1), ("deep/two", 20), ("logs/three", 300), ("four.tmp", 4000)):
        (tmp_path / name).write_bytes(b"x" * size)
    (tmp_path / "link").symlink_to("one")
    assert measured([str(tmp_path)], [str(tmp_path / "logs"), "*.tmp"]) == (2, 21)
    assert measured([str(tmp_path / "one"), str(tmp_path / "nowhere")], []) == (1, 1)


def test_an_answer_is_judged_by_status_and_text() -> None:
    assert judged(200, "hello", 12.4, status=[], contains=None) == {"healthy": True, "detail": "200 in 12 ms"}
    assert judged(302, "", 1, status=[200, 204], contains=None)["detail"] == "302 instead of 200 or 204"
    assert judged(200, "hello", 1, status=[200], contains="bye")["detail"] == "200 without the text 'bye'"


def test_a_copy_of_a_sqlite_file_includes_its_write_ahead_log(tmp_path: Path) -> None:
    original = tmp_path / "app.sqlite"
    with closing(sqlite3.connect(original)) as writer:
        writer.execute("pragma journal_mode = wal")
        writer.execute("create table t (n)")
        writer.execute("insert into t values (7)")
        writer.commit()
        found = copied(str(original), tmp_path / "stage")
        with closing(sqlite3.connect(found.copy)) as reader:
            assert reader.execute("select n from t").fetchall() == [(7,)]
    assert found.path == str(original)
    assert Path(found.copy).stat().st_size == found.bytes


@pytest.mark.parametrize("content", [None, b"no database at all, but long enough to be looked at" * 50])
def test_a_file_that_is_not_a_database_is_unreadable(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "app.sqlite").write_bytes(content)
    with pytest.raises(AgentError) as caught:
        copied(str(tmp_path / "app.sqlite"), tmp_path / "stage")
    assert caught.value.code == "source-unreadable"


def test_the_journal_stores_runs_facts_and_the_ten_newest_snapshots(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    since, first = journal.since()
    assert first is True
    assert Journal(tmp_path).since() == (since, False)
    journal.begin("backup")
    run = journal.runs()["backup"]
    assert run is not None
    assert (run["ok"], run["finished"]) == (None, None)
    journal.end("backup", AgentError("full", "cannot", "free"), {"reason": "asked"})
    run = Journal(tmp_path).runs()["backup"]
    assert run is not None
    assert (run["ok"], run["error"]) == (False, {"code": "full", "message": "cannot", "hint": "free"})
    for number in range(12):
        journal.add_snapshot({"id": str(number), "taken": f"2026-11-{number + 1:02}T03:00:00+00:00"})
    assert [one["id"] for one in journal.snapshots()] == [str(number) for number in range(11, 1, -1)]
    assert journal.runs()["prune"] is None


def test_a_command_without_a_configuration_prints_an_error_document() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "chatons.images.backup_agent", "list"],
        capture_output=True,
        timeout=60,
        cwd=Path(__file__).parents[4],
        check=False,
    )
    assert done.returncode == 1
    error = json.loads(done.stdout)["error"]
    assert error["message"].startswith("cannot use the agent's configuration")
    assert done.stderr.decode().splitlines() == [error["message"], error["hint"]]
