"""What a killed engine leaves of a file backend's attributes: the broken ones go, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest

from ronron.adapters.pulumi_engine.attributes import drop_broken

WHOLE = '{"user.content_type":"text/plain","md5":"3q2+7w=="}\n'


def write(backend: Path, name: str, content: str) -> Path:
    file = backend / ".pulumi" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content, encoding="latin-1")
    return file


@pytest.mark.parametrize("content", ["", "{", WHOLE[:20], "[]", "\xff"])
@pytest.mark.parametrize(
    "name",
    [
        "stacks/tiny/dev.json.attrs",
        "stacks/tiny/dev.json.gz.attrs",
        "stacks/tiny/dev.json.bak.attrs",
        "stacks/dev.json.attrs",
        "meta.yaml.attrs",
    ],
)
def test_broken_ones_of_what_is_read_go(tmp_path: Path, name: str, content: str) -> None:
    broken = write(tmp_path, name, content)
    state = write(tmp_path, name.removesuffix(".attrs"), "{")
    drop_broken(tmp_path, "tiny", "organization/tiny/dev")
    assert not broken.exists()
    assert state.read_text() == "{"


def test_whole_ones_and_those_of_others_stay(tmp_path: Path) -> None:
    kept = [
        write(tmp_path, "stacks/tiny/dev.json.attrs", WHOLE),
        write(tmp_path, "stacks/tiny/other.json.attrs", ""),
        write(tmp_path, "stacks/another/dev.json.attrs", ""),
    ]
    drop_broken(tmp_path, "tiny", "dev")
    assert all(file.exists() for file in kept)


def test_a_backend_that_is_not_there_has_none(tmp_path: Path) -> None:
    drop_broken(tmp_path / "none", "tiny", "dev")
    assert list(tmp_path.iterdir()) == []
