"""Declarations that people get wrong: each refusal names the key and says how to mend it."""

from __future__ import annotations

import json
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from chatons.catalogue.container import ContainerService
from chatons.declaration import editor
from chatons.declaration.load import ENCRYPTED, DeclarationError, StackConfiguration, load
from chatons.schema.problems import SHOWN_AT_MOST, KeyPath, Problem, render
from tests.support.declarations import (
    ABSENT,
    BACKUP,
    DIGEST,
    EVERY_KIND,
    OFF_SITE,
    PASSWORD,
    SECRETS,
    configuration,
    declaration,
    pinned,
    problems,
)


@dataclass(frozen=True)
class Wrong:
    """One edit of a good declaration, and what must be said about it."""

    name: str
    edit: tuple[KeyPath, object]
    key: str
    problem: str
    remedy: str


PAD = ("services", "pad")
WIKI = ("services", "wiki")
HERE = ("machines", "here")
OTHER = {**EVERY_KIND["services"]["wiki"], "hostname": "other.test.example"}

TABLE = (
    # -- shape --------------------------------------------------------------------------------------------
    Wrong("no collective", (("collective",), ABSENT), "ronron:collective", "missing", "add `collective`"),
    Wrong("no machines", (("machines",), ABSENT), "ronron:machines", "missing", "add `machines`"),
    Wrong("no machine at all", (("machines",), {}), "ronron:machines", "this is empty", "at least 1"),
    Wrong("machines as a text", (("machines",), "here"), "ronron:machines", "a mapping", "key: value"),
    Wrong("services as a list", (("services",), ["pad"]), "ronron:services", "a mapping", "key: value"),
    Wrong(
        "a service as a text", (PAD, "etherpad"), "ronron:services.pad", "a mapping", "key: value"
    ),
    Wrong("no kind", ((*PAD, "kind"), ABSENT), "ronron:services.pad.kind", "missing", "add `kind`"),
    Wrong("no image", ((*PAD, "image"), ABSENT), "ronron:services.pad.image", "missing", "add `image`"),
    # -- keys and words that do not exist -----------------------------------------------------------------
    Wrong(
        "a mistyped key of the top", (("colective",), {}), "ronron:colective",
        "nearest known one is 'collective'",
        "rename it to 'collective'",
    ),
    Wrong(
        "a mistyped key of a service", ((*PAD, "hostnam"), "x.test.example"), "ronron:services.pad.hostnam",
        "nearest known one is 'hostname'", "rename it to 'hostname'",
    ),
    Wrong(
        "a key of another kind", ((*PAD, "capabilities"), []), "ronron:services.pad.capabilities",
        "unknown key", "remove it",
    ),
    Wrong(
        "a key like no other", ((*PAD, "zzz"), 1), "ronron:services.pad.zzz", "unknown key", "remove it"
    ),
    Wrong(
        "a mistyped key far down", ((*WIKI, "database"), {"variables": {"hst": "DB"}}),
        "ronron:services.wiki.database.variables.hst", "nearest known one is 'host'", "rename it to 'host'",
    ),
    Wrong(
        "a mistyped key of the edge", (("edge", "http_prt"), 1), "ronron:edge.http_prt",
        "nearest known one is 'http_port'", "rename it to 'http_port'",
    ),
    Wrong(
        "an unknown kind", ((*PAD, "kind"), "ehterpad"), "ronron:services.pad.kind",
        "unknown kind 'ehterpad'; the nearest known one is 'etherpad'", "write 'etherpad'",
    ),
    Wrong(
        "a kind like no other", ((*PAD, "kind"), "wordpress"), "ronron:services.pad.kind",
        "unknown kind 'wordpress'", "use one of: container, etherpad, kanboard, mattermost",
    ),
    Wrong(
        "an unknown machine", ((*PAD, "machine"), "hree"), "ronron:services.pad.machine",
        "unknown machine 'hree'; the nearest known one is 'here'", "write 'here'",
    ),
    Wrong(
        "a machine like no other", ((*PAD, "machine"), "zzz"), "ronron:services.pad.machine",
        "unknown machine 'zzz'", "use one of: here",
    ),
    Wrong("an unknown word", (("edge", "tls"), "on"), "ronron:edge.tls", "known values", "'off', 'internal'"),
    # -- values ---------------------------------------------------------------------------------------------
    Wrong(
        "a name with a capital", (("services", "Pad"), EVERY_KIND["services"]["wiki"]),
        "ronron:services.Pad", "'Pad' is not a name", "lower-case letters",
    ),
    Wrong(
        "a hostname with a scheme", ((*PAD, "hostname"), "https://pad.test.example"),
        "ronron:services.pad.hostname", "is not a hostname", "write the bare name",
    ),
    Wrong(
        "a hostname with a line of Caddy's", ((*PAD, "hostname"), "pad.test.example {\n\trespond x\n}\n"),
        "ronron:services.pad.hostname", "is not a hostname", "write the bare name",
    ),
    Wrong(
        "a mailbox without a host", (("collective", "contact"), "tech"), "ronron:collective.contact",
        "'tech' is not an email address", "write one such as",
    ),
    Wrong(
        "a country in words", (("collective", "country"), "France"), "ronron:collective.country",
        "'France' is not a country", "two capital letters",
    ),
    Wrong(
        "a port out of range", ((*WIKI, "port"), 70_000), "ronron:services.wiki.port", "65535",
        "from 1 to 65535",
    ),
    Wrong(
        "a truth value for a text", ((*WIKI, "environment"), {"DEBUG": True}),
        "ronron:services.wiki.environment.DEBUG", "a string is required", "put the value in quotes",
    ),
    Wrong(
        "a relative path", ((*WIKI, "volumes"), {"pages": "pages"}), "ronron:services.wiki.volumes.pages",
        "not an absolute path", "write the whole path",
    ),
    Wrong(
        "a path that climbs", ((*WIKI, "volumes"), {"pages": "/srv/../etc"}),
        "ronron:services.wiki.volumes.pages", "not an absolute path", "without `..`",
    ),
    Wrong(
        "all capabilities", ((*WIKI, "capabilities"), ["ALL"]), "ronron:services.wiki.capabilities.0",
        "not a single capability", "name each one",
    ),
    Wrong(
        "a health test that is a plain command", ((*WIKI, "health"), ["curl", "x"]), "ronron:services.wiki",
        "`health` is not a health check", "write it as in Docker",
    ),
    Wrong(
        "a hostname without a port", ((*WIKI, "port"), ABSENT), "ronron:services.wiki",
        "needs the `port`", "add `port`",
    ),
    # -- machines -------------------------------------------------------------------------------------------
    Wrong(
        "Docker over plain TCP", ((*HERE, "docker"), "tcp://192.0.2.1:2375"), "ronron:machines.here.docker",
        "tcp:// is refused", "use ssh://user@host",
    ),
    Wrong(
        "ssh without the key of the host", ((*HERE, "docker"), "ssh://tech@old.test.example"),
        "ronron:machines.here", "needs `host_key`",
        "copy /etc/ssh/ssh_host_ed25519_key.pub of old.test.example",
    ),
    Wrong(
        "a key of a host that is none", ((*HERE, "host_key"), "ssh-ed25519 AAAA"),
        "ronron:machines.here.host_key", "not a public host key", "paste type and key",
    ),
    Wrong(
        "neither Docker nor Proxmox", (HERE, {}), "ronron:machines.here", "exactly one of",
        "keep one of the two",
    ),
    Wrong(
        "one Docker under two names", (("machines", "there"), {"docker": "unix:///var/run/docker.sock"}),
        "ronron:machines.there.docker", "this is the Docker of here", "declare each Docker once",
    ),
    # -- images ---------------------------------------------------------------------------------------------
    Wrong(
        "an image without a tag", ((*PAD, "image"), "etherpad/etherpad"), "ronron:services.pad.image",
        "has no tag", "write the tag of a version",
    ),
    Wrong(
        "an image with a digest and no tag", ((*PAD, "image"), "etherpad/etherpad" + DIGEST),
        "ronron:services.pad.image", "has no tag", "write the tag of a version",
    ),
    Wrong(
        "an image that follows latest", ((*PAD, "image"), "etherpad/etherpad:latest"),
        "ronron:services.pad.image", "follows `latest`", "write the tag of a version",
    ),
    Wrong(
        "latest with a digest", ((*PAD, "image"), "etherpad/etherpad:latest" + DIGEST),
        "ronron:services.pad.image", "follows `latest`", "write the tag of a version",
    ),
    Wrong(
        "an image that is no reference", ((*PAD, "image"), "ether pad:1"), "ronron:services.pad.image",
        "is not an image reference", "write repository:tag",
    ),
    Wrong(
        "a number for an image", ((*PAD, "image"), 3), "ronron:services.pad.image", "an image is a string",
        "write repository:tag",
    ),
    Wrong(
        "a PostgreSQL that nobody repairs", (("database", "image"), "postgres:9.6.24"),
        "ronron:database.image",
        "not a version of PostgreSQL from 12 on", "use a tag that begins with it",
    ),
    # -- two things in one place ----------------------------------------------------------------------------
    Wrong(
        "one hostname twice", (("services", "team", "hostname"), "pad.test.example"),
        "ronron:services.team.hostname", "already belongs to pad", "choose a different hostname",
    ),
    Wrong(
        "one port twice", (("edge",), {"image": "caddy:2.10.2", "tls": "internal", "http_port": 443}),
        "ronron:edge.https_port", "port 443 is already the port of plain HTTP", "choose another port",
    ),
    Wrong(
        "one path twice", ((*WIKI, "tmpfs"), ["/srv/pages"]), "ronron:services.wiki.volumes",
        "/srv/pages is mounted more than once: pages, tmpfs", "mount each path once",
    ),
    Wrong(
        "a service with the name of the edge", (("services", "edge"), {
            "kind": "container", "machine": "here", "image": "x:1",
        }), "ronron:services.edge", "as one of the edge", "choose another name",
    ),
    Wrong(
        "a service with the name of a database", (("services", "pad-database"), {
            "kind": "container", "machine": "here", "image": "x:1",
        }), "ronron:services.pad-database", "as one of pad", "choose another name",
    ),
    Wrong(
        "a volume with the name of the database's", ((*WIKI, "volumes"), {"database": "/srv"}),
        "ronron:services.wiki", "its volume would be called ronron-local-wiki-database",
        "choose another name",
    ),
    Wrong(
        "a variable that the catalogue sets", ((*PAD, "environment"), {"TRUST_PROXY": "false"}),
        "ronron:services.pad.environment.TRUST_PROXY", "the catalogue sets this variable", "remove it",
    ),
    # -- what one key needs of another ----------------------------------------------------------------------
    Wrong("no edge", (("edge",), ABSENT), "ronron:edge", "no edge is declared", "add `ronron:edge`"),
    Wrong("no members", (("members",), ABSENT), "ronron:members", "nothing says who", "add `ronron:members`"),
    Wrong(
        "no PostgreSQL", (("database",), ABSENT), "ronron:database.image", "needs a PostgreSQL",
        "add `ronron:database`",
    ),
    Wrong(
        "two ways for members", (("members", "forward_auth"), {"url": "https://auth.test.example"}),
        "ronron:members", "exactly one of", "keep one of the two",
    ),
    # -- backups --------------------------------------------------------------------------------------------
    Wrong(
        "no repository", (("backup",), {"schedule": "0 3 * * *", "password": ENCRYPTED}),
        "ronron:backup.repository", "missing", "add `repository`",
    ),
    Wrong(
        "a login in the repository", (("backup",), {**BACKUP, "repository": "rest:https://me:word@v.example"}),
        "ronron:backup.repository", "contains a login",
        "pulumi config set --secret --path 'ronron:backup.login'",
    ),
    Wrong(
        "a schedule of words", (("backup",), {**BACKUP, "schedule": "daily"}), "ronron:backup.schedule",
        "is not a schedule", "write five fields",
    ),
    Wrong(
        "a schedule that never comes", (("backup",), {**BACKUP, "schedule": "0 3 31 2 *"}),
        "ronron:backup.schedule", "never runs", "choose a day",
    ),
    Wrong(
        "a mistyped key of backups", (("backup",), {**BACKUP, "shedule": "0 3 * * *"}),
        "ronron:backup.shedule", "nearest known one is 'schedule'", "rename it to 'schedule'",
    ),
    Wrong(
        "a key of backups by its earlier name", (("backup",), {**BACKUP, "promise": "26h"}),
        "ronron:backup.promise", "this key is now called 'max_age'", "rename it to 'max_age'",
    ),
    Wrong(
        "a drill now and then", (("backup",), {**BACKUP, "drill": "yearly"}), "ronron:backup.drill",
        "known values", "'daily', 'weekly' or 'monthly'",
    ),
    Wrong(
        "a password of the repository in clear", (("backup",), {**BACKUP, "password": "hunter2"}),
        "ronron:backup.password", "secret in plain text", "--path",
    ),
    Wrong(
        "no password of the repository",
        (("backup",), {key: value for key, value in BACKUP.items() if key != "password"}),
        "ronron:backup.password", "missing secret: the password of the backup repository",
        "pulumi config set --secret --path 'ronron:backup.password' --stack local",
    ),
    Wrong(
        "a repository by ssh without a key",
        (("backup",), {key: value for key, value in OFF_SITE.items() if key != "ssh_key"}),
        "ronron:backup.ssh_key", "missing secret: the private ssh key",
        "pulumi config set --secret --path 'ronron:backup.ssh_key' --stack local < KEYFILE",
    ),
    Wrong(
        "a repository on S3 without a login",
        (("backup",), {**BACKUP, "repository": "s3:https://garage.test.example/b"}),
        "ronron:backup.login", "missing secret: the login", "ronron:backup.login",
    ),
    Wrong(
        "a repository by ssh without the key of its host",
        (("backup",), {key: value for key, value in OFF_SITE.items() if key != "host_key"}), "ronron:backup",
        "needs `host_key`", "copy /etc/ssh/ssh_host_ed25519_key.pub of vault.test.example",
    ),
    Wrong(
        "a login for a directory", (("backup",), {**BACKUP, "login": ENCRYPTED}), "ronron:backup",
        "`login` has no meaning for '/srv/backups'", "pulumi config rm --path 'ronron:backup.login'",
    ),
    Wrong(
        "a secret whose path was forgotten", (("backup.password",), ENCRYPTED), "ronron:backup.password",
        "sets a top-level key", "pulumi config set --secret --path 'ronron:backup.password'",
    ),
    Wrong(
        "SQLite in a volume that there is not", ((*WIKI, "sqlite"), {"page": ["a.db"]}),
        "ronron:services.wiki",
        "the volume 'page', which is not among `volumes`", "use a name from `volumes`",
    ),
    Wrong(
        "SQLite out of its volume", ((*WIKI, "sqlite"), {"pages": ["../a.db"]}),
        "ronron:services.wiki.sqlite.pages.0", "not a path inside the volume", "without `..`",
    ),
    # -- secrets --------------------------------------------------------------------------------------------
    Wrong(
        "a secret in plain text", (("pad-admin-password",), "hunter2hunter2"), "ronron:pad-admin-password",
        "secret in plain text", "pulumi config set --secret ronron:pad-admin-password --stack local",
    ),
    Wrong(
        "a secret inside a plain value", ((*WIKI, "environment"), {"TOKEN": ENCRYPTED}),
        "ronron:services.wiki.environment.TOKEN", "a secret is not possible here", "a key of its own",
    ),
    Wrong(
        "a password of a service that there is not", (("pda-admin-password",), "x"),
        "ronron:pda-admin-password",
        "nearest known one is 'pad-admin-password'", "rename it to 'pad-admin-password'",
    ),
)  # fmt: skip


