"""The images of the local stack: upstream's where a registry is reachable, else built here from packages."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

from toolchain import debian_base, docker_engine, image_build
from toolchain.cache import Cache, Progress, cache_root
from toolchain.errors import ToolchainError
from toolchain.image_recipes import CADDY, DEBIAN, DEBIAN_UPSTREAM, ETHERPAD, LOCAL, POSTGRES, Recipe

if TYPE_CHECKING:
    from docker import APIClient

PROBE_SECONDS = 3
"""How long the engine may take to reach a registry."""

BUILD_SECONDS = 900
"""How long one step of a build may give no output."""

_PROBED_IMAGE = "debian:12-slim"


def registry_answers(host: str) -> bool:
    """Whether the engine reaches the registry that it pulls from; this machine is not asked.

    Args:
        host: address of the engine.
    """
    import docker
    import requests

    try:
        with closing(docker_engine.client(host, timeout=PROBE_SECONDS)) as api:
            api.inspect_distribution(_PROBED_IMAGE)  # type: ignore[no-untyped-call]
    except docker.errors.APIError as error:
        # A registry that the engine cannot reach is an error of the engine; 401, 404 and 429 are answers.
        return (error.status_code or 500) < 500 or "toomanyrequests" in str(error)
    except (docker.errors.DockerException, requests.RequestException):
        return False
    return True


def local_images() -> dict[str, str]:
    """Tags of the images built here, by part (edge, postgres, etherpad, debian); empty: upstream's are used.

    A machine that has built them once goes on with them, so that a service is not moved to another image (and
    another version) because the network came or went.
    """
    tags = {part: recipe.tag for part, recipe in LOCAL.items()}
    answer = docker_engine.find()
    if isinstance(answer, docker_engine.NoAnswer):
        return {}
    with closing(docker_engine.client(answer.host, timeout=BUILD_SECONDS)) as api:
        built_before = _built_before(api)
    return tags if built_before or not registry_answers(answer.host) else {}


def ensure_images(
    cache: Cache, host: str, progress: Progress, *, always: bool = False, fresh: bool = False
) -> dict[str, str]:
    """Make sure that the engine has the images of the local stack, or can pull upstream's.

    Args:
        cache: for the logs and the locks.
        host: address of the engine.
        progress: prints what is done.
        always: build them even where a registry is reachable.
        fresh: build them again although they are there, for the packages of today.

    Returns:
        As `local_images`.

    Raises:
        ToolchainError: they cannot be built here.
    """
    with closing(docker_engine.client(host, timeout=BUILD_SECONDS)) as api:
        if not (always or fresh or _built_before(api)) and registry_answers(host):
            progress("images: an image registry is reachable; the engine pulls the upstream images")
            return {}
        _ensure_base(api, cache, host, progress, fresh=fresh)
    # They wait for packages most of the time, each in its turn.
    on_base = (ETHERPAD, POSTGRES, CADDY)
    with ThreadPoolExecutor(max_workers=len(on_base)) as pool:
        builds = [
            pool.submit(_ensure_built, host, cache, progress, recipe, fresh=fresh) for recipe in on_base
        ]
        for build in builds:
            build.result()
    tags = {part: recipe.tag for part, recipe in LOCAL.items()}
    progress(f"images: built here from packages, not the upstream ones: {', '.join(tags.values())}")
    return tags


def present(api: APIClient) -> dict[str, bool]:
    """The images built here that this engine has, by tag: whether they are as their recipes are now."""
    labels = {recipe: image_build.label_of(api, recipe.tag) for recipe in LOCAL.values()}
    base = {DEBIAN.hash, DEBIAN_UPSTREAM.hash}
    return {
        recipe.tag: label in (base if recipe == DEBIAN else {recipe.hash})
        for recipe, label in labels.items()
        if label
    }


def ensure_debian(cache: Cache | None = None, progress: Progress = print) -> str:
    """The tag of a Debian 12 image, made now if it is missing: upstream's, else by debootstrap.

    Raises:
        ToolchainError: no Docker engine answers, or the image cannot be made here.
    """
    answer = docker_engine.find()
    if isinstance(answer, docker_engine.NoAnswer):
        raise ToolchainError(f"cannot use Docker: {answer.reason}", answer.remedy)
    with closing(docker_engine.client(answer.host, timeout=BUILD_SECONDS)) as api:
        _ensure_base(api, cache or Cache(cache_root()), answer.host, progress, fresh=False)
    return DEBIAN.tag


def _ensure_built(host: str, cache: Cache, progress: Progress, recipe: Recipe, *, fresh: bool) -> None:
    # A connection is for one thread.
    with (
        cache.lock(f"image-{recipe.context}", progress=progress),
        closing(docker_engine.client(host, timeout=BUILD_SECONDS)) as api,
    ):
        if fresh or not image_build.is_current(api, recipe):
            image_build.build(api, recipe, cache=cache, progress=progress, fresh=fresh)


def _ensure_base(api: APIClient, cache: Cache, host: str, progress: Progress, *, fresh: bool) -> None:
    with cache.lock("image-debian", progress=progress):
        if not fresh and image_build.is_current(api, DEBIAN, DEBIAN_UPSTREAM):
            return
        if registry_answers(host):
            debian_base.pull_and_adapt(api, cache, progress)
        else:
            debian_base.bootstrap(api, cache, progress)


def _built_before(api: APIClient) -> bool:
    return len(present(api)) == len(LOCAL)
