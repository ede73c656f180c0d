from __future__ import annotations

import pytest

from components.declaration import SEALED, StackConfiguration, load
from components.declaration_errors import SHOWN_AT_MOST, DeclarationError, Problem
from tests.declarations import DIGEST, HOST_KEY, PASSWORD, REMOVED, SECRETS, configuration, declared, problems

PAD = {
    "kind": "etherpad", "machine": "laptop", "hostname": "pad.localhost", "image": "etherpad/etherpad:3.3.1",
}  # fmt: skip
LAPTOP = {"docker": "unix:///var/run/docker.sock"}

BAD = [
    # changes, key, words of the problem, words of the remedy
    ({"services.pad.titel": "x"}, "services.pad.titel", "known one is 'title'", "rename it to 'title'"),
    ({"services.pad.zzz": 1}, "services.pad.zzz", "unknown key", "remove it"),
    ({"servcies": {}}, "servcies", "nearest known one is 'services'", "rename it to 'services'"),
    ({"edge.htpp_port": 1}, "edge.htpp_port", "nearest known one is 'http_port'", "rename"),
    ({"machines.laptop.dokcer": "x"}, "machines.laptop.dokcer", "nearest known one is 'docker'", "rename"),
    ({"services.wiki.database": {"imag": 1}}, "services.wiki.database.imag", "is 'image'", "rename"),
    ({"services.pad.probe": {"pth": "/"}}, "services.pad.probe.pth", "is 'path'", "rename"),
    ({"members.basic.usr": "x"}, "members.basic.usr", "is 'user'", "rename"),
    ({"collective": REMOVED}, "collective", "this key is missing", "add `collective`"),
    ({"services": REMOVED}, "services", "this key is missing", "add `services`"),
    ({"collective.country": REMOVED}, "collective.country", "this key is missing", "add `country`"),
    ({"services.pad.image": REMOVED}, "services.pad.image", "this key is missing", "add `image`"),
    ({"services.pad.kind": REMOVED}, "services.pad.kind", "this key is missing", "add `kind`"),
    ({"services.pad.hostname": REMOVED}, "services.pad.hostname", "this key is missing", "add `hostname`"),
    ({"services": []}, "services", "keys and values are needed", "`key: value`"),
    ({"services.pad": "etherpad"}, "services.pad", "keys and values are needed", "`key: value`"),
    ({"edge": "caddy"}, "edge", "keys and values are needed", "`key: value`"),
    ({"services.pad.kind": "ethrpad"}, "services.pad.kind", "nearest known one is 'etherpad'", "'etherpad'"),
    ({"services.pad.kind": "zzz"}, "services.pad.kind", "unknown kind 'zzz'", "container, etherpad"),
    ({"services.pad.machine": "lapto"}, "services.pad.machine", "nearest known one is 'laptop'", "'laptop'"),
    ({"services.pad.machine": "zzz"}, "services.pad.machine", "unknown machine 'zzz'", "laptop"),
    ({"services.pad.image": "etherpad/etherpad"}, "services.pad.image", "has no tag", "name the version"),
    ({"services.pad.image": "a/b:latest"}, "services.pad.image", "follows `latest`", "name the version"),
    ({"services.pad.image": f"a/b:latest@{DIGEST}"}, "services.pad.image", "`latest`", "name the version"),
    ({"services.pad.image": f"a/b@{DIGEST}"}, "services.pad.image", "has no tag", "name the version"),
    ({"services.pad.image": "A b"}, "services.pad.image", "not a reference", "repository:tag"),
    ({"services.pad.image": 3}, "services.pad.image", "an image is a text", "repository:tag"),
    ({"edge.image": "caddy"}, "edge.image", "has no tag", "name the version"),
    ({"database.image": "postgres:trixie"}, "database.image", "no version of PostgreSQL", "postgres:15.14"),
    ({"database.image": "postgres:9.6"}, "database.image", "no version of PostgreSQL", "postgres:15.14"),
    ({"services.pad.database": {"image": "postgres:9.6"}}, "services.pad.database.image", "from 12", "15.14"),
    ({"services.team.hostname": "pad.localhost"}, "services.team.hostname", "belongs to pad", "of its own"),
    ({"services.pad.hostname": "https://pad.localhost"}, "services.pad.hostname", "not a hostname", "bare"),
    ({"services.pad.hostname": "Pad.localhost"}, "services.pad.hostname", "not a hostname", "lower case"),
    ({"edge": REMOVED}, "edge", "no edge is declared", "add `ronron:edge`"),
    ({"edge.http_port": 0}, "edge.http_port", "greater than or equal to 1", "correct"),
    ({"edge.http_port": "abc"}, "edge.http_port", "integer", "correct"),
    ({"edge": {"image": "caddy:2.10.2", "tls": "internal", "http_port": 443}}, "edge.https_port",
     "port 443 is already", "another port"),
    ({"edge.tls": "on"}, "edge.tls", "not one of the known words", "'off', 'internal' or 'acme'"),
    ({"edge.tls": "acme", "edge.bind": "192.0.2.1"}, "services.pad.hostname", "no public", "public"),
    ({"edge.bind": "everywhere"}, "edge.bind", "not an IP address", "127.0.0.1"),
    ({"members": REMOVED}, "members", "backlog is for members only", "add `ronron:members`"),
    ({"members": {}}, "members", "exactly one of", "keep one"),
    ({"members.forward_auth": {"url": "https://auth.example/"}}, "members", "exactly one of", "keep one"),
    ({"database": REMOVED}, "database.image", "no image is declared", "postgres:15.14"),
    ({"machines": {}}, "machines", "at least 1", "correct"),
    ({"machines.laptop": {}}, "machines.laptop", "exactly one of `docker` and `proxmox`", "keep one"),
    ({"machines.laptop.docker": "tcp://0.0.0.0:2375"}, "machines.laptop.docker", "tcp:// is refused", "ssh://"),
    ({"machines.laptop.docker": "ssh://a@b.example"}, "machines.laptop", "needs `host_key`", "copy /etc/ssh"),
    ({"machines.laptop": {"docker": "ssh://a@b.example", "host_key": "rubbish"}}, "machines.laptop.host_key",
     "not a public host key", "paste type and key"),
    ({"machines.laptop.host_key": HOST_KEY}, "machines.laptop", "no meaning without ssh", "remove"),
    ({"machines.other": LAPTOP}, "machines.other.docker", "is the Docker of laptop", "once"),
    ({"services.Pad": PAD}, "services.Pad", "is not a name", "lower-case"),
    ({"services.pad.environment": {"DB_HOST": "x"}}, "services.pad.environment.DB_HOST", "catalogue sets",
     "remove it"),
    ({"services.pad.environment": {"A-B": "x"}}, "services.pad.environment.A-B", "not a name of an",
     "letters"),
    ({"services.wiki.port": REMOVED}, "services.wiki", "needs the `port`", "add `port`"),
    ({"services.wiki.volumes": {"a": "/x", "b": "/x"}}, "services.wiki.volumes", "/x is mounted", "once"),
    ({"services.wiki.volumes": {"a": "x/../y"}}, "services.wiki.volumes.a", "", ""),
    ({"services.wiki.tmpfs": ["/content"]}, "services.wiki.volumes", "/content is mounted more", "once"),
    ({"services.wiki.health": ["wget"]}, "services.wiki", "`health` is not a test", "as in Docker"),
    ({"services.wiki.capabilities": ["ALL"]}, "services.wiki.capabilities.0", "not a single", "name"),
    ({"services.edge": PAD | {"hostname": "e.localhost"}}, "services.edge", "as one of the edge", "another"),
    ({"services.pad-database": PAD | {"hostname": "e.localhost"}}, "services.pad-database", "as one of pad",
     "another name"),
    ({"services.pad.memory_mib": 1}, "services.pad.memory_mib", "greater than or equal to 16", "correct"),
    ({"services.pad.memory_mib": "lots"}, "services.pad.memory_mib", "integer", "correct"),
    ({"services.pad.title": "a\nb"}, "services.pad.title", "", ""),
    ({"collective.contact": "nobody"}, "collective.contact", "not a mailbox", "such as tech@"),
    ({"collective.country": "France"}, "collective.country", "not a country", "ISO 3166"),
    ({"pad-admin-password": "plain"}, "pad-admin-password", "a secret in plain text", "config set --secret"),
    ({"services.pad.environment": {"KEY": SEALED}}, "services.pad.environment.KEY", "secret cannot stand",
     "key of its own"),
    ({"backup": {"repository": "r", "schedule": "0 3 * * *", "password": "x"}}, "backup.password",
     "in plain text", "--secret --path"),
    ({"backup": {"repository": "r", "schedule": "daily", "password": SEALED}}, "backup.schedule",
     "not a schedule", "five fields"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "key", "problem", "remedy"), BAD, ids=lambda value: str(value)[:60])
