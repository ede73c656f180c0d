"""The official downloads: is a site there, and one file of it, checked and of a limited size."""

from __future__ import annotations

import hashlib
import os
import platform
import queue
import re
import shutil
import tarfile
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import httpx

from toolchain.errors import NotThisWay

SITES = (
    "https://get.pulumi.com/releases/sdk",
    "https://github.com/pulumi/pulumi/releases/download/v{version}",
)
"""Where the engine's releases are published; each has the archives and a file of their SHA-256 sums."""

SITE_VARIABLE = "RONRON_PULUMI_DOWNLOADS"
"""Environment variable: another place with the same files (a mirror in one's own network), or `none`."""

PROBE_SECONDS = 4.0
"""How long a machine without internet waits, for all sites together and with the look-up of their names."""

STALL_SECONDS = 30.0
"""A download that gives nothing for so long has failed."""

DOWNLOAD_SECONDS = 900.0
"""A download that is not through after so long has failed: building takes less."""

ARCHIVE_LIMIT = 600 * 1024 * 1024
"""Bytes; the archive of 3.274 has about 200 MB."""

UNPACKED_LIMIT = 2 * 1024 * 1024 * 1024
"""Bytes; the programs in it have about 700 MB."""

_SUMS_LIMIT = 64 * 1024

Found = TypeVar("Found")


