"""Which commands of Pulumi need the packages of the program."""

from __future__ import annotations

import pytest

from ronron.adapters.pulumi_engine.by_hand import runs_program


@pytest.mark.parametrize(
    ("words", "runs"),
    [
        ("up --yes", True),
        ("preview", True),
        ("--color never preview", True),
        ("refresh --yes", True),
        ("destroy", True),
        ("import --file x.json", True),
        ("something-new", True),
        ("config set --secret ronron:x", False),
        ("stack init ours", False),
        ("stack output", False),
        ("state unprotect URN", False),
        ("cancel", False),
        ("up --help", False),
        ("", False),
    ],
)
def test_what_runs_the_program(words: str, runs: bool) -> None:
    assert runs_program(words.split()) is runs