def test_agents_are_built_on_debian_only() -> None:
    alpine = {("backup",): BACKUP, ("database", "image"): "postgres:15.14-alpine"}
    (first, *_) = problems(configuration(alpine))
    assert first.key == "ronron:database.image"
    assert "'postgres:15.14-alpine', and it needs Debian" in first.problem
    assert "without -alpine" in first.remedy
    own = {("backup",): BACKUP, (*PAD, "database"): {"image": "postgres:15.14-alpine3.20"}}
    assert [each.key for each in problems(configuration(own))] == ["ronron:services.pad.database.image"]
    assert problems(configuration({**own, (*PAD, "backup"): False})) == ()


def test_where_no_image_tells_what_an_agent_is_built_from_it_is_asked_for() -> None:
    files = {"kind": "container", "machine": "here", "image": "files:1", "volumes": {"kept": "/kept"}}
    edits = {("backup",): BACKUP, ("services",): {"files": files}, ("database",): ABSENT}
    (found,) = problems(configuration(edits, secrets=()))
    assert found.key == "ronron:backup.image"
    assert "files has no database" in found.problem
    for cure in ({("backup", "image"): "debian:12"}, {("services", "files", "backup"): False}):
        assert problems(configuration({**edits, **cure}, secrets=())) == ()


def test_an_agent_has_a_name_that_a_host_may_have() -> None:
    name = "a" * 30
    edits = {("backup",): BACKUP, ("services", name): OTHER}
    stack = configuration(edits, stack="local-" + "b" * 30, secrets=(*SECRETS, f"{name}-database-password"))
    (found,) = problems(stack)
    assert found.key == f"ronron:services.{name}"
    assert "longer than 63 characters" in found.problem


