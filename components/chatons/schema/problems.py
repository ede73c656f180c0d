"""What is wrong with a declaration, in words for the person who wrote it.

Nothing here reads or decides: problems are values, and this module shows them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chatons.schema.errors import ChatonsError

NAMESPACE = "ronron"

SHOWN_AT_MOST = 10
"""A screen of 24 lines holds about this many problems of two lines each."""

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong, where it is, and how to mend it.

    Attributes:
        path: keys from the top of the configuration, without the namespace: ("services", "pad", "hostname").
            Empty when the whole file is meant.
        problem: what is wrong; lower case, no full stop. Never holds the value of a secret.
        remedy: one imperative sentence.
    """

    path: KeyPath
    problem: str
    remedy: str

    @property
    def key(self) -> str:
        """The path as its writer sees it: `ronron:services.pad.hostname`; empty for the whole file."""
        return NAMESPACE + ":" + ".".join(str(part) for part in self.path) if self.path else ""


class DeclarationError(ChatonsError):
    """A declaration that cannot be used; holds every problem that was found, at least one."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return render(self.problems)


def render(
    problems: Sequence[Problem], places: Sequence[str] | None = None, subject: str = "this declaration"
) -> str:
    """Show problems on one screen.

    Args:
        problems: what to show, at least one.
        places: one per problem, in the same order: the text to show before the key, such as `file:line: `.
        subject: what holds them, for the first line.
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
            f"  and {hidden} more: mend these first, or list all with `python -m chatons.validate --json`"
        )
    return "\n".join(lines)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` was probably meant to be; None when nothing is near."""
    found = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return found[0] if found else None


def unknown(what: str, word: str, known: Iterable[str], path: KeyPath) -> Problem:
    """The problem of a name that does not exist, with the nearest one that does."""
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
