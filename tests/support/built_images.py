"""Images of tests, built where they are asked for: once on a machine, whoever runs tests there."""

from __future__ import annotations

import hashlib
import io
import re
import time
from contextlib import closing, suppress
from pathlib import Path

import docker

from toolchain import docker_engine, image_build
from toolchain.cache import Cache, cache_root

DAY = 24 * 3600
LABEL = "ronron.tests"
"""Label of an image of tests; its value is what the image is for."""


def ensure_image(what: str, archive: bytes, *, base: str, **arguments: str) -> str:
    """The tag of an image of tests, which is built unless it is there.

    The tag says what the image is made from: two checkouts that differ do not take each other's.

    Args:
        what: what it is for; a part of its tag.
        archive: its context as a tar, the Dockerfile in it.
        base: the image that it is built on.
        arguments: for the build.
    """
    with closing(_engine()) as api:
        base_id = image_build.id_of(api, base)
        made_from = archive + f"{base_id or base} {sorted(arguments.items())}".encode()
        tag = f"ronron-local/{what}:test-{hashlib.sha256(made_from).hexdigest()[:16]}"
        cache = Cache(cache_root())
        with cache.lock(f"image-{what}", progress=print):
            _last_use(cache, tag).touch()
            if image_build.id_of(api, tag) is None:
                messages = api.build(
                    fileobj=io.BytesIO(archive),
                    custom_context=True,
                    tag=tag,
                    buildargs=arguments,
                    labels={LABEL: what},
                    rm=True,
                    forcerm=True,
                    decode=True,
                )
                text = [str(message.get("stream") or message.get("error") or "") for message in messages]
                assert image_build.id_of(api, tag), "".join(text)[-3000:]
                _forget_unused(api, cache, what)
    return tag


def _engine() -> docker.APIClient:
    found = docker_engine.find()
    assert isinstance(found, docker_engine.Answer), found
    return docker_engine.client(found.host, timeout=900)


def _last_use(cache: Cache, tag: str) -> Path:
    """The file whose time says when a run has last asked for an image: Docker does not tell."""
    folder = cache.root / "images-of-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / re.sub(r"[^\w.-]", "_", tag)


def _forget_unused(api: docker.APIClient, cache: Cache, what: str) -> None:
    """Remove images for the same thing that no run has asked for within a day, and that no container uses."""
    for image in api.images(filters={"label": f"{LABEL}={what}"}):
        for tag in image["RepoTags"] or []:
            used = _last_use(cache, tag)
            last = used.stat().st_mtime if used.exists() else float(image["Created"])
            if time.time() - last > DAY:
                # Docker keeps what a container uses.
                with suppress(docker.errors.APIError):
                    api.remove_image(image["Id"])
                used.unlink(missing_ok=True)
