"""The catalogue: how each kind of service wants to be run, and where secrets go."""

from __future__ import annotations

import hashlib
import hmac
import posixpath
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatons import catalogue
from chatons.catalogue.description import (
    ADMIN_PASSWORD,
    DATABASE_PASSWORD,
    Context,
    DatabaseAddress,
    Description,
    Template,
)
from chatons.declaration.resolved import describe, resolve
from chatons.declaration.secrets import ROLES
from tests.support.declarations import EVERY_KIND, Edits, declaration

KINDS = catalogue.kinds()
NAME_OF = {service["kind"]: name for name, service in EVERY_KIND["services"].items()}
DATABASE = DatabaseAddress(host="database", name="pad", user="pad")


def described(kind: str, **more: object) -> Description:
    name = NAME_OF[kind]
    own = {("services", name, key): value for key, value in more.items()}
    return describe(declaration(own), name)


# -- every kind --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_needs_only_secrets_that_it_names(kind: str) -> None:
    assert described(kind).roles <= {DATABASE_PASSWORD, *KINDS[kind].secrets}
    assert set(KINDS[kind].secrets) <= set(ROLES)


@pytest.mark.parametrize("kind", KINDS)
def test_no_variable_is_both_plain_and_secret(kind: str) -> None:
    description = described(kind)
    assert not set(description.environment) & set(description.secret_environment)
    assert description.reserved == {*description.environment, *description.secret_environment}


@pytest.mark.parametrize("kind", KINDS)
def test_every_path_is_absolute_and_mounted_once(kind: str) -> None:
    description = described(kind)
    paths = [storage.path for storage in description.storages] + list(description.tmpfs)
    assert description.storages
    assert len(set(paths)) == len(paths)
    for path in paths:
        assert path.startswith("/")
        assert posixpath.normpath(path) == path
        assert not any(other != path and path.startswith(f"{other}/") for other in paths), (
            "a volume in another"
        )


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_says_how_to_see_that_it_works(kind: str) -> None:
    description = described(kind)
    assert description.health is not None
    assert description.health.test[0] == "CMD", "an image may have no shell"
    assert description.probe.path.startswith("/")
    longest = description.health.interval * description.health.retries + description.health.start_period
    assert longest <= description.start_seconds, "it would be given up before it could be called unhealthy"


@pytest.mark.parametrize("kind", KINDS)
def test_no_kind_asks_for_more_than_its_entrypoint_needs(kind: str) -> None:
    dangerous = {"CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_MODULE", "CAP_DAC_READ_SEARCH"}
    assert not set(described(kind).capabilities) & dangerous


def test_a_service_of_the_catalogue_without_a_database_is_refused() -> None:
    alone = Context(url="https://x.test.example", database=None)
    for name, service in declaration().services.items():
        if service.kind != "container":
            with pytest.raises(ValueError, match=r"PostgreSQL|SQLite"):
                catalogue.kind_of(service).describe(service, alone)
        else:
            assert catalogue.kind_of(service).describe(service, alone).secret_environment == {}, name


# -- Etherpad ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tag", "status_path", "storages", "files"),
    [
        ("1.8.14", "/api", {"var"}, 2),
        ("1.8.18", "/api", {"var"}, 2),
        ("1.9.0", "/health", {"var"}, 0),
        ("2.0.0", "/health", {"var", "plugins"}, 0),
        ("3.3.1", "/health", {"var", "plugins"}, 0),
        ("latest-ish", "/health", {"var", "plugins"}, 0),
    ],
)
def test_etherpad_is_run_as_its_version_wants_it(
    tag: str, status_path: str, storages: set[str], files: int
) -> None:
    pad = described("etherpad", image=f"etherpad/etherpad:{tag}")
    assert pad.health is not None
    assert f"http://127.0.0.1:9001{status_path}'" in pad.health.test[-1]
    assert {storage.name for storage in pad.storages} == storages
    assert len(pad.files) == files


