from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.end_to_end.collectives import PROJECT, Collective, Sealed, seal
from toolchain import docker_engine, image_build
from toolchain.cache import Cache, cache_root
from toolchain.image_recipes import DEBIAN, Recipe
from toolchain.images import ensure_debian, local_images

DOUBLES = PROJECT / "tests" / "doubles"


@pytest.fixture(scope="session")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    return seal(tmp_path_factory.mktemp("seal") / "project")


@pytest.fixture(scope="session")
def images() -> Mapping[str, str]:
    """Images of the local stack: those that were built here, else upstream's as the stack file names them."""
    built = local_images()
    if built:
        return built
    config = YAML(typ="safe").load((PROJECT / "stacks" / "Pulumi.local.yaml").read_text())["config"]
    return {
        "edge": config["ronron:edge"]["image"],
        "postgres": config["ronron:database"]["image"],
        "etherpad": config["ronron:services"]["pad"]["image"],
    }


@pytest.fixture(scope="session")
def doubles() -> Mapping[str, str]:
    """Doubles of Mattermost and Kanboard, by kind; kept between runs as long as nothing in them changes."""
    ensure_debian()
    contract = (DOUBLES / "contract.py").read_bytes()
    tags = {"mattermost": "mattermost-double:11.7.3", "kanboard": "kanboard-double:1.2.53"}
    found = docker_engine.find()
    assert isinstance(found, docker_engine.Answer)
    with closing(docker_engine.client(found.host, timeout=600)) as api:
        for kind, tag in tags.items():
            recipe = Recipe(
                kind,
                f"ronron-local/{tag}",
                base=DEBIAN,
                contexts=DOUBLES,
                parameters=hashlib.sha256(contract).hexdigest(),
            )
            if not image_build.is_current(api, recipe):
                image_build.build(
                    api, recipe, cache=Cache(cache_root()), say=print, more_files={"contract.py": contract}
                )
    return {kind: f"ronron-local/{tag}" for kind, tag in tags.items()}


Found = Callable[[], Collective]


def _founding(place: Path, sealed: Sealed, images: Mapping[str, str]) -> Iterator[Found]:
    founded: list[Collective] = []

    def one() -> Collective:
        founded.append(Collective(place / f"collective-{len(founded)}", sealed, images))
        return founded[-1]

    yield one
    for each in founded:
        each.remove()


@pytest.fixture
def found(tmp_path: Path, sealed: Sealed, images: Mapping[str, str]) -> Iterator[Found]:
    """Founds collectives; what they made in Docker goes when the test ends."""
    yield from _founding(tmp_path, sealed, images)


@pytest.fixture(scope="module")
def found_for_module(
    tmp_path_factory: pytest.TempPathFactory, sealed: Sealed, images: Mapping[str, str]
) -> Iterator[Found]:
    """The same, for collectives that the tests of a module share."""
    yield from _founding(tmp_path_factory.mktemp("module"), sealed, images)


@pytest.fixture
def collective(found: Found) -> Collective:
    return found()
