"""How the output of the engine is read back."""

from __future__ import annotations

from pathlib import Path

import pytest

from ronron.adapters.pulumi_engine.finished import HEAD, TAIL, Finished, finished, read_output
from ronron.process_runner.runner import Ended


@pytest.mark.parametrize("size", [0, 1, HEAD, HEAD + TAIL])
def test_a_short_output_is_read_whole(tmp_path: Path, size: int) -> None:
    (tmp_path / "out").write_bytes(b"x" * size)
    assert read_output(tmp_path / "out") == "x" * size


def test_a_long_output_is_read_without_its_middle(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"a" * HEAD + b"b" * 1000 + b"c" * TAIL)
    text = read_output(tmp_path / "out")
    assert text == "a" * HEAD + "\n… [1000 bytes cut]\n" + "c" * TAIL


def test_bytes_that_are_no_text_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"caf\xe9 \xff\n")
    assert read_output(tmp_path / "out") == "caf\ufffd \ufffd\n"


def test_no_output_is_an_empty_one(tmp_path: Path) -> None:
    assert read_output(tmp_path / "none") == ""


def test_a_result_names_its_output(tmp_path: Path) -> None:
    (tmp_path / "01-up.out").write_text("done\n")
    (tmp_path / "01-up.err").write_text("odd\n")
    ended = Ended(1, timed_out=True, interrupted=False)
    assert finished("up", ended, tmp_path / "01-up") == Finished(
        "up", 1, "done\n", "odd\n", timed_out=True, interrupted=False, log=tmp_path / "01-up"
    )


def test_a_command_that_never_began_was_interrupted(tmp_path: Path) -> None:
    result = finished("up", None, tmp_path / "01-up")
    assert (result.code, result.interrupted, result.timed_out) == (None, True, False)
