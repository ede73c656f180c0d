"""Pytest plugin: tests of images that are built here run when an image or a test changed, or when asked.

A test marked with `recipe(CADDY)` that passes leaves a proof in the cache outside the clone. As long as
recipe, built image and test module stay the same, it is skipped, and the run's summary says so.
`RONRON_TEST_RECIPES=all` runs every test.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from toolchain import docker_engine, image_build
from toolchain.cache import Cache, cache_root
from toolchain.image_recipes import Recipe
from toolchain.images import ensure_images

ASKED = "RONRON_TEST_RECIPES"
PROOF = pytest.StashKey["Proof"]()


@dataclass(frozen=True)
class Proof:
    """That one test passed with images as they are now.

    Attributes:
        folder: where the proofs of its recipes are.
        images: recipe and ID of each image that the test is about, as text.
        test: the ID of the test.
        source: the test's module.
    """

    folder: Path
    images: Sequence[str]
    test: str
    source: bytes

    @property
    def file(self) -> Path:
        """Its name changes with all that the proof is about."""
        digest = sha256(self.source)
        for text in (*self.images, self.test):
            digest.update(f"\0{text}".encode())
        return self.folder / digest.hexdigest()[:40]

    def since(self) -> str | None:
        """The day it was written; None: the test has not passed with these images."""
        try:
            return self.file.read_text().strip()
        except FileNotFoundError:
            return None

    def write(self) -> None:
        """Remember that the test passed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        # Written elsewhere first: a proof is there whole or not at all.
        draft = self.file.with_suffix(f".{os.getpid()}")
        draft.write_text(f"{datetime.now(UTC):%Y-%m-%d}\n")
        draft.rename(self.file)


def is_needed(proof: Proof, environ: Mapping[str, str]) -> bool:
    """Whether the test has to run."""
    return environ.get(ASKED) == "all" or proof.since() is None


@pytest.fixture(scope="session")
def built_images() -> None:
    """The images of the local stack, built here also where a registry answers."""
    ensure_images(Cache(cache_root()), _host(), print, always=True)


@pytest.fixture
def proof_of_recipes(request: pytest.FixtureRequest, built_images: None) -> None:
    """Skip a test whose recipes it has already proven, or note what to write when it passes."""
    marker = request.node.get_closest_marker("recipe")
    if marker is None:
        return
    recipes: tuple[Recipe, ...] = marker.args
    with closing(docker_engine.client(_host(), timeout=60)) as api:
        images = [f"{recipe.hash} {image_build.id_of(api, recipe.tag)}" for recipe in recipes]
    names = "-".join(recipe.context for recipe in recipes)
    folder = Cache(cache_root()).root / "proven-recipes" / names
    proof = Proof(folder, images, request.node.name, request.path.read_bytes())
    if not is_needed(proof, os.environ):
        recipe = ", ".join(f"{recipe.context} {recipe.hash[:12]}" for recipe in recipes)
        pytest.skip(f"recipe already proven: {recipe}; {ASKED}=all runs its tests")
    request.node.stash[PROOF] = proof


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write the proof of a test that passed."""
    report = yield
    if report.when == "call" and report.passed and PROOF in item.stash:
        item.stash[PROOF].write()
    return report


def _host() -> str:
    found = docker_engine.find()
    assert isinstance(found, docker_engine.Answer), found
    return found.host
