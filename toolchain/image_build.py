"""Builds one image on the Docker engine from a context of ours, and finds whether it is there already."""

from __future__ import annotations

import contextlib
import io
import os
import ssl
import tarfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain import commands
from toolchain.cache import Cache, Progress
from toolchain.errors import ToolchainError
from toolchain.image_recipes import RECIPE_LABEL, STAGE_LABEL, Recipe

if TYPE_CHECKING:
    from docker import APIClient

_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")


def is_current(api: APIClient, *recipes: Recipe) -> bool:
    """Whether the image of this tag is there and was made from one of these recipes as they are now."""
    label = label_of(api, recipes[0].tag)
    return label is not None and label in {recipe.hash for recipe in recipes}


def label_of(api: APIClient, tag: str) -> str | None:
    """The hash of the recipe that an image was made from; empty for a foreign image, None for no image."""
    found = _inspect(api, tag)
    return None if found is None else str((found["Config"].get("Labels") or {}).get(RECIPE_LABEL, ""))


def forget_replaced(api: APIClient, replaced: str | None, tag: str) -> None:
    """Remove the image that had a tag before, unless somebody still uses it or it is still the one.

    Args:
        api: the engine.
        replaced: id of that image; None where there was none.
        tag: which has moved.
    """
    import docker

    if replaced is None or replaced == id_of(api, tag):
        return
    # A container or another tag uses it: then it is not ours to remove.
    with contextlib.suppress(docker.errors.APIError):
        api.remove_image(replaced)


def id_of(api: APIClient, tag: str) -> str | None:
    """The id of the image that has this tag; None for no image."""
    found = _inspect(api, tag)
    return None if found is None else str(found["Id"])


def _inspect(api: APIClient, tag: str) -> dict[str, Any] | None:
    import docker

    try:
        found: dict[str, Any] = api.inspect_image(tag)  # type: ignore[no-untyped-call]
    except docker.errors.ImageNotFound:
        return None
    return found


def build(
    api: APIClient,
    recipe: Recipe,
    *,
    cache: Cache,
    progress: Progress,
    more_files: Mapping[str, bytes] | None = None,
    fresh: bool = False,
) -> None:
    """Build an image; its tag moves only when the build has succeeded.

    Args:
        api: the engine.
        recipe: what to build.
        cache: where the log goes.
        progress: prints what is done.
        more_files: further files of the context, by name.
        fresh: build every step again, for the packages of today.

    Raises:
        ToolchainError: the build fails; with the end of its output.
    """
    import docker
    import requests

    progress(f"image {recipe.tag}: building")
    begun = time.monotonic()
    files = dict(more_files or {})
    if recipe.certificates:
        files["ca.pem"] = certificates(os.environ)
    log = cache.logs / f"image-{recipe.context}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    replaced = id_of(api, recipe.tag)
    try:
        messages = api.build(
            fileobj=io.BytesIO(context_archive(recipe.folder, files)),
            custom_context=True,
            tag=recipe.tag,
            labels={RECIPE_LABEL: recipe.hash},
            buildargs=build_arguments(os.environ),
            rm=True,
            forcerm=True,
            nocache=fresh,
            decode=True,
        )
        failure = _follow(messages, log)
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise ToolchainError(
            f"cannot build {recipe.tag}: the Docker engine broke off ({error})",
            "run `docker info` to see whether the engine is running, and run it again",
        ) from error
    if failure:
        raise ToolchainError(
            f"cannot build {recipe.tag}: {failure}\n{commands.tail(log)}",
            "check that the package mirrors are reachable from inside a container, and run it again",
        )
    # The stages that only fetched packages are of no more use, nor is the image before this one.
    of_stage = {"dangling": True, "label": [f"{STAGE_LABEL}={recipe.context}-packages"]}
    api.prune_images(filters=of_stage)  # type: ignore[no-untyped-call]
    forget_replaced(api, replaced, recipe.tag)
    progress(f"image {recipe.tag}: built in {time.monotonic() - begun:.0f} s")


def _follow(messages: Iterable[dict[str, Any]], log: Path) -> str | None:
    failure = None
    with log.open("w") as opened:
        for message in messages:
            opened.write(str(message.get("stream") or message.get("status") or message.get("error") or ""))
            if "error" in message:
                failure = str(message["error"]).strip()
    return failure


def context_archive(folder: Path, more_files: Mapping[str, bytes]) -> bytes:
    """A build context as a tar archive: the folder's files with their executable bits, and further files."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as opened:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            mode = 0o755 if os.access(file, os.X_OK) else 0o644
            _add(opened, str(file.relative_to(folder)), file.read_bytes(), mode)
        for name, content in sorted(more_files.items()):
            _add(opened, name, content, 0o644)
    return archive.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    member = tarfile.TarInfo(name)
    # Owner 0 and time 0 by default: the same files are the same context, so Docker's cache is used.
    member.size, member.mode = len(content), mode
    archive.addfile(member, io.BytesIO(content))


def build_arguments(environ: Mapping[str, str], npmrc: Path | None = None) -> dict[str, str]:
    """What a build has to know of this machine's network: proxies, and npm's registry if one is set."""
    arguments = {}
    for name in _PROXIES:
        value = environ.get(name) or environ.get(name.upper())
        if value:
            arguments[name] = value
    registry = (
        environ.get("NPM_CONFIG_REGISTRY") or environ.get("npm_config_registry") or _npmrc_registry(npmrc)
    )
    if registry:
        arguments["NPM_CONFIG_REGISTRY"] = registry
    return arguments


def _npmrc_registry(npmrc: Path | None) -> str | None:
    file = npmrc or Path.home() / ".npmrc"
    if not file.is_file():
        return None
    for line in file.read_text(errors="replace").splitlines():
        name, separator, value = line.partition("=")
        if separator and name.strip() == "registry":
            return value.strip()
    return None


def certificates(environ: Mapping[str, str]) -> bytes:
    """The certificates that this machine trusts, as PEM; empty where there is no such file."""
    for candidate in (environ.get("SSL_CERT_FILE"), *_BUNDLES, ssl.get_default_verify_paths().cafile):
        if candidate and Path(candidate).is_file():
            return Path(candidate).read_bytes()
    return b""
