"""Unpacking what an agent sends: nothing is written outside of the directory, nor more than its size."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ronron.adapters.docker_agents.export import SKIPPED, ChunkStream, extract, refuse_nonempty
from ronron.core.errors import BackupError, ConfigError


def chunks(content: bytes, size: int = 1000) -> Iterator[bytes]:
    """The content in chunks, as Docker sends it."""
    return (content[at : at + size] for at in range(0, len(content), size))


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> ChunkStream:
    """A tar of these members."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as opened:
        for member, content in members:
            member.size = len(content)
            opened.addfile(member, io.BytesIO(content))
    return ChunkStream(chunks(packed.getvalue()))


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", mode: int = 0o640) -> tarfile.TarInfo:
    """One entry."""
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, target, mode
    return made


def test_files_are_written_with_their_content(tmp_path: Path) -> None:
    extract(tar((member("manifest.json"), b"{}"), (member("data/var/a"), b"x" * 5000)), tmp_path, 5002, "pad")
    assert (tmp_path / "manifest.json").read_bytes() == b"{}"
    assert (tmp_path / "data" / "var" / "a").read_bytes() == b"x" * 5000
    assert not (tmp_path / SKIPPED).exists()


def test_what_leads_out_of_the_directory_is_skipped_and_named(tmp_path: Path) -> None:
    stage = tmp_path / "stage"
    stage.mkdir()
    stream = tar(
        (member("../outside"), b"x"),
        (member("data/link", tarfile.SYMTYPE, "/etc/passwd"), b""),
        (member("data/up", tarfile.SYMTYPE, "../../outside"), b""),
        (member("data/device", tarfile.CHRTYPE), b""),
        (member("data/inside", tarfile.SYMTYPE, "good"), b""),
        (member("data/good"), b"good"),
    )
    extract(stream, stage, 5, "pad")
    assert (stage / SKIPPED).read_text().split() == ["../outside", "data/link", "data/up", "data/device"]
    assert [each.name for each in tmp_path.iterdir()] == ["stage"]
    assert (stage / "data" / "inside").read_text() == "good"


def test_set_user_id_bits_are_removed(tmp_path: Path) -> None:
    extract(tar((member("data/tool", mode=0o6755), b"#!")), tmp_path, 2, "pad")
    assert (tmp_path / "data" / "tool").stat().st_mode & 0o7000 == 0


def test_more_than_the_manifest_has_is_refused(tmp_path: Path) -> None:
    huge = member("data/huge")
    with pytest.raises(BackupError, match="it is larger than the 10 bytes of its manifest"):
        extract(tar((huge, b"\0" * (65 * 1024 * 1024))), tmp_path, 10, "pad")
    assert not (tmp_path / "data").exists()


def test_an_incomplete_stream_is_refused(tmp_path: Path) -> None:
    whole = tar((member("data/a"), b"x" * 5000)).read()
    with pytest.raises(tarfile.ReadError):
        extract(ChunkStream(chunks(whole[:3000])), tmp_path, 5000, "pad")


def test_a_new_or_an_empty_directory_is_accepted(tmp_path: Path) -> None:
    refuse_nonempty(tmp_path / "new" / "one")
    refuse_nonempty(tmp_path)


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(ConfigError, match="the directory is not empty"):
        refuse_nonempty(tmp_path / "link")


@given(st.lists(st.binary(max_size=20)), st.lists(st.integers(1, 30)))
def test_a_stream_gives_every_byte_once_and_in_order(sent: list[bytes], sizes: list[int]) -> None:
    stream = ChunkStream(iter(sent))
    whole = b"".join(sent)
    assert whole.startswith(stream.peek())
    read = b""
    for size in sizes:
        part = stream.read(size)
        assert len(part) == min(size, len(whole) - len(read))
        read += part
    rest = stream.rest(7)
    assert rest == whole[len(read) :][:7]
    assert stream.read() == b""