def test_etherpad_is_probed_by_its_first_page_or_by_what_tells_nothing() -> None:
    assert (described("etherpad").probe.path, described("etherpad").probe.open) == ("/", False)
    closed = described("etherpad", members_only=True)
    assert (closed.probe.path, closed.probe.open) == ("/health", True)


def test_etherpad_shows_the_title_and_text_of_the_collective() -> None:
    pad = described("etherpad", title="Picapad", default_text="Welcome.\nWrite.")
    assert (pad.environment["TITLE"], pad.environment["DEFAULT_PAD_TEXT"]) == ("Picapad", "Welcome.\nWrite.")
    assert pad.environment["DISABLE_IP_LOGGING"] == "true"
    assert {
        name for name, template in pad.secret_environment.items() if template.roles == {ADMIN_PASSWORD}
    } == {"ADMIN_PASSWORD"}


# -- Mattermost, Kanboard ----------------------------------------------------------------------------------


def test_mattermost_knows_its_public_address_and_its_database() -> None:
    team = described("mattermost")
    assert team.environment["MM_SERVICESETTINGS_SITEURL"] == "http://team.test.example:8080"
    source = team.secret_environment["MM_SQLSETTINGS_DATASOURCE"]
    assert source.fill({DATABASE_PASSWORD: "pw"}) == (
        "postgres://team:pw@database:5432/team?sslmode=disable&connect_timeout=10"
    )
    assert {"/mattermost/data", "/mattermost/config"} <= {storage.path for storage in team.storages}


@pytest.mark.parametrize(
    ("tag", "path"),
    [("v1.2.53", "/healthcheck.php"), ("v1.2.46", "/healthcheck.php"), ("v1.2.45", "/robots.txt"),
     ("nightly", "/healthcheck.php")],
)  # fmt: skip
def test_kanboard_is_asked_at_a_path_that_its_version_has(tag: str, path: str) -> None:
    board = described("kanboard", image=f"kanboard/kanboard:{tag}")
    assert board.probe.path == path
    assert board.health is not None
    assert board.health.test[-1] == f"http://127.0.0.1{path}"


# -- anything else -----------------------------------------------------------------------------------------


def test_a_container_is_told_where_its_database_is_under_the_names_it_wants() -> None:
    wiki = described("container", database={"variables": {"host": "PGHOST", "url": "DB"}})
    assert wiki.environment == {"PGHOST": "database"}
    assert {name: template.text for name, template in wiki.secret_environment.items()} == {
        "DB": "postgres://wiki:{database-password}@database:5432/wiki"
    }


def test_a_container_is_told_by_usual_names_when_it_names_none() -> None:
    wiki = described("container")
    assert wiki.environment == {
        "DATABASE_HOST": "database", "DATABASE_PORT": "5432", "DATABASE_NAME": "wiki",
        "DATABASE_USER": "wiki",
    }  # fmt: skip
    assert set(wiki.secret_environment) == {"DATABASE_PASSWORD", "DATABASE_URL"}


def test_a_container_keeps_what_it_declares() -> None:
    more = {"command": ["run", "--fast"], "start_seconds": 7, "grace_seconds": 8, "upload_mib": 9}
    wiki = described("container", **more)
    assert (wiki.command, wiki.start_seconds, wiki.grace_seconds, wiki.upload_mib) == (
        ("run", "--fast"),
        7,
        8,
        9,
    )
    assert (wiki.port, wiki.user, wiki.read_only) == (8000, "1000:1000", True)
    assert [(storage.name, storage.path) for storage in wiki.storages] == [("pages", "/srv/pages")]


# -- templates ---------------------------------------------------------------------------------------------


def test_a_template_names_the_secrets_that_it_has_places_for() -> None:
    template = Template("{admin-password}:{database-password}/{database-password/session-key} {} {A} ${x}")
    assert template.roles == {"admin-password", "database-password", "x"}
    assert Template("nothing").roles == frozenset()


