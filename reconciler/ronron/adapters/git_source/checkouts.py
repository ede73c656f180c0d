"""Throw-away directories: one for each checkout, gone when its block ends or its owner is dead."""

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
"""For the lock under which directories are made and swept, which takes milliseconds."""


class Checkouts:
    """The directories under one root.

    Each has a lock beside it, held as long as its block runs: proof for everybody else that its owner
    lives. Making and sweeping go one at a time, so that no lock is swept between its making and its
    holding.

    Args:
        root: where they are made; several processes may share it.
        processes: the proof of who is dead.
    """

    def __init__(self, root: Path, processes: Processes) -> None:
        self._root = root
        self._processes = processes

    @contextmanager
    def room(self) -> Iterator[tuple[Path, Path]]:
        """An empty directory for the block, and the path of a file beside it that goes with it.

        A directory that cannot be removed at the end (a container left files of root in it) is left for
        the next sweep: what was done in the block is done.
        """
        token = uuid4().hex
        directory, lock, beside = self._paths(token)
        with self._making():
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try_lock(descriptor)
        try:
            directory.mkdir(mode=0o700)
            yield directory, beside
        finally:
            self._clear(token)
            os.close(descriptor)

    def sweep(self) -> None:
        """Remove what dead owners left; what somebody works in stays, whoever that is.

        What cannot be removed (another user's) stays too: it hinders nobody but the disk.
        """
        if not self._root.is_dir():
            return
        claims: dict[str, int] = {}
        try:
            with self._making():
                names = {entry.name.partition(".")[0] for entry in self._root.iterdir()}
                for token in sorted(name for name in names if _OURS.fullmatch(name)):
                    with suppress(OSError):
                        self._claim(token, claims)
            # What was claimed nobody else touches, and a large tree takes a while.
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
        """Remove a directory and what belongs to it; its lock last, and only when it is gone."""
        directory, lock, beside = self._paths(token)
        _remove(directory)
        _forget(beside, Path(f"{beside}.lock"))
        if not directory.exists():
            _forget(lock)

    @contextmanager
    def _making(self) -> Iterator[None]:
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(self._root / "making.lock", _PATIENCE, self._processes):
            yield

    def _paths(self, token: str) -> tuple[Path, Path, Path]:
        return self._root / token, self._root / f"{token}.lock", self._root / f"{token}.index"


def in_use(directory: Path) -> bool:
    """Whether a process works in a directory: the engine outlives a reconciler that was killed."""
    inside = (str(directory.resolve()), f"{directory.resolve()}/")
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            place = str((process / "cwd").readlink())
            if place == inside[0] or place.startswith(inside[1]):
                return True
    return False


def _remove(directory: Path) -> None:
    """Remove a tree without following links out of it, directories that may not be written included."""
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
