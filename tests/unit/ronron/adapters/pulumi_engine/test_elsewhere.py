"""A stack that the backend does not have: the message names the place that has it, or what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from ronron.adapters.pulumi_engine.elsewhere import has_stack, stack_not_found


def stack(backend: Path, *, project: str = "chaton", name: str = "ours", packed: str = "") -> Path:
    file = backend / ".pulumi" / "stacks" / project / f"{name}.json{packed}"
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    return backend


def hint(home: Path, *, was_there: bool = False, environ: Mapping[str, str] | None = None) -> str:
    error = stack_not_found(
        f"file://{home}/here",
        "chaton",
        "ours",
        environment="production",
        was_there=was_there,
        environ={"HOME": str(home), **(environ or {})},
    )
    assert str(home / "here") in error.message
    return error.hint


def test_the_default_state_directory_has_it(tmp_path: Path) -> None:
    stack(tmp_path / ".local/state/ronron/pulumi-state")
    told = hint(tmp_path)
    assert f"set RONRON_STATE={tmp_path}/.local/state/ronron" in told
    assert "stack init" not in told


def test_the_file_of_settings_names_the_state_that_has_it(tmp_path: Path) -> None:
    settings = tmp_path / ".config" / "ronron" / "settings.env"
    settings.parent.mkdir(parents=True)
    settings.write_text(f"RONRON_STATE={tmp_path}/service\n")
    stack(tmp_path / "service" / "pulumi-state", packed=".gz")
    assert f"set RONRON_STATE={tmp_path}/service" in hint(tmp_path)
    settings.write_text(f"PULUMI_BACKEND_URL=file://{tmp_path}/backend\n")
    stack(tmp_path / "backend")
    assert f"set PULUMI_BACKEND_URL=file://{tmp_path}/backend" in hint(tmp_path)


@pytest.mark.parametrize("place", ["", "own"])
def test_pulumis_own_login_has_it(tmp_path: Path, place: str) -> None:
    backend = stack(tmp_path / place)
    credentials = tmp_path / ".pulumi" / "credentials.json"
    credentials.parent.mkdir(exist_ok=True)
    credentials.write_text(json.dumps({"current": f"file://{backend}"}))
    assert f"set PULUMI_BACKEND_URL=file://{backend}" in hint(tmp_path)


def test_a_login_that_is_no_directory_is_named_without_its_password(tmp_path: Path) -> None:
    (tmp_path / "credentials.json").write_text(json.dumps({"current": "postgres://tech:hush@db.example/p"}))
    told = hint(tmp_path, environ={"PULUMI_HOME": str(tmp_path)})
    assert "db.example" in told
    assert "hush" not in told


def test_a_new_environment_is_created_in_a_clone(tmp_path: Path) -> None:
    assert "`ronron pulumi production -- stack init ours`" in hint(tmp_path)


def test_a_stack_that_was_there_is_not_to_be_created_again(tmp_path: Path) -> None:
    told = hint(tmp_path, was_there=True)
    assert "stack init" not in told
    assert "create_stack" not in told
    assert "`ronron recover`" in told


def test_another_projects_stack_of_the_same_name_does_not_count(tmp_path: Path) -> None:
    stack(tmp_path, project="other")
    assert has_stack(tmp_path, "chaton", "ours") is False
    assert has_stack(tmp_path, "other", "ours") is True
    assert has_stack(tmp_path / "none", "other", "ours") is False
