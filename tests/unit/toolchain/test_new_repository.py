"""A collective's new repository: what is written, and what is never replaced. The lock file exists."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from toolchain.errors import ToolchainError
from toolchain.new_repository import CLONE, EXAMPLE, Places, make_repository, places

URL = "https://forge.example/collective/infrastructure.git"


@pytest.fixture
def at(tmp_path: Path) -> Places:
    repository = tmp_path / "infrastructure"
    repository.mkdir()
    (repository / "requirements.lock").write_text("# pinned before\n")
    return places(repository, tmp_path / "log", {"HOME": str(tmp_path / "home")})


def make(at: Places, remote: str = "") -> list[str]:
    lines: list[str] = []
    make_repository(at, remote, lines.append)
    return lines


def git(at: Places, *words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=at.repository, check=True, capture_output=True, text=True, timeout=10
    ).stdout.strip()


def test_it_has_the_files_of_the_example_and_a_remote(at: Places) -> None:
    make(at, URL)
    for file in ("Pulumi.yaml", "__main__.py", "stacks/Pulumi.ours.yaml", "stacks/environments.yaml"):
        assert (at.repository / file).read_text() == (EXAMPLE / file).read_text()
    assert git(at, "remote", "get-url", "origin") == URL
    assert git(at, "symbolic-ref", "--short", "HEAD") == "main"


def test_the_settings_name_repository_wheels_and_passphrase(at: Places) -> None:
    make(at, URL)
    assert at.settings.read_text() == (
        f"RONRON_REPOSITORY={URL}\n"
        f"RONRON_FIND_LINKS={at.wheels}\n"
        f"PULUMI_CONFIG_PASSPHRASE_FILE={at.passphrase}\n"
    )


def test_the_passphrase_is_long_and_for_its_owner_alone(at: Places) -> None:
    make(at)
    assert len(at.passphrase.read_text().strip()) >= 40
    assert stat.S_IMODE(at.passphrase.stat().st_mode) == 0o600
    assert stat.S_IMODE(at.passphrase.parent.stat().st_mode) == 0o700


def test_without_a_remote_the_working_tree_is_the_repository(at: Places) -> None:
    make(at)
    assert f"RONRON_REPOSITORY={at.repository}\n" in at.settings.read_text()


def test_a_second_run_replaces_nothing(at: Places) -> None:
    make(at, URL)
    files = [at.passphrase, at.settings, at.repository / "stacks" / "Pulumi.ours.yaml"]
    files[-1].write_text("# edited\n")
    before = [file.read_text() for file in files]
    make(at)
    assert [file.read_text() for file in files] == before


def test_settings_that_differ_are_shown_and_stay(at: Places) -> None:
    at.settings.parent.mkdir(parents=True)
    at.settings.write_text("RONRON_POLL=5m\n")
    lines = make(at, URL)
    assert at.settings.read_text() == "RONRON_POLL=5m\n"
    assert f"RONRON_REPOSITORY={URL}" in lines[-1]


def test_a_folder_with_other_files_is_refused_and_left_alone(at: Places) -> None:
    (at.repository / "thesis.odt").write_text("mine")
    with pytest.raises(ToolchainError, match=r"it has other files, such as thesis\.odt"):
        make(at)
    assert not (at.repository / "stacks").exists()


def test_a_place_in_the_clone_is_refused(at: Places, tmp_path: Path) -> None:
    inside = places(CLONE / "infrastructure", tmp_path / "log", {"HOME": str(tmp_path)})
    with pytest.raises(ToolchainError, match="cannot make a repository inside of"):
        make(inside)


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ToolchainError, match="is not a folder"):
        make(places(tmp_path / "file", tmp_path / "log", {"HOME": str(tmp_path)}))


def test_the_places_follow_the_specification_of_xdg(tmp_path: Path) -> None:
    environ = {"HOME": "/home/m", "XDG_CONFIG_HOME": "/conf", "XDG_DATA_HOME": "relative"}
    found = places(Path("/srv/infrastructure"), tmp_path, environ)
    assert found.settings == Path("/conf/ronron/settings.env")
    assert found.wheels == Path("/home/m/.local/share/ronron/wheels")