def test_no_service_keeps_its_snapshots_where_the_reconciler_keeps_its_own() -> None:
    edits = {("backup",): BACKUP, ("services", "reconciler"): OTHER}
    secrets = (*SECRETS, "reconciler-database-password")
    (found,) = problems(configuration(edits, secrets=secrets))
    assert found.key == "ronron:services.reconciler"
    assert "choose another name" in found.remedy


@pytest.mark.parametrize("backup", [BACKUP, OFF_SITE])
def test_good_backups_are_taken(backup: dict[str, Any]) -> None:
    assert problems(configuration({("backup",): backup})) == ()


@pytest.mark.parametrize(
    ("role", "value", "said"),
    [
        ("password", "", "empty"), ("password", "a\nb", "line breaks"), ("login", "nobody", "is not a login"),
        ("login", ":x", "is not a login"), ("ssh_key", "ssh-ed25519 AAAA", "not a private ssh key"),
    ],
)  # fmt: skip
def test_a_secret_of_the_backups_that_cannot_be_one_is_refused_untold(
    role: str, value: str, said: str
) -> None:
    good = configuration({("backup",): OFF_SITE})
    stack = StackConfiguration(
        stack=good.stack, values=good.values, secrets=good.secrets, backup_secrets={role: SecretStr(value)}
    )
    (found,) = problems(stack)
    assert found.key == f"ronron:backup.{role}"
    assert said in found.problem
    assert f"--path 'ronron:backup.{role}'" in found.remedy


