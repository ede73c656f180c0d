"""The program alone, on the real engine and a real Docker: `pulumi up` in a clone, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from chatons.schema.image_reference import ImageReference
from tests.support.collectives import Collective, Document, Ran, Sealed
from tests.support.plain import ETHERPAD_SECRETS, PlainStack, etherpad

pytestmark = pytest.mark.timeout(300)

KEY_FILES = ("/opt/etherpad-lite/APIKEY.txt", "/opt/etherpad-lite/SESSIONKEY.txt")
SCREEN = 24
"""Lines of the smallest terminal that is still around."""


@pytest.fixture(scope="module")
def live(
    tmp_path_factory: pytest.TempPathFactory, sealed: Sealed, images: Mapping[str, str]
) -> Iterator[PlainStack]:
    """A pad that is up. Each test that changes it leaves a pad that is up."""
    collective = Collective(tmp_path_factory.mktemp("pad") / "collective", sealed, images)
    stack = PlainStack(collective)
    collective.declare({"pad": etherpad(images)}, *ETHERPAD_SECRETS)
    try:
        stack.begin()
        ran = stack.up()
        assert ran.code == 0, ran.said
        yield stack
    finally:
        collective.remove()


@pytest.fixture
def declare(live: PlainStack, images: Mapping[str, str]) -> Iterator[Callable[..., None]]:
    """Changes the declaration of the pad's stack, and puts the first one back at the end."""

    def change(
        services: Document | None = None, secrets: Sequence[str] = ETHERPAD_SECRETS, **more: Any
    ) -> None:
        whole = {"pad": etherpad(images)} if services is None else services
        live.collective.declare(whole, *secrets, **more)

    yield change
    change()


def test_a_pad_answers_through_the_edge(live: PlainStack) -> None:
    answer = live.collective.get("pad.localhost")
    assert answer.status_code == 200
    assert "<title>Before</title>" in answer.text


def test_a_second_preview_shows_no_change(live: PlainStack) -> None:
    assert live.changes() == set()


def test_what_the_stack_tells_about_itself_is_what_there_is(live: PlainStack) -> None:
    pad = live.inventory()["services"]["pad"]
    names = {f"{live.collective.name}-{each}" for each in live.collective.containers()}
    assert set(pad["containers"]) < names
    assert {volume["name"] for volume in pad["volumes"]} == {
        f"{live.collective.name}-local-{role}" for role in live.volumes() if role.startswith("pad-")
    }
    urns = live.pulumi("stack", "--show-urns", "--stack", "local").out
    assert pad["resource"] in urns
    assert live.collective.get("pad.localhost", httpx.URL(pad["probe"]["url"]).path).status_code == 200


def test_containers_are_confined_and_their_logs_are_bounded(live: PlainStack) -> None:
    for role in ("pad", "pad-database", "edge"):
        host = live.inspect(role)["HostConfig"]
        assert host["CapDrop"] == ["ALL"], role
        assert host["SecurityOpt"] == ["no-new-privileges:true"], role
        assert 0 < host["Memory"] == host["MemorySwap"], role
        assert host["NanoCpus"] > 0, role
        assert host["LogConfig"]["Config"] == {"max-file": "3", "max-size": "10m"}, role
        assert host["RestartPolicy"]["Name"] == "unless-stopped", role
        assert not host["Privileged"], role
        mounted = [mount["Source"] for mount in live.inspect(role)["Mounts"]]
        assert not [source for source in mounted if "docker.sock" in source], role
        assert live.inspect(role)["State"]["Health"]["Status"] == "healthy", role


def test_only_the_edge_is_reached_from_outside_and_only_the_edge_reaches_the_pad(live: PlainStack) -> None:
    bindings = {
        role: live.inspect(role)["HostConfig"]["PortBindings"] or {}
        for role in ("pad", "pad-database", "edge")
    }
    port = str(live.collective.port)
    assert bindings == {
        "pad": {},
        "pad-database": {},
        "edge": {f"{port}/tcp": [{"HostIp": "127.0.0.1", "HostPort": port}]},
    }
    private = f"{live.collective.name}-local-pad"
    for role in ("pad", "pad-database", "edge"):
        assert set(live.inspect(role)["NetworkSettings"]["Networks"]) == {private}, role


def test_every_path_that_an_image_declares_is_mounted_by_name(live: PlainStack) -> None:
    for role in ("pad", "pad-database", "edge"):
        for mount in live.inspect(role)["Mounts"]:
            assert mount["Name"].startswith(live.collective.name), (
                f"{role}: {mount['Destination']} would be lost"
            )


def test_no_secret_is_in_clear_in_anything_that_the_engine_shows_or_keeps(
    live: PlainStack, declare: Callable[..., None], images: Mapping[str, str], tmp_path: Path
) -> None:
    api_key = live.inside("pad", "cat", KEY_FILES[0]) if images_have_key_files(images) else ""
    forbidden = [word for word in (live.collective.sealed.clear, api_key) if word]
    assert live.collective.sealed.clear in live.inside("pad", "env"), (
        "the secret that is looked for is in use"
    )
    declare({"pad": etherpad(images, title="Another")})
    plan = tmp_path / "plan.json"
    shown = [
        live.pulumi("preview", "--diff", "--stack", "local").said,
        live.pulumi("preview", "--json", "--stack", "local").said,
        live.pulumi("preview", "--save-plan", str(plan), "--stack", "local").said,
        live.pulumi("stack", "export", "--stack", "local").said,
        live.pulumi("stack", "output", "--json", "--stack", "local").said,
        plan.read_text(),
    ]
    kept = list(live.kept())
    assert any("pad-database" in text for _, text in kept), "the state is among what is looked through"
    for word in forbidden:
        assert not [text for text in shown if word in text]
        assert not [path for path, text in kept if word in text]


