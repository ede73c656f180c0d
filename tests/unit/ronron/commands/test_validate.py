"""What `ronron validate` finds in a working tree before anything is pushed."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from ronron.commands import validate
from ronron.commands.validate import ENVIRONMENTS, PASSED_ON, check
from ronron.core.errors import Problem
from ronron.testing import FakeVirtualEnvironments

ROOT = Path(__file__).parents[4]
POLICY = "stacks/environments.yaml"
STACK = "stacks/Pulumi.staging.yaml"
PROJECT = {
    "Pulumi.yaml": "name: x\nruntime: python\nstackConfigDir: stacks\n",
    POLICY: "environments: {staging: {reference: main}}\n",
    STACK: "config: {}\n",
}

OWN = "chatons/validate.py"


def tree(top: Path, **changes: str | None) -> Path:
    """A working tree with a project that is as it should be, except for some files."""
    names = {
        "policy": POLICY,
        "stack": STACK,
        "project": "Pulumi.yaml",
        "production": "stacks/Pulumi.production.yaml",
        "third": "stacks/Pulumi.third.yaml",
        "own": OWN,
        "package": "chatons/__init__.py",
    }
    files: dict[str, str | None] = {**PROJECT, **{names[name]: text for name, text in changes.items()}}
    for name, text in files.items():
        if text is not None:
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_text(text)
    return top


def own_check(top: Path, code: str, **changes: str | None) -> tuple[Problem, ...]:
    """The problems of a project that brings a check of its own: a program with these lines."""
    own = f"import json, os, sys\n{ANSWER}\n{code}\n"
    return check(tree(top, own=own, package="", **changes), POLICY)


def only(problems: tuple[Problem, ...]) -> Problem:
    (problem,) = problems
    assert problem.remedy
    return problem


# -- what the reconciler checks ---------------------------------------------------------------------------


def test_a_sound_tree_has_no_problems(tmp_path: Path) -> None:
    assert check(tree(tmp_path), POLICY) == ()


@pytest.mark.parametrize(("name", "file"), [("policy", POLICY), ("stack", STACK), ("project", "Pulumi.yaml")])
def test_a_missing_file_is_named(tmp_path: Path, name: str, file: str) -> None:
    problem = only(check(tree(tmp_path, **{name: None}), POLICY))
    assert (problem.where, problem.what) == (file, "cannot find it")


@pytest.mark.parametrize(("name", "file"), [("policy", POLICY), ("stack", STACK), ("project", "Pulumi.yaml")])
def test_a_file_that_is_not_text_is_named(tmp_path: Path, name: str, file: str) -> None:
    (tree(tmp_path) / file).write_bytes(b"name: \xff\xfe\n")
    problem = only(check(tmp_path, POLICY))
    assert (problem.where, problem.what) == (file, "is not UTF-8 text")


def test_a_directory_where_a_file_should_be_is_named(tmp_path: Path) -> None:
    (tree(tmp_path, stack=None) / STACK).mkdir()
    problem = only(check(tmp_path, POLICY))
    assert problem.where == STACK
    assert problem.what.startswith("cannot read it: ")


def test_all_problems_of_a_policy_are_listed(tmp_path: Path) -> None:
    wrong = "environments: {staging: {reference: main, update: sometimes, windw: {}}}\n"
    found = check(tree(tmp_path, policy=wrong), POLICY)
    assert len(found) == 2
    assert all(problem.where.startswith(POLICY) and problem.remedy for problem in found)


def test_a_stack_file_that_is_not_yaml_is_named_with_its_line(tmp_path: Path) -> None:
    problem = only(check(tree(tmp_path, stack="config:\n  a: [\n"), POLICY))
    assert problem.where.startswith(STACK)


def test_a_repeated_key_is_named(tmp_path: Path) -> None:
    problem = only(check(tree(tmp_path, stack="config:\n  a: 1\n  a: 2\n"), POLICY))
    assert problem.where.startswith(f"{STACK}:3")


def test_the_stack_file_of_every_environment_is_checked(tmp_path: Path) -> None:
    policy = "environments: {staging: {reference: main}, production: {reference: main, stack: prod}}\n"
    assert only(check(tree(tmp_path, policy=policy), POLICY)).where == "stacks/Pulumi.prod.yaml"


def test_a_project_may_lie_below_the_top(tmp_path: Path) -> None:
    tree(tmp_path / "infra", policy=None)
    (tmp_path / POLICY).parent.mkdir()
    (tmp_path / POLICY).write_text("project: infra\nenvironments: {staging: {reference: main}}\n")
    assert check(tmp_path, POLICY) == ()
    (tmp_path / "infra" / STACK).unlink()
    assert only(check(tmp_path, POLICY)).where == f"infra/{STACK}"


# -- with which Python the project's own check runs -------------------------------------------------------

PROGRAM = "from chatons.main import main\n\nmain()\n"
ANSWERS = """\
import json, sys
for file in sys.argv[4:]:
    row = {"line": 1, "key": "x", "problem": "the check of the lock file's chatons ran", "remedy": "none"}
    print(json.dumps({"file": file, "problems": [row]}))
