"""Where Pulumi is found: on PATH, where `make setup` put it, and in a user's own installation."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ronron.installation import Installed, engine_path, is_good_version, read_installed
from tests.support.stand_ins import bare_path, engine_on_machine, program

GOOD, OLD = "3.274.1", "3.100.0"


def written(tmp_path: Path, document: object) -> Installed:
    file = tmp_path / "installation.json"
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    return read_installed(file, {"HOME": str(tmp_path / "home")})


def first(path: str) -> Path:
    """The directory of the first engine on PATH."""
    engine = shutil.which("pulumi", path=path)
    assert engine is not None
    return Path(engine).parent


def test_what_make_setup_got_comes_before_the_users_own(tmp_path: Path) -> None:
    setup = engine_on_machine(tmp_path / "cache" / "engine", GOOD)
    own = engine_on_machine(tmp_path / "home" / ".pulumi" / "bin", GOOD)
    for plugins in ("cache/plugins", "home/.pulumi/plugins"):
        (tmp_path / plugins).mkdir()
    document = {"version": 1, "engine": str(setup / "pulumi"), "plugins": str(tmp_path / "cache/plugins")}
    assert written(tmp_path, document) == Installed(
        engines=(setup, own), plugins=(tmp_path / "cache/plugins", tmp_path / "home/.pulumi/plugins")
    )


def test_a_place_that_does_not_exist_any_more_is_passed_over(tmp_path: Path) -> None:
    gone = {"engine": str(tmp_path / "gone/pulumi"), "plugins": str(tmp_path / "gone"), "downloads": False}
    assert written(tmp_path, gone) == Installed(downloads=False)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"engine": 7, "plugins": null, "downloads": "?"}'])
def test_a_file_that_says_nothing_is_no_error(tmp_path: Path, text: str) -> None:
    assert written(tmp_path, text) == Installed()


def test_pulumi_home_names_the_users_own_installation(tmp_path: Path) -> None:
    own = engine_on_machine(tmp_path / "pulumi" / "bin", GOOD)
    found = read_installed(tmp_path / "none.json", {"HOME": "/none", "PULUMI_HOME": str(tmp_path / "pulumi")})
    assert found.engines == (own,)


@pytest.mark.parametrize(
    ("on_path", "host", "installed", "chosen"),
    [
        pytest.param(GOOD, True, GOOD, "path", id="a good engine on PATH is taken"),
        pytest.param(OLD, True, GOOD, "installed", id="one that is too old is passed over"),
        pytest.param(GOOD, False, GOOD, "installed", id="so is one without a language host"),
        pytest.param(OLD, True, None, "path", id="where there is no other, doctor tells what is wrong"),
        pytest.param(OLD, True, OLD, "path", id="where none is good, it is the one on PATH"),
        pytest.param(None, True, GOOD, "installed", id="where PATH has none, the installed one is taken"),
    ],
)
def test_the_engine_is_chosen(
    tmp_path: Path, on_path: str | None, host: bool, installed: str | None, chosen: str
) -> None:
    path = bare_path(tmp_path / "path")
    if on_path:
        engine_on_machine(path, on_path, with_host=host)
    places = (engine_on_machine(tmp_path / "installed", installed),) if installed else ()
    assert first(engine_path(str(path), Installed(engines=places))) == tmp_path / chosen


def test_other_programs_beside_the_engine_come_last(tmp_path: Path) -> None:
    place = engine_on_machine(tmp_path / "local", GOOD)
    for folder in ("local", "venv"):
        program(tmp_path / folder / "python3", "exit 0")
    path = engine_path(f"{tmp_path}/venv:/none", Installed(engines=(place,)))
    assert path == f"{tmp_path}/venv:/none:{place}"
    engine_on_machine(tmp_path / "old", OLD)
    path = engine_path(f"{tmp_path}/venv:{tmp_path}/old", Installed(engines=(place,)))
    assert path == f"{tmp_path}/venv:{place}:{tmp_path}/old"


def test_without_any_engine_path_stays_as_it_is() -> None:
    assert engine_path("/none:/none/too", Installed()) == "/none:/none/too"


@pytest.mark.parametrize(
    ("version", "good"), [("3.271.9", False), ("3.272.0", True), ("3.300.1", True), ("4.0.0", False)]
)
def test_engines_of_known_versions_are_good(version: str, good: bool) -> None:
    assert is_good_version(version) is good
