"""Checks a working tree: the policy, and every stack file that it names. No engine, no network, no secret.

A project may bring its own check of its declaration: a module `chatons.validate` that takes a stack
file and `--json`, and prints `{"problems": [{"file", "line", "key", "problem", "remedy"}]}`. It is run as a
process of its own; this half imports nothing of the program.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path, PurePosixPath

from ronron.core.errors import ConfigError, ConfigProblemsError, Problem
from ronron.passes.targets import config_dir
from ronron.policy.load import load_policies
from ronron.policy.yaml_text import LARGEST, read_yaml

OWN_CHECK = "chatons.validate"
SECONDS = 60
LARGEST_ANSWER = 1024 * 1024
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "VIRTUAL_ENV")
"""The only variables that the project's own check sees."""


def check(tree: Path, policy_file: str) -> tuple[Problem, ...]:
    """Everything that is wrong in a working tree, in the order in which a person would mend it.

    Args:
        tree: its top, where the policy file's path begins.
        policy_file: the policy's path below it.
    """
    try:
        policies = load_policies(_read(tree, policy_file), file=policy_file)
        project_file = str(PurePosixPath(policies.project, "Pulumi.yaml"))
        directory = config_dir(_read(tree, project_file), file=project_file)
    except ConfigError as error:
        return _problems(error)
    found: list[Problem] = []
    for policy in policies.environments.values():
        stack_file = PurePosixPath(directory, f"Pulumi.{policy.stack}.yaml")
        found += _check_stack(tree, policies.project, stack_file)
    return tuple(found)


def _check_stack(tree: Path, project: str, stack_file: PurePosixPath) -> tuple[Problem, ...]:
    shown = str(PurePosixPath(project, stack_file))
    try:
        text = _read(tree, shown)
        if (tree / project / "chatons" / "validate.py").is_file():
            return _own_check(tree / project, stack_file, shown)
        return tuple(read_yaml(text, file=shown).problems)
    except ConfigError as error:
        return _problems(error)


def _own_check(project: Path, stack_file: PurePosixPath, shown: str) -> tuple[Problem, ...]:
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    try:
        done = subprocess.run(
            [sys.executable, "-m", OWN_CHECK, str(stack_file), "--json"],
            cwd=project,
            env=passed | {"PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        answer = json.loads(done.stdout[:LARGEST_ANSWER])
        found = tuple(_problem(line, shown) for line in answer["problems"])
        if found or done.returncode == 0:
            return found
        what = _ended(done, "it named no problem")
    except subprocess.TimeoutExpired:
        what = f"its own check did not end within {SECONDS} s"
    except (AttributeError, KeyError, TypeError, ValueError):
        what = _ended(done, "it said nothing")
    raise ConfigError(what, where=shown, hint=f"run it by hand: python -m {OWN_CHECK} {stack_file}")


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


def _read(tree: Path, file: str) -> str:
    try:
        with (tree / file).open("rb") as opened:
            return opened.read(LARGEST + 1).decode()
    except FileNotFoundError:
        hint = "write it, or run this where the repository has its top (--directory)"
        raise ConfigError("cannot find it", where=file, hint=hint) from None
    except OSError as error:
        raise ConfigError(
            f"cannot read it: {error.strerror}", where=file, hint="mend its permissions"
        ) from error
    except UnicodeDecodeError:
        raise ConfigError("is not UTF-8 text", where=file, hint="save it as UTF-8") from None
