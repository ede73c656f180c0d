"""Clones of containers, as far as no Docker is needed."""

from __future__ import annotations

import io
import tarfile

from ronron.adapters.docker_agents.clones import rooted, start_seconds, unique_name, volumes_of

SECOND = 1_000_000_000


def test_files_keep_owner_and_mode_and_get_their_full_path() -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as opened:
        folder = tarfile.TarInfo("ronron-agent")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o700
        opened.addfile(folder)
        secret = tarfile.TarInfo("ronron-agent/password")
        secret.size, secret.mode, secret.uid, secret.gid = 6, 0o400, 999, 998
        opened.addfile(secret, io.BytesIO(b"secret"))
    packed.seek(0)
    with tarfile.open(fileobj=io.BytesIO(rooted(packed, "/run"))) as read:
        assert read.getnames() == ["run/ronron-agent", "run/ronron-agent/password"]
        found = read.getmember("run/ronron-agent/password")
        assert (found.mode, found.uid, found.gid) == (0o400, 999, 998)
        content = read.extractfile(found)
        assert content is not None
        assert content.read() == b"secret"


def test_a_file_of_the_root_directory_stays_there() -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as opened:
        opened.addfile(tarfile.TarInfo("key"))
    packed.seek(0)
    with tarfile.open(fileobj=io.BytesIO(rooted(packed, ""))) as read:
        assert read.getnames() == ["key"]


def test_a_container_may_start_as_long_as_its_health_check_allows_and_ten_minutes_at_least() -> None:
    assert start_seconds({"Config": {}}) == 600
    quick = {"StartPeriod": 60 * SECOND, "Interval": 10 * SECOND, "Timeout": 5 * SECOND, "Retries": 6}
    assert start_seconds({"Config": {"Healthcheck": quick}}) == 600
    assert start_seconds({"Config": {"Healthcheck": {**quick, "StartPeriod": 900 * SECOND}}}) == 990


def test_bind_mounts_are_no_volumes() -> None:
    mounts = [
        {"Type": "volume", "Name": "x-pad-var", "Destination": "/var"},
        {"Type": "bind", "Source": "/srv", "Destination": "/repository"},
        {"Type": "tmpfs", "Destination": "/cache"},
    ]
    assert volumes_of({"Mounts": mounts}) == {"/var": "x-pad-var"}
    assert volumes_of({"Mounts": None}) == {}


def test_names_are_unique() -> None:
    names = {unique_name("ronron-local-pad", "drill") for _ in range(100)}
    assert len(names) == 100
    assert all(name.startswith("ronron-local-pad-drill-") for name in names)