"""


def own_repository(top: Path, lock: str | None) -> Path:
    """A working tree of a collective's own repository, with or without a lock file."""
    tree(top)
    (top / "__main__.py").write_text(PROGRAM)
    if lock is not None:
        (top / "requirements.lock").write_text(lock)
    return top


def test_a_lock_file_brings_the_check(tmp_path: Path) -> None:
    places = tmp_path / "environments"
    own_repository(tmp_path / "tree", "chatons==0.2.0 --hash=sha256:aa\n")
    packages = FakeVirtualEnvironments(places)
    with packages.of(tmp_path / "tree") as found:
        assert found is not None
        found.programs.mkdir(parents=True)
        python = found.programs / "python"
    python.write_text(
        f"#!/bin/sh\nexec {sys.executable} -c '{ANSWERS}' \"$@\"\n".replace("lock file's", "lock")
    )
    python.chmod(0o755)
    problem = only(check(tmp_path / "tree", POLICY, packages))
    assert (problem.where, problem.what) == (f"{STACK}:1 x", "the check of the lock chatons ran")


def test_a_lock_file_that_cannot_be_installed_is_a_problem_and_the_rest_is_checked(tmp_path: Path) -> None:
    top = own_repository(tmp_path, "# nothing\n")
    (top / STACK).write_text("config: {\n")
    lock, stack = check(top, POLICY, FakeVirtualEnvironments())
    assert lock.where == "requirements.lock"
    assert stack.where.startswith(STACK)


def test_without_a_lock_file_the_check_is_that_of_the_reconcilers_python(tmp_path: Path) -> None:
    """As in the examples of this repository, which have none."""
    assert check(own_repository(tmp_path, None), POLICY, FakeVirtualEnvironments()) != ()


def test_a_project_that_does_not_import_chatons_is_not_asked(tmp_path: Path) -> None:
    top = own_repository(tmp_path, None)
    (top / "__main__.py").write_text("import pulumi  # from chatons import main\n")
    assert check(top, POLICY, FakeVirtualEnvironments()) == ()


@pytest.mark.parametrize("name", ["single-host", "proxmox"])
def test_an_example_lacks_nothing_but_secrets_and_digests(name: str) -> None:
    problems = check(ROOT / "examples" / name, POLICY, FakeVirtualEnvironments())
    assert problems
    assert all(re.search("^missing secret: | has no digest: ", problem.what) for problem in problems)


# -- the project's own check -------------------------------------------------------------------------------

BOTH = "environments: {staging: {reference: main}, production: {reference: main}}\n"
PRODUCTION = "stacks/Pulumi.production.yaml"
ANSWER = """
def answer(file, *rows):
    print(json.dumps({'file': file, 'problems': rows}), flush=True)
files = sys.argv[2:]
"""


def test_a_project_s_own_check_gets_all_stack_files_in_one_call(tmp_path: Path) -> None:
    tree(tmp_path, policy=BOTH)
    (tmp_path / PRODUCTION).write_text("config: {}\n")
    code = (
        "row = {'line': 7, 'key': 'services.pad', 'problem': ' '.join(sys.argv[1:]), 'remedy': 'fix it'}\n"
        "[answer(file, row) for file in files]"
    )
    called = f"--json {STACK} {PRODUCTION}"
    assert own_check(tmp_path, code, policy=BOTH) == (
        Problem(f"{STACK}:7 services.pad", called, "fix it"),
        Problem(f"{PRODUCTION}:7 services.pad", called, "fix it"),
    )


def test_a_stack_file_that_cannot_be_read_is_not_given_to_the_check(tmp_path: Path) -> None:
    row = "{'problem': ' '.join(files), 'remedy': 'fix it'}"
    missing, checked = own_check(tmp_path, f"answer(files[0], {row})", policy=BOTH, stack=None, production="")
    assert (missing.where, missing.what) == (STACK, "cannot find it")
    assert (checked.where, checked.what) == (PRODUCTION, PRODUCTION)


@pytest.mark.parametrize(
    ("line", "key", "where"),
    [(None, None, STACK), (0, "", STACK), (3, None, f"{STACK}:3"), (None, "a", f"{STACK} a")],
)
def test_a_problem_may_have_no_line_or_key(
    tmp_path: Path, line: int | None, key: str | None, where: str
) -> None:
    row = {"line": line, "key": key, "problem": "is wrong", "remedy": "fix it"}
    assert only(own_check(tmp_path, f"answer(files[0], {row})")).where == where


