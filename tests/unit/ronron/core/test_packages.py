"""Whose program runs by a lock file, what that pins, and which virtual environments nobody needs any more."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ronron.core.packages import (
    UNUSED_FOR,
    KeptEnvironment,
    compile_command,
    environment_name,
    lock_digest,
    pinned,
    runs_by_lock_file,
    unneeded,
)
from ronron.testing import NOON

LOCK = """\
# via make lock
bcrypt==5.0.0 \\
    --hash=sha256:aa
Chatons==0.2.0 \\
    --hash=sha256:bb
    # via -r requirements.in
pydantic_core[extra]==2.50.5 ; python_version >= "3.11" \\
    --hash=sha256:cc
"""
PYTHON, UV = "cpython-3.11.2", "0.13.9"


@pytest.mark.parametrize(
    ("runtime", "brings_program", "by_lock_file"),
    [
        ("python", False, True),
        ({"name": "python"}, False, True),
        ({"name": "python", "options": None}, False, True),
        ({"name": "python", "options": {"typechecker": "mypy"}}, False, True),
        pytest.param("python", True, False, id="a clone of Ronron"),
        pytest.param(
            {"name": "python", "options": {"virtualenv": "venv"}}, False, False, id="its own Python"
        ),
        pytest.param(
            {"name": "python", "options": {"toolchain": "uv"}}, False, False, id="its own toolchain"
        ),
        ({"name": "nodejs"}, False, False),
        ("yaml", False, False),
        (None, False, False),
        (7, False, False),
    ],
)
def test_which_programs_run_by_their_lock_file(
    runtime: object, brings_program: bool, by_lock_file: bool
) -> None:
    assert runs_by_lock_file(runtime, brings_program=brings_program) is by_lock_file


def test_a_lock_file_pins_each_package_by_its_normal_name() -> None:
    assert pinned(LOCK) == {"bcrypt": "5.0.0", "chatons": "0.2.0", "pydantic-core": "2.50.5"}


@pytest.mark.parametrize("text", ["", "# nothing\n", "chatons>=0.2\n", "-r other.txt\n", "    six==1.0\n"])
def test_what_is_no_pin_pins_nothing(text: str) -> None:
    assert pinned(text) == {}


def test_the_command_that_writes_it_again_names_the_release_and_the_wheels() -> None:
    assert compile_command(LOCK, "/srv/wheels") == (
        "echo chatons==0.2.0 | uv pip compile --no-header --generate-hashes --no-emit-index-url"
        " --find-links /srv/wheels - --output-file requirements.lock"
    )
    assert compile_command("<<<<<<< HEAD").startswith("echo chatons | uv pip compile ")


def test_another_lock_file_python_or_uv_is_another_environment() -> None:
    name = environment_name(LOCK, python=PYTHON, uv=UV)
    assert name == environment_name(LOCK, python=PYTHON, uv=UV)
    assert name == f"{lock_digest(LOCK)}-cpython-3.11.2-uv-0.13.9"
    others = {
        environment_name(LOCK + "\n", python=PYTHON, uv=UV),
        environment_name(LOCK, python="cpython-3.13.5", uv=UV),
        environment_name(LOCK, python=PYTHON, uv="0.14.0"),
    }
    assert len(others - {name}) == 3


@pytest.mark.parametrize(
    ("unused", "needed", "removed"),
    [
        (UNUSED_FOR, (), True),
        (UNUSED_FOR - timedelta(seconds=1), (), False),
        (timedelta(days=400), (lock_digest(LOCK),), False),
        (timedelta(days=400), (lock_digest("another"),), True),
        pytest.param(-timedelta(days=1), (), False, id="a clock that went back"),
    ],
)
def test_what_is_removed(unused: timedelta, needed: tuple[str, ...], removed: bool) -> None:
    name = environment_name(LOCK, python=PYTHON, uv=UV)
    kept = [KeptEnvironment(name=name, used=NOON - unused)]
    assert unneeded(kept, needed, NOON) == ((name,) if removed else ())


def test_of_one_lock_file_only_the_last_used_stays() -> None:
    """After an upgrade of uv or Python, the one before it is of no use."""
    long_ago = NOON - timedelta(days=300)
    before, after = (environment_name(LOCK, python=PYTHON, uv=uv) for uv in (UV, "0.14.0"))
    kept = [
        KeptEnvironment(name=after, used=long_ago + timedelta(days=1)),
        KeptEnvironment(name=before, used=long_ago),
    ]
    assert unneeded(kept, (lock_digest(LOCK),), NOON) == (before,)