def test_a_derived_key_depends_on_the_secret_and_on_its_purpose() -> None:
    first = Template("{database-password/api-key}")
    expected = hmac.new(b"pw", b"api-key", hashlib.sha256).hexdigest()
    assert first.fill({DATABASE_PASSWORD: "pw"}) == expected
    assert first.fill({DATABASE_PASSWORD: "other"}) != expected
    assert Template("{database-password/session-key}").fill({DATABASE_PASSWORD: "pw"}) != expected


def test_a_template_that_lacks_a_secret_is_never_half_filled() -> None:
    with pytest.raises(KeyError):
        Template("{admin-password}").fill({DATABASE_PASSWORD: "pw"})


@given(st.text(max_size=40))
def test_a_secret_is_put_in_as_it_is_whatever_is_in_it(secret: str) -> None:
    filled = Template("<{database-password}>").fill({DATABASE_PASSWORD: secret})
    assert filled == f"<{secret}>", "not even a place inside a secret is filled again"


def test_a_database_has_a_url_as_its_library_reads_it() -> None:
    assert DATABASE.url.text == "postgres://pad:{database-password}@database:5432/pad"
    assert replace(DATABASE, port=1).url.text.endswith("@database:1/pad")


# -- what follows from it ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("major", "path"), [("15.14", "/var/lib/postgresql/data"), ("18.0", "/var/lib/postgresql")]
)
def test_the_volume_of_a_database_lies_where_its_version_writes(major: str, path: str) -> None:
    for service in resolve(declaration({("database", "image"): f"postgres:{major}"})):
        assert service.database is not None
        assert service.database.volume.path == path


@pytest.mark.parametrize(
    ("edits", "status", "open_paths"),
    [
        ({}, (200,), ("/healthcheck.php",)),
        ({("services", "board", "probe"): {"path": "/"}}, (401,), ()),
        ({("services", "board", "probe"): {"status": [204]}}, (204,), ("/healthcheck.php",)),
        (
            {
                ("members",): {"forward_auth": {"url": "https://auth.test.example"}},
                ("services", "board", "probe"): {"path": "/"},
            },
            (200, 302, 303, 307, 401, 403),
            (),
        ),
        ({("services", "board", "members_only"): False}, (200,), ()),
    ],
)
def test_a_closed_service_is_probed_where_it_tells_nothing_or_by_its_closed_door(
    edits: Edits, status: tuple[int, ...], open_paths: tuple[str, ...]
) -> None:
    (board,) = (service for service in resolve(declaration(edits)) if service.name == "board")
    assert board.probe is not None
    assert (board.probe.status, board.open_paths) == (status, open_paths)


# -- what is in a snapshot ---------------------------------------------------------------------------------


def test_the_rows_that_matter_are_counted_by_name() -> None:
    declared = declaration()
    counts = {name: set(describe(declared, name).counts) for name in declared.services}
    assert counts == {
        "pad": {"pads", "authors"},
        "team": {"users", "teams", "channels", "posts", "fileinfo"},
        "board": {"projects", "tasks", "users", "comments", "task_has_files"},
        "wiki": set(),
    }


def test_a_pad_is_counted_once_whatever_its_history() -> None:
    keys = [
        "pad:a",
        "pad:a:revs:0",
        "pad:a:revs:1",
        "pad:a:chat:0",
        "pad:g.x$y",
        "pad2readonly:a",
        "globalAuthor:z",
    ]
    counts = describe(declaration(), "pad").counts
    with closing(sqlite3.connect(":memory:")) as database:
        # The questions are SQL that both databases read alike; keys are all that they look at.
        database.execute("create table store (key text primary key, value text)")
        database.executemany("insert into store values (?, '')", [(key,) for key in keys])
        found = {name: database.execute(question).fetchone()[0] for name, question in counts.items()}
    assert found == {"pads": 2, "authors": 1}


def test_what_is_recreated_is_in_no_snapshot() -> None:
    declared = declaration()
    left_out = {
        (name, storage.name)
        for name in declared.services
        for storage in describe(declared, name).storages
        if not storage.in_snapshots
    }
    assert left_out == {("team", "logs"), ("board", "ssl")}
