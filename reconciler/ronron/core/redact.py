"""Takes secrets out of text before it is shown, stored or sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MASK = "[secret]"
SHORTEST = 4
"""Secrets shorter than this are not searched for: they would blank out ordinary words."""

# Every pattern below consumes whatever it looks at, so that a long line without a match costs one walk
# over it and not one from each of its characters.
_USERINFO = re.compile(r"://[^\s/\"]*@")
_USERINFO_BUT_LOGINS = re.compile(r"(?<!ssh)://[^\s/\"]*@|(?<=ssh)://[^\s/\":@]*:[^\s/\"]*@")
"""The same but for `ssh://user@`, which has no password in it and is no address without its user."""

_URL = re.compile(
    r"(?P<url>https?://[^\s?'\"]+)"
    # A backslash before a quotation mark belongs to the JSON around the URL.
    r"(?:\?(?P<query>(?:[^\s'\"#\\]|\\(?![\"'\\]))+))?",
    re.IGNORECASE,
)
_ANSI = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, cursor
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # titles, links
    r"|\x1b[ -/]+[0-~]"  # character sets
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


_SECRET_NAME = re.compile(r"token|secret|passw|passphrase|key|credential", re.IGNORECASE)


def is_secret_name(name: str) -> bool:
    """Whether the value of a variable of this name is a secret, such as `API_TOKEN`, `SSH_PASSPHRASE`."""
    return _SECRET_NAME.search(name) is not None


def redact(text: str, secrets: Iterable[str] = (), *, queries: bool = False) -> str:
    """The text without the given secrets, URL credentials, URL queries and terminal control codes.

    Lines end in a line feed afterwards, and what is no text in UTF-8 is a replacement character.

    Args:
        text: whatever is about to leave the process.
        secrets: values that are known to be secret; the longest is taken out first, so that one that
            contains another leaves nothing behind. They are found as they are, and as they stand in a
            URL or in JSON.
        queries: leave the queries of URLs, and the users of ssh; only for text that is known to be public and
            is used again.
    """
    clean = _plain(text)
    for secret in sorted(_forms(secrets), key=len, reverse=True):
        clean = clean.replace(secret, MASK)
    clean = (_USERINFO_BUT_LOGINS if queries else _USERINFO).sub(f"://{MASK}@", clean)
    return clean if queries else _URL.sub(_without_query, clean)


def redact_document(
    document: object, secrets: Iterable[str] = (), *, limit: int, queries: bool = False
) -> object:
    """A JSON document whose texts and keys are all redacted, and the texts shortened to `limit`."""
    known = tuple(secrets)

    def clean(part: object) -> object:
        match part:
            case str():
                return shorten(redact(part, known, queries=queries), limit)
            case dict():
                return {redact(str(key), known, queries=queries): clean(value) for key, value in part.items()}
            case list() | tuple():
                return [clean(value) for value in part]
            case _:
                return part

    return clean(document)


def shorten(text: str, limit: int) -> str:
    """The text, cut to `limit` characters with a word about it, so that no message floods a screen."""
    if len(text) <= limit:
        return text
    tail = " … [cut]"
    return (text[: max(0, limit - len(tail))] + tail)[:limit]


def _plain(text: str) -> str:
    # A lone carriage return would let a line write over itself on a terminal.
    lines = _ANSI.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _SURROGATE.sub("\ufffd", _CONTROL.sub("", lines))


def _forms(secrets: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for secret in secrets:
        # Read from a file it often ends in a line feed that is not shown with it. What escapes it may see
        # the characters that `_plain` takes away.
        for form in (secret, _plain(secret), _plain(secret).strip()):
            text = _SURROGATE.sub("\ufffd", form)
            in_json = (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
            found.update((_plain(text), quote(text, safe=""), quote(text), quote_plus(text), *in_json))
    return {form for form in found if len(form) >= SHORTEST and not form.isspace()}


def _without_query(found: re.Match[str]) -> str:
    return f"{found['url']}?{MASK}" if found["query"] else found["url"]