def sites(version: str, environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The places to try, in order, without a slash at the end."""
    environ = os.environ if environ is None else environ
    chosen = environ.get(SITE_VARIABLE, "").strip()
    if chosen == "none":
        return ()
    return tuple(site.format(version=version).rstrip("/") for site in ([chosen] if chosen else SITES))


def archive_name(version: str, system: str | None = None, machine: str | None = None) -> str:
    """The name of the engine's archive for this machine.

    Raises:
        NotThisWay: there is none for this kind of machine.
    """
    system = (system or platform.system()).lower()
    machine = (machine or platform.machine()).lower()
    architecture = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}.get(machine)
    if architecture is None or system not in {"linux", "darwin"}:
        raise NotThisWay(f"no download for {system} on {machine}")
    return f"pulumi-v{version}-{system}-{architecture}.tar.gz"


def answering(version: str, places: Sequence[str], *, seconds: float = PROBE_SECONDS) -> tuple[str, ...]:
    """Those places that give the sums of this release within a time; all are asked at once.

    Args:
        version: of the engine.
        places: as `sites` gives them.
        seconds: for all of them together. A look-up of a name cannot be cut short: its thread is left behind.
    """
    answers: queue.SimpleQueue[tuple[str, bool]] = queue.SimpleQueue()

    def ask(site: str) -> None:
        try:
            _published(site, version, timeout=seconds)
        except NotThisWay:
            answers.put((site, False))
        else:
            answers.put((site, True))

    for site in places:
        threading.Thread(target=ask, args=[site], daemon=True).start()
    end = time.monotonic() + seconds
    good = set()
    for _ in places:
        try:
            site, is_good = answers.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            break
        if is_good:
            good.add(site)
    return tuple(site for site in places if site in good)


def fetch_engine(version: str, folder: Path, places: Sequence[str]) -> None:
    """Download the engine's archive, check its sum and put its programs into a folder.

    Args:
        version: of the engine.
        folder: where the programs go; as it was if this fails.
        places: where to look, in order.

    Raises:
        NotThisWay: no site is reachable, or its archive is not the published one.
    """
    name = archive_name(version)
    reasons = []
    for site in places:
        try:
            _fetch_from(site, version, name, folder)
        except NotThisWay as reason:
            reasons.append(str(reason))
        else:
            return
    raise NotThisWay("; ".join(reasons) or "no site is reachable")


def _fetch_from(site: str, version: str, name: str, folder: Path) -> None:
    archive = folder / name
    try:
        expected = published_sum(_published(site, version), name)
        actual = _reading(site, lambda client: _save(client, f"{site}/{name}", archive))
        if actual != expected:
            host = httpx.URL(site).host
            raise NotThisWay(f"{host}: the SHA-256 sum of {name} is {actual}, published is {expected}")
        unpack(archive, folder)
    finally:
        archive.unlink(missing_ok=True)


def _published(site: str, version: str, *, timeout: float = STALL_SECONDS) -> str:
    address = f"{site}/pulumi-{version}-checksums.txt"
    return _reading(site, lambda client: _read(client, address, _SUMS_LIMIT), timeout=timeout)


def _reading(site: str, read: Callable[[httpx.Client], Found], *, timeout: float = STALL_SECONDS) -> Found:
    try:
        with httpx.Client(timeout=timeout, follow_redirects=True) as client:
            return read(client)
    except httpx.InvalidURL as error:
        raise NotThisWay(f"{site} is no address") from error
    except httpx.HTTPStatusError as error:
        status, path = error.response.status_code, error.request.url.path
        raise NotThisWay(f"{httpx.URL(site).host} returns {status} for {path}") from error
    except httpx.TimeoutException as error:
        raise NotThisWay(f"{httpx.URL(site).host} does not answer in time") from error
    except (httpx.ConnectError, httpx.UnsupportedProtocol) as error:
        raise NotThisWay(f"{httpx.URL(site).host or site} does not answer") from error
    except (httpx.HTTPError, OSError) as error:
        raise NotThisWay(f"{httpx.URL(site).host}: the download broke off ({error})") from error


def published_sum(sums: str, name: str) -> str:
    """The SHA-256 sum of one file, from a file of sums (`<sum>  <name>` a line).

    Raises:
        NotThisWay: the file of sums does not name it.
    """
    for line in sums.splitlines():
        words = line.split()
        if len(words) == 2 and words[1].lstrip("*") == name and re.fullmatch(r"[0-9a-f]{64}", words[0]):
            return words[0]
    raise NotThisWay(f"no published sum for {name}")


def unpack(archive: Path, folder: Path) -> None:
    """Put the programs of the archive's one folder, `pulumi/`, into a folder; everything else is left out.

    Args:
        archive: gzipped tar archive.
        folder: where the programs go; as it was if this fails.

    Raises:
        NotThisWay: it is no such archive, or larger than any release.
    """
    aside = folder / ".unpacking"
    aside.mkdir()
    try:
        _unpack_flat(archive, aside)
        for program in aside.iterdir():
            program.rename(folder / program.name)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise NotThisWay(f"{archive.name} is no readable archive ({error})") from error
    finally:
        shutil.rmtree(aside)


def _unpack_flat(archive: Path, folder: Path) -> None:
    size = 0
    with tarfile.open(archive, "r:gz") as opened:
        for member in opened:
            within, _, name = member.name.removeprefix("./").partition("/")
            # Plain files directly in the folder: no path of the archive is ever used as a path here.
            if within != "pulumi" or not member.isreg() or not re.fullmatch(r"[\w-][\w.-]*", name, re.ASCII):
                continue
            size += member.size
            if size > UNPACKED_LIMIT:
                raise NotThisWay(f"{archive.name} unpacks to more than any release")
            content = opened.extractfile(member)
            if content is None:
                continue
            with content, (folder / name).open("wb") as file:
                shutil.copyfileobj(content, file, 1 << 20)
            (folder / name).chmod(0o755)


def _read(client: httpx.Client, url: str, limit: int) -> str:
    with client.stream("GET", url) as response:
        response.raise_for_status()
        content = b""
        for block in response.iter_bytes():
            content += block
            if len(content) > limit:
                raise NotThisWay(f"{response.url.host}: {response.url.path} is larger than {limit} bytes")
    return content.decode(errors="replace")


def _save(client: httpx.Client, url: str, file: Path) -> str:
    digest = hashlib.sha256()
    size = 0
    end = time.monotonic() + DOWNLOAD_SECONDS
    with client.stream("GET", url) as response, file.open("wb") as opened:
        response.raise_for_status()
        where = f"{response.url.host}: {response.url.path}"
        for block in response.iter_bytes(1 << 20):
            size += len(block)
            if size > ARCHIVE_LIMIT:
                raise NotThisWay(f"{where} is larger than {ARCHIVE_LIMIT} bytes")
            if time.monotonic() > end:
                raise NotThisWay(f"{where} is not through after {DOWNLOAD_SECONDS:.0f} s")
            digest.update(block)
            opened.write(block)
    return digest.hexdigest()
