"""A real registry of images, for machines that have none of their own yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import docker

from tests.support.backup_targets import packed
from tests.support.built_images import ensure_image
from tests.support.containers import Containers, said, until
from toolchain.image_recipes import DEBIAN
from toolchain.images import ensure_debian

PORT = 5000

_DOCKERFILE = f"""
FROM {DEBIAN.tag}
RUN export DEBIAN_FRONTEND=noninteractive \\
 && apt-get update \\
 && apt-get install --yes --no-install-recommends docker-registry \\
 && apt-get clean \\
 && rm -rf /var/lib/apt/lists/*
LABEL org.opencontainers.image.title="A registry of images, for tests"
"""


@dataclass(frozen=True)
class Registry:
    """One that runs.

    Attributes:
        address: `host:port` inside its network; plain HTTP, so that who pulls must call it insecure.
        images: reference inside that network by role.
        outside: `host:port` on this machine.
    """

    address: str
    images: Mapping[str, str]
    outside: str


def registry(here: Containers, network: str, images: Mapping[str, str]) -> Registry:
    """Start one with images that the Docker of this machine has.

    Args:
        here: what the test makes.
        network: where it is reached.
        images: reference on this machine by role.
    """
    ensure_debian()
    image = ensure_image("registry-of-tests", packed({"Dockerfile": _DOCKERFILE.encode()}), base=DEBIAN.tag)
    made = here.create(
        image,
        ["docker-registry", "serve", "/etc/docker/registry/config.yml"],
        environment={
            "REGISTRY_AUTH": "none",
            "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "/srv/registry",
        },
        network=network,
        # Docker speaks plain HTTP to its own machine alone, so images come in here.
        ports={f"{PORT}/tcp": ("127.0.0.1", None)},
        volumes={here.volume(): {"bind": "/srv/registry", "mode": "rw"}},
    )
    made.start()
    until(lambda: "listening on" in said(made), made)
    made.reload()
    found = made.attrs["NetworkSettings"]
    outside = f"127.0.0.1:{found['Ports'][f'{PORT}/tcp'][0]['HostPort']}"
    inside = f"{next(iter(found['Networks'].values()))['IPAddress']}:{PORT}"
    held = {}
    for role, reference in images.items():
        name, _, tag = reference.rpartition("/")[2].partition(":")
        _push(here.client, reference, f"{outside}/{name}", tag)
        held[role] = f"{inside}/{name}:{tag}"
    return Registry(inside, held, outside)


def _push(client: docker.DockerClient, reference: str, repository: str, tag: str) -> None:
    image = client.images.get(reference)
    assert image.tag(repository, tag)
    try:
        for line in client.images.push(repository, tag, stream=True, decode=True):
            assert "error" not in line, line
    finally:
        client.images.remove(f"{repository}:{tag}")
