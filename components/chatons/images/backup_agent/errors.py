"""What can go wrong, as a person and a program are told of it: code, message, hint."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

CODES = frozenset(
    {
        "wrong-password",
        "unreachable",
        "full",
        "corrupt",
        "locked",
        "no-snapshot",
        "other-service",
        "newer-database",
        "database-refused",
        "dump-failed",
        "dump-empty",
        "not-verified",
        "source-unreadable",
        "busy",
        "failed",
    }
)
"""Every code of docs/backup-agent.md."""

LONGEST = 600
"""Characters of a message: what a terminal shows without scrolling."""


class AgentError(Exception):
    """Something failed.

    Args:
        code: one of `CODES`.
        message: what is wrong, lower case, "cannot <verb> <object>", no final period.
        hint: what to do about it, one imperative sentence.
    """

    def __init__(self, code: str, message: str, hint: str) -> None:
        assert code in CODES, code  # noqa: S101 -- a misspelt code would be read by nobody
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def document(self) -> dict[str, str]:
        """As the contract writes it."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


class NoRepositoryError(AgentError):
    """There is nothing at the repository's place: not made yet, or gone."""


class Stopped(BaseException):
    """Somebody asked this process to end: children are stopped, nothing half done is left to count."""


def redacted(text: str, secrets: Iterable[str]) -> str:
    """A text without these secrets, as they are and as they are written within a URL."""
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) < 3:
            # Too short to be told from ordinary words; the message would become unreadable.
            continue
        text = text.replace(secret, "***").replace(quote(secret, safe=""), "***")
    return text


def shortened(text: str, longest: int = LONGEST) -> str:
    """The text on one line, cut in its middle where it is too long."""
    line = " ".join(text.split())
    half = (longest - 5) // 2
    return line if len(line) <= longest else f"{line[:half]} ... {line[-half:]}"