def test_a_project_s_own_check_that_finds_nothing_is_believed(tmp_path: Path) -> None:
    assert own_check(tmp_path, "answer(files[0])") == ()


def test_an_answer_for_a_file_that_nobody_asked_about_is_ignored(tmp_path: Path) -> None:
    row = "{'problem': 'is wrong', 'remedy': 'fix it'}"
    assert own_check(tmp_path, f"answer(files[0])\nanswer('/etc/passwd', {row})") == ()


@pytest.mark.parametrize(
    ("code", "what"),
    [
        pytest.param("raise SystemExit('boom')", "its own check ended with 1: boom", id="it raised"),
        pytest.param("", "its own check ended with 0: it printed no answer", id="it printed nothing"),
        pytest.param("print('fine')", "its own check ended with 0: it printed no answer", id="no JSON"),
        pytest.param("print('[]')", "its own check ended with 0: it printed no answer", id="other JSON"),
        pytest.param("print('{}')", "its own check ended with 0: it printed no answer", id="no answer in it"),
        pytest.param(
            "print(json.dumps({'file': files[0], 'problems': None}))",
            "its own check ended with 0: it printed no answer",
            id="no list",
        ),
        pytest.param(
            "answer(files[0], 'x')",
            "its own check ended with 0: it printed no answer",
            id="no rows in the list",
        ),
        pytest.param(
            "answer(files[0], {})",
            "its own check ended with 0: it printed no answer",
            id="nothing in the row",
        ),
        pytest.param(
            "print(json.dumps({'file': files[0], 'problems': []})[:-1])",
            "its own check ended with 0: it printed no answer",
            id="half a line",
        ),
        pytest.param(
            "answer(files[0]); sys.exit(2)",
            "its own check ended with 2: it printed no problem",
            id="it failed without a problem",
        ),
        pytest.param(
            "answer(files[0])\nraise SystemExit('boom')",
            "its own check ended with 1: boom",
            id="it died after its answer",
        ),
    ],
)
def test_a_project_s_own_check_that_fails_is_a_problem(tmp_path: Path, code: str, what: str) -> None:
    problem = only(own_check(tmp_path, code))
    assert (problem.where, problem.what) == (STACK, what)
    assert problem.remedy == f"run it by hand: python -m chatons.validate {STACK}"


def test_a_check_that_dies_is_a_problem_of_each_file_that_it_did_not_answer_for(tmp_path: Path) -> None:
    policy = (
        "environments: {staging: {reference: main}, production: {reference: main}, third: {reference: main}}"
    )
    row = "{'problem': 'is wrong', 'remedy': 'fix it'}"
    found = own_check(
        tmp_path, f"answer(files[0], {row})\nos._exit(9)", policy=policy, production="", third=""
    )
    assert [(each.where, each.what) for each in found] == [
        (STACK, "is wrong"),
        (PRODUCTION, "its own check ended with 9: it printed no answer"),
        ("stacks/Pulumi.third.yaml", "its own check ended with 9: it printed no answer"),
    ]


def test_a_check_that_does_not_end_is_stopped_and_its_answers_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validate, "SECONDS", 0)
    monkeypatch.setattr(validate, "SECONDS_A_FILE", 1)
    row = "{'problem': 'is wrong', 'remedy': 'fix it'}"
    code = f"answer(files[0], {row})\nimport time\ntime.sleep(60)"
    first, second = own_check(tmp_path, code, policy=BOTH, production="")
    assert (first.where, first.what) == (STACK, "is wrong")
    assert (second.where, second.what) == (PRODUCTION, "its own check did not end within 2 s")


def test_an_answer_beyond_the_largest_size_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validate, "LARGEST_ANSWER", 100)
    row = "{'problem': 'x' * 100, 'remedy': 'fix it'}"
    problem = only(own_check(tmp_path, f"answer(files[0], {row})"))
    assert problem.what == "its own check ended with 0: it printed no answer"


def test_a_project_s_own_check_sees_no_secret_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "hunter22")
    monkeypatch.setenv("RONRON_REPOSITORY", "https://tech:hunter22@git.example/")
    row = "{'problem': ' '.join(sorted(os.environ)), 'remedy': 'fix it'}"
    seen = only(own_check(tmp_path, f"answer(files[0], {row})")).what.split()
    assert set(seen) <= {*PASSED_ON, ENVIRONMENTS, "PYTHONDONTWRITEBYTECODE", "LC_CTYPE"}
    assert not list(tmp_path.rglob("__pycache__"))
    assert os.environ["PULUMI_CONFIG_PASSPHRASE"] == "hunter22"