def test_a_new_title_replaces_the_pad_alone_and_every_pad_keeps_its_text_and_its_keys(
    live: PlainStack, declare: Callable[..., None], images: Mapping[str, str]
) -> None:
    live.pad.write("minutes", "what we said")
    before = live.collective.containers()
    keys = [live.inside("pad", "cat", file) for file in KEY_FILES] if images_have_key_files(images) else []
    declare({"pad": etherpad(images, title="After")})
    assert live.changes() == {"Container pad"}
    ran = live.up()
    assert ran.code == 0, ran.said
    after = live.collective.containers()
    assert {name for name in before if before[name] != after[name]} == {"local-pad"}
    assert live.pad.title() == "After"
    assert live.pad.text("minutes").strip() == "what we said"
    if keys:
        assert keys == [live.inside("pad", "cat", file) for file in KEY_FILES]


def test_a_service_that_is_no_longer_declared_is_kept_until_it_is_unprotected_and_its_data_even_then(
    live: PlainStack, declare: Callable[..., None]
) -> None:
    live.pad.write("keepsake", "still here")
    containers, volumes = live.collective.containers(), live.volumes()
    declare({}, ())
    for ran in (live.preview(), live.up()):
        assert ran.code != 0
        assert "protect" in ran.said
        assert "pulumi state unprotect" in ran.said
    assert live.collective.containers() == containers
    assert live.volumes() == volumes

    assert live.pulumi("state", "unprotect", "--all", "--yes", "--stack", "local").code == 0
    ran = live.up()
    assert ran.code == 0, ran.said
    assert live.collective.containers() == {}
    assert live.volumes() == volumes

    declare()
    ran = live.up()
    assert ran.code == 0, ran.said
    assert live.volumes() == volumes
    assert live.pad.text("keepsake").strip() == "still here"


def test_a_jump_to_another_major_version_of_the_database_is_refused_at_preview(
    live: PlainStack, declare: Callable[..., None]
) -> None:
    declare(database={"image": "ronron-local/postgres:99-debian12"})
    ran = live.preview()
    assert ran.code != 0
    assert_clean(ran, "ronron:database.image", "must not go from", "99", "dump the database")


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("ronron-local/absent:1.0", ("is not on here", "make demo")),
        ("localhost:9/absent:1.0", ("here cannot pull localhost:9/absent:1.0", "check name, tag and digest")),
    ],
)
def test_an_image_that_cannot_be_had_leaves_what_runs_running(
    live: PlainStack,
    declare: Callable[..., None],
    images: Mapping[str, str],
    image: str,
    words: tuple[str, ...],
) -> None:
    containers = live.collective.containers()
    title = live.pad.title()
    declare({"pad": {**etherpad(images), "image": image}})
    ran = live.up()
    assert ran.code != 0
    assert_clean(ran, "ronron:services.pad.image", *words)
    assert live.collective.containers() == containers
    assert live.pad.title() == title is not None


def test_a_docker_that_does_not_answer_is_said_before_anything_changes(
    live: PlainStack, declare: Callable[..., None]
) -> None:
    containers = live.collective.containers()
    declare(machines={"here": {"docker": f"unix://{live.collective.root}/absent.sock"}})
    for ran in (live.preview(), live.up()):
        assert ran.code != 0
        assert_clean(ran, "ronron:machines.here.docker", "does not answer", "systemctl start docker")
    assert live.collective.containers() == containers


def test_every_mistake_in_a_declaration_is_said_at_once_and_without_a_traceback(
    live: PlainStack, declare: Callable[..., None], images: Mapping[str, str]
) -> None:
    containers = live.collective.containers()
    declare(
        {"pad": etherpad(images, titel="After"), "site": {"kind": "container", "image": "nginx:latest"}},
        ETHERPAD_SECRETS[:1],
    )
    for ran in (live.preview(), live.up()):
        assert ran.code != 0
        assert_clean(ran, "ronron:services.pad.titel", "'title'", "ronron:services.site.image", "latest")
    assert live.collective.containers() == containers


def test_a_missing_secret_is_named_with_the_command_that_sets_it(
    live: PlainStack, declare: Callable[..., None]
) -> None:
    declare(None, ETHERPAD_SECRETS[:1])
    ran = live.preview()
    assert ran.code != 0
    assert_clean(ran, "pulumi config set --secret ronron:pad-admin-password --stack local")


def assert_clean(ran: Ran, *words: str) -> None:
    """That a refusal says what is expected on one screen, and nothing of the inside."""
    for word in words:
        assert word in ran.said, ran.said
    for noise in ("Traceback", 'File "', "unhandled exception", "pydantic"):
        assert noise not in ran.said, ran.said
    message = ran.said[ran.said.rindex("cannot use Pulumi.local.yaml: ") :].partition("\n\n")[0]
    assert len(message.splitlines()) <= SCREEN, ran.said


def images_have_key_files(images: Mapping[str, str]) -> bool:
    """Etherpad keeps its keys in files before 1.9."""
    return ImageReference.parse(images["etherpad"]).numbers < (1, 9)
