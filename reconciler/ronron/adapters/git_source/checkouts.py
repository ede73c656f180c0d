"""Throw-away directories: one for each checkout, removed when its block ends or its owner is dead."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from ronron.adapters.git_source.locks import locked, try_lock
from ronron.ports import Processes

_OURS = re.compile(r"[0-9a-f]{32}")
_PATIENCE = timedelta(seconds=10)
"""For the lock under which directories are created and swept, which takes milliseconds."""


class Checkouts:
    """The directories under one root.

    Each has a lock file beside it, locked while its block runs, which proves that its owner lives. Only one
    process at a time creates or sweeps, so that no lock file is removed before it is locked.

    Args:
        root: where they are created; several processes may share it.
        processes: proves which owners are dead.
    """

    def __init__(self, root: Path, processes: Processes) -> None:
        self._root = root
        self._processes = processes

    @contextmanager
    def directory(self) -> Iterator[tuple[Path, Path]]:
        """An empty directory for the block, and the path of a file beside it that is removed with it.

        A directory that cannot be removed at the end (a container left files of root in it) is left for
        the next sweep; the block does not fail.
        """
        token = uuid4().hex
        directory, lock, beside = self._paths(token)
        with self._creating():
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try_lock(descriptor)
        try:
            directory.mkdir(mode=0o700)
            yield directory, beside
        finally:
            self._clear(token)
            os.close(descriptor)

    def sweep(self) -> None:
        """Remove the directories of dead owners, unless any process works in them.

        Directories that cannot be removed (another user's) stay; they only take disk space.
        """
        if not self._root.is_dir():
            return
        claims: dict[str, int] = {}
        try:
            with self._creating():
                names = {entry.name.partition(".")[0] for entry in self._root.iterdir()}
                for token in sorted(name for name in names if _OURS.fullmatch(name)):
                    with suppress(OSError):
                        self._claim(token, claims)
            # Claimed directories are ours, and a large tree takes a while.
            for token in claims:
                if not in_use(self._root / token):
                    self._clear(token)
        finally:
            for descriptor in claims.values():
                os.close(descriptor)

    def _claim(self, token: str, claims: dict[str, int]) -> None:
        descriptor = os.open(self._paths(token)[1], os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if try_lock(descriptor):
            claims[token] = descriptor
        else:
            os.close(descriptor)

    def _clear(self, token: str) -> None:
        """Remove a directory and its files; its lock file last, and only after the directory is removed."""
        directory, lock, beside = self._paths(token)
        _remove(directory)
        _forget(beside, Path(f"{beside}.lock"))
        if not directory.exists():
            _forget(lock)

    @contextmanager
    def _creating(self) -> Iterator[None]:
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(self._root / "making.lock", _PATIENCE, self._processes):
            yield

    def _paths(self, token: str) -> tuple[Path, Path, Path]:
        return self._root / token, self._root / f"{token}.lock", self._root / f"{token}.index"


def in_use(directory: Path) -> bool:
    """Whether a process has its working directory there: the engine outlives a killed reconciler."""
    inside = (str(directory.resolve()), f"{directory.resolve()}/")
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            place = str((process / "cwd").readlink())
            if place == inside[0] or place.startswith(inside[1]):
                return True
    return False


def _remove(directory: Path) -> None:
    """Remove a tree, read-only directories included, without following links out of it."""
    if directory.is_symlink():
        _forget(directory)
    if not directory.exists():
        return
    shutil.rmtree(directory, ignore_errors=True)
    if not directory.exists():
        return
    with suppress(OSError):
        directory.chmod(0o700)
    for parent, names, _ in os.walk(directory):
        for name in names:
            place = Path(parent, name)
            if not place.is_symlink():
                with suppress(OSError):
                    place.chmod(0o700)
    shutil.rmtree(directory, ignore_errors=True)


def _forget(*paths: Path) -> None:
    for path in paths:
        with suppress(OSError):
            path.unlink()
