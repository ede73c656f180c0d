"""Edits of a YAML text: what is asked for changes, and no other byte."""

from __future__ import annotations

import difflib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from ronron.core.errors import ConfigError
from ronron.policy.yaml_edit import YamlDocument
from ronron.policy.yaml_text import Path

FILE = """\
# the top of our file
config:
  ronron:edge: {image: "caddy:2.10.2", tls: "off"}   # é𝄞
  ronron:database: {image: 'postgres:15.14'}
  ronron:backup:
    password: {secure: "v1:abc=="}
  ronron:services:
    pad:
      kind: etherpad
      image: &pad etherpad/etherpad:3.3.1     # pinned later
      default_text: |
        Welcome: "here"

        image: not:one

# at the margin
    # the wiki
    # of the collective
    wiki:
      image: !!str requarks/wiki:2.5
      tags: [a, b]
  ronron:pad-database-password:
    secure: v1:aaa
"""
SERVICES: Path = ("config", "ronron:services")
PAD, WIKI = (*SERVICES, "pad"), (*SERVICES, "wiki")
EDGE: Path = ("config", "ronron:edge")


def changed(after: str, before: str = FILE) -> list[str]:
    """The lines that went, with `-` before them, and the new ones, with `+`."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


def document(text: str = FILE) -> YamlDocument:
    return YamlDocument(text, file="stacks/Pulumi.ours.yaml")


def test_a_scalar_keeps_its_quotes_its_anchor_and_the_comment_behind_it() -> None:
    images = {
        (*EDGE, "image"): "caddy:2.10.2@sha256:1",
        ("config", "ronron:database", "image"): "postgres:15.14@sha256:2",
        (*PAD, "image"): "etherpad/etherpad:3.3.1@sha256:3",
        (*WIKI, "image"): "requarks/wiki:2.5@sha256:4",
    }
    after = document().with_scalars(images)
    expected = FILE
    for path, new in images.items():
        old = new.partition("@")[0]
        expected = expected.replace(old, new)
        assert path
    assert after == expected


@pytest.mark.parametrize("end", ["\r\n", "\n"])
@pytest.mark.parametrize("last", ["", "\n"])
def test_line_ends_stay(end: str, last: str) -> None:
    text = FILE.rstrip("\n").replace("\n", end) + last
    after = document(text).with_scalars({(*EDGE, "tls"): "internal"})
    assert after == text.replace('"off"', '"internal"')


@pytest.mark.parametrize("value", ["|\n      etherpad\n", '"ether\\x70ad"\n', "ether\n      pad\n"])
def test_a_value_that_is_written_in_a_special_way_is_left_to_a_person(value: str) -> None:
    text = f"config:\n    image: {value}"
    with pytest.raises(ConfigError, match=r"cannot edit config\.image") as caught:
        document(text).with_scalars({("config", "image"): "new"})
    assert caught.value.where == "stacks/Pulumi.ours.yaml:2"


@given(
    value=st.text("abc:/.@-", min_size=1).map(lambda text: f"a{text}a"),
    quote=st.sampled_from(["", "'", '"']),
    before=st.text(max_size=8).filter(lambda text: text.isprintable()),
)
def test_whatever_stands_around_it_stays(value: str, quote: str, before: str) -> None:
    old = f"{quote}a:1{quote}"
    text = f"config: # {before}\n  one: {{image: {old}, b: 2}} # {before}\n  two: {old}\n"
    after = document(text).with_scalars({("config", "one", "image"): value})
    assert after == text.replace(old, f"{quote}{value}{quote}", 1)
    assert YAML(typ="safe", pure=True).load(after)["config"]["one"]["image"] == value


def test_a_key_goes_with_its_value_and_the_comments_above_it() -> None:
    assert changed(document().without([WIKI])) == [
        "-    # the wiki",
        "-    # of the collective",
        "-    wiki:",
        "-      image: !!str requarks/wiki:2.5",
        "-      tags: [a, b]",
    ]


def test_a_text_of_several_lines_goes_as_a_whole() -> None:
    after = document().without([(*PAD, "default_text"), ("config", "ronron:pad-database-password")])
    assert changed(after) == [
        "-      default_text: |",
        '-        Welcome: "here"',
        "-",
        "-        image: not:one",
        "-  ronron:pad-database-password:",
        "-    secure: v1:aaa",
    ]


def test_a_mapping_without_keys_stays_a_mapping() -> None:
    text = "config:\n  ronron:services:   # ours\n    pad: {kind: etherpad}\n  b: 1\n"
    after = document(text).without([PAD])
    assert after == "config:\n  ronron:services: {}   # ours\n  b: 1\n"


@pytest.mark.parametrize(
    ("gone", "left"), [("a", "{b: 2, c: 3}"), ("b", "{a: 1, c: 3}"), ("c", "{a: 1, b: 2}")]
)
def test_a_key_goes_from_a_mapping_in_braces(gone: str, left: str) -> None:
    text = "config: {x: {a: 1, b: 2, c: 3}}  # kept\n"
    assert document(text).without([("config", "x", gone)]) == f"config: {{x: {left}}}  # kept\n"


def test_further_keys_stand_at_the_end_of_a_mapping() -> None:
    after = document().with_entries(
        SERVICES, {"board": ["  kind: kanboard", "  machine: laptop"], "x": ["{kind: container}"]}
    )
    assert changed(after) == [
        "+    board:",
        "+      kind: kanboard",
        "+      machine: laptop",
        "+    x: {kind: container}",
    ]
    assert after.index("tags: [a, b]") < after.index("board:") < after.index("ronron:pad-database")


@pytest.mark.parametrize("empty", ["{}", "{ }", "{}   # none yet"])
@pytest.mark.parametrize("end", ["\n", ""])
def test_the_first_key_of_a_mapping(empty: str, end: str) -> None:
    text = f"config:\n  ronron:services: {empty}{end}"
    after = document(text).with_entries(SERVICES, {"pad": ["  kind: etherpad"]})
    assert YAML(typ="safe", pure=True).load(after) == {
        "config": {"ronron:services": {"pad": {"kind": "etherpad"}}}
    }
    assert ("# none yet" in after) == ("# none yet" in text)


def test_a_mapping_in_braces_with_keys_is_left_to_a_person() -> None:
    with pytest.raises(ConfigError, match="stands in braces") as caught:
        document().with_entries(EDGE, {"bind": ["192.0.2.1"]})
    assert caught.value.hint == "edit it by hand in stacks/Pulumi.ours.yaml"


def test_keys_and_lines_are_found() -> None:
    assert document().keys(SERVICES) == ("pad", "wiki")
    assert document().keys((*SERVICES, "nobody")) == ()
    assert document().line(WIKI) == 19
    assert document().has(EDGE)
    assert not document().has((*SERVICES, "nobody"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("config: [", "cannot read the YAML"),
        ("- a\n", "cannot find any key"),
        ("", "cannot find any key"),
        ("a: b" * 400_000, "cannot edit a file of more than"),
        ("\x00", "cannot read the YAML"),
    ],
)
def test_what_is_no_stack_file_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        document(text)
    assert caught.value.hint


def test_an_alias_bomb_is_read_once() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    assert len(list(document("\n".join(lines)).scalars())) == 2
