from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.double_images import ensure_doubles
from tests.end_to_end.collectives import PROJECT, Collective, Sealed, seal
from toolchain.images import local_images


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
    return ensure_doubles()


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
