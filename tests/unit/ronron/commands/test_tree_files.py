"""Where a working tree keeps its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from ronron.commands.tree_files import open_tree
from ronron.core.errors import ConfigError

POLICY_FILE = "stacks/environments.yaml"


def tree(top: Path, stack: str) -> Path:
    (top / "stacks").mkdir()
    (top / POLICY_FILE).write_text(f"environments: {{production: {{stack: {stack}, reference: main}}}}\n")
    (top / "Pulumi.yaml").write_text("name: infrastructure\nruntime: python\nstackConfigDir: stacks\n")
    return top


def test_the_file_of_a_stack_has_its_name(tmp_path: Path) -> None:
    opened = open_tree(tree(tmp_path, "ours"), POLICY_FILE)
    assert opened.stack_file("production") == "stacks/Pulumi.ours.yaml"


def test_a_missing_project_has_the_hint_of_the_command(tmp_path: Path) -> None:
    tree(tmp_path, "ours").joinpath("Pulumi.yaml").unlink()
    with pytest.raises(ConfigError, match="cannot find it") as caught:
        open_tree(tmp_path, POLICY_FILE, hint="restore it from the repository")
    assert (caught.value.where, caught.value.hint) == ("Pulumi.yaml", "restore it from the repository")
