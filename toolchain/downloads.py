"""The official downloads: is a site there, and one file of it, checked and of a limited size."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path

import httpx

from toolchain.errors import NotThisWay

SITES = (
    "https://get.pulumi.com/releases/sdk",
    "https://github.com/pulumi/pulumi/releases/download/v{version}",
)
"""Where the engine's releases are published; each holds the archives and a file of their SHA-256 sums."""

SITE_VARIABLE = "RONRON_PULUMI_DOWNLOADS"
"""Environment variable: another place with the same files (a mirror in one's own network), or `none`."""

PROBE_SECONDS = 3.0
"""How long a machine without internet waits for a site."""

STALL_SECONDS = 30.0
"""A download that gives nothing for so long has failed."""

ARCHIVE_LIMIT = 600 * 1024 * 1024
"""Bytes; the archive of 3.274 has about 200 MB."""

UNPACKED_LIMIT = 2 * 1024 * 1024 * 1024
"""Bytes; the programs in it have about 700 MB."""

_SUMS_LIMIT = 64 * 1024


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


def any_site_answers(version: str, environ: Mapping[str, str] | None = None) -> bool:
    """Whether one of the places to try gives anything, whatever it is; takes PROBE_SECONDS each at most."""
    for site in sites(version, environ):
        try:
            httpx.head(site, timeout=PROBE_SECONDS)
        except httpx.HTTPError:
            continue
        return True
    return False


def fetch_engine(version: str, folder: Path, environ: Mapping[str, str] | None = None) -> None:
    """Download the engine's archive, check its sum and put its programs into a folder.

    Raises:
        NotThisWay: no site answers, or what it gives is not the published archive.
    """
    name = archive_name(version)
    reasons = []
    for site in sites(version, environ):
        try:
            _fetch_from(site, version, name, folder)
        except NotThisWay as reason:
            reasons.append(str(reason))
        else:
            return
    raise NotThisWay("; ".join(reasons) or "downloads are switched off")


def _fetch_from(site: str, version: str, name: str, folder: Path) -> None:
    host = httpx.URL(site).host
    archive = folder / name
    timeout = httpx.Timeout(STALL_SECONDS, connect=PROBE_SECONDS)
    try:
        with httpx.Client(timeout=timeout, follow_redirects=True) as client:
            # The small file first: it is also the probe.
            sums = _read(client, f"{site}/pulumi-{version}-checksums.txt", _SUMS_LIMIT)
            expected = published_sum(sums, name)
            actual = _save(client, f"{site}/{name}", archive)
    except httpx.ConnectError as error:
        raise NotThisWay(f"{host} does not answer") from error
    except httpx.TimeoutException as error:
        raise NotThisWay(f"{host} does not answer in time") from error
    except httpx.HTTPStatusError as error:
        raise NotThisWay(
            f"{host} answers {error.response.status_code} for {error.request.url.path}"
        ) from error
    except httpx.HTTPError as error:
        raise NotThisWay(f"{host}: the download broke off ({type(error).__name__})") from error
    else:
        if actual != expected:
            raise NotThisWay(f"{host}: the SHA-256 sum of {name} is {actual}, published is {expected}")
        unpack(archive, folder)
    finally:
        archive.unlink(missing_ok=True)


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

    Raises:
        NotThisWay: it is no such archive, or larger than any release.
    """
    size = 0
    try:
        with tarfile.open(archive, "r:gz") as opened:
            for member in opened:
                within, _, name = member.name.removeprefix("./").partition("/")
                # Plain files directly in the folder: no path of the archive is ever used as a path here.
                if within != "pulumi" or not member.isreg() or not re.fullmatch(r"[A-Za-z0-9._-]+", name):
                    continue
                size += member.size
                if size > UNPACKED_LIMIT or name in {".", ".."}:
                    raise NotThisWay(f"{archive.name} unpacks to more than any release")
                content = opened.extractfile(member)
                if content is None:
                    continue
                with content, (folder / name).open("wb") as file:
                    while block := content.read(1 << 20):
                        file.write(block)
                (folder / name).chmod(0o755)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise NotThisWay(f"{archive.name} is no readable archive ({error})") from error


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
    with client.stream("GET", url) as response, file.open("wb") as opened:
        response.raise_for_status()
        for block in response.iter_bytes(1 << 20):
            size += len(block)
            if size > ARCHIVE_LIMIT:
                raise NotThisWay(
                    f"{response.url.host}: {response.url.path} is larger than {ARCHIVE_LIMIT} bytes"
                )
            digest.update(block)
            opened.write(block)
    return digest.hexdigest()
