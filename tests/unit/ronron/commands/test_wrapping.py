from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.text import Text

from ronron.commands.wrapping import WrappingConsole, one_line, wrapped

URL = "https://pad.example.org/" + "a" * 80


def parts(line: str, width: int = 80) -> list[str]:
    return [part.plain for part in wrapped(Text(line), width)]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_word_is_broken_and_none_is_lost(width: int) -> None:
    line = "  hint     " + " ".join(f"word{number}" for number in range(60))
    found = parts(line, width)
    assert " ".join(" ".join(found).split()) == " ".join(line.split())
    assert all(cell_len(part) <= width for part in found)


@pytest.mark.parametrize(
    ("beginning", "indent"),
    [
        ("  hint     ", 11),
        ("  last decision  ", 17),
        ("16:25:26 local ", 15),
        ("12:00:00 production ", 20),
        ("", 2),
        ("      ", 8),
    ],
)
def test_what_follows_stands_below_the_text(beginning: str, indent: int) -> None:
    first, second, *_ = parts(beginning + "word " * 40)
    assert first.startswith(beginning)
    assert len(second) - len(second.lstrip()) == indent


def test_a_word_that_is_wider_than_the_terminal_stays_whole() -> None:
    found = parts(f"  outcome   failed: see {URL} and more")
    assert found == [f"  outcome   failed: see {URL}", "            and more"]


@pytest.mark.parametrize(
    ("text", "width", "line"),
    [
        ("one two", 20, "one two"),
        ("one two\nthree", 10, "one two …"),
        ("x" * 30, 10, f"{'x' * 8} …"),
        ("", 9, ""),
    ],
)
def test_a_text_in_one_line_is_cut_between_words(text: str, width: int, line: str) -> None:
    assert one_line(text, width) == line


def test_a_line_that_fits_stays_as_it_is() -> None:
    assert parts("  a   b  ") == ["  a   b  "]
    assert parts("x" * 80) == ["x" * 80]
    assert parts("x" * 81) == ["x" * 81]


def test_lines_are_wrapped_on_a_terminal_only() -> None:
    line = "[bold]word[/] " + "word " * 40
    for is_terminal in (True, False):
        file = io.StringIO()
        WrappingConsole(file=file, width=80, force_terminal=is_terminal, soft_wrap=True).print(line)
        lengths = [len(Text.from_ansi(one).plain) for one in file.getvalue().splitlines()]
        assert (max(lengths) <= 80) is is_terminal
