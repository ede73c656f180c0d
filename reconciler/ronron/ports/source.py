"""The port to the git repository that holds desired state."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from ronron.core.model import Revision


class Source(Protocol):
    """A git repository that holds desired state.

    Calls may come from several threads. A revision that `resolve` gave stays readable until the next
    `refresh` at least.
    """

    def refresh(self) -> bool:
        """Look at the repository once: its references, and the objects that are new.

        Returns:
            Whether any reference moved, appeared or went since the last look.

        Raises:
            SourceUnavailableError: no answer, or not before the deadline.
            AuthenticationError: it refuses us.
            RevisionNotFoundError: it is empty.
        """
        ...

    def resolve(self, reference: str) -> Revision:
        """The commit at which a reference stood at the last `refresh`.

        Args:
            reference: a branch (`main`), a full name (`refs/heads/main`), a tag pattern
                (`refs/tags/v*`: the highest by version order; annotated tags are peeled to their commit),
                or `HEAD` for the repository's default branch.

        Raises:
            RevisionNotFoundError: there is none; the hint names the ones that are near.
        """
        ...

    def entries(self, revision: Revision, directory: str) -> Mapping[str, str]:
        """The entries of a directory, name -> git object id; empty where it is not there."""
        ...

    def read(self, revision: Revision, path: str) -> str | None:
        """A file's text as it is in a revision, or None where it is not there.

        Raises:
            SourceError: it is not UTF-8 text, or larger than 1 MiB.
        """
        ...

    def checkout(self, revision: Revision) -> AbstractContextManager[Path]:
        """A throw-away directory with a revision's files, removed at the end of the block.

        Raises:
            SourceError: it cannot be written (a full disk, an object that is missing).
        """
        ...
