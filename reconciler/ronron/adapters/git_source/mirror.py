"""A bare mirror of one repository: fetched into, published in one step, replaced when it is broken.

What was fetched is recorded in one file inside the mirror (`ronron.json`), which is replaced in one rename
after all objects are there; the mirror's own references only tell git what need not be fetched again. So a
fetch may die at any point, and what is published stays true. The mirror itself is reached through a link, so
that a new mirror replaces a broken one in one rename as well.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from contextlib import AbstractContextManager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Literal
from uuid import uuid4

from pydantic import ValidationError

from ronron.adapters.git_source.address import Address
from ronron.adapters.git_source.commands import GitCommands, GitFailedError, GitTimeoutError
from ronron.adapters.git_source.locks import Lock, locked
from ronron.core.model import Commit, Value
from ronron.core.references import BRANCHES, HEAD, TAGS, References
from ronron.ports import Processes

REFSPECS = (f"+{BRANCHES}*:{BRANCHES}*", f"+{TAGS}*:{TAGS}*")
"""Branches and tags; never refs/pull or refs/merge-requests, where forges store code of strangers."""

PUBLISHED = "ronron.json"
MOST_PACKS = 50
MOST_LOOSE = 2000
"""How many packs and loose objects a mirror may have before they are packed into one.

`gc.autoPackLimit` is 50 too; git waits for 6700 loose objects (git-config(1), 2.39), which a mirror
reaches later.
"""

_BROKEN = re.compile(
    r"not a git repository|bad config|bad object|does not point to a valid object|corrupt|inflate: "
    r"|unable to (read|unpack) (sha1 |tree |blob |object )?(file|\(?[0-9a-f]{40})|could not read [0-9a-f]{40}"
    r"|object file .* is empty|missing (blob|tree|commit|tag) |packfile .* (cannot be accessed|is far too)"
    r"|did not send all necessary objects|index-pack failed|bad (pack|signature|index)|non-monotonic index"
    r"|broken (ref|link)|unresolved deltas|not a (valid object name|tree object)|failed to (read|unpack) ",
    re.IGNORECASE,
)


class Advertised(Value):
    """The references that a repository advertises: branches, tags and the default branch.

    Args:
        head: the full name of the default branch; empty where it is unknown.
        objects: full name -> object; a tag object for annotated tags.
    """

    head: str
    objects: dict[str, Commit]


class Published(Value):
    """The record of what a mirror contains.

    Args:
        version: of this record.
        source: hash of the address; a record of another repository is not used.
        objects: as advertised, to see what moved.
        references: their commits.
    """

    version: Literal[1] = 1
    source: str
    objects: dict[str, Commit]
    references: References

    def shows(self, advertised: Advertised) -> bool:
        """Whether no reference moved."""
        return self.objects == advertised.objects and self.references.head == advertised.head


def parse_advertised(answer: bytes) -> Advertised:
    """Parse the output of `git ls-remote --symref`.

    Its lines are `<object> TAB <name>`, and `ref: <name> TAB HEAD`; those with `^{}` name the object
    of an annotated tag, which is read from the mirror instead. Where HEAD is given without its name
    (detached, or a server before git 1.8.5), a branch at the same commit is taken.
    """
    head, at = "", ""
    objects: dict[str, str] = {}
    for line in _lines(answer):
        value, _, name = line.partition("\t")
        if name == HEAD and value.startswith("ref: "):
            head = value.removeprefix("ref: ")
        elif name == HEAD:
            at = value
        elif name.startswith((BRANCHES, TAGS)) and not name.endswith("^{}"):
            objects[name] = value
    if not head and at:
        usual = {f"{BRANCHES}main": 0, f"{BRANCHES}master": 1}
        same = [name for name, value in objects.items() if value == at and name.startswith(BRANCHES)]
        head = min(same, key=lambda name: (usual.get(name, 2), name), default="")
    return Advertised(head=head if head in objects else "", objects=objects)


class Mirror:
    """The mirror of one repository under one directory, which several processes may share.

    Args:
        root: directory of the mirror and its lock.
        address: of the repository.
        git: runs the commands.
        patience: how long to wait for another process that fetches.
        transfer: how long a fetch may take.
        processes: proves which owners are dead.
    """

    def __init__(
        self,
        root: Path,
        address: Address,
        git: GitCommands,
        patience: timedelta,
        transfer: timedelta,
        processes: Processes,
    ) -> None:
        self._root = root
        self._link = root / "mirror"
        self._all = root / "mirrors"
        self._address = address
        self._source = hashlib.sha256(address.url.encode()).hexdigest()
        self._git = git
        self._patience = patience
        self._transfer = transfer
        self._processes = processes

    def path(self) -> Path | None:
        """Where the mirror is now; None before the first fetch, or when it was removed."""
        try:
            path = self._all / self._link.readlink().name
        except OSError:
            return None
        return path if (path / "objects").is_dir() else None

    def published(self) -> Published | None:
        """The result of the last fetch; None where there was none, or it was of another repository."""
        path = self.path()
        if path is None:
            return None
        try:
            published = Published.model_validate_json((path / PUBLISHED).read_bytes())
        except (OSError, ValidationError):
            # Unreadable, or of a newer version: fetched again, which costs little.
            return None
        return published if published.source == self._source else None

    def update(self, advertised: Advertised) -> Published:
        """Fetch what is advertised, or newer.

        Raises:
            GitFailedError, GitTimeoutError: the fetch failed.
            LockBusyError: another process fetches.
        """
        with self._locked() as lock:
            published = self.published()
            if published is not None and published.shows(advertised):
                return published
            path = self.path()
            if path is None:
                return self._make(advertised, lock)
            if lock.unclean:
                _tidy(path)
            try:
                return self._fetch_into(path, advertised, lock)
            except GitFailedError as error:
                if not is_broken(error.errors):
                    raise
            return self._make(advertised, lock)

    def repair(self, broken: Path | None, advertised: Advertised) -> Published:
        """Replace a mirror that cannot be read, unless another process did already."""
        with self._locked() as lock:
            published = self.published()
            if self.path() != broken and published is not None:
                return published
            return self._make(advertised, lock)

    def _locked(self) -> AbstractContextManager[Lock]:
        self._all.mkdir(parents=True, exist_ok=True, mode=0o700)
        return locked(self._root / "mirror.lock", self._patience, self._processes)

    def _make(self, advertised: Advertised, lock: Lock) -> Published:
        """Fetch everything into a new mirror, and publish it."""
        path = self._all / uuid4().hex
        try:
            longest = max(map(len, advertised.objects.values()), default=40)
            kind = "sha256" if longest == 64 else "sha1"
            self._git.run("init", "--quiet", "--bare", "--template=", f"--object-format={kind}", str(path))
            published = self._fetch_into(path, advertised, lock)
            staged = self._root / f"mirror.{path.name}"
            staged.symlink_to(Path(self._all.name, path.name))
            if self._link.is_dir() and not self._link.is_symlink():
                shutil.rmtree(self._link)
            staged.replace(self._link)
        finally:
            for other in self._all.iterdir():
                if other != self.path():
                    shutil.rmtree(other, ignore_errors=True)
            for other in self._root.glob("mirror.?*"):
                if other.is_symlink():
                    other.unlink()
        return published

    def _fetch_into(self, path: Path, advertised: Advertised, lock: Lock) -> Published:
        try:
            self._fetch(path, lock)
        except GitFailedError as error:
            if ".lock': File exists" not in error.errors:
                raise
            # The owner of that lock file is dead, or is not ours: this mirror is ours, and we have its lock.
            _tidy(path)
            self._fetch(path, lock)
        published = self._publish(path, advertised)
        self._pack(path, lock)
        return published

    def _fetch(self, path: Path, lock: Lock) -> None:
        self._change(
            path,
            lock,
            *("fetch", "--quiet", "--force", "--prune", "--no-tags", "--no-write-fetch-head"),
            # Without it, references of a shallow clone are skipped, with a warning and status 0.
            *("--update-shallow", "--no-auto-maintenance", "--no-recurse-submodules"),
            *("--", self._address.url, *REFSPECS),
        )

    def _change(self, path: Path, lock: Lock, *arguments: str) -> None:
        """Run a command that writes into the mirror; it has the lock as long as it lives."""
        self._git.run(
            f"--git-dir={path}",
            *arguments,
            timeout=self._transfer,
            keep_open=(lock.descriptor,),
            started=lock.working,
        )
        lock.clean()

    def _publish(self, path: Path, advertised: Advertised) -> Published:
        """Record what was fetched, which may be newer than what was advertised before."""
        form = "%(refname)%00%(objectname)%00%(objecttype)%00%(*objectname)%00%(*objecttype)"
        answer = self._git.run(f"--git-dir={path}", "for-each-ref", f"--format={form}", BRANCHES, TAGS)
        objects, commits = {}, {}
        for line in _lines(answer):
            name, object_, kind, inner, inner_kind = line.split("\0")
            objects[name] = object_
            if kind == "commit":
                commits[name] = object_
            elif inner_kind == "commit":
                commits[name] = inner
            elif inner_kind == "tag":
                # A tag of a tag, which git peels only once here before 2.45.
                with suppress(GitFailedError):
                    deep = self._git.run(f"--git-dir={path}", "rev-parse", "--verify", f"{name}^{{commit}}")
                    commits[name] = deep.decode().strip()
        head = advertised.head if advertised.head in objects else ""
        published = Published(
            source=self._source, objects=objects, references=References(head=head, commits=commits)
        )
        _write_through(path / PUBLISHED, published.model_dump_json().encode())
        return published

    def _pack(self, path: Path, lock: Lock) -> None:
        """Pack a mirror with many packs or loose objects; no object is dropped.

        An environment may still run, or roll back to, a commit that a force-push removed.
        """
        packs = sum(1 for _ in (path / "objects" / "pack").glob("*.pack"))
        sample = path / "objects" / "17"
        loose = 256 * sum(1 for _ in sample.iterdir()) if sample.is_dir() else 0
        if packs <= MOST_PACKS and loose <= MOST_LOOSE:
            return
        # Only speed is lost when this fails; what was fetched is published.
        with suppress(GitFailedError, GitTimeoutError):
            self._change(path, lock, "repack", "-a", "-d", "--keep-unreachable", "--quiet")
            self._change(path, lock, "pack-refs", "--all", "--prune")


def is_broken(errors: str) -> bool:
    """Whether git reports damage of our own mirror, not of the remote."""
    ours = "\n".join(line for line in errors.splitlines() if not line.startswith("remote:"))
    return bool(_BROKEN.search(ours)) and not re.search(r"early EOF|hung up|disconnect", ours)


def _lines(answer: bytes) -> list[str]:
    """Lines about references, without those whose names are not UTF-8: no policy can name them.

    Only a line feed ends a line: names may contain other line separators of Unicode.
    """
    lines = []
    for line in answer.split(b"\n"):
        with suppress(UnicodeDecodeError):
            lines.append(line.decode())
    return [line for line in lines if line]


def _tidy(path: Path) -> None:
    """Remove what killed git processes leave: lock files, temporary packs and objects.

    Only while we have the mirror's lock: every git that writes there has it too, so none is alive.
    """
    objects = path / "objects"
    for pattern in ("pack/tmp_*", "pack/.tmp-*", "pack/*.keep", "??/tmp_obj_*"):
        for left in objects.glob(pattern):
            left.unlink(missing_ok=True)
    for left in objects.glob("tmp_objdir-*"):
        shutil.rmtree(left, ignore_errors=True)
    for left in path.rglob("*.lock"):
        left.unlink(missing_ok=True)


def _write_through(path: Path, content: bytes) -> None:
    """Replace a file in one step that survives a power cut."""
    staged = path.with_suffix(".new")
    with staged.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    staged.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
