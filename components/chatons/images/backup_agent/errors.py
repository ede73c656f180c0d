"""Errors of the agent: a code for programs, a message and a hint for people."""

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
        "recreated",
        "failed",
    }
)
"""Every code of docs/backup-agent.md."""

LONGEST = 600
"""Maximum length of a message in characters: a terminal shows that without scrolling."""


class AgentError(Exception):
    """Something failed.

    Args:
        code: one of `CODES`.
        message: what failed: "cannot <verb> <object>", lower case, no full stop.
        hint: the command or the edit that helps, lower case.
    """

    def __init__(self, code: str, message: str, hint: str) -> None:
        assert code in CODES, code  # noqa: S101 -- no caller knows a misspelt code
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def document(self) -> dict[str, str]:
        """The error as docs/backup-agent.md has it."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


class NoRepositoryError(AgentError):
    """The repository does not exist: not created yet, or gone."""


class StoppedError(BaseException):
    """A signal asked this process to end; not an Exception, so that only cleanup and `main` catch it."""


def redacted(text: str, secrets: Iterable[str]) -> str:
    """A text without these secrets, plain or percent-encoded."""
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) < 3:
            # It would match parts of ordinary words, and make the message unreadable.
            continue
        text = text.replace(secret, "***").replace(quote(secret, safe=""), "***")
    return text


def shortened(text: str, longest: int = LONGEST) -> str:
    """The text on one line, shortened in the middle."""
    line = " ".join(text.split())
    half = (longest - 5) // 2
    return line if len(line) <= longest else f"{line[:half]} ... {line[-half:]}"
