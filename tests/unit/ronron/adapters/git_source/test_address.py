"""What is taken for the address of a repository, and what of it is shown."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ronron.adapters.git_source.address import parse
from ronron.core.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "host", "path", "origin"),
    [
        ("/srv/git/ours.git", "", "/srv/git/ours.git", ""),
        ("/srv/two words/café.git", "", "/srv/two words/café.git", ""),
        ("/srv/a:b", "", "/srv/a:b", ""),
        ("file:///srv/git/ours.git", "", "/srv/git/ours.git", ""),
        ("file:///srv/a%3Fb", "", "/srv/a?b", ""),
        ("https://forge.example/ours.git", "forge.example", None, "https://forge.example/"),
        ("HTTPS://forge.example/ours.git", "forge.example", None, "https://forge.example/"),
        ("https://forge.example:8443/ours.git", "forge.example", None, "https://forge.example:8443/"),
        ("https://[::1]:8443/ours.git", "::1", None, "https://[::1]:8443/"),
        ("http://127.0.0.1/ours.git", "127.0.0.1", None, "http://127.0.0.1/"),
        ("git://forge.example/ours.git", "forge.example", None, ""),
        ("ssh://git@forge.example:2222/ours.git", "git@forge.example", None, ""),
        ("ssh://forge.example/~tech/ours.git", "forge.example", None, ""),
        ("git@forge.example:team/ours.git", "git@forge.example", None, ""),
        ("forge.example:ours.git", "forge.example", None, ""),
        ("git@forge.example:team/ours@2.git", "git@forge.example", None, ""),
        ("git@[::1]:ours.git", "git@[::1]", None, ""),
    ],
)
def test_an_address_is_taken_apart(url: str, host: str, path: str | None, origin: str) -> None:
    address = parse(url)
    assert (address.host, address.path, address.origin) == (host, Path(path) if path else None, origin)
    assert address.url.lower() == url.lower()
    assert address.shown == address.url
    assert address.authorization == ""


def test_a_relative_path_is_made_absolute() -> None:
    assert parse("ours.git").url == str(Path.cwd() / "ours.git")
    assert parse("./a:b").path == Path.cwd() / "a:b"
    assert parse("~/ours.git").path == Path.home() / "ours.git"


@pytest.mark.parametrize(
    ("url", "bare", "pair"),
    [
        ("https://tech:s3cret@forge.example/x", "https://forge.example/x", "tech:s3cret"),
        ("https://glpat-0123@forge.example/x", "https://forge.example/x", "glpat-0123:"),
        ("https://tech:p%40ss%2Fword@forge.example/x", "https://forge.example/x", "tech:p@ss/word"),
        ("https://tech:one@two@forge.example/x", "https://forge.example/x", "tech:one@two"),
        ("https://tech:a:b@forge.example:8443/x", "https://forge.example:8443/x", "tech:a:b"),
    ],
)
def test_credentials_become_a_header_and_are_not_shown(url: str, bare: str, pair: str) -> None:
    address = parse(url)
    assert address.url == address.shown == bare
    kind, _, token = address.authorization.rpartition(" ")
    assert kind == "Authorization: Basic"
    assert base64.b64decode(token).decode() == pair
    name, _, password = pair.partition(":")
    secret = password or name
    assert secret in address.secrets
    assert token in address.secrets
    assert secret not in repr(address)
    assert token not in repr(address)


def test_an_empty_user_is_no_credential() -> None:
    address = parse("https://@forge.example/x")
    assert (address.url, address.authorization) == ("https://forge.example/x", "")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "it is empty"),
        (" https://forge.example/x", "a space"),
        ("https://forge.example/x ", "a space"),
        ("--upload-pack=touch /tmp/x", "an option"),
        ("-oProxyCommand=x:y", "an option"),
        ("ext::sh -c id", "can run commands"),
        ("fd::17", "can run commands"),
        ("ftp://forge.example/x", "ftp:// is not one of"),
        ("javascript://x", "not one of"),
        ("https://forge.example:port/x", "its host or port is invalid"),
        ("https://[::1/x", "its host or port is invalid"),
        ("https:///x", "its host is invalid"),
        ("https://forge example/x", "its host is invalid"),
        ("https://forge.example/a b", "its host is invalid"),
        ("https://forge.example/x?private_token=abcdef", "no query"),
        ("https://forge.example/x#abcdef", "no query"),
        ("ssh://-oProxyCommand=id/x", "its host is invalid"),
        ("ssh://git@-oProxyCommand=id/x", "its host is invalid"),
        ("ssh://-oProxyCommand=id@host/x", "its host is invalid"),
        ("ssh://git:s3cret@forge.example/x", "ssh:// takes no password"),
        ("git://tech@forge.example/x", "git:// takes no user"),
        ("git@-oProxyCommand=id:x", "its host or path is invalid"),
        ("git@forge.example:", "its host or path is invalid"),
        (":x", "its host or path is invalid"),
        ("forge.example:a b", "its host or path is invalid"),
        ("tech:s3cret@forge.example:x", "ssh takes no password"),
        ("tech:s3cret@forge.example/x", "ssh takes no password"),
        ("file://forge.example/x", "an absolute path"),
        ("file:///x?y", "%3F"),
        ("/srv/a\nb", "a control character"),
        ("/srv/a\x00b", "a control character"),
        ("https://forge.example/a\tb", "a control character"),
        ("~nobody-of-this-name/x", "an unknown user"),
    ],
)
def test_what_is_no_address_is_refused_with_the_ways_to_write_one(url: str, why: str) -> None:
    with pytest.raises(ConfigError, match=r"^cannot use ") as caught:
        parse(url)
    assert why in caught.value.message
    assert "https://HOST/PATH" in caught.value.hint
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "url",
    [
        "https://tech:PASSWORD@forge.example:port/x",
        "https://tech:PASS/WORD@forge.example/x",
        "https://tech:PASS#WORD@forge.example/x",
        "https://tech:PASS?WORD@forge.example/x",
        "ftp://tech:PASSWORD@forge.example/x",
        "ssh://tech:PASSWORD@forge.example/x",
        "tech:PASSWORD@forge.example:x",
        "tech:PASSWORD@forge.example/x",
        "https://forge.example/x?private_token=PASSWORD",
        "ext::https://tech:PASSWORD@forge.example/x",
        " https://tech:PASSWORD@forge.example/x",
        "https://tech:PASSWORD@forge.example/a b",
    ],
)
def test_a_refusal_shows_no_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(url)
    shown = f"{caught.value}{caught.value.hint}"
    assert "PASS" not in shown
    assert "WORD" not in shown
    assert "[secret]" in shown


@given(st.one_of(st.text(max_size=60), st.from_regex(r"(https?|ssh|git|file)://[ -~]{0,40}", fullmatch=True)))
def test_any_text_is_an_address_or_refused(url: str) -> None:
    try:
        address = parse(url)
    except ConfigError as error:
        refused = error
    else:
        assert not address.url.startswith("-")
        assert "::" not in address.url.partition("/")[0].partition("[")[0]
        assert not any(ord(character) < 32 for character in address.url)
        return
    assert refused.hint


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="/?#:[]@%\\"), min_size=6)
)
def test_no_password_is_left_in_what_is_shown(password: str) -> None:
    address = parse(f"https://tech:{password}@forge.invalid/x")
    assert address.shown == "https://forge.invalid/x"
    assert f"tech:{password}" not in repr(address)
