"""Debian and its relatives: is this one, which mirror does it use, and installing packages as root."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toolchain import commands
from toolchain.cache import Cache, Progress

SUITE = "bookworm"
"""Debian 12: the suite of the images that are built here."""

APT_SECONDS = 900.0
_WAIT_FOR_LOCK = ["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=2"]


@dataclass(frozen=True)
class Source:
    """Packages of one suite at one address, as apt is configured for them."""

    address: str
    """URL without a slash at the end."""
    suite: str


def is_debian_like(os_release: str) -> bool:
    """Whether this is Debian, Ubuntu or a relative that has their packages.

    Args:
        os_release: text of /etc/os-release.
    """
    values = dict(re.findall(r'^(ID|ID_LIKE)="?([^"\n]*)"?$', os_release, re.MULTILINE))
    return bool({"debian", "ubuntu"} & set(" ".join(values.values()).split()))


def can_install() -> bool:
    """Whether this process may install Debian packages on this machine."""
    release = Path("/etc/os-release")
    return os.geteuid() == 0 and release.is_file() and is_debian_like(release.read_text())


def install(packages: Sequence[str], *, cache: Cache, progress: Progress) -> None:
    """Install packages, with fresh lists, without recommended ones. `can_install` has to be true.

    Raises:
        ToolchainError: apt cannot.
    """
    progress(f"installing Debian packages: {' '.join(packages)}")
    environment = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l", "LC_ALL": "C"}
    hint = "read the output of apt, fix /etc/apt/sources.list, and run it again"
    with cache.lock("apt", progress=progress):
        steps: dict[str, list[str]] = {
            "dpkg": ["dpkg", "--configure", "-a"],  # where an earlier run was stopped half-way
            "apt-update": ["apt-get", *_WAIT_FOR_LOCK, "update"],
            "apt-install": [
                "apt-get", *_WAIT_FOR_LOCK, "install", "--yes", "--no-install-recommends", *packages,
            ],
        }  # fmt: skip
        for name, words in steps.items():
            commands.run(
                words,
                environment=environment,
                log=cache.logs / f"{name}.log",
                deadline=APT_SECONDS,
                hint=hint,
            )


def configured_sources(folder: Path = Path("/etc/apt")) -> tuple[Source, ...]:
    """The main packages of our suite, its updates and its security updates, where apt here gets them.

    Returns:
        The suite itself first. Empty where apt is configured for another suite (or there is no apt).
    """
    found: list[Source] = []
    for file in sorted([folder / "sources.list", *folder.glob("sources.list.d/*")]):
        if not file.is_file():
            continue
        text = file.read_text(errors="replace")
        if file.suffix == ".sources":
            found += _of_stanzas(text)
        elif file.suffix == ".list":
            found += _of_lines(text)
    wanted = (SUITE, f"{SUITE}-updates", f"{SUITE}-security")
    chosen = {source.suite: source for source in reversed(found) if source.suite in wanted}
    return tuple(chosen[suite] for suite in wanted if suite in chosen) if SUITE in chosen else ()


def sources_list(sources: Sequence[Source]) -> str:
    """Text of a /etc/apt/sources.list for these sources."""
    return "".join(f"deb {source.address} {source.suite} main\n" for source in sources)


def _of_lines(text: str) -> list[Source]:
    found = []
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[[^]]*\]\s+)?(https?://\S+)\s+(\S+)\s+(.*)", line)
        if match and "main" in match[3].split():
            found.append(Source(match[1].rstrip("/"), match[2]))
    return found


def _of_stanzas(text: str) -> list[Source]:
    found = []
    for stanza in re.split(r"\n\s*\n", text):
        joined = re.sub(
            r"\n\s+", " ", "\n".join(line for line in stanza.splitlines() if not line.startswith("#"))
        )
        fields = {
            name.strip().lower(): value.split()
            for name, separator, value in (line.partition(":") for line in joined.splitlines())
            if separator
        }
        if fields.get("enabled") == ["no"] or "deb" not in fields.get("types", []):
            continue
        if "main" not in fields.get("components", []):
            continue
        for address in fields.get("uris", []):
            if address.startswith(("http://", "https://")):
                found += [Source(address.rstrip("/"), suite) for suite in fields.get("suites", [])]
    return found
