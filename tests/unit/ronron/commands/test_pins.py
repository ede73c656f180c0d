"""`ronron pin`: which images get a digest, and what the person reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from ronron.commands.arguments import Options
from ronron.commands.factories import PortFactories
from ronron.core.images import read_image
from ronron.testing import FakeImageRegistry
from tests.support.command_line import Said, bare_environment, ran

OLD, NEW = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
PAD, CADDY, WIKI = "etherpad/etherpad:3.3.1", "caddy:2.10.2", "registry.example:5000/wiki/wiki:2.5"
OURS = f"""\
config:
  ronron:edge: {{image: "{CADDY}"}}  # the proxy
  ronron:services:
    pad: {{image: {PAD}@{OLD}}}
    wiki:
      image: {WIKI}
      environment: {{image: {PAD}}}
    own: {{image: ronron-local/own:1}}
"""
FILES = {
    "Pulumi.yaml": "name: x\nruntime: python\nstackConfigDir: stacks\n",
    "stacks/environments.yaml": "environments: {local: {}, ours: {}, broken: {}}\n",
    "stacks/Pulumi.ours.yaml": OURS,
    "stacks/Pulumi.local.yaml": f"config: {{ronron:edge: {{image: {CADDY}}}}}\n",
    "stacks/Pulumi.broken.yaml": "config: {}\n",
}


class Tree:
    """A working tree, and the registries that its images come from."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.registry = FakeImageRegistry({PAD: NEW, CADDY: NEW, WIKI: NEW})
        for name, text in FILES.items():
            (top / name).parent.mkdir(exist_ok=True)
            (top / name).write_text(text)

    @property
    def ours(self) -> str:
        return (self.top / "stacks/Pulumi.ours.yaml").read_text()

    def pin(self, *arguments: str) -> Said:
        options = Options(factories=PortFactories(image_registry=lambda: self.registry))
        where = ("--directory", str(self.top))
        return ran(self.top / "state", str(self.top), "pin", *arguments, *where, options=options)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    bare_environment(tmp_path / "home", monkeypatch)
    return Tree(tmp_path)


def test_images_without_a_digest_get_one_and_nothing_else_changes(tree: Tree) -> None:
    said = tree.pin("ours")
    assert said.code == 0
    assert tree.ours == OURS.replace(CADDY, f"{CADDY}@{NEW}").replace(WIKI, f"{WIKI}@{NEW}")
    assert f"pinned: {CADDY}@{NEW} (stacks/Pulumi.ours.yaml:2 config.ronron:edge.image)" not in said.out
    assert f"pinned: {CADDY}@{NEW} (stacks/Pulumi.ours.yaml:2 ronron:edge.image)" in said.out
    assert "skipped: ronron-local/own:1" in said.out
    assert "unchanged: 1 image" in said.out
    assert tree.registry.asked == [CADDY, WIKI]


def test_a_second_run_changes_nothing(tree: Tree) -> None:
    tree.pin("ours")
    before = tree.ours
    said = tree.pin("ours")
    assert (said.code, tree.ours) == (0, before)
    assert "pinned" not in said.out


def test_only_with_update_a_digest_gives_way_to_a_newer_one(tree: Tree) -> None:
    said = tree.pin("ours", "--update")
    assert f"moved: {PAD}@{NEW}" in said.out
    assert f"{PAD}@{NEW}" in tree.ours
    assert OLD not in tree.ours


@pytest.mark.parametrize(("more", "said"), [((), "no digest yet"), (("--update",), "moved")])
def test_check_writes_nothing_and_fails(tree: Tree, more: tuple[str, ...], said: str) -> None:
    result = tree.pin("ours", "--check", *more)
    assert result.code == 1
    assert said in result.out
    assert tree.ours == OURS


def test_check_passes_once_all_are_pinned(tree: Tree) -> None:
    tree.pin("ours", "--update")
    assert tree.pin("ours", "--check", "--update").code == 0


def test_without_an_environment_local_stacks_are_left_out(tree: Tree) -> None:
    assert tree.pin().code == 0
    assert NEW in tree.ours
    assert (tree.top / "stacks/Pulumi.local.yaml").read_text() == FILES["stacks/Pulumi.local.yaml"]
    assert tree.pin("local").code == 0
    assert f"{CADDY}@{NEW}" in (tree.top / "stacks/Pulumi.local.yaml").read_text()


def test_an_image_that_fails_does_not_stop_the_others(tree: Tree) -> None:
    tree.registry.unreachable.add("registry.example:5000")
    said = tree.pin("ours")
    assert said.code == 1
    assert f"{CADDY}@{NEW}" in tree.ours
    assert f"image: {WIKI}\n" in tree.ours
    assert "stacks/Pulumi.ours.yaml:6 ronron:services.wiki.image: cannot reach the registry" in said.err
    assert "hint: " in said.err


def test_an_image_is_asked_for_once_however_often_it_is_declared(tree: Tree) -> None:
    text = f"config: {{a: {{image: {CADDY}}}, b: {{image: {CADDY}}}}}\n"
    (tree.top / "stacks/Pulumi.ours.yaml").write_text(text)
    tree.pin("ours")
    assert tree.registry.asked == [CADDY]
    assert tree.ours.count(NEW) == 2


def test_the_facts_are_one_json_document(tree: Tree) -> None:
    facts = tree.pin("ours", "--json").facts["images"]
    assert [fact["action"] for fact in facts] == ["pinned", "unchanged", "pinned", "skipped"]
    assert facts[0] == {
        "environment": "ours",
        "file": "stacks/Pulumi.ours.yaml",
        "line": 2,
        "key": "ronron:edge.image",
        "image": CADDY,
        "pinned": f"{CADDY}@{NEW}",
        "action": "pinned",
        "why": "",
        "hint": "",
    }


def test_an_unknown_environment_is_a_mistake_of_the_person(tree: Tree) -> None:
    said = tree.pin("our")
    assert said.code == 2
    assert "hint: use ours" in said.err


def test_a_stack_file_that_is_not_there(tree: Tree) -> None:
    (tree.top / "stacks/Pulumi.ours.yaml").unlink()
    said = tree.pin("ours")
    assert said.code == 2
    assert "stacks/Pulumi.ours.yaml: cannot find it" in said.err


@pytest.mark.parametrize(
    ("text", "registry", "path"),
    [
        ("postgres:15.14", "docker.io", "library/postgres"),
        ("etherpad/etherpad:3.3.1", "docker.io", "etherpad/etherpad"),
        ("docker.io/library/postgres:15", "docker.io", "library/postgres"),
        ("docker.io/caddy:2", "docker.io", "library/caddy"),
        ("index.docker.io/caddy:2", "docker.io", "library/caddy"),
        ("localhost/own:1", "localhost", "own"),
        ("localhost:5000/own:1", "localhost:5000", "own"),
        ("registry.example/own:1", "registry.example", "own"),
        ("ghcr.io/a/b/c:1", "ghcr.io", "a/b/c"),
    ],
)
def test_the_registry_of_a_reference(text: str, registry: str, path: str) -> None:
    image = read_image(text)
    assert image is not None
    assert (image.registry, image.path, str(image)) == (registry, path, text)


@pytest.mark.parametrize("text", ["", "Etherpad:1", "a b:1", "v1:abc==", "etherpad:1@sha256:1", "/x:1"])
def test_other_texts_are_no_references(text: str) -> None:
    assert read_image(text) is None
