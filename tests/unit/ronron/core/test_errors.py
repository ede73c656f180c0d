"""The tree of errors: what each says, and what the loop makes of it."""

from __future__ import annotations

import re

import pytest

from ronron.core import errors
from ronron.core.errors import (
    PROBLEMS_SHOWN,
    BackupError,
    ConfigError,
    ConfigProblemsError,
    EngineError,
    ImageRegistryError,
    Problem,
    ReconcilerError,
    SourceError,
    StoreError,
)


def the_tree(root: type[ReconcilerError] = ReconcilerError) -> list[type[ReconcilerError]]:
    return [root, *(found for child in root.__subclasses__() for found in the_tree(child))]


OURS = [error for error in the_tree() if error.__module__ == errors.__name__]


def test_an_error_says_where_what_and_what_to_do() -> None:
    error = ReconcilerError("cannot read it", hint="mend it", where="stacks/environments.yaml")
    assert str(error) == "stacks/environments.yaml: cannot read it"
    assert (error.message, error.hint, error.where) == (
        "cannot read it",
        "mend it",
        "stacks/environments.yaml",
    )


def test_an_error_without_a_place_says_what() -> None:
    error = ReconcilerError("cannot read it")
    assert (str(error), error.hint, error.where) == ("cannot read it", "", "")


def test_what_is_worth_another_try_is_what_time_can_mend() -> None:
    assert {error.__name__ for error in OURS if error.retryable} == {
        "SourceUnavailableError",
        "StackLockedError",
        "PlanViolatedError",
        "UpdateFailedError",
        "EngineTimeoutError",
        "AgentUnreachableError",
        "PackagesUnavailableError",
    }


def test_the_tree_is_drawn_as_it_is() -> None:
    """By name, depth, and whether another try is worth it."""
    drawing = (errors.__doc__ or "").split("```")[1]
    lines = re.findall(r"([*x+]) (\w+Error)(?: +(retryable)(?=:|$))?", drawing, re.MULTILINE)
    drawn = {name: ("*x+".index(mark), bool(retryable)) for mark, name, retryable in lines}
    assert drawn == {
        error.__name__: (min(error.__mro__.index(ReconcilerError), 2), error.retryable) for error in OURS
    }


@pytest.mark.parametrize("error", OURS)
def test_every_error_says_in_one_sentence_what_it_means(error: type[ReconcilerError]) -> None:
    assert error.__doc__
    assert error.__doc__.splitlines()[0].rstrip().endswith(".")


def test_every_error_but_the_root_belongs_to_one_branch() -> None:
    branches = (ConfigError, SourceError, EngineError, StoreError, BackupError, ImageRegistryError)
    for error in OURS:
        if error is not ReconcilerError:
            assert sum(issubclass(error, branch) for branch in branches) == 1


# -- several problems at once ------------------------------------------------------------------------------


def problem(number: int = 1) -> Problem:
    return Problem(where=f"x.yaml:{number} key", what=f"is wrong {number}", remedy=f"mend {number}")


def test_a_problem_is_one_line() -> None:
    assert str(problem()) == "x.yaml:1 key: is wrong 1; mend 1"


def test_one_problem_is_told_as_any_error() -> None:
    error = ConfigProblemsError([problem()], subject="x.yaml")
    assert (error.where, error.message, error.hint) == ("x.yaml:1 key", "is wrong 1", "mend 1")
    assert error.problems == (problem(),)


def test_several_problems_are_all_listed() -> None:
    error = ConfigProblemsError([problem(1), problem(2)], subject="x.yaml")
    assert str(error).splitlines() == [
        "cannot use x.yaml: 2 problems",
        "  x.yaml:1 key: is wrong 1; mend 1",
        "  x.yaml:2 key: is wrong 2; mend 2",
    ]
    assert error.hint


@pytest.mark.parametrize("more", [0, 1, 100])
def test_more_problems_than_a_screen_holds_are_counted(more: int) -> None:
    problems = [problem(number) for number in range(PROBLEMS_SHOWN + more)]
    error = ConfigProblemsError(problems, subject="x.yaml")
    lines = str(error).splitlines()
    assert len(lines) == 1 + PROBLEMS_SHOWN + bool(more)
    assert (lines[-1] == f"  … and {more} more") is bool(more)
    assert len(error.problems) == len(problems)
