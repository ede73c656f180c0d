"""A source in memory, with the commits that a test pushes to it."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from types import MappingProxyType

from ronron.core.errors import ReconcilerError, RevisionNotFoundError, SourceError
from ronron.core.model import Revision
from ronron.core.references import BRANCHES, TAGS, References, find

READ_LIMIT = 1024 * 1024


@dataclass(frozen=True)
class _Commit:
    parent: str | None
    files: Mapping[str, tuple[bool, bytes]]


class FakeSource:
    """See ports.Source. Object ids are those that git would give (SHA-1).

    Tests push with `commit`, `tag`, `move` and `delete`; as with a real source, nothing of it is seen
    before the next `refresh`.

    Args:
        head: the full name of the default branch.

    Attributes:
        calls: how often each method of the port was called, by its name.
        checked_out: every revision that was checked out, in order.
    """

    def __init__(self, head: str = f"{BRANCHES}main") -> None:
        self.calls: Counter[str] = Counter()
        self.checked_out: list[Revision] = []
        self._head = head
        self._commits: dict[str, _Commit] = {}
        self._pushed: dict[str, str] = {}
        self._fetched: set[str] = set()
        self._seen: References | None = None
        self._failures: dict[str, deque[ReconcilerError]] = {}
        self._lock = Lock()

    # -- what people do to the repository ----------------------------------------------------------

    def commit(
        self,
        files: Mapping[str, str | bytes | None],
        *,
        branch: str = "main",
        executable: Collection[str] = (),
    ) -> str:
        """Push a commit on top of a branch, which is made where it is not there.

        Args:
            files: path -> new content; None removes one. All others stay as they are.
            branch: its short name.
            executable: paths among `files` that get the executable bit.

        Returns:
            The full hash of the commit.
        """
        name = BRANCHES + branch
        parent = self._pushed.get(name)
        content = dict(self._commits[parent].files) if parent else {}
        for path, new in files.items():
            content.pop(path, None)
            if new is not None:
                content[path] = (path in executable, new.encode() if isinstance(new, str) else new)
        text = f"tree {_tree(content)}\nparent {parent}\nnumber {len(self._commits)}\n"
        commit = _object("commit", text.encode())
        self._commits[commit] = _Commit(parent, MappingProxyType(content))
        self._pushed[name] = commit
        return commit

    def tag(self, name: str, commit: str, *, annotated: bool = False) -> None:
        """Push a tag by its short name; an annotated one resolves to the same commit."""
        del annotated
        self.move(TAGS + name, commit)

    def move(self, reference: str, commit: str) -> None:
        """Force-push: let a full name stand at any commit that was pushed once."""
        if commit not in self._commits:
            raise KeyError(commit)
        self._pushed[reference] = commit

    def delete(self, reference: str) -> None:
        """Delete a branch or a tag by its full name."""
        del self._pushed[reference]

    def fail(self, method: str, *errors: ReconcilerError) -> None:
        """Let the next calls of a method of the port raise, one error for each call."""
        self._failures.setdefault(method, deque()).extend(errors)

    # -- the port ----------------------------------------------------------------------------------

    def refresh(self) -> bool:
        """See ports.Source."""
        self._called("refresh")
        with self._lock:
            if not self._pushed:
                raise RevisionNotFoundError(
                    "cannot follow the repository: it is empty",
                    hint="push a first commit: `git push origin main`",
                )
            for tip in self._pushed.values():
                commit: str | None = tip
                while commit is not None and commit not in self._fetched:
                    self._fetched.add(commit)
                    commit = self._commits[commit].parent
            head = self._head if self._head in self._pushed else ""
            seen = References(head=head, commits=dict(self._pushed))
            moved = seen != self._seen
            self._seen = seen
            return moved

    def resolve(self, reference: str) -> Revision:
        """See ports.Source."""
        self._called("resolve")
        if self._seen is None:
            raise RevisionNotFoundError(
                f"cannot find {reference!r}: the repository was not polled yet", hint="poll it first"
            )
        return find(self._seen, reference)

    def entries(self, revision: Revision, directory: str) -> Mapping[str, str]:
        """See ports.Source."""
        self._called("entries")
        files = self._files(revision)
        path = _inside(directory)
        if path is None:
            return MappingProxyType({})
        return MappingProxyType({name: object_ for _, name, object_ in _children(files, path)})

    def read(self, revision: Revision, path: str) -> str | None:
        """See ports.Source."""
        self._called("read")
        _, content = self._files(revision).get(_inside(path) or "", (False, None))
        if content is None:
            return None
        if len(content) > READ_LIMIT:
            raise SourceError(f"cannot read {path}: it is larger than 1 MiB", hint="split it")
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise SourceError(f"cannot read {path}: it is not UTF-8 text", hint="save it as UTF-8") from error

    @contextmanager
    def checkout(self, revision: Revision) -> Iterator[Path]:
        """See ports.Source."""
        self._called("checkout")
        files = self._files(revision)
        self.checked_out.append(revision)
        with tempfile.TemporaryDirectory(prefix="ronron-") as name:
            for path, (executable, content) in files.items():
                file = Path(name, path)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
                file.chmod(0o755 if executable else 0o644)
            yield Path(name)

    def _called(self, method: str) -> None:
        with self._lock:
            self.calls[method] += 1
            failures = self._failures.get(method)
            failure = failures.popleft() if failures else None
        if failure is not None:
            raise failure

    def _files(self, revision: Revision) -> Mapping[str, tuple[bool, bytes]]:
        if revision.commit not in self._fetched:
            raise RevisionNotFoundError(f"cannot find commit {revision.commit}", hint="push it on a branch")
        return self._commits[revision.commit].files


def _inside(path: str) -> str | None:
    parts = path.split("/")
    if path.startswith("/") or ".." in parts:
        return None
    return "/".join(part for part in parts if part not in {"", "."})


def _children(files: Mapping[str, tuple[bool, bytes]], directory: str) -> list[tuple[str, str, str]]:
    """Mode, name and object id of what lies directly in a directory, as git's trees hold them."""
    below = f"{directory}/" if directory else ""
    inside = {path.removeprefix(below): file for path, file in files.items() if path.startswith(below)}
    children = []
    for name in {path.partition("/")[0] for path in inside}:
        if name in inside:
            executable, content = inside[name]
            children.append(("100755" if executable else "100644", name, _object("blob", content)))
        else:
            children.append(("40000", name, _tree(inside, name)))
    return children


def _tree(files: Mapping[str, tuple[bool, bytes]], directory: str = "") -> str:
    # Git sorts directories as if their names ended in a slash (gitdatamodel: trees).
    children = sorted(
        _children(files, directory), key=lambda child: child[1] + ("/" if child[0] == "40000" else "")
    )
    content = b"".join(
        f"{mode} {name}\0".encode() + bytes.fromhex(object_) for mode, name, object_ in children
    )
    return _object("tree", content)


def _object(kind: str, content: bytes) -> str:
    head = f"{kind} {len(content)}\0".encode()
    return hashlib.sha1(head + content, usedforsecurity=False).hexdigest()
