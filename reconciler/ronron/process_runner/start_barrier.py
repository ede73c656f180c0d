"""Starts a command only when its parent process allows it; run as a script with the command as arguments.

The parent has the other end of standard input. One byte means: start. The end of the input means that the
parent died, or changed its mind, before it could record that the command runs: then it never runs.
The process ID stays the same, so a process mark taken before the start is a mark of the command.
"""

from __future__ import annotations

import os
import sys

NEVER_RAN = 125
"""Exit code when the parent did not allow the start."""


def main() -> None:
    """Wait for the parent, then become the command."""
    if not os.read(0, 1):
        sys.exit(NEVER_RAN)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606 - replaces this process; no shell is involved


if __name__ == "__main__":
    main()
