"""What images are made of: their hash, context and names, and what a build is told of this machine."""

from __future__ import annotations

import io
import json
import re
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from toolchain import image_build
from toolchain.image_recipes import DEBIAN, DEBIAN_UPSTREAM, ETHERPAD, LOCAL, POSTGRES, Recipe

LIST = list(LOCAL.values())
BUILT_ON_DEBIAN = [recipe for recipe in LIST if recipe != DEBIAN]


def copy_of(recipe: Recipe, tmp_path: Path) -> Recipe:
    shutil.copytree(recipe.contexts, tmp_path / "images")
    return replace(recipe, contexts=tmp_path / "images")


@pytest.mark.parametrize("recipe", LIST, ids=lambda recipe: recipe.context)
def test_the_hash_of_a_recipe_stays_while_nothing_changes(recipe: Recipe, tmp_path: Path) -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", recipe.hash)
    assert copy_of(recipe, tmp_path).hash == recipe.hash


@pytest.mark.parametrize("recipe", LIST, ids=lambda recipe: recipe.context)
def test_each_file_of_a_context_changes_the_hash(recipe: Recipe, tmp_path: Path) -> None:
    copy = copy_of(recipe, tmp_path)
    for file in sorted(path for path in copy.folder.rglob("*") if path.is_file()):
        before = copy.hash
        file.write_bytes(file.read_bytes() + b"\n")
        assert copy.hash != before, file.name


def test_a_change_of_the_base_changes_what_stands_on_it() -> None:
    other = replace(DEBIAN, parameters="something else")
    assert other.hash != DEBIAN.hash
    assert replace(POSTGRES, base=other).hash != POSTGRES.hash


def test_a_base_from_upstream_is_told_from_one_that_was_made_here() -> None:
    assert DEBIAN_UPSTREAM.tag == DEBIAN.tag
    assert DEBIAN_UPSTREAM.hash != DEBIAN.hash


def test_recipes_have_names_of_their_own() -> None:
    assert len({recipe.tag for recipe in LIST}) == len({recipe.hash for recipe in LIST}) == len(LIST)


@pytest.mark.parametrize("recipe", LIST, ids=lambda recipe: recipe.context)
def test_no_image_goes_by_a_name_that_upstream_could_have(recipe: Recipe) -> None:
    repository, _, tag = recipe.tag.rpartition(":")
    assert repository.startswith("ronron-local/")
    assert tag not in {"", "latest"}


@pytest.mark.parametrize("recipe", BUILT_ON_DEBIAN, ids=lambda recipe: recipe.context)
def test_an_image_says_on_its_labels_that_it_is_not_upstreams(recipe: Recipe) -> None:
    text = (recipe.folder / "Dockerfile").read_text()
    assert re.search(r'image\.description="Built on this machine from [^"]*; not the upstream image\."', text)
    assert f'org.opencontainers.image.base.name="{DEBIAN.tag}"' in text
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {DEBIAN.tag}


def test_the_packages_of_etherpad_are_pinned_by_sum_and_name_no_registry() -> None:
    lock = json.loads((ETHERPAD.folder / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert len(packages) > 100
    assert packages["node_modules/ep_etherpad-lite"]["version"] == "1.8.14"
    # What is bundled came within an archive that has a sum.
    fetched = [package for package in packages.values() if not package.get("inBundle")]
    assert all(package["integrity"].startswith("sha512-") for package in fetched)
    assert not any("resolved" in package for package in packages.values())


def test_a_context_is_the_same_bytes_for_the_same_files(tmp_path: Path) -> None:
    copy = copy_of(POSTGRES, tmp_path)
    before = image_build.context_archive(POSTGRES.folder, {"more": b"x"})
    for file in copy.folder.iterdir():
        file.touch()
    assert image_build.context_archive(copy.folder, {"more": b"x"}) == before
    assert image_build.context_archive(copy.folder, {"more": b"y"}) != before


def test_a_context_keeps_what_can_be_run() -> None:
    with tarfile.open(fileobj=io.BytesIO(image_build.context_archive(POSTGRES.folder, {}))) as opened:
        modes = {member.name: member.mode for member in opened}
        owners = {(member.uid, member.gid) for member in opened}
    assert modes == {"Dockerfile": 0o644, "entrypoint.sh": 0o755}
    assert owners == {(0, 0)}


@pytest.mark.parametrize(
    ("environ", "npmrc", "arguments"),
    [
        ({}, "", {}),
        ({"https_proxy": "http://p:1"}, "", {"https_proxy": "http://p:1"}),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "x"}, "", {"http_proxy": "http://p:1", "no_proxy": "x"}),
        ({"NPM_CONFIG_REGISTRY": "http://n/"}, "registry=http://m/", {"NPM_CONFIG_REGISTRY": "http://n/"}),
        ({}, "save=true\n registry = http://m/ \n", {"NPM_CONFIG_REGISTRY": "http://m/"}),
        ({}, "@scope:registry=http://m/\n", {}),
        ({"TOKEN": "secret"}, "//m/:_authToken=secret\n", {}),
    ],
)
def test_a_build_is_told_of_proxies_and_the_npm_registry_and_of_no_secret(
    environ: dict[str, str], npmrc: str, arguments: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "npmrc"
    file.write_text(npmrc)
    assert image_build.build_arguments(environ, file) == arguments


def test_a_build_gets_the_certificates_that_somebody_chose(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("certificates")
    assert image_build.certificates({"SSL_CERT_FILE": str(file)}) == b"certificates"
