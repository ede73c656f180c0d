"""What every registry of images does; see ports.ImageRegistry. The real one is Debian's docker-registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import docker
import pytest

from ronron.adapters.image_registry import HttpImageRegistry
from ronron.core.errors import ImageRegistryError
from ronron.core.images import DIGEST, ImageReference, read_image
from ronron.ports import ImageRegistry
from ronron.testing import FakeImageRegistry
from tests.support.containers import containers_of_a_test
from tests.support.image_registry import registry
from toolchain.image_recipes import DEBIAN

CLOSED = "127.0.0.1:1"
"""Nothing listens on this port of the loopback address."""


class Stocked(Protocol):
    """A registry that has one image."""

    port: ImageRegistry
    image: str
    digest: str


class FakeStock:
    """A row in a table."""

    def __init__(self) -> None:
        self.digest = f"sha256:{'1' * 64}"
        self.image = "registry.example/pads/etherpad:3.3.1"
        fake = FakeImageRegistry({self.image: f"sha256:{'1' * 64}"})
        fake.unreachable.add(CLOSED)
        self.port: ImageRegistry = fake


class RealStock:
    """An image that Docker pushed into a real registry, and the digest that Docker knows of it."""

    def __init__(self, address: str, name: str, client: docker.DockerClient) -> None:
        self.image = f"{address}/{name}"
        self.port: ImageRegistry = HttpImageRegistry(lambda _registry: None)
        self.digest = str(client.images.get_registry_data(self.image).id)


@pytest.fixture(scope="module", params=["fake", "docker-registry"])
def stock(request: pytest.FixtureRequest) -> Iterator[Stocked]:
    if request.param == "fake":
        yield FakeStock()
        return
    with contextmanager(containers_of_a_test)() as here:
        running = registry(here, "bridge", {"debian": DEBIAN.tag})
        name = running.images["debian"].partition("/")[2]
        yield RealStock(running.outside, name, here.client)


def reference(text: str) -> ImageReference:
    image = read_image(text)
    assert image is not None
    return image


def test_gives_the_digest_behind_a_tag(stock: Stocked) -> None:
    found = stock.port.digest(reference(stock.image))
    assert DIGEST.fullmatch(found)
    assert found == stock.digest


def test_says_that_a_tag_is_not_there(stock: Stocked) -> None:
    image = reference(f"{stock.image}-of-nobody")
    with pytest.raises(ImageRegistryError, match="has no such tag") as caught:
        stock.port.digest(image)
    assert f"{image.repository}:{image.tag}" in caught.value.message
    assert caught.value.hint


def test_says_that_a_registry_is_unreachable(stock: Stocked) -> None:
    with pytest.raises(ImageRegistryError, match="cannot reach the registry 127") as caught:
        stock.port.digest(reference(f"{CLOSED}/pads/etherpad:3.3.1"))
    assert caught.value.message.endswith("connection refused")
    assert caught.value.hint
