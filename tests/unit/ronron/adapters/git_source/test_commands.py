"""What git sees, and what is said of a git that cannot be used."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from ronron.adapters.git_source.address import parse
from ronron.adapters.git_source.commands import GitCommands
from ronron.adapters.processes import LinuxProcesses
from ronron.core.errors import SourceError

MINUTE = timedelta(minutes=1)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory on PATH."""
    directory = tmp_path / "tools"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    return directory


def commands(home: Path) -> GitCommands:
    return GitCommands(parse("https://forge.example/ours.git"), home, LinuxProcesses(), MINUTE)


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_a_machine_without_git_is_named(tmp_path: Path, tools: Path) -> None:
    with pytest.raises(SourceError, match="cannot find git on this machine") as caught:
        commands(tmp_path / "home").run("version")
    assert caught.value.hint == "install it: `apt-get install git`"


@pytest.mark.parametrize(
    ("answer", "shown"), [("git version 2.31.9", "2.31.9"), ("odd", "odd"), ("", "of an unknown version")]
)
def test_a_git_that_is_too_old_is_named(tmp_path: Path, tools: Path, answer: str, shown: str) -> None:
    script(tools / "git", f"echo '{answer}'")
    with pytest.raises(SourceError, match=f"^cannot use git {shown}: 2.32 or newer is needed$") as caught:
        commands(tmp_path / "home").run("version")
    assert caught.value.hint == "upgrade it: `apt-get install git`"


def test_git_sees_what_it_needs_of_our_environment_and_nothing_else(
    tmp_path: Path, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tools / "git", 'case "$*" in --version) echo "git version 2.47.1" ;; *) export -p ;; esac')
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    for name in ("GIT_DIR", "GIT_OBJECT_DIRECTORY", "GIT_SSH_COMMAND", "RONRON_TOKEN"):
        monkeypatch.setenv(name, "foreign")
    seen = commands(tmp_path / "home").run("version").decode()
    assert "http://proxy.example:3128" in seen
    assert "LC_ALL='C'" in seen
    assert "foreign" not in seen
