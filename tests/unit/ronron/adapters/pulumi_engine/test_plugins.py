"""The directory of plugins in the engine's home: what is installed, and what the engine downloaded."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ronron.adapters.pulumi_engine.plugins import join_plugins
from tests.support.stand_ins import program


def plugin(place: Path, name: str, text: str = "exit 0") -> Path:
    package = name.removeprefix("resource-").partition("-v")[0]
    return program(place / name / f"pulumi-resource-{package}", text).parent


@pytest.fixture
def home(tmp_path: Path) -> Path:
    found = tmp_path / "home"
    found.mkdir()
    return found


def names(home: Path) -> list[str]:
    return sorted(entry.name for entry in (home / "plugins").iterdir())


def test_the_plugins_of_several_directories_come_together(home: Path, tmp_path: Path) -> None:
    docker = plugin(tmp_path / "setup", "resource-docker-v5.2.0")
    plugin(tmp_path / "user", "resource-docker-v5.2.0")
    plugin(tmp_path / "user", "resource-random-v4.18.0")
    for _ in range(2):
        join_plugins(home, (tmp_path / "setup", tmp_path / "user"))
    assert names(home) == ["resource-docker-v5.2.0", "resource-random-v4.18.0"]
    joined = home / "plugins" / "resource-docker-v5.2.0"
    assert not joined.is_symlink(), "the engine passes over a plugin whose directory is a link"
    assert (joined / "pulumi-resource-docker").readlink() == docker / "pulumi-resource-docker"


def test_what_the_engine_downloaded_stays(home: Path, tmp_path: Path) -> None:
    own = plugin(home / "plugins", "resource-docker-v5.2.0", "exit 7")
    plugin(tmp_path / "setup", "resource-docker-v5.2.0")
    join_plugins(home, (tmp_path / "setup",))
    assert "exit 7" in (own / "pulumi-resource-docker").read_text()
    join_plugins(home, ())
    assert own.is_dir()


def test_a_plugin_that_was_removed_or_replaced_is_linked_again(home: Path, tmp_path: Path) -> None:
    plugin(tmp_path / "old", "resource-docker-v5.2.0")
    plugin(tmp_path / "old", "resource-random-v4.18.0")
    join_plugins(home, (tmp_path / "old",))
    shutil.rmtree(tmp_path / "old")
    new = plugin(tmp_path / "new", "resource-docker-v5.2.0")
    join_plugins(home, (tmp_path / "new",))
    assert names(home) == ["resource-docker-v5.2.0"]
    linked = home / "plugins" / "resource-docker-v5.2.0" / "pulumi-resource-docker"
    assert linked.resolve() == new / "pulumi-resource-docker"


def test_an_unfinished_download_and_other_files_are_passed_over(home: Path, tmp_path: Path) -> None:
    unfinished = plugin(tmp_path / "user", "resource-docker-v5.2.0")
    unfinished.with_name(f"{unfinished.name}.partial").touch()
    (tmp_path / "user" / "resource-aws-v6.0.0.lock").touch()
    (tmp_path / "user" / "origin.json").touch()
    join_plugins(home, (tmp_path / "user",))
    assert names(home) == []


def test_the_link_of_an_earlier_version_becomes_a_directory(home: Path, tmp_path: Path) -> None:
    plugin(tmp_path / "setup", "resource-docker-v5.2.0")
    (home / "plugins").symlink_to(tmp_path / "setup")
    join_plugins(home, (tmp_path / "setup",))
    assert not (home / "plugins").is_symlink()
    assert names(home) == ["resource-docker-v5.2.0"]


def test_the_engines_own_directory_is_no_source(home: Path) -> None:
    plugin(home / "plugins", "resource-docker-v5.2.0")
    join_plugins(home, (home / "plugins",))
    assert names(home) == ["resource-docker-v5.2.0"]
