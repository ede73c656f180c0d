"""The cause, taken out of what is said around it; also out of floods."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ronron.adapters.pulumi_engine.causes import engine_words, last_words, plain_cause, program_words
from ronron.adapters.pulumi_engine.events import Diagnostic

TRACEBACK = """Traceback (most recent call last):
  File "/usr/lib/python3.11/runpy.py", line 88, in _run_code
    exec(code, run_globals)
  File "/var/checkouts/4f/__main__.py", line 12, in <module>
    make(declared)
    ^^^^^^^^^^^^^^
  File "/srv/venv/lib/python3.11/site-packages/pulumi/resource.py", line 9, in __init__
    raise ValueError(text)
ValueError: services.pad: nothing of the kind
it goes on here
"""
URN = "urn:pulumi:dev::tiny::tiny:index:Lamp::lamp"
AT_MOST = 5.0
"""Seconds; each of the floods takes some hundredths, and would take minutes if every line were read again."""


def test_of_a_traceback_the_exception_is_left_and_the_programs_own_last_line() -> None:
    words = last_words(TRACEBACK)
    assert words.message == "ValueError: services.pad: nothing of the kind\nit goes on here"
    assert words.where == "__main__.py, line 12"


def test_of_other_text_the_last_lines_are_left() -> None:
    text = "\n".join(f"line {number}  " for number in range(100))
    assert last_words(text).message.splitlines() == [f"line {number}" for number in range(88, 100)]


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("error: it broke\n", "it broke"),
        ("1 error occurred:\n\t* it broke\n\n", "it broke"),
        (f"2 errors occurred:\n\t* creating {URN}: 1 error occurred:\n\t* odd\n\t* even\n", "odd; even"),
        (f"* updating {URN}: * it broke", "it broke"),
        ("it broke\nit broke\n", "it broke"),
        ("  \n \n", ""),
        ("error: chatons.machine.remote.MachineError: pica01: no ssh\n  -> look", "pica01: no ssh; -> look"),
        ("ValueError: it broke", "ValueError: it broke"),
        ("3 * 4 errors occurred: none", "3 * 4 errors occurred: none"),
        (
            "  sdk-v2/provider2.go:509: sdk.helper_schema: Cannot connect to the Docker daemon at "
            "tcp://192.0.2.1:2375.\r\nIs it running?: provider=docker@5.2.0\nerror: cannot connect\n",
            "cannot connect",
        ),
    ],
)
def test_a_cause_is_taken_out_of_its_wrapping(said: str, cause: str) -> None:
    assert plain_cause(said) == cause


def test_the_engines_words_begin_where_it_says_that_something_is_wrong() -> None:
    said = "SDK WARN falling back\nwarning: odd\nerror: getting secrets manager\nmore of it\n"
    assert engine_words(said) == "error: getting secrets manager\nmore of it\n"
    assert engine_words("nothing wrong") == "nothing wrong"


def test_a_program_that_did_not_fail_said_nothing() -> None:
    assert program_words([Diagnostic("warning", "odd"), Diagnostic("info#err", "chatter")]) is None


def test_what_a_resource_says_is_not_the_programs_word() -> None:
    assert program_words([Diagnostic("error", "it broke", URN)]) is None


def test_a_program_that_died_early_is_known_by_its_standard_error() -> None:
    said = [Diagnostic("info#err", part) for part in TRACEBACK.splitlines(keepends=True)]
    words = program_words([*said, Diagnostic("error", "program exited with non-zero exit code: 1\n")])
    assert words == last_words(TRACEBACK)


@pytest.mark.parametrize(
    "piece",
    [
        "\n",
        " ",
        "* ",
        "1 error occurred:",
        "1 error occurred:\n",
        '  File "x", line 1\n',
        "sdk-v2/provider2.go:509: sdk.helper_schema: it broke\n",
        "/x/provider.go:1: sdk.helper_schema: : provider=",
        f"* creating {URN}: ",
        "error: ",
        "\r\n",
    ],
)
def test_a_flood_takes_no_time(piece: str) -> None:
    flood = piece * (4_000_000 // len(piece))
    begin = time.process_time()
    plain_cause(flood)
    last_words(flood)
    engine_words(flood)
    program_words([Diagnostic("error", flood), Diagnostic("info#err", flood)])
    assert time.process_time() - begin < AT_MOST


@given(st.text())
def test_every_text_has_a_cause_of_one_line(text: str) -> None:
    assert len(plain_cause(text).splitlines()) <= 1
