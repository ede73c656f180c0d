"""Git as a source: polls a repository, mirrors it, and makes throw-away checkouts.

A poll is one `git ls-remote`; a fetch follows only when a reference moved. See `mirror`, `checkouts` and
`commands` for the parts.

A checkout has what git would write: links as links, wherever they point to (the program that runs there could
read those files anyway); line ends as in `.gitattributes`. Filters (Git LFS) do not run, so their files
contain the committed pointer. There is no `.git`, and nothing written into a checkout goes back.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path, PurePosixPath
from threading import Lock
from types import MappingProxyType
from typing import TypeVar

from ronron.adapters.git_source.address import parse
from ronron.adapters.git_source.checkouts import Checkouts
from ronron.adapters.git_source.commands import GitCommands, GitFailedError, GitTimeoutError
from ronron.adapters.git_source.errors import Errors
from ronron.adapters.git_source.locks import LockBusyError
from ronron.adapters.git_source.mirror import Advertised, Mirror, Published, is_broken, parse_advertised
from ronron.core.errors import RevisionNotFoundError, SourceError
from ronron.core.model import SHORT, Revision
from ronron.core.references import find
from ronron.ports import Processes

READ_LIMIT = 1024 * 1024
"""Bytes of a file that `read` gives: policies and declarations are far smaller."""

DIRECTORY, LINK, SUBMODULE = "040000", "120000", "160000"
"""Modes of tree entries; see git-ls-tree(1) and gitdatamodel(7)."""

T = TypeVar("T")


@dataclass(frozen=True)
class _Entry:
    mode: str
    object: str
    size: int
    path: str


class GitSource:
    """A repository that git can reach. See ports.Source.

    Several processes and threads may use the same state directory: fetches go one at a time, reading
    needs no lock. Beyond the port, `refresh` raises a plain SourceError where this machine is at fault
    (no git, a full disk), and `entries` and `read` raise what `refresh` raises when the mirror has to be
    fetched again for them.

    Args:
        url: a path, `file://`, `https://`, `http://`, `git://`, `ssh://`, or scp-like `user@host:path`.
            Credentials in an HTTP address are sent as a header; they are neither shown nor written down.
        state: a directory of its own, created when needed: `mirror` and `checkouts` are below.
        processes: proves that the owner of a lock is dead.
        timeout: for one poll, and for each local command.
        transfer: for one fetch; the first one brings the whole history.
        environment: more variables for git, such as GIT_SSL_CAINFO.

    Raises:
        ConfigError: the address is invalid, or could run a command.
    """

    def __init__(
        self,
        url: str,
        state: Path,
        processes: Processes,
        *,
        timeout: timedelta = timedelta(seconds=60),
        transfer: timedelta = timedelta(minutes=15),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._address = parse(url)
        state = state.absolute()
        self._errors = Errors(self._address, state)
        self._git = GitCommands(self._address, state, processes, timeout, environment)
        self._mirror = Mirror(state, self._address, self._git, timeout, transfer, processes)
        self._checkouts = Checkouts(state / "checkouts", processes)
        self._transfer = transfer
        self._lock = Lock()
        self._seen: Published | None = None
        # A commit never changes, so what was read of it can be cached.
        self._entries = lru_cache(maxsize=256)(self._list)
        self._texts = lru_cache(maxsize=64)(self._read)

    def __repr__(self) -> str:
        return f"GitSource({self._address.shown!r})"

    @property
    def address(self) -> str:
        """The repository's address without credentials, for people."""
        return self._address.shown

    def refresh(self) -> bool:
        """See ports.Source."""
        with self._translated(f"poll {self.address}"):
            self._checkouts.sweep()
            advertised = self._advertised()
            published = self._mirror.published()
            if published is None or not published.shows(advertised):
                published = self._mirror.update(advertised)
        with self._lock:
            # Another thread or process may have fetched meanwhile; references never go back in time.
            published = self._mirror.published() or published
            moved = published != self._seen
            self._seen = published
        return moved

    def resolve(self, reference: str) -> Revision:
        """See ports.Source; before the first `refresh`, by the last fetch of an earlier process."""
        with self._lock:
            seen = self._seen
        if seen is None:
            seen = self._mirror.published()
        if seen is None:
            raise RevisionNotFoundError(
                f"cannot find {reference!r}: {self.address} was not polled yet",
                hint="poll it first: `ronron watch --once`",
            )
        return find(seen.references, reference)

    def entries(self, revision: Revision, directory: str) -> Mapping[str, str]:
        """See ports.Source."""
        path = _inside(directory)
        return MappingProxyType({}) if path is None else self._entries(revision.commit, path)

    def read(self, revision: Revision, path: str) -> str | None:
        """See ports.Source; a symbolic link is refused: its target may be outside the repository."""
        inside = _inside(path)
        return self._texts(revision.commit, inside) if inside else None

    @contextmanager
    def checkout(self, revision: Revision) -> Iterator[Path]:
        """See ports.Source."""
        with ExitStack() as stack:
            with self._translated(f"check out {revision.short}"):
                self._checkouts.sweep()
                directory, index = stack.enter_context(self._checkouts.directory())
                self._reading(revision.commit, lambda mirror: self._write(mirror, revision, directory, index))
            yield directory

    # -- polling -----------------------------------------------------------------------------------

    def _advertised(self) -> Advertised:
        advertised = parse_advertised(self._git.run("ls-remote", "--symref", "--", self._address.url))
        if not advertised.objects:
            raise self._errors.empty()
        return advertised

    # -- reading -----------------------------------------------------------------------------------

    def _list(self, commit: str, directory: str) -> Mapping[str, str]:
        with self._translated(f"list {_shown(directory) or 'the top'} of {commit[:SHORT]}"):
            below = f"{directory}/" if directory else ""
            listed = self._reading(
                commit, lambda mirror: self._tree(mirror, commit, *([below] if below else []))
            )
            return MappingProxyType({entry.path.removeprefix(below): entry.object for entry in listed})

    def _read(self, commit: str, path: str) -> str | None:
        doing = f"read {_shown(path)} of {commit[:SHORT]}"
        with self._translated(doing):
            sized = ("-l",)
            found = self._reading(commit, lambda mirror: self._tree(mirror, commit, path, options=sized))
            entry = next(iter(found), None)
            if entry is None or entry.mode in {DIRECTORY, SUBMODULE}:
                return None
            if entry.mode == LINK:
                raise SourceError(
                    f"cannot {doing}: it is a symbolic link", hint=f"commit the file itself as {_shown(path)}"
                )
            if entry.size > READ_LIMIT:
                raise SourceError(
                    f"cannot {doing}: it is larger than {READ_LIMIT >> 20} MiB",
                    hint="split it, or remove what does not belong there",
                )
            content = self._reading(
                commit, lambda mirror: self._git.run(f"--git-dir={mirror}", "cat-file", "blob", entry.object)
            )
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise SourceError(
                f"cannot {doing}: byte {error.start + 1} is not UTF-8 text",
                hint=f"save it as UTF-8: `iconv -f ISO-8859-1 -t UTF-8 {_shown(path)} > FILE` converts it",
            ) from error

    def _write(self, mirror: Path, revision: Revision, directory: Path, index: Path) -> None:
        entries = self._tree(mirror, revision.commit, options=("-r", "-d"))
        submodules = [entry.path for entry in entries if entry.mode == SUBMODULE]
        if submodules:
            first = _shown(submodules[0])
            # They are never fetched: their addresses are named by the repository's content. A program that
            # misses files may take it for a wish to delete.
            raise SourceError(
                f"cannot check out {revision.short}: submodules are not fetched, and {first} is one",
                hint=f"commit its files instead: `git rm {first} && git subtree add -P {first} URL BRANCH`",
            )
        self._git.run(
            *(
                f"--git-dir={mirror}",
                f"--work-tree={directory}",
                "read-tree",
                "--reset",
                "-u",
                revision.commit,
            ),
            timeout=self._transfer,
            # An index of its own: checkouts do not wait for each other, and the mirror is not written to.
            environment={"GIT_INDEX_FILE": str(index)},
        )

    def _tree(self, mirror: Path, commit: str, *paths: str, options: tuple[str, ...] = ()) -> list[_Entry]:
        """Entries of a commit's tree: `<mode> SP <type> SP <object> [SP <size>] TAB <path>`, ended by NUL."""
        answer = self._git.run(
            f"--git-dir={mirror}", "ls-tree", "-z", "--full-tree", *options, commit, "--", *paths
        )
        entries = []
        for line in os.fsdecode(answer).split("\0")[:-1]:
            facts, _, path = line.partition("\t")
            mode, _, object_, *size = facts.split()
            entries.append(_Entry(mode, object_, int(size[0]) if size and size[0].isdigit() else 0, path))
        return entries

    def _reading(self, commit: str, work: Callable[[Path], T]) -> T:
        """Read from the mirror; where it is broken, fetch a new one and read from that."""
        path = self._mirror.path()
        if path is not None:
            try:
                return work(path)
            except GitFailedError as error:
                if not is_broken(error.errors):
                    raise
                if self._is_absent(path, commit):
                    raise self._gone(commit) from None
        self._mirror.repair(path, self._advertised())
        path = self._mirror.path()
        if path is None or self._is_absent(path, commit):
            raise self._gone(commit)
        return work(path)

    def _is_absent(self, mirror: Path, commit: str) -> bool:
        """Whether a commit does not exist. A mirror without a commit that it published is broken instead."""
        published = self._mirror.published()
        if published is not None and commit in published.references.commits.values():
            return False
        try:
            self._git.run(f"--git-dir={mirror}", "cat-file", "-e", commit)
        except GitFailedError as error:
            # With -e, status 1 without a message means absent; anything else is an error.
            return error.status == 1 and not error.errors.strip()
        return False

    def _gone(self, commit: str) -> RevisionNotFoundError:
        return RevisionNotFoundError(
            f"cannot find commit {commit} in {self.address}",
            hint="a force-push removed it: `git push origin COMMIT:refs/heads/NAME` brings it back",
        )

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (GitFailedError, GitTimeoutError, LockBusyError, OSError) as error:
            raise self._errors.of(error, doing) from error


def _shown(path: str) -> str:
    """A path for a message and a shell: on one line, quoted where it is odd."""
    return (shlex.quote(path) if path.isprintable() else repr(path)) if path else ""


def _inside(path: str) -> str | None:
    """A path relative to the top of the repository, without `.` and `/` at its ends; None for one outside."""
    parts = PurePosixPath(path).parts
    if path.startswith("/") or ".." in parts or "\0" in path:
        return None
    return "/".join(part for part in parts if part != ".")
