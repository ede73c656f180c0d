"""What Docker says in several ways, or changes by itself, is no difference; every other change is named."""

from __future__ import annotations

from typing import Any

import pytest

from ronron.core.container_settings import differences, settings_of

ID = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4
NAMELESS = "ab" * 32
MIB = 1024 * 1024


def inspected(**changes: Any) -> dict[str, Any]:
    """An inspection of a container; mappings in it are completed by `changes`."""
    document: dict[str, Any] = {
        "Id": ID,
        "Name": "/pad",
        "Image": f"sha256:{'1' * 64}",
        "Config": {"Hostname": ID[:12], "Env": ["A=1", "B=2"], "Cmd": ["serve"], "Labels": {"l": "x"}},
        "HostConfig": {"Memory": 384 * MIB, "RestartPolicy": {"Name": "unless-stopped"}},
        "NetworkSettings": {"Networks": {"private": {"Aliases": ["app"]}}},
        "Mounts": [],
    }
    for key, value in changes.items():
        document[key] = document[key] | value if isinstance(value, dict) else value
    return document


def changed(was: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return [str(one) for one in differences(settings_of(was), settings_of(now))]


def networks(**ends: Any) -> dict[str, Any]:
    return {"NetworkSettings": {"Networks": ends}}


@pytest.mark.parametrize(
    ("was", "now"),
    [
        pytest.param({}, {"Config": {"Env": ["B=2", "A=1"]}}, id="the order of variables"),
        pytest.param(
            {}, {"Id": OTHER, "Config": {"Hostname": OTHER[:12]}}, id="a hostname that Docker chose"
        ),
        pytest.param({}, {"HostConfig": {"MemorySwap": -1}}, id="no limit of swap"),
        pytest.param({}, {"HostConfig": {"PidsLimit": 0}}, id="no limit of processes"),
        pytest.param({}, {"HostConfig": {"CpuShares": 0, "CpuQuota": None}}, id="no limit of processors"),
        pytest.param(
            {"HostConfig": {"RestartPolicy": {"Name": "no"}}},
            {"HostConfig": {"RestartPolicy": {"Name": ""}}},
            id="no restarts",
        ),
        pytest.param(
            {"HostConfig": {"CapAdd": ["CAP_CHOWN", "NET_ADMIN"]}},
            {"HostConfig": {"CapAdd": ["net_admin", "CHOWN"]}},
            id="names and order of capabilities",
        ),
        pytest.param({}, {"HostConfig": {"CapDrop": None, "SecurityOpt": None}}, id="no rights"),
        pytest.param(
            {"HostConfig": {"SecurityOpt": ["a", "b"]}},
            {"HostConfig": {"SecurityOpt": ["b", "a"]}},
            id="the order of security options",
        ),
        pytest.param(
            {"HostConfig": {"NetworkMode": "default"}},
            {"HostConfig": {"NetworkMode": "bridge"}},
            id="the default network",
        ),
        pytest.param(
            {"HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "80"}]}}},
            {"HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "80"}]}}},  # noqa: S104
            id="all addresses",
        ),
        pytest.param(
            {"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": ""}]}}},
            {"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "0"}]}}},
            id="a port that Docker chooses",
        ),
        pytest.param(
            {"Mounts": [{"Type": "volume", "Name": NAMELESS, "Destination": "/data", "RW": True}]},
            {"Mounts": [{"Type": "volume", "Name": NAMELESS[::-1], "Destination": "/data", "RW": True}]},
            id="a volume without a name",
        ),
        pytest.param(
            {},
            networks(private={"Aliases": ["app", ID[:12], "pad"], "IPAddress": "172.18.0.3"}),
            id="addresses, and aliases of Docker's own",
        ),
        pytest.param(
            networks(private={"Aliases": None}), networks(private={"Aliases": []}), id="no aliases"
        ),
        pytest.param(
            networks(private={"Aliases": ["a", "b"]}),
            networks(private={"Aliases": ["b", "a", "b"]}),
            id="the order of aliases",
        ),
        pytest.param({}, {"HostConfig": {"Devices": [], "Ulimits": None, "Dns": None}}, id="nothing at all"),
    ],
)  # fmt: skip
def test_what_docker_says_in_another_way_is_no_difference(was: dict[str, Any], now: dict[str, Any]) -> None:
    assert changed(inspected(**was), inspected(**now)) == []


