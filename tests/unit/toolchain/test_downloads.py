"""Downloads from a real server on this machine, which answers well, badly, late or not at all."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.support.download_site import Site, archive, cut_off, whole
from toolchain import downloads
from toolchain.errors import NotThisWay

VERSION = "3.274.1"
NAME = downloads.archive_name(VERSION)
SUMS = f"/pulumi-{VERSION}-checksums.txt"


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site(VERSION)
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "piece"
    made.mkdir()
    return made


GOOD = archive(("pulumi/pulumi", b"engine"), ("pulumi/pulumi-language-python", b"host"), ("README.md", b"no"))


def test_the_programs_of_the_published_archive_are_put_into_the_folder(site: Site, folder: Path) -> None:
    site.publish(GOOD)
    downloads.fetch_engine(VERSION, folder, [site.address])
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {
        "pulumi": b"engine",
        "pulumi-language-python": b"host",
    }
    assert all(file.stat().st_mode & 0o777 == 0o755 for file in folder.iterdir())


def refused(folder: Path, *places: str) -> str:
    with pytest.raises(NotThisWay) as caught:
        downloads.fetch_engine(VERSION, folder, places)
    assert list(folder.iterdir()) == []
    return str(caught.value)


def test_an_archive_of_another_sum_is_refused_before_it_is_opened(site: Site, folder: Path) -> None:
    site.publish(GOOD, published=b"something else")
    reason = refused(folder, site.address)
    assert hashlib.sha256(GOOD).hexdigest() in reason
    assert hashlib.sha256(b"something else").hexdigest() in reason


def test_an_archive_that_breaks_off_is_refused(site: Site, folder: Path) -> None:
    site.publish(GOOD)
    site.answers[f"/{NAME}"] = cut_off(GOOD)
    assert "broke off" in refused(folder, site.address)


def test_a_published_archive_that_is_none_is_refused(site: Site, folder: Path) -> None:
    site.publish(GOOD[: len(GOOD) // 2])
    assert "is no readable archive" in refused(folder, site.address)


def test_a_file_that_is_missing_is_told_with_its_path(site: Site, folder: Path) -> None:
    assert f"127.0.0.1 returns 404 for {SUMS}" in refused(folder, site.address)
    site.publish(GOOD)
    del site.answers[f"/{NAME}"]
    assert f"127.0.0.1 returns 404 for /{NAME}" in refused(folder, site.address)


def test_an_archive_without_a_published_sum_is_not_even_fetched(site: Site, folder: Path) -> None:
    site.publish(GOOD)
    site.answers[SUMS] = whole(f"{'a' * 64}  {NAME}.sig\nnot-a-sum  {NAME}\n".encode())
    assert f"no published sum for {NAME}" in refused(folder, site.address)
    assert site.asked == [SUMS]


def test_an_endless_file_of_sums_is_refused(site: Site, folder: Path) -> None:
    site.answers[SUMS] = whole(b"x" * 100_000)
    assert "is larger than 65536 bytes" in refused(folder, site.address)


def test_the_second_place_is_tried_where_the_first_gives_no_good_archive(site: Site, folder: Path) -> None:
    site.publish(GOOD)
    other = Site(VERSION)
    try:
        other.publish(GOOD, published=b"something else")
        downloads.fetch_engine(VERSION, folder, [other.address, site.address])
    finally:
        other.close()
    assert (folder / "pulumi").read_bytes() == b"engine"


@pytest.mark.parametrize("place", ["http://127.0.0.1:1", "no address", "ftp://127.0.0.1/x", "http://[::"])
def test_a_place_that_cannot_be_reached_is_a_reason_and_no_crash(folder: Path, place: str) -> None:
    assert refused(folder, place)


def test_no_place_at_all_is_a_reason_too(folder: Path) -> None:
    assert refused(folder) == "no site is reachable"


def unpacked(tmp_path: Path, content: bytes) -> set[str]:
    file, folder = tmp_path / "a.tar.gz", tmp_path / "within" / "piece"
    file.write_bytes(content)
    folder.mkdir(parents=True)
    downloads.unpack(file, folder)
    assert [path.name for path in (tmp_path / "within").iterdir()] == ["piece"]
    assert {path.name for path in tmp_path.iterdir()} == {"a.tar.gz", "within"}
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    "name",
    [
        "../escaped",
        "pulumi/../../escaped",
        "pulumi/..",
        "pulumi/.",
        "/etc/escaped",
        "pulumi//escaped",
        "pulumi/folder/escaped",
        "pulumi/.hidden",
        "pulumi/sp ace",
        "other/pulumi",
        "pulumi",
    ],
)
def test_no_member_of_an_archive_gets_out_of_the_folder(tmp_path: Path, name: str) -> None:
    assert unpacked(tmp_path, archive((name, b"evil"), ("pulumi/pulumi", b"engine"))) == {"pulumi"}


def test_links_of_an_archive_are_left_out(tmp_path: Path) -> None:
    content = archive(("pulumi/pulumi", b"engine"), links=(("pulumi/link", "/etc/passwd"),))
    assert unpacked(tmp_path, content) == {"pulumi"}


def test_a_member_does_not_write_through_a_link_before_it(tmp_path: Path) -> None:
    target = tmp_path / "target"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as opened:
        link = tarfile.TarInfo("pulumi/pulumi")
        link.type, link.linkname = tarfile.SYMTYPE, str(target)
        opened.addfile(link)
        member = tarfile.TarInfo("pulumi/pulumi")
        member.size = 4
        opened.addfile(member, io.BytesIO(b"evil"))
    assert unpacked(tmp_path, packed.getvalue()) == {"pulumi"}
    assert not target.exists()


def test_only_places_that_give_the_sums_count_as_answering(site: Site) -> None:
    site.publish(GOOD)
    bare = Site(VERSION)
    try:
        places = [bare.address, site.address, "http://127.0.0.1:1"]
        assert downloads.answering(VERSION, places) == (site.address,)
    finally:
        bare.close()


def test_answering_places_keep_their_order(site: Site) -> None:
    site.publish(GOOD)
    slower = Site(VERSION)

    def slow(request: BaseHTTPRequestHandler) -> None:
        slower.over.wait(0.2)
        whole(b"sums")(request)

    slower.answers[SUMS] = slow
    try:
        assert downloads.answering(VERSION, [slower.address, site.address]) == (slower.address, site.address)
    finally:
        slower.close()


def test_a_machine_without_internet_waits_five_seconds_at_most() -> None:
    assert downloads.PROBE_SECONDS <= 5


@pytest.mark.parametrize(
    ("environ", "places"),
    [
        (
            {},
            (
                "https://get.pulumi.com/releases/sdk",
                "https://github.com/pulumi/pulumi/releases/download/v3.274.1",
            ),
        ),
        ({"RONRON_PULUMI_DOWNLOADS": "none"}, ()),
        ({"RONRON_PULUMI_DOWNLOADS": " "}, downloads.sites(VERSION, {})),
        ({"RONRON_PULUMI_DOWNLOADS": "http://mirror/v{version}/"}, ("http://mirror/v3.274.1",)),
    ],
)
def test_the_places_are_the_official_ones_or_the_chosen_one(
    environ: dict[str, str], places: tuple[str, ...]
) -> None:
    assert downloads.sites(VERSION, environ) == places


@pytest.mark.parametrize(
    ("system", "machine", "name"),
    [
        ("Linux", "x86_64", "pulumi-v3.274.1-linux-x64.tar.gz"),
        ("Linux", "aarch64", "pulumi-v3.274.1-linux-arm64.tar.gz"),
        ("Darwin", "arm64", "pulumi-v3.274.1-darwin-arm64.tar.gz"),
    ],
)
def test_the_archive_is_the_one_for_this_machine(system: str, machine: str, name: str) -> None:
    assert downloads.archive_name(VERSION, system, machine) == name


@pytest.mark.parametrize(("system", "machine"), [("Linux", "riscv64"), ("Windows", "AMD64")])
def test_a_machine_without_an_official_archive_is_told(system: str, machine: str) -> None:
    with pytest.raises(NotThisWay, match=f"no download for {system.lower()} on {machine.lower()}"):
        downloads.archive_name(VERSION, system, machine)
