"""The cache outside the clone: one folder per piece and version, complete or absent.

A piece is made in a folder of its own and renamed into place, under a lock, so that neither a killed run nor
two runs at once leave an incomplete one. Nothing but the standard library is imported here.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from toolchain.errors import ToolchainError

Progress = Callable[[str], None]
"""Prints one plain line for the person who waits."""

ORIGIN = "origin.json"


def cache_root(environ: Mapping[str, str] | None = None) -> Path:
    """Where the cache is: RONRON_CACHE, or `ronron` in the user's cache directory."""
    environ = os.environ if environ is None else environ
    if environ.get("RONRON_CACHE"):
        return Path(environ["RONRON_CACHE"]).absolute()
    base = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME") or Path.home()) / ".cache")
    return Path(base).absolute() / "ronron"


def recipe_hash(folder: Path, *more: str) -> str:
    """Hash of what a piece is made from: names, executable bits and contents of a folder, and further texts.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = file.read_bytes()
        executable = "x" if os.access(file, os.X_OK) else "-"
        digest.update(f"{file.relative_to(folder)}\0{executable}\0{len(content)}\0".encode())
        digest.update(content)
    for text in more:
        digest.update(f"\0{len(text)}\0{text}".encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class Origin:
    """Where a piece in the cache came from."""

    piece: str
    version: str
    origin: str
    """`download` or `built`."""
    when: str
    """UTC, ISO 8601."""


@dataclass(frozen=True)
class Cache:
    """The cache below one directory."""

    root: Path

    @property
    def logs(self) -> Path:
        """Where the output of builds goes."""
        return self.root / "logs"

    def find(self, key: str, files: Sequence[str]) -> Path | None:
        """The folder of a piece, if it is there with all of its files."""
        folder = self.root / key
        complete = all((folder / file).is_file() for file in files)
        return folder if complete and self._recorded(folder) else None

    def origin(self, folder: Path) -> Origin:
        """Where the piece in this folder, which `find` gave, came from."""
        return Origin(**json.loads((folder / ORIGIN).read_text()))

    def _recorded(self, folder: Path) -> bool:
        try:
            self.origin(folder)
        except (OSError, ValueError, TypeError):  # none, or not written to its end when the power went
            return False
        return True

    def obtain(
        self,
        key: str,
        files: Sequence[str],
        make: Callable[[Path], tuple[str, str]],
        *,
        piece: str,
        progress: Progress,
    ) -> Path:
        """The folder of a piece; made now if it is not there.

        Args:
            key: name of the folder, with the version in it.
            files: what has to be in it, relative.
            make: fills an empty folder and returns version and origin; an exception leaves nothing behind.
            piece: the piece's name, for the record and for people.
            progress: prints a line while another run is being waited for.

        Raises:
            ToolchainError: the cache cannot be written to, or `make` gave not all of the files.
        """
        found = self.find(key, files)
        if found:
            return found
        with self.lock(key, progress=progress):
            found = self.find(key, files)
            if found:
                return found
            with self.workspace(key) as folder:
                version, origin = make(folder)
                now = datetime.now(UTC).isoformat(timespec="seconds")
                record = {"piece": piece, "version": version, "origin": origin, "when": now}
                (folder / ORIGIN).write_text(json.dumps(record) + "\n")
                missing = [file for file in files if not (folder / file).is_file()]
                if missing:
                    raise ToolchainError(f"making {key} gave no {', '.join(missing)}", "run it again")
                final = self.root / key
                if final.exists():  # incomplete: somebody removed files by hand
                    final.rename(folder.with_name(folder.name + ".old"))
                folder.rename(final)
        return self.root / key

    @contextmanager
    def workspace(self, key: str) -> Iterator[Path]:
        """An empty folder in the cache, gone afterwards, as is what a killed run left. Under `lock(key)`."""
        making = self._folder(".making")
        _remove_all(making, f"{key}.making.")
        folder = Path(tempfile.mkdtemp(prefix=f"{key}.making.", dir=making))
        folder.chmod(0o755)
        try:
            yield folder
        finally:
            _remove_all(making, f"{key}.making.")

    @contextmanager
    def lock(self, key: str, *, progress: Progress) -> Iterator[None]:
        """Lock a piece against other runs; the kernel unlocks it when the process ends."""
        with (self._folder(".locks") / key).open("w") as opened:
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress(f"{key}: another run is making it; waiting")
                fcntl.flock(opened, fcntl.LOCK_EX)
            yield

    def _folder(self, name: str) -> Path:
        folder = self.root / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            hint = "set RONRON_CACHE to a folder that you may write to, and run it again"
            raise ToolchainError(f"cannot make {folder}: {error.strerror}", hint) from error
        if not os.access(folder, os.W_OK):
            owner = "take ownership (sudo chown -R), or set RONRON_CACHE to another folder"
            raise ToolchainError(f"cannot write to {folder}", owner)
        return folder


def _remove_all(folder: Path, prefix: str) -> None:
    for left in folder.iterdir():
        if left.name.startswith(prefix):
            # A program of a killed run may write there for a last moment; what then stays goes the next time.
            shutil.rmtree(left, ignore_errors=True)
