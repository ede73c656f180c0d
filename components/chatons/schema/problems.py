"""Problems of a declaration, as values, and how they are shown to the person who wrote it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chatons.schema.errors import ChatonsError

NAMESPACE = "ronron"

SHOWN_AT_MOST = 10
"""About as many problems of two lines each as fit on a screen of 24 lines."""

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One problem, the key that has it, and how to fix it.

    Attributes:
        path: keys from the top of the configuration, without the namespace: ("services", "pad", "hostname").
            Empty for the whole file.
        problem: what is wrong; lower case, no full stop. Never contains the value of a secret.
        remedy: the edit or the command that fixes it; imperative.
    """

    path: KeyPath
    problem: str
    remedy: str

    @property
    def key(self) -> str:
        """The path as written in the stack file: `ronron:services.pad.hostname`; empty for the whole file."""
        return NAMESPACE + ":" + ".".join(str(part) for part in self.path) if self.path else ""


class DeclarationError(ChatonsError):
    """A declaration that cannot be used; has every problem that was found, at least one."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return render(self.problems)


def render(
    problems: Sequence[Problem], places: Sequence[str] | None = None, subject: str = "this declaration"
) -> str:
    """The problems as text for one screen.

    Args:
        problems: at least one.
        places: the text before the key of each problem, such as `file:line: `; as many as problems.
        subject: what has the problems, for the first line.
    """
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    lines = [f"cannot use {subject}: {count}"]
    for index, problem in enumerate(problems[:SHOWN_AT_MOST]):
        place = places[index] if places else ""
        key = f"{problem.key}: " if problem.key else ""
        lines += [f"  {place}{key}{problem.problem}", f"    -> {problem.remedy}"]
    hidden = len(problems) - SHOWN_AT_MOST
    if hidden > 0:
        lines.append(
            f"  and {hidden} more: fix these first, or list all with `python -m chatons.validate --json`"
        )
    return "\n".join(lines)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is nearest to a mistyped one; None when none is near."""
    found = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return found[0] if found else None


def unknown(what: str, word: str, known: Iterable[str], path: KeyPath) -> Problem:
    """The problem of an unknown name, with the nearest known one."""
    names = sorted(known)
    guess = nearest(word, names)
    return Problem(
        path=path,
        problem=f"unknown {what} {word!r}" + (f"; the nearest known one is {guess!r}" if guess else ""),
        remedy=f"write {guess!r}"
        if guess
        else f"use one of: {', '.join(names)}"
        if names
        else f"declare a {what} first",
    )