@pytest.mark.parametrize("wrong", [pytest.param(each, id=each.name) for each in TABLE])
def test_a_refusal_names_the_key_and_the_remedy_in_two_lines_below_one_headline(wrong: Wrong) -> None:
    found = problems(configuration(dict([wrong.edit])))
    assert [problem.key for problem in found] == [wrong.key]
    assert wrong.problem in found[0].problem
    assert wrong.remedy in found[0].remedy
    headline, problem, remedy = render(found).split("\n")
    assert headline == "cannot use this declaration: 1 problem"
    assert problem.startswith(f"  {wrong.key}: ")
    assert remedy.startswith("    -> ")


@pytest.mark.parametrize("key", SECRETS)
def test_a_missing_secret_is_named_with_the_command_that_sets_it(key: str) -> None:
    found = problems(configuration(secrets=[each for each in SECRETS if each != key]))
    assert [problem.key for problem in found] == [f"ronron:{key}"]
    assert found[0].problem.startswith("missing secret: ")
    assert found[0].remedy == f"pulumi config set --secret ronron:{key} --stack local"


def test_missing_secrets_are_left_aside_on_request() -> None:
    assert (
        load(configuration(secrets=()), ask_for_secrets=False).services.keys()
        == EVERY_KIND["services"].keys()
    )