@pytest.mark.parametrize(
    ("now", "text"),
    [
        ({"HostConfig": {"Memory": 256 * MIB}}, "memory: 256 MiB, was 384 MiB"),
        ({"HostConfig": {"Memory": 0}}, "memory: removed, was 384 MiB"),
        ({"HostConfig": {"NanoCpus": 500_000_000}}, "cpus: 0.5, was not set"),
        ({"HostConfig": {"RestartPolicy": {"Name": "no"}}}, "restart policy: removed, was unless-stopped"),
        (
            {"HostConfig": {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}}},
            "restart policy: on-failure:3, was unless-stopped",
        ),
        ({"HostConfig": {"Privileged": True}}, "privileged: yes, was not set"),
        ({"HostConfig": {"CapAdd": ["SYS_ADMIN"]}}, "added capabilities: SYS_ADMIN, was not set"),
        (
            {"HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}}},
            "port 80/tcp: 127.0.0.1:8080, was not set",
        ),
        (
            {"Mounts": [{"Type": "bind", "Source": "/srv", "Destination": "/data", "RW": False}]},
            "mount /data: bind /srv, read-only, was not set",
        ),
        (
            {"Mounts": [{"Type": "volume", "Name": "files", "Destination": "/data", "RW": True}]},
            "mount /data: volume files, was not set",
        ),
        ({"HostConfig": {"Tmpfs": {"/scratch": "size=1m"}}}, "mount /scratch: tmpfs size=1m, was not set"),
        ({"HostConfig": {"NetworkMode": "host"}}, "network mode: host, was not set"),
        ({"Image": f"sha256:{'2' * 64}"}, "image: 222222222222, was 111111111111"),
        ({"HostConfig": {"ExtraHosts": ["x:https://ada:secret@x/"]}}, "extra hosts added"),
        ({"Config": {"User": "root"}}, "user: root, was not set"),
        ({"Config": {"Hostname": "pad"}}, "hostname: pad, was not set"),
        ({"Config": {"Env": ["A=secret", "B=2"]}}, "variable A changed"),
        ({"Config": {"Env": ["B=2"]}}, "variable A removed"),
        ({"Config": {"Env": ["A=1", "B=2", "C=3"]}}, "variable C added"),
        ({"Config": {"Env": ["A=1", "B"]}}, "variable B changed"),
        ({"Config": {"Labels": {"l": "y"}}}, "label l changed"),
        ({"Config": {"Cmd": ["serve", "--password", "x"]}}, "command changed"),
        ({"Config": {"Healthcheck": {"Test": ["NONE"]}}}, "health check added"),
        (
            networks(private={"Aliases": ["app", "db"]}),
            "network private: attached, app, db, was attached, app",
        ),
    ],
)
def test_a_change_is_named_and_no_secret_value_is_shown(now: dict[str, Any], text: str) -> None:
    assert changed(inspected(), inspected(**now)) == [text]


def test_a_network_that_was_left_and_one_that_was_joined_are_named() -> None:
    now = inspected()
    now["NetworkSettings"] = {"Networks": {"other": {"Aliases": None}}}
    assert changed(inspected(), now) == [
        "network other: attached, was not set",
        "network private: removed, was attached, app",
    ]


def test_no_value_of_a_variable_is_in_the_settings() -> None:
    found = settings_of(inspected(Config={"Env": ["PASSWORD=hunter2"], "Cmd": ["--token", "hunter2"]}))
    assert "hunter2" not in str(found)


def test_equal_values_of_two_containers_have_different_hashes() -> None:
    here, there = settings_of(inspected()), settings_of(inspected() | {"Name": "/team"})
    assert here["variable A"] != there["variable A"]
