"""What the engine and the program may see, and the engine's own home."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from ronron.adapters.pulumi_engine.environment import (
    ALLOWED,
    SET,
    environment,
    executable,
    file_backend,
    plugin_sources,
    prepare,
    secrets,
)
from ronron.core.errors import EngineError, EngineMissingError, PassphraseError
from ronron.core.packages import VirtualEnvironment
from ronron.installation import Installed
from ronron.settings import EngineSettings
from tests.support.stand_ins import bare_path, engine_on_machine

OURS = {"PULUMI_HOME", "PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"}
names = st.from_regex(r"[A-Z_][A-Z0-9_]{0,30}", fullmatch=True)


def settings(home: Path, **changes: object) -> EngineSettings:
    return EngineSettings(home=home / "home", backend_url=f"file://{home}/state").with_(**changes)


# -- what is seen ----------------------------------------------------------------------------------


@given(st.dictionaries(names, st.text(min_size=1, max_size=20), max_size=20))
def test_nothing_is_seen_that_was_not_allowed(inherited: dict[str, str]) -> None:
    seen = environment(settings(Path("/var/lib/ronron")), inherited)
    assert set(seen) <= ALLOWED | set(SET) | OURS


@pytest.mark.parametrize(
    "name",
    [
        *("RONRON_WEBHOOK_SECRET", "RONRON_FORGE_TOKEN", "GITLAB_TOKEN", "GIT_ASKPASS", "SSH_ASKPASS"),
        *("AWS_SECRET_ACCESS_KEY", "DOCKER_HOST", "PULUMI_ACCESS_TOKEN", "PULUMI_STACK", "PYTHONPATH"),
        *("LD_PRELOAD", "PULUMI_HOME", "PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE", "VIRTUAL_ENV"),
    ],
)
def test_a_variable_of_the_reconciler_does_not_reach_the_program(tmp_path: Path, name: str) -> None:
    assert "theirs" not in environment(settings(tmp_path), {name: "theirs"}).values()


def test_a_program_runs_in_its_own_virtual_environment(tmp_path: Path) -> None:
    packages = VirtualEnvironment(directory=tmp_path / "venv", in_use=0)
    seen = environment(settings(tmp_path), {"PATH": "/usr/bin"}, packages=packages)
    assert seen["PATH"].split(os.pathsep)[0] == str(tmp_path / "venv" / "bin")
    assert seen["VIRTUAL_ENV"] == str(tmp_path / "venv")


def test_the_program_is_told_what_was_live_before(tmp_path: Path) -> None:
    inherited = {"RONRON_REVISION": "theirs"}
    assert environment(settings(tmp_path), inherited, "c" * 40)["RONRON_REVISION"] == "c" * 40
    assert "RONRON_REVISION" not in environment(settings(tmp_path), inherited)


def test_the_program_is_told_which_machines_are_left_out(tmp_path: Path) -> None:
    inherited = {"RONRON_EXCLUDE": "theirs"}
    told = environment(settings(tmp_path), inherited, excluded=("pica02", "pica03"))
    assert told["RONRON_EXCLUDE"] == "pica02,pica03"
    assert "RONRON_EXCLUDE" not in environment(settings(tmp_path), inherited)


def test_the_program_is_told_whose_data_a_person_accepted(tmp_path: Path) -> None:
    inherited = {"RONRON_ACCEPT_EMPTY": "theirs"}
    told = environment(settings(tmp_path), inherited, accept_empty=("notes", "pad"))
    assert told["RONRON_ACCEPT_EMPTY"] == "notes,pad"
    assert "RONRON_ACCEPT_EMPTY" not in environment(settings(tmp_path), inherited)


def test_what_the_settings_name_is_passed_on(tmp_path: Path) -> None:
    named = settings(tmp_path, pass_environment=("PROXMOX_VE_API_TOKEN", "NOT_THERE"))
    seen = environment(named, {"PROXMOX_VE_API_TOKEN": "pve", "PROXMOX_VE_PASSWORD": "other"})
    assert seen["PROXMOX_VE_API_TOKEN"] == "pve"
    assert not {"PROXMOX_VE_PASSWORD", "NOT_THERE"} & set(seen)


def test_home_backend_and_passphrase_are_those_of_the_settings(tmp_path: Path) -> None:
    own = settings(tmp_path, passphrase=SecretStr("correct horse"), passphrase_file=tmp_path / "word")
    seen = environment(own, {"PULUMI_HOME": "/home/tech/.pulumi", "PULUMI_CONFIG_PASSPHRASE": "of another"})
    assert seen["PULUMI_HOME"] == str(tmp_path / "home")
    assert seen["PULUMI_BACKEND_URL"] == f"file://{tmp_path}/state"
    assert seen["PULUMI_CONFIG_PASSPHRASE"] == "correct horse"
    assert seen["PULUMI_CONFIG_PASSPHRASE_FILE"] == str(tmp_path / "word")


def test_an_empty_passphrase_is_one_too(tmp_path: Path) -> None:
    assert environment(settings(tmp_path, passphrase=SecretStr("")), {})["PULUMI_CONFIG_PASSPHRASE"] == ""
    assert "PULUMI_CONFIG_PASSPHRASE" not in environment(settings(tmp_path), {})


def test_the_interpreter_with_the_sdk_is_found_first(tmp_path: Path) -> None:
    assert sys.prefix != sys.base_prefix, "the tests run in a virtual environment"
    own = str(Path(sys.executable).parent)
    assert environment(settings(tmp_path), {"PATH": "/usr/bin"})["PATH"] == f"{own}{os.pathsep}/usr/bin"
    activated = environment(settings(tmp_path), {"PATH": "/venv/bin:/usr/bin", "VIRTUAL_ENV": "/venv"})
    assert activated["PATH"] == "/venv/bin:/usr/bin"


# -- what is secret --------------------------------------------------------------------------------


def test_passphrase_passwords_and_what_sounds_secret_are_known(tmp_path: Path) -> None:
    word = tmp_path / "word"
    word.write_text("from the file\n")
    own = settings(
        tmp_path,
        passphrase=SecretStr("correct horse"),
        passphrase_file=word,
        backend_url="postgres://tech:p%40ss@db.example/ronron",
        pass_environment=("PROXMOX_VE_API_TOKEN", "CLOUD_CREDENTIALS", "REGION"),
    )
    inherited = {"PROXMOX_VE_API_TOKEN": "pve-1", "CLOUD_CREDENTIALS": "cloud-2", "REGION": "paris"}
    known = secrets(own, environment(own, inherited))
    assert known == {"correct horse", "from the file", "p%40ss", "p@ss", "pve-1", "cloud-2"}


def test_a_passphrase_file_that_is_not_there_is_told_before_anything_starts(tmp_path: Path) -> None:
    own = settings(tmp_path, passphrase_file=tmp_path / "word")
    with pytest.raises(PassphraseError, match="No such file") as caught:
        secrets(own, environment(own, {}))
    assert caught.value.where == str(tmp_path / "word")
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" in caught.value.hint


# -- places ----------------------------------------------------------------------------------------


def test_home_and_state_are_made_for_us_alone(tmp_path: Path) -> None:
    own = settings(tmp_path / "new")
    for _ in range(2):
        prepare(own)
    for place in (own.home, tmp_path / "new" / "state"):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file in the way")
    with pytest.raises(EngineError, match="cannot create the engine's directories") as caught:
        prepare(settings(tmp_path))
    assert str(tmp_path / "home") in caught.value.where
    assert "RONRON_STATE" in caught.value.hint


def test_plugins_of_the_settings_are_the_only_installed_ones(tmp_path: Path) -> None:
    own = settings(tmp_path, plugins=tmp_path / "own", installed=Installed(plugins=(tmp_path / "other",)))
    (tmp_path / "own").mkdir()
    assert plugin_sources(own) == (tmp_path / "own",)
    assert plugin_sources(own.with_(plugins=None)) == (tmp_path / "other",)


def test_a_plugin_directory_of_the_settings_has_to_exist(tmp_path: Path) -> None:
    with pytest.raises(EngineMissingError, match="cannot find the directory of plugins") as caught:
        prepare(settings(tmp_path, plugins=tmp_path / "gone"))
    assert "RONRON_PULUMI_PLUGINS" in caught.value.hint


def test_an_installed_engine_that_is_not_on_path_is_found(tmp_path: Path) -> None:
    place = engine_on_machine(tmp_path / "engine", "3.274.1")
    own = settings(tmp_path, installed=Installed(engines=(place,), downloads=False))
    seen = environment(own, {"PATH": str(bare_path(tmp_path / "bin"))})
    assert executable(seen) == place / "pulumi"
    assert seen["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] == "true"


def test_a_missing_engine_has_a_hint(tmp_path: Path) -> None:
    with pytest.raises(EngineMissingError, match="cannot find the engine") as caught:
        executable(environment(settings(tmp_path), {"PATH": str(bare_path(tmp_path / "bin"))}))
    assert "ronron doctor" in caught.value.hint


@pytest.mark.parametrize(
    ("url", "directory"),
    [
        ("file:///var/lib/ronron/state", Path("/var/lib/ronron/state")),
        ("file:///var/lib/with%20blank?no_tmp_dir=true", Path("/var/lib/with blank")),
        ("file://~/state", Path("~/state").expanduser()),
        ("s3://bucket/state", None),
        ("postgres://tech@db.example/ronron", None),
        ("https://api.pulumi.example", None),
    ],
)
def test_only_a_file_backend_is_a_directory(url: str, directory: Path | None) -> None:
    assert file_backend(url) == directory


def test_the_program_is_told_which_services_go_back(tmp_path: Path) -> None:
    inherited = {"RONRON_GOING_BACK": "theirs"}
    told = environment(settings(tmp_path), inherited, going_back=("board", "pad"))
    assert told["RONRON_GOING_BACK"] == "board,pad"
    assert "RONRON_GOING_BACK" not in environment(settings(tmp_path), inherited)