def test_bad_input_is_refused_with_its_key_what_is_wrong_and_a_remedy(
    changes: dict[str, object], key: str, problem: str, remedy: str
) -> None:
    found = {each.key: each for each in problems(changes)}
    assert f"ronron:{key}" in found, list(found)
    refusal = found[f"ronron:{key}"]
    assert problem in refusal.problem
    assert remedy in refusal.remedy
    assert refusal.problem
    assert refusal.remedy
    assert "\n" not in refusal.problem + refusal.remedy


def test_the_usual_declaration_can_be_used() -> None:
    assert problems() == []
    assert set(declared().services) == {"pad", "team", "backlog", "wiki"}


def test_every_problem_is_reported_at_once() -> None:
    keys = {
        each.key
        for each in problems(
            {
                "collective.country": "France",
                "edge.htpp_port": 80,
                "services.pad.titel": "x",
                "services.team.machine": "zzz",
                "services.backlog.image": "kanboard/kanboard:latest",
                "services.wiki.hostname": "team.localhost",
                "zzz": 1,
            },
            secrets={},
        )
    }
    assert keys >= {
        "ronron:collective.country",
        "ronron:edge.htpp_port",
        "ronron:services.pad.titel",
        "ronron:services.backlog.image",
        "ronron:services.wiki.hostname",
        "ronron:zzz",
        "ronron:team-database-password",
        "ronron:wiki-database-password",
    }


