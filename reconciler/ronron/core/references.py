"""Which commit a reference names: branches by full name, tags by version order.

Pure, so that every source answers alike. Names here are full (`refs/heads/main`): a bare `main` would
also match the end of `refs/heads/feature/main`, as `git ls-remote --heads URL main` does (git 2.39.5).
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from fnmatch import fnmatchcase

from ronron.core.errors import RevisionNotFoundError
from ronron.core.model import Commit, Revision, Value

HEAD = "HEAD"
BRANCHES = "refs/heads/"
TAGS = "refs/tags/"
NEAR = 3
"""How many names a hint holds."""

_WILD = re.compile(r"[*?\[]")
"""None of these can be in the name of a git reference (`git check-ref-format`), so they mean a pattern."""

_HASH = re.compile(r"[0-9a-f]{7,64}")
_VERSION = re.compile(r"\D*(?P<numbers>\d+(?:[._-]\d+)*)(?P<rest>.*)", re.DOTALL)
_TOKEN = re.compile(r"\d+|[a-z]+")
_FINAL = frozenset({"final", "ga", "lts", "release", "stable"})
_LATER = frozenset({"fix", "hotfix", "p", "patch", "pl", "post", "r", "rev", "sp"})


class References(Value):
    """Where every reference of a repository stood when it was looked at.

    Args:
        head: the full name of the default branch; empty where the repository does not say.
        commits: full name -> commit, of branches and tags; annotated tags are peeled.
    """

    head: str = ""
    commits: dict[str, Commit]


VersionKey = tuple[bool, tuple[int, ...], bool, tuple[tuple[bool, int, str], ...], str]


def version_key(name: str) -> VersionKey:
    """What to sort the name of a tag by, so that the newest version is the highest.

    Every pre-release is below every release, so that a pattern as wide as `v*` does not bring a release
    candidate into production; who wants candidates asks for them (`refs/tags/v*-rc*`). What comes after
    the numbers is a pre-release as in Semantic Versioning 2.0.0, section 9 (`-rc.1`, but also `rc1`),
    unless it is build metadata (`+5`), a word for the final one (`-lts`), or a word for a later one
    (`-hotfix2`). Numbers after a hyphen count on (`1.14-2`, `2026-11-25`). A name without any number
    (`nightly`) is no version, and below all.

    Args:
        name: of the tag, without the words that all candidates begin with.
    """
    match = _VERSION.fullmatch(name)
    if match is None:
        return (False, (), False, (), name)
    numbers = [int(number) for number in re.split(r"[._-]", match["numbers"])]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    rest = match["rest"].lower().partition("+")[0].lstrip("._-~")
    tokens = _TOKEN.findall(rest)
    word = tokens[0] if tokens else ""
    released = word in _FINAL or word in _LATER or not word
    order = tuple((not token.isdigit(), int(token) if token.isdigit() else 0, token) for token in tokens)
    return (released, tuple(numbers), word in _LATER, order, name)


def find(references: References, reference: str) -> Revision:
    """The revision that a reference names; see `ports.Source.resolve`.

    Args:
        references: what the last look saw.
        reference: a branch, a full name, a pattern of tags, or `HEAD`.

    Raises:
        RevisionNotFoundError: there is none; the hint names the ones that are near.
    """
    if _WILD.search(reference):
        name = _newest(references, reference)
    elif reference == HEAD:
        name = _default(references)
    else:
        name = reference if reference.startswith("refs/") else BRANCHES + reference
    if name not in references.commits:
        raise RevisionNotFoundError(f"cannot find {describe(name)}", hint=_near(references, name))
    return Revision(reference=reference, commit=references.commits[name])


def describe(name: str) -> str:
    """A full name as people say it: `branch 'main'`."""
    for prefix, noun in ((BRANCHES, "branch"), (TAGS, "tag")):
        if name.startswith(prefix):
            return f"{noun} {name.removeprefix(prefix)!r}"
    return f"reference {name!r}"


def _newest(references: References, pattern: str) -> str:
    if not pattern.startswith(TAGS):
        raise RevisionNotFoundError(
            f"cannot follow the pattern {pattern!r}: only tags are followed by pattern",
            hint=f"write it as {TAGS + pattern.rpartition('/')[2]!r}, or name one branch",
        )
    found = [name for name in references.commits if fnmatchcase(name, pattern)]
    if not found:
        tags = sorted(
            (name for name in references.commits if name.startswith(TAGS)),
            key=lambda name: version_key(name.removeprefix(TAGS)),
            reverse=True,
        )
        there = f"the newest ones are {_listed(tags[:NEAR])}" if tags else "there is no tag at all"
        raise RevisionNotFoundError(
            f"cannot find a tag that matches {pattern!r}",
            hint=f"push one with `git tag -a NAME && git push origin NAME`, or change the pattern: {there}",
        )
    # A number that the pattern cuts in two counts as a whole: `v1*` matches v1.5, and v10.0, the newer.
    fixed = len(_WILD.split(pattern, maxsplit=1)[0].rstrip("0123456789._-"))
    return max(found, key=lambda name: version_key(name[fixed:]))


def _default(references: References) -> str:
    if references.head in references.commits:
        return references.head
    raise RevisionNotFoundError(
        "cannot tell the default branch: HEAD of the repository names none that is there",
        hint=f"name a branch instead of HEAD: {_listed(_branches(references)) or 'there is none yet'}",
    )


def _near(references: References, name: str) -> str:
    if not name.startswith((BRANCHES, TAGS)):
        return f"use a branch or a tag: only {BRANCHES} and {TAGS} are followed"
    short = name.removeprefix(BRANCHES).removeprefix(TAGS)
    if name.startswith(BRANCHES) and TAGS + short in references.commits:
        return f"write `{TAGS}{short}` to follow the tag of that name"
    if _HASH.fullmatch(short):
        return "follow a branch or a tag, not a commit: `git tag -a NAME COMMIT && git push origin NAME`"
    by_short: dict[str, str] = {}
    for full in sorted(references.commits):
        by_short.setdefault(full.removeprefix(BRANCHES).removeprefix(TAGS), full)
    ends = [found for found in by_short if found.endswith("/" + short)]
    near = [*ends, *(found for found in get_close_matches(short, by_short, NEAR, 0.5) if found not in ends)]
    if near:
        return f"use one that is there: {_listed([by_short[found] for found in near[:NEAR]])}"
    return f"push it, or use one that is there: {_listed(_branches(references)) or 'there is no branch'}"


def _branches(references: References) -> list[str]:
    branches = sorted(name for name in references.commits if name.startswith(BRANCHES))
    return sorted(branches, key=lambda name: name != references.head)[:NEAR]


def _listed(names: list[str]) -> str:
    """Names as they may be written into a policy: branches without, tags with their full name."""
    return ", ".join(f"`{name.removeprefix(BRANCHES)}`" for name in names)
