"""What can go wrong while the tools are obtained. Nothing but the standard library is imported here."""

from __future__ import annotations


class ToolchainError(Exception):
    """Something that the toolchain cannot do.

    Attributes:
        message: what is wrong and where; lower case, without a full stop.
        hint: the command or edit that helps; lower case, without a full stop.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message}\nhint: {hint}")
        self.message = message
        self.hint = hint


class NotThisWay(Exception):  # noqa: N818 -- not an error: the next way is tried
    """One way to obtain a piece does not work on this machine; the reason is the text."""
