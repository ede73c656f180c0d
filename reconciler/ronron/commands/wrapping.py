"""A console that breaks long lines between words, and indents what follows; on a terminal only.

Elsewhere a line stays whole, so that it can be searched. A word that is wider than the terminal, such as a
URL, stays whole.
"""

from __future__ import annotations

import re
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

_LABEL = re.compile(r"^\s*\S+(?: \S+){0,2} {2,}(?=\S)")
"""The label at the beginning of a line, such as `  hint     `."""

_TIME = re.compile(r"^\d\d:\d\d:\d\d \S+ ")
"""The time and the environment at the beginning of a line of a log."""

WIDEST_INDENT = 24
"""Columns: what follows a wider label is indented by two."""


class WrappingConsole(Console):
    """See the module."""

    def print(self, *objects: Any, **options: Any) -> None:
        """See rich.console.Console; one line of markup is wrapped on a terminal."""
        if len(objects) == 1 and isinstance(objects[0], str) and self.is_terminal and not options:
            for line in Text.from_markup(objects[0]).split("\n"):
                for part in wrapped(line, self.width):
                    super().print(part, soft_wrap=True)
            return
        super().print(*objects, **options)


def wrapped(line: Text, width: int) -> list[Text]:
    """A line in parts of at most `width` columns; a word that is longer stays whole.

    Args:
        line: without a line feed.
        width: columns of the terminal.
    """
    plain = line.plain
    if cell_len(plain) <= width:
        return [line]
    indent = _indent(plain)
    offsets = _breaks(plain, width, indent)
    first, *rest = line.divide(offsets)
    first.rstrip()
    for part in rest:
        part.rstrip()
    return [first, *(Text(" " * indent).append_text(part) for part in rest)]


def one_line(text: str, width: int) -> str:
    """The beginning of a text in at most `width` columns, cut between words."""
    plain = " ".join(text.split())
    if cell_len(plain) <= width:
        return plain
    cut = plain[: max(1, width - 2)].rpartition(" ")[0] or plain[: max(1, width - 2)]
    return f"{cut} …"


def _breaks(plain: str, width: int, indent: int) -> list[int]:
    """Where the next part begins, each at the beginning of a word."""
    offsets: list[int] = []
    is_first = True
    for word in re.finditer(r"\S+", plain):
        begin = offsets[-1] if offsets else 0
        used = cell_len(plain[begin : word.end()]) + (indent if offsets else 0)
        # On a line of its own, a word that is too wide would not be any shorter.
        fits_alone = cell_len(word.group()) <= width - indent
        if used > width and fits_alone and not is_first:
            offsets.append(word.start())
        is_first = False
    return offsets


def _indent(plain: str) -> int:
    found = _LABEL.match(plain) or _TIME.match(plain)
    wide = cell_len(found.group()) if found is not None else 0
    if 0 < wide <= WIDEST_INDENT:
        return wide
    return len(plain) - len(plain.lstrip()) + 2
