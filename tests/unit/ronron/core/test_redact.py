"""No secret leaves the process, in whatever form it stands in a text."""

from __future__ import annotations

import json
import time
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ronron.core.redact import MASK, SHORTEST, redact, redact_document, shorten

KEY = "-----BEGIN KEY-----\nb3BlbnNzaA+/=\n-----END KEY-----\n"

HARD = [
    "hunter22",
    "pässwörd",
    "a b&c=d/e",
    'quo"te\\back',
    "tab\tline\nend",
    "100%+sure?",
    KEY,
    "日本語の鍵",
    "🔑🚪🔑🚪",
]
"""Secrets that look different wherever they are escaped."""


# -- secrets that are known --------------------------------------------------------------------------------


def test_a_secret_is_taken_out_wherever_it_stands() -> None:
    assert redact("hunter22, again: xhunter22x", ["hunter22"]) == f"{MASK}, again: x{MASK}x"


@pytest.mark.parametrize("secret", HARD)
def test_a_secret_is_found_as_it_is(secret: str) -> None:
    assert redact(f"login with {secret}!", [secret]) == f"login with {MASK}!"


@pytest.mark.parametrize("secret", HARD)
def test_a_secret_is_found_in_json(secret: str) -> None:
    for ascii_only in (True, False):
        text = json.dumps({"password": secret}, ensure_ascii=ascii_only)
        assert redact(text, [secret]) == f'{{"password": "{MASK}"}}'


@pytest.mark.parametrize("secret", HARD)
@pytest.mark.parametrize("escape", [quote, quote_plus, lambda text: quote(text, safe="")])
def test_a_secret_is_found_in_a_url(secret: str, escape: object) -> None:
    assert callable(escape)
    assert redact(f"ftp://pad.example/{escape(secret)}/x", [secret]) == f"ftp://pad.example/{MASK}/x"


@pytest.mark.parametrize("secret", HARD)
def test_a_secret_is_found_in_a_form(secret: str) -> None:
    assert redact(f"sent {urlencode({'password': secret})}", [secret]) == f"sent password={MASK}"


def test_a_secret_of_several_lines_is_found_whatever_ends_them() -> None:
    for ending in ("\n", "\r\n", "\r"):
        written = KEY.replace("\n", ending)
        assert redact(f"key:{ending}{written}end", [KEY]) == f"key:\n{MASK}end"
        assert redact(f"key:\n{KEY}end", [written]) == f"key:\n{MASK}end"
        assert redact(json.dumps(written), [written]) == f'"{MASK}"'


def test_a_secret_from_a_file_is_found_without_its_last_line_feed() -> None:
    assert redact("wrong passphrase: hunter22", ["hunter22\n"]) == f"wrong passphrase: {MASK}"
    assert redact("wrong passphrase: hunter22\nnext", ["hunter22\n"]) == f"wrong passphrase: {MASK}next"


def test_a_secret_is_found_though_terminal_codes_cut_it() -> None:
    assert redact("hun\x1b[1mter\x0022", ["hunter22"]) == MASK


def test_a_secret_with_a_control_character_is_found_escaped_and_not() -> None:
    secret = "hunter\x1b[31m22\x07!"
    assert redact(secret, [secret]) == MASK
    assert redact(json.dumps(secret), [secret]) == f'"{MASK}"'
    assert redact(quote(secret), [secret]) == MASK


def test_a_secret_that_is_no_text_is_found() -> None:
    assert redact("half \ud83d of a pair", ["half \ud83d of"]) == f"{MASK} a pair"


def test_the_longest_secret_is_taken_out_first() -> None:
    assert redact("hunter22-and-more", ["hunter22", "hunter22-and-more"]) == MASK


def test_a_word_that_is_too_short_to_be_a_secret_stays() -> None:
    assert redact("the pad is down", ["the", "a" * (SHORTEST - 1), "", " " * 8]) == "the pad is down"
    assert redact("the pads are down", ["pads"]) == f"the {MASK} are down"


escapes = st.sampled_from(
    [
        str,
        json.dumps,
        lambda text: json.dumps(text, ensure_ascii=False),
        lambda text: quote(text, safe="", errors="replace"),
        lambda text: quote(text, errors="replace"),
        lambda text: quote_plus(text, errors="replace"),
    ]
)


@given(
    known=st.lists(st.text(st.characters(codec="utf-8"), min_size=SHORTEST, max_size=20), max_size=4),
    around=st.lists(st.text("abc {}:/?#&=", max_size=12), min_size=5, max_size=5),
    forms=st.lists(escapes, min_size=4, max_size=4),
)
def test_no_secret_survives(known: list[str], around: list[str], forms: list[object]) -> None:
    text = around[0]
    for secret, form, between in zip(known, forms, around[1:], strict=False):
        assert callable(form)
        text += form(secret) + between
    clean = redact(text, known)
    for secret in known:
        # What is part of the mask, or of the harmless text around it, proves nothing.
        assume(len(secret.strip()) >= SHORTEST)
        assume(not any(secret.strip() in harmless for harmless in (MASK, *around)))
        assume(not any(mark in secret for mark in "[]"))
        for form in (secret, json.dumps(secret)[1:-1], quote(secret, safe=""), quote_plus(secret)):
            assert form not in clean