def test_a_part_that_cannot_be_read_is_not_called_absent() -> None:
    assert [each.key for each in problems({"edge.tls": "on"})] == ["ronron:edge.tls"]
    assert [each.key for each in problems({"machines.laptop.docker": "zzz"})] == [
        "ronron:machines.laptop.docker"
    ]


@pytest.mark.parametrize("key", SECRETS)
def test_each_missing_secret_is_named_with_the_command_that_sets_it(key: str) -> None:
    (missing,) = problems(secrets={other: PASSWORD for other in SECRETS if other != key})
    assert missing.key == f"ronron:{key}"
    assert "missing secret" in missing.problem
    assert missing.remedy == f"pulumi config set --secret ronron:{key} --stack local"


def test_secrets_are_not_asked_for_where_they_cannot_be_known() -> None:
    load(configuration(secrets={}), ask_for_secrets=False)


def test_an_unknown_secret_is_refused_with_the_nearest_one() -> None:
    (found,) = problems(secrets={**dict.fromkeys(SECRETS, PASSWORD), "pad-databse-password": PASSWORD})
    assert found.key == "ronron:pad-databse-password"
    assert "'pad-database-password'" in found.remedy


def test_the_value_of_a_secret_is_in_no_message() -> None:
    short = "hunter2"
    try:
        load(configuration({"edge.tls": "on"}, secrets=dict.fromkeys(SECRETS, short)))
    except DeclarationError as error:
        shown = str(error) + repr(error) + repr(error.problems)
    assert "ronron:pad-database-password" in shown
    assert short not in shown


@pytest.mark.parametrize("stack", ["staging", "production", "locals"])
def test_outside_local_each_image_needs_a_digest(stack: str) -> None:
    found = {each.key: each for each in problems(stack=stack)}
    for name in ("pad", "team", "backlog", "wiki"):
        assert "has no digest" in found[f"ronron:services.{name}.image"].problem
    assert {"ronron:edge.image", "ronron:database.image"} <= set(found)
    assert "docker buildx imagetools inspect postgres:15.14" in found["ronron:database.image"].remedy


@pytest.mark.parametrize("stack", ["local", "local-2"])
def test_on_ones_own_machine_an_image_needs_no_digest(stack: str) -> None:
    assert problems(stack=stack) == []


def test_an_image_that_exists_on_one_machine_only_is_refused_elsewhere() -> None:
    image = f"ronron-local/etherpad:1.8.14@{DIGEST}"
    found = {each.key: each for each in problems({"services.pad.image": image}, stack="staging")}
    assert "only on the machine" in found["ronron:services.pad.image"].problem


def test_problems_come_in_the_order_of_the_keys() -> None:
    found = problems({"zzz": 1, "edge.tls": "on", "collective.country": "x", "services.pad.titel": 1})
    assert [each.key for each in found] == [
        "ronron:collective.country",
        "ronron:services.pad.titel",
        "ronron:edge.tls",
        "ronron:zzz",
    ]


def test_a_long_list_of_problems_stays_on_one_screen() -> None:
    many = [Problem(path=("x", index), problem="p", remedy="r") for index in range(30)]
    lines = str(DeclarationError(many)).splitlines()
    assert len(lines) == 2 * SHOWN_AT_MOST + 2
    assert "30 problems" in lines[0]
    assert "20 more" in lines[-1]


def test_an_empty_configuration_says_what_is_needed() -> None:
    with pytest.raises(DeclarationError) as refused:
        load(StackConfiguration(stack="local"))
    assert [each.key for each in refused.value.problems] == [
        "ronron:collective",
        "ronron:machines",
        "ronron:services",
    ]
