"""YAML as values with places, and what is refused of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ronron.core.errors import ConfigError
from ronron.policy.yaml_text import LARGEST, read_yaml, spelled


def test_values_are_text_whole_numbers_true_and_false() -> None:
    read = read_yaml(
        '{a: 18:00, b: "18", c: 18, d: -1, e: true, f: yes, g: 1.5, h: 2026-01-02, i: 0x10}', file="f"
    )
    assert read.values == {
        "a": "18:00",
        "b": "18",
        "c": 18,
        "d": -1,
        "e": True,
        "f": "yes",
        "g": "1.5",
        "h": "2026-01-02",
        "i": "0x10",
    }
    assert not read.problems


def test_a_directive_for_older_yaml_changes_no_meaning() -> None:
    assert read_yaml("%YAML 1.1\n---\na: 18:00\nb: yes\n", file="f").values == {"a": "18:00", "b": "yes"}


def test_every_value_has_its_line() -> None:
    read = read_yaml("a:\n  b:\n  - x\n  - y\nc: 1\n", file="f.yaml")
    assert read.where(("a", "b", 1)) == "f.yaml:4 a.b[1]"
    assert read.where(("c",)) == "f.yaml:5 c"


def test_a_value_that_is_missing_has_the_line_of_what_is_around_it() -> None:
    read = read_yaml("x: 1\na:\n  b: {}\n", file="f.yaml")
    assert read.where(("a", "b", "c", "d")) == "f.yaml:3 a.b.c.d"
    assert read.where(("z",)) == "f.yaml:1 z"


def test_a_path_is_spelled_as_people_write_it() -> None:
    assert (
        spelled(("environments", "a", "after", "environments", 0)) == "environments.a.after.environments[0]"
    )


def test_a_second_key_of_one_name_is_a_problem() -> None:
    read = read_yaml("a:\n  b: 1\n  c: 2\n  b: 3\n", file="f.yaml")
    assert [str(problem) for problem in read.problems] == [
        "f.yaml:4 a.b: cannot have the key `b` twice: it is on line 2 already; remove one of the two"
    ]
    assert read.values == {"a": {"b": 1, "c": 2}}


@pytest.mark.parametrize("text", ["a:\n  b:\n", "a: {b: ~}", "a: {b: null}"])
def test_a_key_without_a_value_is_a_problem(text: str) -> None:
    read = read_yaml(text, file="f.yaml")
    assert [problem.what for problem in read.problems] == ["cannot use `b` without a value"]
    assert read.values == {"a": {}}


def test_a_list_as_a_key_is_a_problem() -> None:
    read = read_yaml("a: 1\n? [x, y]\n: 2\n", file="f.yaml")
    assert [problem.where for problem in read.problems] == ["f.yaml:2"]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a: [1,\n b", "f.yaml:2:3"),
        ("a: b: c", "f.yaml:1:5"),
        ("a: 1\n\tb: 1", "f.yaml:2:1"),
        ("a: 1\nb: \x01", "f.yaml:2:4"),
        ("a: 1\n---\nb: 2", "f.yaml:2:1"),
        ('a: 1\nb: "x', "f.yaml:2:6"),
    ],
)
def test_broken_yaml_is_refused_with_line_and_column(text: str, where: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the YAML") as caught:
        read_yaml(text, file="f.yaml")
    assert caught.value.where == where
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n...\n"])
def test_an_empty_file_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"f\.yaml"):
        read_yaml(text, file="f.yaml")


@pytest.mark.parametrize("text", ["- a\n", "a\n", "1"])
def test_a_file_without_keys_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="it must hold keys and values"):
        read_yaml(text, file="f.yaml")


def test_aliases_are_refused_before_they_can_grow() -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
        for old, new in zip("abcdefghi", "bcdefghij", strict=True)
    )
    with pytest.raises(ConfigError, match="anchors and aliases"):
        read_yaml(bomb, file="f.yaml")


def test_tags_are_refused() -> None:
    for text in ('a: !!python/object/apply:os.system ["x"]', "a: !vault x", "a: !!int '3'"):
        with pytest.raises(ConfigError, match="tags"):
            read_yaml(text, file="f.yaml")


def test_a_deep_file_is_refused() -> None:
    for text in ("[" * 100_000, "- " * 100_000, "[\n" * 100_000, "{a: " * 60_000):
        with pytest.raises(ConfigError, match="levels"):
            read_yaml(text, file="f.yaml")


def test_a_large_file_is_refused_unread() -> None:
    with pytest.raises(ConfigError, match="cannot read 257 KiB of YAML"):
        read_yaml("a: " + "é" * (LARGEST // 2) + "x" * 1024, file="f.yaml")


def test_a_file_of_very_many_keys_is_refused() -> None:
    with pytest.raises(ConfigError, match="20000 keys and values"):
        read_yaml("".join(f"k{number}: 1\n" for number in range(20_000)), file="f.yaml")


@given(st.text(alphabet=st.sampled_from("ab:-[]{},#&*!|>'\"%@` \n\t?~0\ud800\u0085\ufeff"), max_size=60))
def test_whatever_is_written_is_read_or_refused(text: str) -> None:
    try:
        read = read_yaml(text, file="f.yaml")
    except ConfigError as error:
        assert error.hint  # noqa: PT017 - the other way out is as good
    else:
        assert isinstance(read.values, dict)