@given(st.text(), st.lists(st.text(max_size=12), max_size=3))
def test_what_is_clean_is_text_that_a_terminal_and_a_store_can_take(text: str, known: list[str]) -> None:
    clean = redact(text, known)
    assert clean.encode().decode() == clean
    assert not set(clean) & {chr(code) for code in (*range(9), 11, 12, *range(14, 32), *range(127, 160), 13)}


@given(st.text("ab:/?@#=&'\" \n") | st.text())
def test_to_redact_twice_is_to_redact_once(text: str) -> None:
    assert redact(redact(text)) == redact(text)


# -- secrets that nobody told us ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("https://tech:token@git.example/x.git", f"https://{MASK}@git.example/x.git"),
        ("https://token@git.example/x.git", f"https://{MASK}@git.example/x.git"),
        ("postgres://pad:p@ss:word@db/pad", f"postgres://{MASK}@db/pad"),
        ("ssh://git@git.example/x", f"ssh://{MASK}@git.example/x"),
        ("two: http://a:b@c/ http://d:e@f/", f"two: http://{MASK}@c/ http://{MASK}@f/"),
        ('{"url": "https://a:b@c/"}', f'{{"url": "https://{MASK}@c/"}}'),
        ("https://git.example/x?private_token=abc", f"https://git.example/x?{MASK}"),
        ("HTTPS://git.example/x?private_token=abc", f"HTTPS://git.example/x?{MASK}"),
        ("https://git.example/x?a=1&b=2#part", f"https://git.example/x?{MASK}#part"),
        ("'https://git.example/x?a=1' said no", f"'https://git.example/x?{MASK}' said no"),
        ("https://a:b@git.example/x?c=d", f"https://{MASK}@git.example/x?{MASK}"),
    ],
)
def test_credentials_in_urls_go(text: str, clean: str) -> None:
    assert redact(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "https://pad.example/p/ronron",
        "https://pad.example/p?",
        "what? a=b",
        "git@git.example:picasoft/x.git",
        "mail tech@picasoft.example",
        "http://pad.example/@ada",
        "unix:///var/run/docker.sock",
        "tab\tand\nline",
    ],
)
def test_what_holds_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_json_around_a_url_stays_json() -> None:
    said = {"message": "cannot read \"https://git.example/x?a=1\", nor 'https://git.example/y?b=2'"}
    assert json.loads(redact(json.dumps(said))) == {
        "message": f"cannot read \"https://git.example/x?{MASK}\", nor 'https://git.example/y?{MASK}'"
    }


def test_queries_stay_where_they_are_asked_again() -> None:
    assert redact("http://a:b@c/?d=e", queries=True) == f"http://{MASK}@c/?d=e"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b(Btext", "text"),
        ("bell\x07 null\x00 delete\x7f", "bell null delete"),
        ("over\rwritten", "over\nwritten"),
        ("a\r\nb", "a\nb"),
        ("half \udc80", "half \ufffd"),
    ],
)
def test_terminal_codes_go(text: str, clean: str) -> None:
    assert redact(text) == clean


@pytest.mark.parametrize("part", ["://", "http://", "https://a?", "\x1b[", "\x1b]", "\x1b(", "@", "a"])
def test_a_long_line_costs_one_walk(part: str) -> None:
    """A quadratic pattern would take minutes for this."""
    text = part * (1_000_000 // len(part))
    began = time.process_time()
    redact(text)
    assert time.process_time() - began < 5


# -- documents ---------------------------------------------------------------------------------------------


def test_all_texts_and_keys_of_a_document_are_clean() -> None:
    document = {
        "hunter22": ["hunter22", {"deep": ("x hunter22", 1, 2.5, None, True)}],
        "url": "http://a:b@c/?d=e",
    }
    clean = redact_document(document, ["hunter22"], limit=100)
    assert clean == {
        MASK: [MASK, {"deep": [f"x {MASK}", 1, 2.5, None, True]}],
        "url": f"http://{MASK}@c/?{MASK}",
    }


def test_queries_of_a_document_may_stay() -> None:
    assert redact_document(["http://a:b@c/?d=e"], limit=100, queries=True) == [f"http://{MASK}@c/?d=e"]


def test_a_document_is_cut_after_its_secrets_are_out() -> None:
    """Cut first, half of a secret would stand at the end and not be known any more."""
    assert redact_document("x" * 10 + "hunter22", ["hunter22"], limit=18) == "x" * 10 + MASK
    assert redact_document("x" * 15 + "hunter22", ["hunter22"], limit=20) == "x" * 12 + " … [cut]"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.just("say hunter22 twice"),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("hunter22"), inner),
    )
)
def test_no_secret_survives_in_a_document(document: object) -> None:
    clean = redact_document(document, ["hunter22"], limit=1000)
    assert "hunter22" not in json.dumps(clean)


# -- shortened ---------------------------------------------------------------------------------------------


def test_a_text_within_the_limit_stays() -> None:
    assert shorten("x" * 20, 20) == "x" * 20


def test_a_text_above_the_limit_says_that_it_was_cut() -> None:
    assert shorten("x" * 21, 20) == "x" * 12 + " … [cut]"


@given(st.text(), st.integers(0, 50))
def test_no_text_is_longer_than_its_limit(text: str, limit: int) -> None:
    assert len(shorten(text, limit)) <= limit
