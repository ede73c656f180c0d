"""Which machine has Debian's packages, and where it gets them."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolchain import debian
from toolchain.debian import Source
from toolchain.debian_base import settle
from toolchain.image_recipes import DEBIAN


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ('PRETTY_NAME="Debian GNU/Linux 12"\nID=debian\n', True),
        ("ID=ubuntu\nID_LIKE=debian\n", True),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', True),
        ('ID="debian"\n', True),
        ("ID=fedora\n", False),
        ('ID=alpine\nNAME="not debian"\n', False),
        ('ID=x\nVARIANT_ID=debian\nID_LIKE="rhel fedora"\n', False),
        ("", False),
    ],
)
def test_debian_is_known_by_its_id(text: str, is_one: bool) -> None:
    assert debian.is_debian_like(text) is is_one


ONE_LINE = """
# deb http://commented.example/debian bookworm main
deb http://deb.example/debian/ bookworm main contrib
deb [arch=amd64 signed-by=/k.gpg] https://deb.example/debian bookworm-updates main
deb http://deb.example/security bookworm-security main
deb-src http://deb.example/source bookworm main
deb cdrom:[Debian]/ bookworm main
deb http://other.example/debian bookworm-backports main
deb http://third.example/apt bookworm stable
"""
STANZAS = """
# The main archive
Types: deb deb-src
URIs: http://deb.example/debian/
Suites: bookworm
 bookworm-updates
Components: main

Enabled: no
Types: deb
URIs: http://off.example/
Suites: bookworm
Components: main

Types: deb
URIs: http://deb.example/security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


@pytest.mark.parametrize(
    ("name", "text", "addresses"),
    [
        (
            "sources.list",
            ONE_LINE,
            ("http://deb.example/debian", "https://deb.example/debian", "http://deb.example/security"),
        ),
        (
            "sources.list.d/debian.sources",
            STANZAS,
            ("http://deb.example/debian", "http://deb.example/debian", "http://deb.example/security"),
        ),
    ],
)
def test_the_sources_of_this_machine_are_read_the_suite_first(
    tmp_path: Path, name: str, text: str, addresses: tuple[str, ...]
) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    suites = ("bookworm", "bookworm-updates", "bookworm-security")
    expected = tuple(Source(address, suite) for address, suite in zip(addresses, suites, strict=True))
    assert debian.configured_sources(tmp_path) == expected


def test_the_first_of_two_mirrors_is_taken(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text("deb http://one/ bookworm main\ndeb http://two/ bookworm main\n")
    assert debian.configured_sources(tmp_path) == (Source("http://one", "bookworm"),)


@pytest.mark.parametrize(
    "text", ["deb http://deb.example/ubuntu noble main\n", "deb http://x bookworm-updates main\n", ""]
)
def test_a_machine_of_another_suite_has_no_sources_for_us(tmp_path: Path, text: str) -> None:
    (tmp_path / "sources.list").write_text(text)
    assert debian.configured_sources(tmp_path) == ()


def test_a_machine_without_apt_has_no_sources(tmp_path: Path) -> None:
    assert debian.configured_sources(tmp_path / "none") == ()


def test_a_written_list_of_sources_is_read_back(tmp_path: Path) -> None:
    sources = (Source("http://a/debian", "bookworm"), Source("http://b/security", "bookworm-security"))
    (tmp_path / "sources.list").write_text(debian.sources_list(sources))
    assert debian.configured_sources(tmp_path) == sources


def made_root(tmp_path: Path) -> Path:
    files = {
        "etc/apt/sources.list": "deb http://debootstrap/ bookworm main\n",
        "etc/hostname": "this-machine",
        "etc/resolv.conf": "nameserver 10.0.0.1",
        "etc/machine-id": "0123456789abcdef",
        "etc/passwd": "root:x:0:0::/root:/bin/bash\n",
        "var/log/bootstrap.log": "long",
        "var/cache/apt/archives/a.deb": "package",
        "var/lib/apt/lists/mirror": "packages",
        "usr/share/man/man1/ls.1": "manual",
        "usr/share/doc/ls/copyright": "licence",
        "usr/share/doc/ls/changelog": "long",
        "etc/dpkg/dpkg.cfg.d/x": "",
        "usr/sbin/y": "",
    }
    for name, text in files.items():
        file = tmp_path / "root" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path / "root"


def test_the_base_image_holds_nothing_of_the_machine_that_made_it(tmp_path: Path) -> None:
    root = made_root(tmp_path)
    settle(root, (Source("http://mirror/debian", "bookworm"),))
    assert not (root / "etc/hostname").exists()
    assert not (root / "etc/resolv.conf").exists()
    assert (root / "etc/machine-id").read_text() == ""
    for name in ("var/log", "var/cache/apt/archives/partial", "var/lib/apt/lists/partial"):
        assert list((root / name).iterdir()) == []
    assert not (root / "usr/share/man").exists()
    assert [file.name for file in (root / "usr/share/doc/ls").iterdir()] == ["copyright"]
    assert (root / "etc/apt/sources.list").read_text() == "deb http://mirror/debian bookworm main\n"


def test_the_base_image_starts_no_service_and_keeps_manuals_out(tmp_path: Path) -> None:
    root = made_root(tmp_path)
    settle(root, ())
    policy = root / "usr/sbin/policy-rc.d"
    assert policy.stat().st_mode & 0o777 == 0o755
    assert policy.read_text() == (DEBIAN.folder / "policy-rc.d").read_text()
    assert "path-exclude=/usr/share/man/*" in (root / "etc/dpkg/dpkg.cfg.d/90-ronron").read_text()
    assert (root / "etc/apt/sources.list").read_text() == "deb http://debootstrap/ bookworm main\n"
