"""How fast the command line starts, as ratios of CPU time in one run.

CPU time of the child processes, not the time on the clock: that is about what else the machine does.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.support.collectives import PROJECT

RUNS = 5


def cpu_seconds(
    words: Sequence[str], *, cwd: Path, environ: Mapping[str, str] | None = None, code: int = 0
) -> float:
    """CPU time of a process and the children that it waited for; the least of several runs."""
    return min(_cpu_seconds_once(words, cwd, environ or {}, code) for _ in range(RUNS))


def _cpu_seconds_once(words: Sequence[str], cwd: Path, environ: Mapping[str, str], code: int) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        words,
        cwd=cwd,
        env={**os.environ, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == code, done.stderr.decode(errors="replace")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def ronron(*words: str) -> list[str]:
    return [sys.executable, "-m", "ronron.commands.cli", *words]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> float:
    """CPU time of a Python that does nothing."""
    return cpu_seconds([sys.executable, "-c", "pass"], cwd=tmp_path_factory.mktemp("bare"))


def test_help_costs_at_most_20_bare_pythons(bare: float, tmp_path: Path) -> None:
    ratio = cpu_seconds(ronron("--help"), cwd=tmp_path) / bare
    print(f"ronron --help: {ratio:.1f} times a bare Python")
    assert ratio <= 20


def test_completion_of_a_command_costs_at_most_20_bare_pythons(bare: float, tmp_path: Path) -> None:
    typed = {"_RONRON_COMPLETE": "complete_bash", "COMP_WORDS": "ronron st", "COMP_CWORD": "1"}
    code = "import sys; sys.argv = ['ronron']; from ronron.commands.cli import main; main()"
    ratio = cpu_seconds([sys.executable, "-c", code], cwd=tmp_path, environ=typed) / bare
    print(f"completion: {ratio:.1f} times a bare Python")
    assert ratio <= 20


def test_status_costs_at_most_60_bare_pythons(bare: float, tmp_path: Path) -> None:
    """What is left: SQLAlchemy 25, pydantic-settings 10, Typer with pydantic 10, the records' models 8."""
    ratio = cpu_seconds(ronron("--state", str(tmp_path / "state"), "status"), cwd=tmp_path) / bare
    print(f"ronron status: {ratio:.1f} times a bare Python")
    assert ratio <= 60


@pytest.mark.timeout(300)
def test_validating_100_stack_files_costs_at_most_3_times_one(tmp_path: Path) -> None:
    """Takes a minute on a busy machine: ten runs, five of them over 100 files."""
    (tmp_path / "stacks").mkdir()
    (tmp_path / "chatons").symlink_to(PROJECT / "components" / "chatons")
    (tmp_path / "Pulumi.yaml").write_text((PROJECT / "Pulumi.yaml").read_text())
    stack_file = (PROJECT / "stacks" / "Pulumi.local.yaml").read_text()
    for number in range(100):
        (tmp_path / "stacks" / f"Pulumi.stack-{number}.yaml").write_text(stack_file)

    def validate(count: int) -> float:
        policy = "".join(f"  stack-{number}: {{reference: main}}\n" for number in range(count))
        (tmp_path / "stacks" / "environments.yaml").write_text(f"environments:\n{policy}")
        # The declaration lacks secrets, which is what the check finds in each file.
        return cpu_seconds(ronron("validate"), cwd=tmp_path, code=2)

    ratio = validate(100) / validate(1)
    print(f"100 stack files: {ratio:.1f} times one")
    assert ratio <= 3
