"""Which settings, programs and notes `ronron unit` gives for a shell."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from ronron.commands.unit import SERVICE_STATE, SYSTEMD_PATH, unit_here
from ronron.core.errors import ConfigError
from ronron.core.unit import Unit
from ronron.settings import load_settings
from tests.support.stand_ins import engine_on_machine, program

REPOSITORY = "https://forge.example/infrastructure.git"


@pytest.fixture(autouse=True)
def bare_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith(("RONRON_", "PULUMI_", "XDG_", "UV_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RONRON_SETTINGS_FILE", "")
    monkeypatch.setenv("RONRON_INSTALLATION", str(tmp_path / "none.json"))


def unit(
    monkeypatch: pytest.MonkeyPatch, shell: Mapping[str, str], *, user: str | None = None
) -> tuple[Unit, tuple[str, ...]]:
    """The unit for a shell with these variables."""
    for name, value in shell.items():
        monkeypatch.setenv(name, value)
    whole = {"PATH": SYSTEMD_PATH, "RONRON_SETTINGS_FILE": "", **shell}
    # What the file of settings adds to this process goes with the test.
    monkeypatch.setattr(os, "environ", os.environ.copy())
    settings = load_settings()
    return unit_here(settings, whole, user or getpass.getuser(), own=user is None)


def test_the_settings_of_the_shell_are_in_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made, notes = unit(
        monkeypatch,
        {
            "RONRON_REPOSITORY": REPOSITORY,
            "RONRON_POLL": "1m",
            "HTTPS_PROXY": "http://proxy.example:3128",
            "UV_DEFAULT_INDEX": "https://index.example/simple",
            "LC_ALL": "fr_FR.UTF-8",
            "SSH_AUTH_SOCK": "/run/user/1000/agent",
        },
    )
    assert made.variables == {
        "RONRON_REPOSITORY": REPOSITORY,
        "RONRON_STATE": str(tmp_path / "home/.local/state/ronron"),
        "RONRON_POLL": "1m",
        "HTTPS_PROXY": "http://proxy.example:3128",
        "UV_DEFAULT_INDEX": "https://index.example/simple",
    }
    assert (made.command[-1], made.state_directory, notes) == ("watch", "", ())


def test_what_the_file_of_settings_has_stays_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "settings.env"
    file.write_text(f"RONRON_REPOSITORY={REPOSITORY}\nRONRON_STATE={tmp_path}/state\nAPI_TOKEN=hush\n")
    made, notes = unit(monkeypatch, {"RONRON_SETTINGS_FILE": str(file), "RONRON_POLL": "1m"})
    assert made.variables == {"RONRON_SETTINGS_FILE": str(file), "RONRON_POLL": "1m"}
    assert notes == ()


def test_a_clone_that_is_watched_itself_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "clone" / ".git").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "clone")
    made, notes = unit(monkeypatch, {})
    assert made.variables["RONRON_REPOSITORY"] == str(tmp_path / "clone")
    assert any("RONRON_REPOSITORY" in note for note in notes)


def test_another_user_has_a_state_that_systemd_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    made, notes = unit(monkeypatch, {"RONRON_REPOSITORY": REPOSITORY}, user="nobody-of-this-name")
    assert (made.user, made.state_directory) == ("nobody-of-this-name", "ronron")
    assert made.variables["RONRON_STATE"] == str(SERVICE_STATE)
    assert any("/etc/ronron/settings.env" in note for note in notes)
    assert any("useradd" in note for note in notes)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PULUMI_CONFIG_PASSPHRASE", "open sesame"),
        ("RONRON_REPOSITORY", "https://tech:hunter22@forge.example/infrastructure.git"),
        ("PULUMI_BACKEND_URL", "postgres://tech:hunter22@db.example/ronron"),
    ],
)
def test_a_secret_is_not_written(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    with pytest.raises(ConfigError, match="it is secret") as caught:
        unit(monkeypatch, {"RONRON_REPOSITORY": REPOSITORY, name: value})
    assert caught.value.where == name
    assert value not in f"{caught.value} {caught.value.hint}"


def test_a_secret_to_pass_on_is_named_and_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = {
        "RONRON_REPOSITORY": REPOSITORY,
        "RONRON_PASS_ENVIRONMENT": "API_TOKEN,REGION",
        "API_TOKEN": "hush",
        "REGION": "paris",
    }
    made, notes = unit(monkeypatch, shell)
    assert made.variables["REGION"] == "paris"
    assert "hush" not in str(made)
    assert any("API_TOKEN" in note for note in notes)


def test_an_engine_that_only_path_knows_is_put_on_the_services_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    engine = engine_on_machine(tmp_path / "engine", "3.274.1")
    node = program(tmp_path / "node" / "node", "exit 0").parent
    path = f"{engine}:{node}:{SYSTEMD_PATH}"
    made, _ = unit(monkeypatch, {"RONRON_REPOSITORY": REPOSITORY, "PATH": path})
    assert made.variables["PATH"].startswith(f"{engine}:")
    assert made.variables["PATH"].endswith(SYSTEMD_PATH)
