"""Numbers and lists in sentences. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def counted(count: int, what: str) -> str:
    """A number with its noun, such as `1 pad` or `3 pads`.

    Args:
        count: how many.
        what: the noun as it stands after a larger number, such as `pads` or `bytes of files`.
    """
    return f"{count} {_singular(what) if count == 1 else what}"


def listed(names: Sequence[str]) -> str:
    """Names in a sentence: `pad`, `pad and team`, `board, pad and team`."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _singular(plural: str) -> str:
    """The singular of an English plural; a name that is none, such as of a table, stays as it is."""
    plural, of, rest = plural.partition(" of ")
    return f"{_singular_noun(plural)}{of}{rest}"


def _singular_noun(plural: str) -> str:
    if "_" in plural or plural.endswith(("ss", "us", "is")) or not plural.endswith("s"):
        return plural
    if plural.endswith("ies"):
        return f"{plural[:-3]}y"
    if plural.endswith(("sses", "shes", "ches", "xes")):
        return plural[:-2]
    return plural[:-1]
