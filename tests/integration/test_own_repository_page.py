"""The steps of docs/own-repository.md, as somebody types them in a shell with a home of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ronron.core.packages import compile_command

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "own-repository.md").read_text(encoding="utf-8")
PATIENCE = 120


def steps(heading: str) -> list[str]:
    """The shell blocks of a section, in order."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [textwrap.dedent(block) for block in re.findall(r"^ *```sh\n(.*?)^ *```", section, re.M | re.S)]


@pytest.mark.timeout(300)
def test_the_first_steps_make_a_repository_that_lacks_only_secrets_and_digests(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "ronron").symlink_to(ROOT)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("RONRON_", "XDG_"))},
        "HOME": str(home),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR") or str(Path.home() / ".cache" / "uv"),
        # The versions that this clone is tested with, not those of today.
        "UV_CONSTRAINT": str(ROOT / "requirements.lock"),
    }
    _, begin, build, lock, edit = steps("Begin")
    assert "ronron validate\n" in edit
    done = subprocess.run(
        ["bash", "-euc", begin + build + lock + "ronron validate --json || test $? = 2"],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    repository = home / "infrastructure"
    assert {each.name for each in repository.iterdir()} == {
        *(".git", "Pulumi.yaml", "__main__.py", "requirements.lock", "stacks")
    }
    assert "://" not in (repository / "requirements.lock").read_text()
    problems = json.loads(done.stdout[done.stdout.index("{") :])["problems"]
    assert problems
    assert all(re.search("^missing secret: | has no digest: ", problem["what"]) for problem in problems)
    assert list(home.glob(".local/state/ronron/virtual-environments/*/ronron.json"))


@pytest.mark.parametrize(("heading", "step"), [("Begin", 3), ("Take a new release", 0)])
def test_the_command_of_a_hint_is_that_of_the_page(heading: str, step: int) -> None:
    command = steps(heading)[step].splitlines()[0]
    version = re.search(r"chatons==([\d.]+)", command)
    assert version is not None
    assert command == compile_command(f"chatons=={version[1]}", "$RONRON_FIND_LINKS")
