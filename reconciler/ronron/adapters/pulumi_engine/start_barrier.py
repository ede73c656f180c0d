"""Runs a command only once its parent has said so; run as a script, with the command as arguments.

The parent holds the other end of standard input. A byte means go on; the end of the input means that the
parent died, or changed its mind, before it could write down that the command runs: then it never does.
The process stays the same, so a mark of it that was taken before is a mark of the command.
"""

from __future__ import annotations

import os
import sys

NEVER_RAN = 125
"""Exit code where the word never came."""


def main() -> None:
    """Wait for the word, then become the command."""
    if not os.read(0, 1):
        sys.exit(NEVER_RAN)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606 - the very point; there is no shell to be had


if __name__ == "__main__":
    main()