def test_a_secret_is_never_shown() -> None:
    wrong = configuration({("services",): {}}, secrets=[])
    short = StackConfiguration(
        stack="local",
        values=EVERY_KIND,
        secrets={**dict.fromkeys(SECRETS, SecretStr(PASSWORD)), "pad-admin-password": SecretStr("hush!")},
    )
    plain = configuration({("pad-admin-password",): "in the clear"})
    assert "hush!" not in render(problems(short))
    assert "in the clear" not in render(problems(plain))
    assert problems(wrong) == ()
    assert PASSWORD not in repr(configuration())


@pytest.mark.parametrize("stack", ["local", "local-lea"])
def test_a_stack_for_ones_own_machine_needs_no_digest(stack: str) -> None:
    assert problems(configuration(stack=stack)) == ()


@pytest.mark.parametrize("stack", ["staging", "production", "localhost", "my-local"])
def test_every_other_stack_needs_a_digest_on_every_image(stack: str) -> None:
    found = problems(configuration(stack=stack))
    assert {problem.key for problem in found} == {
        "ronron:edge.image", "ronron:database.image", *(
            f"ronron:services.{name}.image" for name in EVERY_KIND["services"]
        ),
    }  # fmt: skip
    assert all("has no digest" in problem.problem for problem in found)
    assert all("run ronron pin " in problem.remedy for problem in found)


