"""Takes secrets out of text before it is shown, stored or sent."""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "[secret]"
SHORTEST = 4
"""Secrets shorter than this are not searched for: they would blank out ordinary words."""

_URL_CREDENTIALS = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*://)[^\s/@'\"]*(?::[^\s/'\"]*)?@")
_URL_QUERY = re.compile(r"(?P<url>https?://[^\s?'\"]+)\?[^\s'\"#]+")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without the given secrets, URL credentials, URL queries and terminal control codes.

    Args:
        text: whatever is about to leave the process.
        secrets: values that are known to be secret; the longest is taken out first, so that one that
            contains another leaves nothing behind.
    """
    clean = _CONTROL.sub("", _ANSI.sub("", text))
    for secret in sorted({value for value in secrets if len(value) >= SHORTEST}, key=len, reverse=True):
        clean = clean.replace(secret, MASK)
    clean = _URL_CREDENTIALS.sub(rf"\g<scheme>{MASK}@", clean)
    return _URL_QUERY.sub(rf"\g<url>?{MASK}", clean)


def shorten(text: str, limit: int) -> str:
    """The text, cut to `limit` characters with a word about it, so that no message floods a screen."""
    if len(text) <= limit:
        return text
    tail = " … [cut]"
    return text[: max(0, limit - len(tail))] + tail
