"""What is found out about a working tree before anything is pushed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ronron.commands.validate import PASSED_ON, check
from ronron.core.errors import Problem

POLICY = "stacks/environments.yaml"
STACK = "stacks/Pulumi.staging.yaml"
PROJECT = {
    "Pulumi.yaml": "name: x\nruntime: python\nstackConfigDir: stacks\n",
    POLICY: "environments: {staging: {reference: main}}\n",
    STACK: "config: {}\n",
}

OWN = "chatons/validate.py"


def tree(top: Path, **changes: str | None) -> Path:
    """A working tree with a sound project, but for some files."""
    names = {
        "policy": POLICY,
        "stack": STACK,
        "project": "Pulumi.yaml",
        "own": OWN,
        "package": "chatons/__init__.py",
    }
    files: dict[str, str | None] = {**PROJECT, **{names[name]: text for name, text in changes.items()}}
    for name, text in files.items():
        if text is not None:
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_text(text)
    return top


def own_check(top: Path, code: str) -> tuple[Problem, ...]:
    """What is found in a project that brings a check of its own: a program with these lines."""
    return check(tree(top, own=f"import json, os, sys\n{code}\n", package=""), POLICY)


def only(problems: tuple[Problem, ...]) -> Problem:
    (problem,) = problems
    assert problem.remedy
    return problem


# -- the reconciler's own look -----------------------------------------------------------------------------


def test_a_sound_tree_has_no_problems(tmp_path: Path) -> None:
    assert check(tree(tmp_path), POLICY) == ()


@pytest.mark.parametrize(("name", "file"), [("policy", POLICY), ("stack", STACK), ("project", "Pulumi.yaml")])
def test_a_missing_file_is_named(tmp_path: Path, name: str, file: str) -> None:
    problem = only(check(tree(tmp_path, **{name: None}), POLICY))
    assert (problem.where, problem.what) == (file, "cannot find it")


@pytest.mark.parametrize(("name", "file"), [("policy", POLICY), ("stack", STACK), ("project", "Pulumi.yaml")])
def test_a_file_that_is_no_text_is_named(tmp_path: Path, name: str, file: str) -> None:
    (tree(tmp_path) / file).write_bytes(b"name: \xff\xfe\n")
    problem = only(check(tmp_path, POLICY))
    assert (problem.where, problem.what) == (file, "is not UTF-8 text")


def test_a_directory_in_a_file_s_place_is_named(tmp_path: Path) -> None:
    (tree(tmp_path, stack=None) / STACK).mkdir()
    problem = only(check(tmp_path, POLICY))
    assert problem.where == STACK
    assert problem.what.startswith("cannot read it: ")


def test_all_problems_of_a_policy_are_listed(tmp_path: Path) -> None:
    wrong = "environments: {staging: {reference: main, update: sometimes, windw: {}}}\n"
    found = check(tree(tmp_path, policy=wrong), POLICY)
    assert len(found) == 2
    assert all(problem.where.startswith(POLICY) and problem.remedy for problem in found)


def test_a_stack_file_that_is_no_yaml_is_named_with_its_line(tmp_path: Path) -> None:
    problem = only(check(tree(tmp_path, stack="config:\n  a: [\n"), POLICY))
    assert problem.where.startswith(STACK)


def test_a_key_that_is_there_twice_is_named(tmp_path: Path) -> None:
    problem = only(check(tree(tmp_path, stack="config:\n  a: 1\n  a: 2\n"), POLICY))
    assert problem.where.startswith(f"{STACK}:3")


def test_every_environment_s_stack_file_is_looked_at(tmp_path: Path) -> None:
    policy = "environments: {staging: {reference: main}, production: {reference: main, stack: prod}}\n"
    assert only(check(tree(tmp_path, policy=policy), POLICY)).where == "stacks/Pulumi.prod.yaml"


def test_a_project_may_lie_below_the_top(tmp_path: Path) -> None:
    tree(tmp_path / "infra", policy=None)
    (tmp_path / POLICY).parent.mkdir()
    (tmp_path / POLICY).write_text("project: infra\nenvironments: {staging: {reference: main}}\n")
    assert check(tmp_path, POLICY) == ()
    (tmp_path / "infra" / STACK).unlink()
    assert only(check(tmp_path, POLICY)).where == f"infra/{STACK}"


# -- the project's own check -------------------------------------------------------------------------------


def test_a_project_s_own_check_is_asked_about_each_stack_file(tmp_path: Path) -> None:
    code = (
        "print(json.dumps({'problems': [{'file': sys.argv[1], 'line': 7, 'key': 'services.pad',"
        " 'problem': ' '.join(sys.argv[1:]), 'remedy': 'mend it'}]}))"
    )
    problem = only(own_check(tmp_path, code))
    assert problem == Problem(f"{STACK}:7 services.pad", f"{STACK} --json", "mend it")


@pytest.mark.parametrize(
    ("line", "key", "where"),
    [(None, None, STACK), (0, "", STACK), (3, None, f"{STACK}:3"), (None, "a", f"{STACK} a")],
)
def test_a_problem_may_have_no_line_or_key(
    tmp_path: Path, line: int | None, key: str | None, where: str
) -> None:
    row = {"line": line, "key": key, "problem": "is wrong", "remedy": "mend it"}
    assert only(own_check(tmp_path, f"print(json.dumps({{'problems': [{row}]}}))")).where == where


def test_a_project_s_own_check_that_finds_nothing_is_believed(tmp_path: Path) -> None:
    assert own_check(tmp_path, "print(json.dumps({'problems': []}))") == ()


@pytest.mark.parametrize(
    ("code", "what"),
    [
        pytest.param("raise SystemExit('boom')", "its own check ended with 1: boom", id="it raised"),
        pytest.param("", "its own check ended with 0: it said nothing", id="it said nothing"),
        pytest.param("print('fine')", "its own check ended with 0: it said nothing", id="no JSON"),
        pytest.param("print('[]')", "its own check ended with 0: it said nothing", id="other JSON"),
        pytest.param("print('{}')", "its own check ended with 0: it said nothing", id="no answer in it"),
        pytest.param(
            "print(json.dumps({'problems': None}))",
            "its own check ended with 0: it said nothing",
            id="no list",
        ),
        pytest.param(
            "print(json.dumps({'problems': ['x']}))",
            "its own check ended with 0: it said nothing",
            id="no rows in the list",
        ),
        pytest.param(
            "print(json.dumps({'problems': [{}]}))",
            "its own check ended with 0: it said nothing",
            id="nothing in the row",
        ),
        pytest.param(
            "print(json.dumps({'problems': []})); sys.exit(2)",
            "its own check ended with 2: it named no problem",
            id="it failed without a problem",
        ),
        pytest.param(
            "print(json.dumps({'problems': []}))\nraise SystemExit('boom')",
            "its own check ended with 1: boom",
            id="it died after its answer",
        ),
    ],
)
def test_a_project_s_own_check_that_fails_is_a_problem(tmp_path: Path, code: str, what: str) -> None:
    problem = only(own_check(tmp_path, code))
    assert (problem.where, problem.what) == (STACK, what)
    assert problem.remedy == f"run it by hand: python -m chatons.validate {STACK}"


def test_a_project_s_own_check_sees_no_secret_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "hunter22")
    monkeypatch.setenv("RONRON_REPOSITORY", "https://tech:hunter22@git.example/")
    row = "{'problem': ' '.join(sorted(os.environ)), 'remedy': 'mend it'}"
    seen = only(own_check(tmp_path, f"print(json.dumps({{'problems': [{row}]}}))")).what.split()
    assert set(seen) <= {*PASSED_ON, "PYTHONDONTWRITEBYTECODE", "LC_CTYPE"}
    assert not list(tmp_path.rglob("__pycache__"))
    assert os.environ["PULUMI_CONFIG_PASSPHRASE"] == "hunter22"
