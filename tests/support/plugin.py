"""The pytest plugin of this suite: fixtures that test modules of several levels ask for by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.support.backup_servers import build_server
from tests.support.backup_targets import build_agent
from tests.support.collectives import PROJECT, Collective, Sealed, seal
from tests.support.containers import Containers, containers_of_a_test
from tests.support.double_images import ensure_doubles
from tests.support.postgres_server import PostgresServer
from toolchain import docker_engine
from toolchain.cache import Cache, cache_root
from toolchain.image_recipes import POSTGRES
from toolchain.images import ensure_images, local_images

Found = Callable[[], Collective]
"""Makes another collective."""


@pytest.fixture
def here() -> Iterator[Containers]:
    """Containers, volumes and networks of one test."""
    yield from containers_of_a_test()


# -- images ------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres_image() -> str:
    """The database's image; built here where no registry has it."""
    found = docker_engine.find()
    assert isinstance(found, docker_engine.Answer), found
    ensure_images(Cache(cache_root()), found.host, print, always=True)
    return POSTGRES.tag


@pytest.fixture(scope="session")
def agent_image(postgres_image: str) -> str:
    """The backup agent's image, on the database's."""
    return build_agent(postgres_image)


@pytest.fixture(scope="session")
def server_image() -> str:
    """An image with sshd and with rclone, which serves restic's REST protocol."""
    return build_server()


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


# -- servers -----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres_server(postgres_image: str) -> Iterator[PostgresServer]:
    """A PostgreSQL for the tests of this process, one after the other; a test that stops it makes its own."""
    for here in containers_of_a_test():
        yield PostgresServer(here, postgres_image)


# -- collectives -------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    """The one password that every secret of a test is."""
    return seal(tmp_path_factory.mktemp("seal") / "project")


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
    """One collective of the test."""
    return found()
