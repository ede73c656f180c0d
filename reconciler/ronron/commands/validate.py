"""Checks a working tree: the policy, and every stack file that it names. Needs no engine and no secret.

A project may have its own check of its declarations: a module `chatons.validate`, beside its Pulumi.yaml or
in the packages of its lock file. It takes `--json` and stack files, and prints a line for each:
`{"file": F, "problems": [{"line", "key", "problem", "remedy"}]}`.
It runs once for all stack files, in a process of its own; this half imports nothing of the program.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from ronron.commands.tree_files import read_text
from ronron.core.errors import ConfigError, ConfigProblemsError, PackagesError, Problem
from ronron.core.packages import PROGRAM
from ronron.passes.targets import config_dir
from ronron.policy.load import load_policies
from ronron.policy.yaml_text import read_yaml
from ronron.ports import VirtualEnvironments

OWN_CHECK = "chatons.validate"
_IMPORT = re.compile(rf"^\s*(?:from|import)\s+{PROGRAM}\b", re.MULTILINE)
SECONDS = 60
SECONDS_A_FILE = 1
"""On top, for each stack file: the largest declaration takes a tenth of this."""
LARGEST_ANSWER = 4 * 1024 * 1024
"""Bytes, of all stack files together: some thousand problems."""
ENVIRONMENTS = "RONRON_ENVIRONMENTS"
"""Variable of the project's own check: `stack=environment` for each stack, separated by commas."""
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "VIRTUAL_ENV")
"""The only variables that the project's own check sees."""


def check(tree: Path, policy_file: str, packages: VirtualEnvironments | None = None) -> tuple[Problem, ...]:
    """Everything that is wrong in a working tree: first the policy, then each stack file in its order.

    Args:
        tree: its top, where the policy file's path begins.
        policy_file: the policy's path below it.
        packages: what a program with a lock file runs in; None to check with this Python.
    """
    try:
        policies = load_policies(read_text(tree, policy_file), file=policy_file)
        project_file = str(PurePosixPath(policies.project, "Pulumi.yaml"))
        directory = config_dir(read_text(tree, project_file), file=project_file)
    except ConfigError as error:
        return _problems(error)
    files = dict.fromkeys(
        str(PurePosixPath(directory, f"Pulumi.{policy.stack}.yaml"))
        for policy in policies.environments.values()
    )
    # The project's own check names commands of the environment.
    names = ",".join(f"{policy.stack}={name}" for name, policy in policies.environments.items())
    try:
        with own_python(tree / policies.project, packages) as python:
            return _check_stacks(tree, policies.project, files, python, names)
    except PackagesError as error:
        where = str(PurePosixPath(policies.project, error.where))
        missing = Problem(where=where, what=error.message, remedy=error.hint)
    return missing, *_check_stacks(tree, policies.project, files, None, names)


@contextmanager
def own_python(project: Path, packages: VirtualEnvironments | None) -> Iterator[Path | None]:
    """The Python with which the project's own check runs, for the block; None for a project without one.

    Raises:
        PackagesError: the packages of its lock file cannot be installed.
    """
    if (project / PROGRAM / "validate.py").is_file():
        yield Path(sys.executable)
    elif not _imports_program(project):
        yield None
    else:
        with packages.of(project) if packages is not None else nullcontext() as own:
            if own is not None:
                yield own.programs / "python"
            else:
                yield Path(sys.executable) if find_spec(PROGRAM) is not None else None


def _imports_program(project: Path) -> bool:
    try:
        text = (project / "__main__.py").read_text(errors="replace")
    except OSError:
        return False
    return _IMPORT.search(text) is not None


def _check_stacks(
    tree: Path, project: str, files: Iterable[str], python: Path | None, names: str
) -> tuple[Problem, ...]:
    found: dict[str, Sequence[Problem]] = {}
    for file in files:
        shown = _shown(project, file)
        try:
            text = read_text(tree, shown)
            found[file] = () if python else read_yaml(text, file=shown).problems
        except ConfigError as error:
            found[file] = _problems(error)
    if python:
        readable = [file for file, problems in found.items() if not problems]
        found |= _own_check(tree, project, readable, python, names)
    return tuple(problem for problems in found.values() for problem in problems)


def _own_check(
    tree: Path, project: str, files: Sequence[str], python: Path, names: str
) -> Mapping[str, Sequence[Problem]]:
    """The problems of each stack file; for one that the check did not answer for, how the check ended."""
    if not files:
        return {}
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    seconds = SECONDS + SECONDS_A_FILE * len(files)
    try:
        done = subprocess.run(
            [str(python), "-m", OWN_CHECK, "--json", *files],
            cwd=tree / project,
            env=passed | {"PYTHONDONTWRITEBYTECODE": "1", ENVIRONMENTS: names},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        answers = _answers(error.stdout or b"", project, files)
        end = f"its own check did not end within {seconds} s"
        failed = True
    else:
        answers = _answers(done.stdout, project, files)
        failed = done.returncode != 0 and not any(answers.values())
        what = "it printed no problem" if set(answers) >= set(files) else "it printed no answer"
        end = _ended(done, what)
    unanswered = [file for file in files if file not in answers]
    if failed and not unanswered:
        unanswered = list(files)
    return answers | {file: (_unanswered(file, project, end),) for file in unanswered}


def _answers(output: bytes, project: str, files: Sequence[str]) -> dict[str, Sequence[Problem]]:
    """The problems of each stack file for which a whole, well-formed line was printed."""
    answers: dict[str, Sequence[Problem]] = {}
    for line in output[:LARGEST_ANSWER].splitlines():
        try:
            answer = json.loads(line)
            file = answer["file"]
            if file in files:
                answers[file] = [_problem(row, _shown(project, file)) for row in answer["problems"]]
        except (AttributeError, KeyError, TypeError, ValueError):
            continue
    return answers


def _unanswered(file: str, project: str, end: str) -> Problem:
    return Problem(
        where=_shown(project, file), what=end, remedy=f"run it by hand: python -m {OWN_CHECK} {file}"
    )


def _shown(project: str, file: str) -> str:
    return str(PurePosixPath(project, file))


def _ended(done: subprocess.CompletedProcess[bytes], otherwise: str) -> str:
    lines = done.stderr.decode(errors="replace").strip().splitlines() or [otherwise]
    return f"its own check ended with {done.returncode}: {lines[-1]}"


def _problem(line: dict[str, object], shown: str) -> Problem:
    place = f"{shown}:{line['line']}" if line.get("line") else shown
    key = f" {line['key']}" if line.get("key") else ""
    return Problem(where=f"{place}{key}", what=str(line["problem"]), remedy=str(line["remedy"]))


def _problems(error: ConfigError) -> tuple[Problem, ...]:
    if isinstance(error, ConfigProblemsError):
        return error.problems
    return (Problem(where=error.where, what=error.message, remedy=error.hint),)