def test_a_digest_on_every_image_is_enough() -> None:
    assert problems(configuration(base=pinned(), stack="production")) == ()


def test_an_image_that_was_built_here_goes_nowhere_else() -> None:
    built = {(*PAD, "image"): "ronron-local/etherpad:1.8.14" + DIGEST}
    (found,) = problems(configuration(built, base=pinned(), stack="production"))
    assert found.key == "ronron:services.pad.image"
    assert "exist only on the machine that built them" in found.problem
    assert problems(configuration({(*PAD, "image"): "ronron-local/etherpad:1.8.14"})) == ()


@pytest.mark.parametrize("name", ["pad.localhost", "pad.internal"])
def test_no_public_certificate_is_asked_for_a_private_name(name: str) -> None:
    edits = {
        ("edge", "tls"): "acme", ("edge", "http_port"): 80, ("edge", "bind"): "192.0.2.1",
        (*PAD, "hostname"): name,
    }  # fmt: skip
    (found,) = problems(configuration(edits))
    assert found.key == "ronron:services.pad.hostname"
    assert "no public authority certifies" in found.problem


def test_no_public_certificate_is_asked_where_nobody_reaches_the_door() -> None:
    hidden = {("edge", "tls"): "acme", ("edge", "http_port"): 80}
    (found,) = problems(configuration(hidden))
    assert (found.key, found.remedy.startswith("set `bind`")) == ("ronron:edge.bind", True)
    elsewhere = {("edge", "tls"): "acme", ("edge", "bind"): "192.0.2.1", ("edge", "https_port"): 8443}
    (found,) = problems(configuration(elsewhere))
    assert found.key == "ronron:edge.http_port"


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    edits = {
        ("colective",): {},
        ("collective", "country"): "France",
        (*HERE, "docker"): "tcp://192.0.2.1",
        (*PAD, "image"): "etherpad/etherpad:latest",
        ("services", "team", "hostnam"): "x",
        ("edge", "tls"): "on",
    }
    found = problems(configuration(edits, secrets=()))
    keys = [problem.key for problem in found]
    assert keys[:5] == [
        "ronron:collective.country",
        "ronron:machines.here.docker",
        "ronron:services.pad.image",
        "ronron:services.team.hostnam",
        "ronron:edge.tls",
    ]
    assert "ronron:colective" in keys[5:]
    assert "ronron:board-database-password" in keys[5:]
    assert len(set(found)) == len(found)


