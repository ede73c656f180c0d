"""The Debian image that the other images stand on, made by debootstrap or from upstream's."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from toolchain import commands, debian, image_build
from toolchain.cache import Cache, Progress
from toolchain.errors import ToolchainError
from toolchain.image_recipes import DEBIAN, DEBIAN_UPSTREAM, RECIPE_LABEL

if TYPE_CHECKING:
    from docker import APIClient

DEBOOTSTRAP_SECONDS = 1200.0

_LEFT_OUT = (
    "usr/share/info", "usr/share/man", "usr/share/locale", "var/cache/apt", "var/cache/debconf",
    "var/lib/apt/lists", "var/log", "etc/hostname", "etc/resolv.conf",
)  # fmt: skip
"""Removed from what debootstrap made: caches, logs, documentation, and what it copies from this machine."""

_KEPT_FOLDERS = (
    "var/cache/apt/archives/partial",
    "var/cache/debconf",
    "var/lib/apt/lists/partial",
    "var/log",
)


def pull_and_adapt(api: APIClient, cache: Cache, progress: Progress) -> None:
    """Make the base image from upstream's Debian, where a registry of images answers."""
    dockerfile = (
        f"{DEBIAN_UPSTREAM.parameters}\n"
        "COPY dpkg-exclude.cfg /etc/dpkg/dpkg.cfg.d/90-ronron\n"
        "COPY policy-rc.d /usr/sbin/policy-rc.d\n"
        'CMD ["bash"]\n'
    )
    image_build.build(
        api, DEBIAN_UPSTREAM, cache=cache, progress=progress, more_files={"Dockerfile": dockerfile.encode()}
    )


def bootstrap(api: APIClient, cache: Cache, progress: Progress) -> None:
    """Make the base image with debootstrap, from the Debian mirror that this machine uses.

    Raises:
        ToolchainError: not root, no Debian, or debootstrap fails.
    """
    if not debian.can_install():
        raise ToolchainError(
            f"cannot build {DEBIAN.tag}: no registry of images answers, "
            "and debootstrap needs root on Debian or Ubuntu",
            "run `sudo make images` once, or give the Docker engine a registry that it can reach",
        )
    needed = {
        "debootstrap": Path("/usr/sbin/debootstrap"),
        "debian-archive-keyring": Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    }
    missing = [package for package, file in needed.items() if not file.exists()]
    if missing:
        debian.install(missing, cache=cache, progress=progress)
    progress(f"image {DEBIAN.tag}: building with debootstrap")
    begun = time.monotonic()
    with cache.workspace("image-debian") as folder:
        root = folder / "root"
        _debootstrap(root, cache)
        settle(root, debian.configured_sources())
        archive = folder / "root.tar"
        commands.run(
            ["tar", "--create", "--file", archive, "--directory", root, "--numeric-owner",
             "--one-file-system",
             "--exclude=./dev/*", "--exclude=./proc/*", "--exclude=./sys/*", "--exclude=./run/*", "."],
            log=cache.logs / "image-debian-tar.log",
            deadline=300,
            hint="free some disk space and run it again",
        )  # fmt: skip
        repository, _, tag = DEBIAN.tag.rpartition(":")
        labels = {
            RECIPE_LABEL: DEBIAN.hash,
            "org.opencontainers.image.title": "Debian 12",
            "org.opencontainers.image.description": "Built on this machine by debootstrap; not upstream's.",
            "org.opencontainers.image.version": (root / "etc/debian_version").read_text().strip(),
        }
        changes = ['CMD ["bash"]', *(f'LABEL {name}="{value}"' for name, value in labels.items())]
        replaced = image_build.id_of(api, DEBIAN.tag)
        with archive.open("rb") as opened:
            answer = api.import_image(src=opened, repository=repository, tag=tag, changes=changes)
        if not image_build.is_current(api, DEBIAN):
            raise ToolchainError(
                f"cannot build {DEBIAN.tag}: the Docker engine says {str(answer).strip()[:300]}",
                "free some disk space and run it again",
            )
        image_build.forget_replaced(api, replaced, DEBIAN.tag)
    progress(f"image {DEBIAN.tag}: built in {time.monotonic() - begun:.0f} s")


def _debootstrap(root: Path, cache: Cache) -> None:
    sources = debian.configured_sources()
    mirror = [sources[0].address] if sources else []  # debootstrap's own default otherwise
    include = ["--include=ca-certificates"] if mirror and mirror[0].startswith("https:") else []
    commands.run(
        # A mount namespace of its own: what debootstrap mounts below the root goes with it, however it ends.
        ["unshare", "--mount", "--propagation", "private",
         "debootstrap", "--variant=minbase", *include, debian.SUITE, root, *mirror],
        log=cache.logs / "image-debian.log",
        deadline=DEBOOTSTRAP_SECONDS,
        environment={"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"},
        hint="check that the Debian mirror in /etc/apt is reachable, and run it again",
    )  # fmt: skip


def settle(root: Path, sources: tuple[debian.Source, ...]) -> None:
    """Bring a fresh root file system to what an image should hold.

    Args:
        root: made by debootstrap.
        sources: what apt in the image reads; debootstrap's own choice is left where there are none.
    """
    for name in _LEFT_OUT:
        path = root / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for name in _KEPT_FOLDERS:
        (root / name).mkdir(parents=True, exist_ok=True)
    for document in (root / "usr/share/doc").glob("*/*"):
        if document.name != "copyright":
            shutil.rmtree(document) if document.is_dir() and not document.is_symlink() else document.unlink()
    if sources:
        (root / "etc/apt/sources.list").write_text(debian.sources_list(sources))
    (root / "etc/machine-id").write_text("")
    shutil.copyfile(DEBIAN.folder / "dpkg-exclude.cfg", root / "etc/dpkg/dpkg.cfg.d/90-ronron")
    policy = root / "usr/sbin/policy-rc.d"
    shutil.copyfile(DEBIAN.folder / "policy-rc.d", policy)
    policy.chmod(0o755)
