"""Numbers and lists in sentences."""

from __future__ import annotations

import pytest

from ronron.core.words import counted, listed


@pytest.mark.parametrize(
    ("count", "what", "words"),
    [
        (0, "pads", "0 pads"),
        (1, "pads", "1 pad"),
        (2, "pads", "2 pads"),
        (1, "entries", "1 entry"),
        (1, "processes", "1 process"),
        (1, "changes", "1 change"),
        (1, "boxes", "1 box"),
        (1, "files", "1 file"),
        (1, "bytes of files", "1 byte of files"),
        (1, "task_has_files", "1 task_has_files"),
        (1, "fileinfo", "1 fileinfo"),
        (1, "status", "1 status"),
        (1, "class", "1 class"),
    ],
)
def test_a_number_has_the_form_of_its_noun(count: int, what: str, words: str) -> None:
    assert counted(count, what) == words


def test_names_are_listed_as_a_sentence_has_them() -> None:
    assert listed(["pad"]) == "pad"
    assert listed(["pad", "team"]) == "pad and team"
    assert listed(["board", "pad", "team"]) == "board, pad and team"