def test_a_part_that_cannot_be_read_is_not_called_missing_too() -> None:
    found = problems(configuration({("edge", "tls"): "on", ("members", "basic"): {"user": "a b"}}))
    assert [problem.key for problem in found] == ["ronron:edge.tls", "ronron:members.basic.user"]


def test_a_screen_shows_the_first_problems_and_counts_the_rest() -> None:
    many = tuple(Problem(path=("services", f"s{n}"), problem="wrong", remedy="mend it") for n in range(13))
    lines = render(many).split("\n")
    assert lines[0] == "cannot use this declaration: 13 problems"
    assert sum("ronron:services" in line for line in lines) == SHOWN_AT_MOST
    assert lines[-1].startswith("  and 3 more: ")
    assert len(lines) < 24


def test_an_error_shows_all_that_it_holds() -> None:
    with pytest.raises(DeclarationError) as caught:
        load(configuration({(*PAD, "kind"): "wordpress"}))
    assert str(caught.value) == render(caught.value.problems)


def test_what_is_left_out_has_a_default() -> None:
    bare = declaration(
        base={
            "collective": EVERY_KIND["collective"],
            "machines": EVERY_KIND["machines"],
            "services": {"job": {"kind": "container", "machine": "here", "image": "job:1"}},
        }
    )
    job = bare.services["job"]
    assert (job.memory_mib, job.cpus, job.members_only, job.hostname) == (512, 1.0, False, None)
    assert (bare.edge, bare.members, bare.backup, bare.database.image) == (None, None, None, None)


def test_capabilities_have_one_spelling() -> None:
    wiki = declaration({(*WIKI, "capabilities"): ["NET_RAW", "CAP_CHOWN"]}).services["wiki"]
    assert isinstance(wiki, ContainerService)
    assert wiki.capabilities == ("CAP_NET_RAW", "CAP_CHOWN")


def test_the_schema_for_editors_is_that_of_the_models() -> None:
    assert (Path(__file__).parents[4] / editor.SCHEMA_FILE).read_text(encoding="utf-8") == editor.text()


leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.just(ENCRYPTED)
)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(string.ascii_lowercase, max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = ("collective", "machines", "services", "edge", "database", "members", "backup")


@given(st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=8), trees, max_size=7))
def test_nonsense_is_refused_in_words_and_never_with_a_crash(values: dict[str, Any]) -> None:
    found = problems(StackConfiguration(stack="production", values=values))
    assert found
    for problem in found:
        assert problem.problem
        assert problem.remedy


@given(
    st.sampled_from(
        [
            ("collective", "country"), ("machines", "here"), PAD, WIKI, (*WIKI, "volumes"),
            (*WIKI, "database"), (*WIKI, "health"), ("edge", "http_port"), ("members", "basic"),
            (*WIKI, "environment"), (*PAD, "cpus"), (*PAD, "probe"), (*PAD, "image"),
            ("edge",), ("database",),
        ]
    ),
    trees,
)  # fmt: skip
def test_one_nonsensical_value_is_accepted_or_told_by_its_own_key(path: KeyPath, value: object) -> None:
    for problem in problems(configuration({path: value})):
        assert problem.path[0] in {path[0], "edge", "members", "database"} or str(problem.path[0]) in SECRETS
        json.dumps(problem.key)
