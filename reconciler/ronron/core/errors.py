"""Everything that can go wrong, as a tree.

```text
* ReconcilerError(message, *, hint="", where="")     retryable = False
  x ConfigError                  settings, policy or stack config is wrong
    + ConfigProblemsError        one or more things at once, each with its place and its remedy
  x SourceError
    + SourceUnavailableError     retryable: no answer, timeout, busy
    + AuthenticationError
    + RevisionNotFoundError      it answered, and it is not there
  x EngineError
    + EngineMissingError         no engine, language host or plugin on this machine
    + StackLockedError           retryable: another live process works on the stack
    + StackNotFoundError
    + PassphraseError            wrong or missing: nothing can be decrypted
    + ProgramError               the user's program raised or refused its declaration
    + PackagesError              what its lock file pins cannot be installed
      + PackagesUnavailableError retryable: the network, the index or the disk
    + PlanViolatedError          retryable: the world moved after the preview
    + PendingOperationsError     an earlier update died while it created something
    + UpdateFailedError          retryable: resources failed; carries their own messages
    + EngineInterruptedError     stopped by a signal, cleanly
    + EngineTimeoutError         retryable
  x StoreError
    + RecordCorruptError
  x BackupError                  an agent, its repository, a restore or a drill failed
    + AgentUnreachableError      retryable: its container or its Docker does not answer
    + SnapshotUnfitError         of another service, or of a newer version than the one that runs
    + RecreatedError              the data are of volumes that were recreated
  x ImageRegistryError           a registry does not give the digest of an image
```

By *where* for readers, by `retryable` for the loop. A refusal (a verdict, a suspension, nothing to
do) is an outcome and never an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ronron.core.model import Change

PROBLEMS_SHOWN = 12
"""How many problems of one file fit on a screen together with what is around them."""


class ReconcilerError(Exception):
    """An error whose report fits on one screen.

    Args:
        message: what is wrong: lower case, "cannot <verb> <object>", no final period.
        hint: what to do about it: one imperative sentence, with a command where there is one.
        where: file and key, resource or environment that it is about; empty where the message says it.
    """

    retryable = False

    def __init__(self, message: str, *, hint: str = "", where: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class ConfigError(ReconcilerError):
    """Settings, policy or stack config is wrong; nothing was started."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a setting or in a file.

    Args:
        where: the variable, or file, line and key.
        what: what is wrong with it, as an error's message.
        remedy: what to do about it, as an error's hint.
    """

    where: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.remedy}"


class ConfigProblemsError(ConfigError):
    """One or more things are wrong in what a person wrote; all of them are listed at once.

    Args:
        problems: at least one, in the order in which they stand in the text.
        subject: what cannot be used because of them, such as the file's name.
    """

    def __init__(self, problems: Sequence[Problem], *, subject: str) -> None:
        self.problems = tuple(problems)
        if len(self.problems) == 1:
            only = self.problems[0]
            super().__init__(only.what, hint=only.remedy, where=only.where)
            return
        shown = [f"  {problem}" for problem in self.problems[:PROBLEMS_SHOWN]]
        more = len(self.problems) - len(shown)
        if more:
            shown.append(f"  … and {more} more")
        lines = "\n".join([f"cannot use {subject}: {len(self.problems)} problems", *shown])
        super().__init__(lines, hint="fix each of them as its line says, then run the command again")


class SourceError(ReconcilerError):
    """The git repository does not give what was asked for."""


class SourceUnavailableError(SourceError):
    """The repository is unreachable now: no route, timeout, busy."""

    retryable = True


class AuthenticationError(SourceError):
    """The repository answers and refuses us."""


class RevisionNotFoundError(SourceError):
    """The repository answers and has no such reference or commit."""


class EngineError(ReconcilerError):
    """Pulumi did not do what it was asked to; also the class of failures of no known kind.

    Attributes:
        protected: URNs of the resources that it refused to delete because they are protected, where that is
            the only cause.
        begun: the steps that an update began before it failed; None where nobody knows.
    """

    protected: tuple[str, ...] = ()
    begun: tuple[Change, ...] | None = None


class EngineMissingError(EngineError):
    """The engine, its language host or a plugin is not on this machine."""


class StackLockedError(EngineError):
    """Another live process works on the stack; nothing was started."""

    retryable = True


class StackNotFoundError(EngineError):
    """The backend answers and has no such stack."""


class PassphraseError(EngineError):
    """The passphrase is wrong or missing, so the stack's secrets stay closed."""


class ProgramError(EngineError):
    """The user's program raised, or refused its declaration."""


class PackagesError(EngineError):
    """The packages that a program's lock file pins cannot be installed; the program did not run."""


class PackagesUnavailableError(PackagesError):
    """They cannot be installed now: the network, the index, the disk, or a wheel that is not there yet."""

    retryable = True


class PlanViolatedError(EngineError):
    """The update would do something that is not in the judged plan; it did none of that."""

    retryable = True


class PendingOperationsError(EngineError):
    """An earlier update died while it created something, so it is unknown whether that exists.

    An update now would create it a second time and exit 0 (measured with Pulumi 3.274.1).
    """


class UpdateFailedError(EngineError):
    """One or more resources failed; what was done before is in the state."""

    retryable = True


class EngineInterruptedError(EngineError):
    """The engine was asked to stop and did so cleanly: state saved, lock released."""


class EngineTimeoutError(EngineError):
    """The engine did not end before its deadline and was stopped."""

    retryable = True


class StoreError(ReconcilerError):
    """The record of what was done cannot be read or written."""


class RecordCorruptError(StoreError):
    """A record is there, and it is not one of ours or of a newer version."""


class BackupError(ReconcilerError):
    """A backup agent, its repository, a restore or a drill failed; the message has the service's state."""


class AgentUnreachableError(BackupError):
    """A backup agent's container, or the Docker that runs it, is unreachable."""

    retryable = True


class SnapshotUnfitError(BackupError):
    """A snapshot is another service's, or of a newer version than the one that runs; nothing was changed."""


class RecreatedError(BackupError):
    """A snapshot would be of volumes that were recreated, while snapshots of the data before exist."""


class ImageRegistryError(ReconcilerError):
    """The registry of an image is unreachable, refuses, or does not know it."""
