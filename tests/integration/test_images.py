"""Images that are built here keep the contracts of those that they stand in for, on a real Docker engine."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docker.models.containers import Container

from tests.support.containers import Containers, containers_of_a_test, put, runs, said, until
from toolchain import docker_engine, image_build, images
from toolchain.cache import Cache, cache_root
from toolchain.errors import ToolchainError
from toolchain.image_recipes import CADDY, DEBIAN, DEBIAN_UPSTREAM, ETHERPAD, LOCAL, POSTGRES, Recipe

PASSWORD = "pass word'$x"
# As the components run them.
HARDENED: dict[str, Any] = {
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "read_only": True,
}
DATABASE: dict[str, Any] = {
    **HARDENED,
    "cap_add": ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_SETGID", "CAP_SETUID"],
    "tmpfs": {"/tmp": "", "/var/run/postgresql": ""},  # noqa: S108 -- within the container
}


def address() -> str:
    found = docker_engine.find()
    assert isinstance(found, docker_engine.Answer), found
    return found.host


pytestmark = pytest.mark.usefixtures("proof_of_recipes")
"""A test of a recipe runs when recipe, image or this module changed: see tests/support/recipe_proofs.py."""


@pytest.fixture
def here() -> Iterator[Containers]:
    yield from containers_of_a_test()


def user_of_first_process(container: Container) -> str:
    code, text = runs(container, "sh", "-c", "grep ^Uid: /proc/1/status")
    assert code == 0
    return text.split()[1]


def gets(container: Container, url: str) -> str | None:
    code, text = runs(container, "wget", "-q", "-T", "5", "-O", "-", url)
    return text if code == 0 else None


# Every image


@pytest.mark.parametrize("recipe", LOCAL.values(), ids=lambda recipe: recipe.context)
def test_an_image_says_what_it_is_made_from(here: Containers, recipe: Recipe) -> None:
    labels = here.client.images.get(recipe.tag).labels
    known = {DEBIAN.hash, DEBIAN_UPSTREAM.hash} if recipe == DEBIAN else {recipe.hash}
    assert labels["ronron.recipe"] in known
    if recipe != DEBIAN:
        assert labels["org.opencontainers.image.description"].endswith("not the upstream image.")
        assert labels["org.opencontainers.image.version"] in recipe.tag


def test_the_second_time_nothing_is_built(here: Containers) -> None:
    before = [here.client.images.get(recipe.tag).id for recipe in LOCAL.values()]
    lines: list[str] = []
    tags = images.ensure_images(Cache(cache_root()), address(), lines.append)
    assert tags == {part: recipe.tag for part, recipe in LOCAL.items()}
    assert lines == [f"images: built here from packages, not the upstream ones: {', '.join(tags.values())}"]
    assert [here.client.images.get(recipe.tag).id for recipe in LOCAL.values()] == before


@pytest.mark.recipe(DEBIAN)
def test_the_debian_image_is_debian_12_and_starts_no_service_while_packages_are_installed(
    here: Containers,
) -> None:
    code, text = here.output(
        DEBIAN.tag, ["sh", "-c", "cat /etc/debian_version; /usr/sbin/policy-rc.d; echo $?"]
    )
    assert code == 0
    version, answer = text.split()
    assert version.startswith("12.")
    assert answer == "101"


# Caddy


@pytest.mark.recipe(CADDY)
def test_caddy_is_the_version_of_its_tag(here: Containers) -> None:
    code, text = here.output(CADDY.tag, ["caddy", "version"])
    assert (code, text.strip().removeprefix("v").split()[0]) == (0, "2.6.2")


@pytest.mark.recipe(CADDY)
def test_caddy_listens_as_it_comes(here: Containers) -> None:
    caddy = here.start(CADDY.tag)
    until(
        lambda: runs(caddy, "wget", "-q", "-O", "-", "http://127.0.0.1/")[0] != 4, caddy
    )  # 4: no connection
    code, text = runs(caddy, "wget", "-S", "-O", "-", "http://127.0.0.1/")
    assert code == 8  # an answer, and an error one
    assert "404 Not Found" in text


SITE = ':8080 {\n\trespond /hello "hello from caddy"\n}\n'


@pytest.mark.recipe(CADDY)
@pytest.mark.parametrize("user", ["0:0", "1234:1234"])
def test_caddy_serves_a_mounted_caddyfile_hardened_and_as_any_user(here: Containers, user: str) -> None:
    caddy = here.create(
        CADDY.tag,
        user=user,
        **{**HARDENED, "read_only": False},  # the engine copies no file into a read-only container
        cap_add=["CAP_NET_BIND_SERVICE"],
        tmpfs={"/config": "mode=1777", "/data": "mode=1777"},
    )
    put(caddy, "/etc/caddy/Caddyfile", SITE)
    caddy.start()
    until(lambda: gets(caddy, "http://127.0.0.1:8080/hello") == "hello from caddy", caddy)
    assert user_of_first_process(caddy) == user.partition(":")[0]


@pytest.mark.recipe(CADDY)
def test_caddy_stops_when_it_is_asked_to(here: Containers) -> None:
    caddy = here.start(CADDY.tag)
    until(lambda: "serving initial configuration" in said(caddy), caddy)
    begun = time.monotonic()
    caddy.stop(timeout=30)
    assert time.monotonic() - begun < 15
    assert caddy.wait(timeout=5)["StatusCode"] == 0


# PostgreSQL


def postgres(here: Containers, volume: str, **options: Any) -> Container:
    environment = options.pop("environment", {"POSTGRES_PASSWORD": PASSWORD, "POSTGRES_DB": "pad"})
    return here.start(
        POSTGRES.tag,
        volumes={volume: {"bind": "/var/lib/postgresql/data", "mode": "rw"}},
        environment=environment,
        **{**DATABASE, **options},
    )


def asks(
    container: Container, statement: str, *, password: str = PASSWORD, database: str = "pad"
) -> str | None:
    """The answer over the network with a password; None where it is refused."""
    code, text = runs(
        container,
        *("psql", "-h", "127.0.0.1", "-U", "postgres", "-d", database, "-At", "-c", statement),
        environment={"PGPASSWORD": password, "PGCONNECT_TIMEOUT": "5"},
    )
    return text.strip() if code == 0 else None


def ready(container: Container) -> Container:
    until(lambda: asks(container, "SELECT 1") == "1", container)
    return container


@pytest.mark.recipe(POSTGRES)
def test_postgres_makes_a_cluster_in_an_empty_volume_and_takes_only_the_right_password(
    here: Containers,
) -> None:
    database = ready(postgres(here, here.volume()))
    assert (asks(database, "SHOW server_version") or "").startswith("15.")
    assert asks(database, "SHOW server_encoding") == "UTF8"
    assert asks(database, "SHOW password_encryption") == "scram-sha-256"
    assert asks(database, "SELECT 1", password="wrong") is None
    assert user_of_first_process(database) == "999"
    code, text = runs(database, "stat", "-c", "%u %a", "/var/lib/postgresql/data")
    assert (code, text.split()) == (0, ["999", "700"])


@pytest.mark.recipe(POSTGRES)
def test_postgres_is_reached_with_the_password_from_another_container_only(here: Containers) -> None:
    network, volume = here.network(), here.volume()
    database = ready(postgres(here, volume, network=network))
    words = ["psql", "-h", str(database.name), "-U", "postgres", "-d", "pad", "-At", "-c", "SELECT 2"]
    right = here.output(POSTGRES.tag, words, network=network, environment={"PGPASSWORD": PASSWORD})
    wrong = here.output(POSTGRES.tag, words, network=network, environment={"PGPASSWORD": "wrong"})
    assert right == (0, "2\n")
    assert wrong[0] != 0
    assert "password authentication failed" in wrong[1]


@pytest.mark.recipe(POSTGRES)
def test_postgres_keeps_what_was_written_when_its_container_is_replaced(here: Containers) -> None:
    volume = here.volume()
    first = ready(postgres(here, volume))
    assert asks(first, "CREATE TABLE note (text text); INSERT INTO note VALUES ('kept')") is not None
    first.stop(timeout=60)
    assert first.wait(timeout=5)["StatusCode"] == 0
    assert "database system is shut down" in said(first)
    first.remove()
    second = ready(postgres(here, volume, environment={"POSTGRES_PASSWORD": "another"}))
    assert asks(second, "SELECT text FROM note") == "kept"
    assert "made a new cluster" not in said(second)


@pytest.mark.recipe(POSTGRES)
def test_postgres_reads_its_password_from_a_file(here: Containers) -> None:
    database = here.create(
        POSTGRES.tag,
        environment={"POSTGRES_PASSWORD_FILE": "/run/password", "POSTGRES_DB": "pad"},
        **{**DATABASE, "read_only": False},
    )
    put(database, "/run/password", f"{PASSWORD}\n")
    database.start()
    ready(database)


@pytest.mark.recipe(POSTGRES)
@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({}, "cannot make a database without a password"),
        ({"POSTGRES_PASSWORD": "a", "POSTGRES_PASSWORD_FILE": "/b"}, "both POSTGRES_PASSWORD and"),
        ({"POSTGRES_PASSWORD_FILE": "/none"}, "cannot read /none, named by POSTGRES_PASSWORD_FILE"),
    ],
)
def test_postgres_makes_no_cluster_without_one_clear_password(
    here: Containers, environment: dict[str, str], says: str
) -> None:
    refused = postgres(here, here.volume(), environment=environment)
    assert refused.wait(timeout=60)["StatusCode"] == 1
    assert says in said(refused)
    assert "hint: " in said(refused)


def prepared(here: Containers, script: str) -> str:
    volume = here.volume()
    mount = {volume: {"bind": "/var/lib/postgresql/data", "mode": "rw"}}
    code, text = here.output(
        DEBIAN.tag, ["sh", "-ec", f"cd /var/lib/postgresql/data; {script}"], volumes=mount
    )
    assert code == 0, text
    return volume


@pytest.mark.recipe(POSTGRES)
@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo 14 > PG_VERSION", "the data in /var/lib/postgresql/data are of PostgreSQL 14"),
        ("echo mine > letter", "is not empty and holds no PostgreSQL data"),
    ],
)
def test_postgres_leaves_data_alone_that_are_not_its_own(here: Containers, script: str, says: str) -> None:
    volume = prepared(here, script)
    refused = postgres(here, volume)
    assert refused.wait(timeout=60)["StatusCode"] == 1
    assert says in said(refused)
    mount = {volume: {"bind": "/data", "mode": "ro"}}
    listed = here.output(DEBIAN.tag, ["sh", "-c", "ls -A /data"], volumes=mount)[1].split()
    assert listed == [script.split()[-1]]


@pytest.mark.recipe(POSTGRES)
def test_postgres_begins_again_where_a_first_start_was_killed_halfway(here: Containers) -> None:
    volume = prepared(
        here, "touch .initialising; mkdir .new base; echo half > base/1; echo 15 > .new/PG_VERSION"
    )
    database = ready(postgres(here, volume))
    assert "made a new cluster" in said(database)
    assert runs(database, "sh", "-c", "ls -A $PGDATA | grep -c '^[.]'")[1].strip() == "0"


@pytest.mark.recipe(POSTGRES)
def test_postgres_lets_a_database_and_a_user_have_names_with_quotes(here: Containers) -> None:
    environment = {"POSTGRES_PASSWORD": PASSWORD, "POSTGRES_DB": 'pa"d; --'}
    database = postgres(here, here.volume(), environment=environment)
    until(lambda: asks(database, "SELECT 1", database="postgres") == "1", database)
    names = asks(database, "SELECT datname FROM pg_database", database="postgres")
    assert names is not None
    assert 'pa"d; --' in names.splitlines()


# Etherpad


def etherpad(here: Containers, **environment: str) -> Container:
    return here.start(ETHERPAD.tag, environment={"TITLE": "Our pads", **environment})


@pytest.mark.recipe(ETHERPAD)
def test_etherpad_answers_on_9001_as_its_own_user(here: Containers) -> None:
    pad = etherpad(here)
    until(lambda: gets(pad, "http://127.0.0.1:9001/") is not None, pad, seconds=100)
    assert "Our pads" in (gets(pad, "http://127.0.0.1:9001/") or "")
    assert re.search(r'"currentVersion":\s*"1\.2\.\d+"', gets(pad, "http://127.0.0.1:9001/api") or "")
    assert "Our pads" in (gets(pad, "http://127.0.0.1:9001/p/first") or "")
    assert user_of_first_process(pad) == "5001"
    assert runs(pad, "test", "-w", "/opt/etherpad-lite/var")[0] == 0


@pytest.mark.recipe(ETHERPAD)
def test_etherpad_is_laid_out_as_its_plugins_expect(here: Containers) -> None:
    script = """
        cd /opt/etherpad-lite
        readlink -f node_modules/ep_etherpad-lite
        node -p 'require("ep_etherpad-lite/package.json").version'
        ls src/node/server.js src/.ep_initialized settings.json
        stat -c %u . var src/plugin_packages
        stat -c %u src/node settings.json
    """
    code, text = here.output(ETHERPAD.tag, ["sh", "-ec", script])
    assert code == 0, text
    assert text.split() == [
        "/opt/etherpad-lite/src",
        "1.8.14",
        *("settings.json", "src/.ep_initialized", "src/node/server.js"),
        *("5001", "5001", "5001"),
        *("0", "0"),
    ]


@pytest.mark.recipe(ETHERPAD)
def test_etherpad_holds_neither_npm_nor_certificates_of_the_machine_that_built_it(here: Containers) -> None:
    script = "command -v npm; find / -xdev -name ca.pem -o -xdev -name .npmrc; find / -xdev -name .npm"
    _, text = here.output(ETHERPAD.tag, ["sh", "-c", script], user="0:0")
    assert text == ""


@pytest.mark.recipe(ETHERPAD, POSTGRES)
def test_etherpad_keeps_its_pads_in_postgres(here: Containers) -> None:
    network = here.network()
    database = ready(postgres(here, here.volume(), network=network))
    pad = here.start(
        ETHERPAD.tag,
        network=network,
        environment={
            "DB_TYPE": "postgres",
            "DB_HOST": str(database.name),
            "DB_PORT": "5432",
            "DB_NAME": "pad",
            "DB_USER": "postgres",
            "DB_PASS": PASSWORD,
            "DEFAULT_PAD_TEXT": "written by the test",
        },
    )
    until(lambda: gets(pad, "http://127.0.0.1:9001/") is not None, pad, seconds=100)
    code, key = runs(pad, "cat", "/opt/etherpad-lite/APIKEY.txt")
    assert code == 0
    made = gets(pad, f"http://127.0.0.1:9001/api/1/createPad?apikey={key.strip()}&padID=first")
    assert '"code":0' in (made or "")
    assert "written by the test" in (gets(pad, "http://127.0.0.1:9001/p/first/export/txt") or "")
    until(lambda: asks(database, "SELECT count(*) FROM store WHERE key = 'pad:first'") == "1", pad)


# Building


@pytest.fixture
def own(tmp_path: Path, here: Containers) -> Iterator[Recipe]:
    recipe = Recipe("thing", f"{here.prefix}:1", base=DEBIAN, contexts=tmp_path)
    recipe.folder.mkdir()
    yield recipe
    here.remove_all()  # an image goes after the containers that use it
    label = f"ronron.test={here.prefix}"
    for image in here.client.images.list(filters={"label": label}):
        here.client.images.remove(str(image.id), force=True)
    here.client.images.prune(filters={"dangling": True, "label": label})  # the steps of a build that failed


def write(recipe: Recipe, *steps: str) -> None:
    label = f'LABEL ronron.test="{recipe.tag.partition(":")[0]}"'
    text = "\n".join([f"FROM {DEBIAN.tag}", label, *steps]) + "\n"
    (recipe.folder / "Dockerfile").write_text(text)


def test_a_changed_recipe_is_built_again_and_takes_the_place_of_the_old_image(
    own: Recipe, here: Containers, tmp_path: Path
) -> None:
    cache, api, lines = Cache(tmp_path / "cache"), here.client.api, list[str]()
    write(own, "RUN echo one > /word")
    assert not image_build.is_current(api, own)
    image_build.build(api, own, cache=cache, progress=lines.append)
    assert image_build.is_current(api, own)
    assert lines[0] == f"image {own.tag}: building"
    first = image_build.id_of(api, own.tag)
    write(own, "RUN echo two > /word")
    assert not image_build.is_current(api, own)
    image_build.build(api, own, cache=cache, progress=lines.append)
    assert image_build.is_current(api, own)
    assert here.output(own.tag, ["cat", "/word"]) == (0, "two\n")
    assert first is not None
    assert image_build.id_of(api, first) is None


def test_an_image_that_a_container_uses_stays_when_another_takes_its_place(
    own: Recipe, here: Containers, tmp_path: Path
) -> None:
    write(own, "RUN echo one > /word")
    image_build.build(here.client.api, own, cache=Cache(tmp_path / "cache"), progress=print)
    first = image_build.id_of(here.client.api, own.tag)
    assert first is not None
    here.start(own.tag, ["sleep", "60"], init=True)
    write(own, "RUN echo two > /word")
    image_build.build(here.client.api, own, cache=Cache(tmp_path / "cache"), progress=print)
    assert image_build.id_of(here.client.api, first) == first


def test_a_build_that_fails_shows_its_end_and_leaves_the_image_that_was_there(
    own: Recipe, here: Containers, tmp_path: Path
) -> None:
    cache, api = Cache(tmp_path / "cache"), here.client.api
    write(own, "RUN echo one > /word")
    image_build.build(api, own, cache=cache, progress=print)
    before = image_build.id_of(api, own.tag)
    write(own, "RUN echo no such package >&2; exit 7")
    with pytest.raises(ToolchainError, match="no such package") as caught:
        image_build.build(api, own, cache=cache, progress=print)
    assert f"cannot build {own.tag}" in caught.value.message
    assert str(cache.logs / "image-thing.log") in caught.value.message
    assert image_build.id_of(api, own.tag) == before


def test_an_image_of_somebody_else_under_our_tag_is_not_taken_for_ours(own: Recipe, here: Containers) -> None:
    write(own)
    assert here.client.images.get(DEBIAN.tag).tag(own.tag)
    try:
        assert not image_build.is_current(here.client.api, own)
    finally:
        here.client.images.remove(own.tag)
