"""The file of settings that a person's shell and the service share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ronron.core.errors import ConfigError
from ronron.settings_file import OF_MACHINE, apply_settings_file, read_settings_file, settings_file


def test_lines_are_read_as_systemd_reads_them(tmp_path: Path) -> None:
    file = tmp_path / "settings.env"
    file.write_text(
        "# where the repository is\n\n; and more\n"
        "RONRON_REPOSITORY=https://forge.example/infra.git?a=b\n"
        "  RONRON_POLL = 1m\n".replace(" = ", "=")
        + "RONRON_STATE='/srv/with blank'\n"
        + 'RONRON_WORKERS="2"\nEMPTY=\nTEXT=two words # and a hash\n'
    )
    assert read_settings_file(file) == {
        "RONRON_REPOSITORY": "https://forge.example/infra.git?a=b",
        "RONRON_POLL": "1m",
        "RONRON_STATE": "/srv/with blank",
        "RONRON_WORKERS": "2",
        "EMPTY": "",
        "TEXT": "two words # and a hash",
    }


@pytest.mark.parametrize("line", ["export RONRON_POLL=1m", "RONRON_POLL", "1=2", "A='b", 'A="b" c', "A = b"])
def test_a_line_that_is_no_assignment_is_named_with_its_number(tmp_path: Path, line: str) -> None:
    file = tmp_path / "settings.env"
    file.write_text(f"# settings\n{line}\n")
    with pytest.raises(ConfigError, match="it is no NAME=VALUE") as caught:
        read_settings_file(file)
    assert caught.value.where == f"{file}:2"


def test_a_variable_of_the_shell_overrides_that_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.env"
    file.write_text("RONRON_POLL=1m\nRONRON_WORKERS=2\n")
    environ = {"RONRON_SETTINGS_FILE": str(file), "RONRON_POLL": "5m"}
    assert apply_settings_file(environ) == file
    assert (environ["RONRON_POLL"], environ["RONRON_WORKERS"]) == ("5m", "2")


def test_the_users_file_goes_before_that_of_the_machine(tmp_path: Path) -> None:
    file = tmp_path / ".config" / "ronron" / "settings.env"
    environ = {"HOME": str(tmp_path)}
    assert settings_file(environ) in {None, OF_MACHINE}
    file.parent.mkdir(parents=True)
    file.touch()
    assert settings_file(environ) == file
    assert settings_file({"HOME": "/none", "XDG_CONFIG_HOME": str(tmp_path / ".config")}) == file
    assert settings_file({**environ, "RONRON_SETTINGS_FILE": ""}) is None


def test_a_file_that_is_named_and_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file") as caught:
        apply_settings_file({"RONRON_SETTINGS_FILE": str(tmp_path / "none.env")})
    assert "RONRON_SETTINGS_FILE" in caught.value.hint


def test_a_directory_in_its_place_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the settings") as caught:
        read_settings_file(tmp_path)
    assert caught.value.where == os.fspath(tmp_path)
