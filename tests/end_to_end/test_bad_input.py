"""What a tired person gets for each mistake: one screen with the place and the remedy, and nothing lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from tests.support.collectives import Collective, Document, Ran, web

ONE_SCREEN = 24
"""Lines; the smallest terminal that anybody uses."""


def site(collective: Collective, **more: object) -> Document:
    return {**web(collective.images, "fine"), "hostname": "site.localhost", **more}


@dataclass(frozen=True)
class Mistake:
    """One mistake in what is pushed.

    Args:
        make: makes it in the working copy.
        names: what the message has to name: the place, what is wrong, the remedy.
        validated: whether `ronron validate` sees it before it is pushed.
    """

    make: Callable[[Collective], None]
    names: tuple[str, ...]
    validated: bool = True


def _broken_yaml(collective: Collective) -> None:
    file = collective.tree / "stacks" / "Pulumi.local.yaml"
    file.write_text(file.read_text().replace("config:", "config: [", 1))


def _raising(collective: Collective) -> None:
    (collective.tree / "__main__.py").write_text("raise RuntimeError('the moon is full')\n")


def _services(**services: Document) -> Callable[[Collective], None]:
    def make(collective: Collective) -> None:
        whole = {name: {**site(collective), **service} for name, service in services.items()}
        collective.declare(whole)

    return make


def _machine(address: str) -> Callable[[Collective], None]:
    return lambda collective: collective.declare(
        {"site": site(collective)}, machines={"here": {"docker": address}}
    )


# One of each class: a syntax error, a broken rule, an unreachable machine, a missing image, an exception.
# Every rule has its row in tests/unit/test_declaration.py.
MISTAKES = {
    "broken YAML": Mistake(_broken_yaml, ("Pulumi.local.yaml:", "YAML")),
    "a hostname twice": Mistake(_services(site={}, other={}), ("site.localhost", "site", "other")),
    "a Docker host that does not answer": Mistake(
        _machine("unix:///nonexistent/docker.sock"), ("/nonexistent/docker.sock", "here"), validated=False
    ),
    "an image that cannot be pulled": Mistake(
        _services(site={"image": "ronron-local/never-built:1"}),
        ("ronron-local/never-built:1",),
        validated=False,
    ),
    "a program that raises": Mistake(_raising, ("the moon is full",), validated=False),
}


def assert_is_for_tired_people(ran: Ran, *names: str) -> None:
    assert "Traceback" not in ran.said, ran.said
    assert len(ran.said.splitlines()) <= ONE_SCREEN, ran.said
    for name in names:
        assert name in ran.said, ran.said


@pytest.fixture(scope="module")
def running(found_for_module: Callable[[], Collective]) -> Collective:
    """A collective whose site runs; every mistake is made in it, one after the other."""
    collective = found_for_module()
    collective.policy(local={})
    collective.declare({"site": site(collective)})
    collective.push()
    first = collective.ronron("update", "local")
    assert first.code == 0, first.said
    return collective


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=list(MISTAKES))
def test_a_mistake_is_told_and_changes_nothing(running: Collective, mistake: Mistake) -> None:
    before = running.containers()
    good = {file: file.read_bytes() for file in _files(running.tree)}
    try:
        mistake.make(running)
        validated = running.ronron("validate", "--directory", str(running.tree))
        assert validated.code == (2 if mistake.validated else 0), validated.said
        if mistake.validated:
            assert_is_for_tired_people(validated, *mistake.names)
        running.push("Make a mistake")
        for words in (("preview", "local"), ("update", "local")):
            ran = running.ronron(*words)
            if words[0] == "preview" and ran.code == 0:
                # The engine asks a registry when it updates, not before.
                assert mistake is MISTAKES["an image that cannot be pulled"], ran.said
                continue
            assert ran.code in {1, 2}, ran.said
            assert_is_for_tired_people(ran, *mistake.names, "hint")
    finally:
        for file, content in good.items():
            file.write_bytes(content)
    assert running.get("site.localhost").text == "fine"
    assert running.containers() == before
    running.push("Mend it")
    mended = running.ronron("update", "local")
    assert mended.code == 0, mended.said
    assert running.containers() == before, "nothing was half done"


def _files(tree: Path) -> list[Path]:
    return [tree / "__main__.py", *sorted((tree / "stacks").iterdir())]


def test_a_wrong_passphrase_is_told_and_changes_nothing(running: Collective, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not it")
    # A secret has to be there to be opened.
    stack_file = running.tree / "stacks" / "Pulumi.local.yaml"
    before = stack_file.read_bytes()
    running.declare({"site": site(running)}, "site-secret-WORD")
    running.push("Give it a secret")
    ran = running.ronron("update", "local", PULUMI_CONFIG_PASSPHRASE_FILE=str(wrong))
    assert ran.code in {1, 2}, ran.said
    assert_is_for_tired_people(ran, "passphrase", "hint")
    assert running.get("site.localhost").text == "fine"
    stack_file.write_bytes(before)
    running.push("Take it back")
    assert running.ronron("update", "local").code == 0


@pytest.mark.parametrize(
    ("repository", "names"),
    [
        ("{root}/nowhere.git", ("nowhere.git",)),
        ("http://127.0.0.1:9/never.git", ("127.0.0.1:9",)),
        ("{root}/empty.git", ("empty",)),
    ],
    ids=["one that is not there", "one that does not answer", "an empty one"],
)
def test_a_repository_that_cannot_be_read_is_told(
    running: Collective, tmp_path: Path, repository: str, names: tuple[str, ...]
) -> None:
    from git import Repo

    Repo.init(tmp_path / "empty.git", bare=True).close()
    for words in (("update", "local"), ("watch", "--once")):
        ran = running.ronron(*words, RONRON_REPOSITORY=repository.format(root=tmp_path))
        assert ran.code in {1, 2}, ran.said
        assert_is_for_tired_people(ran, *names, "hint")
    assert running.get("site.localhost").text == "fine"


def test_a_reference_that_is_not_there_is_told(running: Collective) -> None:
    policy = running.tree / "stacks" / "environments.yaml"
    before = policy.read_bytes()
    running.policy(local={"reference": "mian"})
    running.push("Follow another branch")
    ran = running.ronron("update", "local")
    policy.write_bytes(before)
    running.push("Take it back")
    assert ran.code in {1, 2}, ran.said
    assert_is_for_tired_people(ran, "mian", "hint")


def test_debug_shows_where_an_error_came_from(running: Collective) -> None:
    ran = running.ronron("--debug", "preview", "nowhere")
    assert ran.code != 0
    assert "Traceback" in ran.said


def test_docker_has_nothing_more_than_before(running: Collective) -> None:
    engine = docker.from_env()
    try:
        names = [str(each.name) for each in engine.volumes.list()]
    finally:
        engine.close()
    mine = sorted(name for name in names if name.startswith(running.name))
    assert mine == [f"{running.name}-local-edge-certificates", f"{running.name}-local-edge-settings"]
