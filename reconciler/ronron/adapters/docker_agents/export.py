"""Writes the contents of a snapshot into a directory; see ports.Backups.export."""

from __future__ import annotations

import io
import secrets
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

from ronron.adapters.docker_agents.agent import Agent
from ronron.adapters.docker_agents.exec import LARGEST_OUTPUT, Execution
from ronron.core.backups import Snapshot
from ronron.core.errors import BackupError, ConfigError
from ronron.core.model import SHORT

_SPARE = 64 * 1024 * 1024
"""Bytes besides the dump and the files: the manifest, and the overhead of the file system."""

SKIPPED = "left-out.txt"
"""File with the names of what was not written, such as devices and links that lead out of the directory."""


def export(agent: Agent, snapshot: Snapshot, directory: Path) -> None:
    """Write a snapshot's manifest, dump and files; the directory is complete or does not exist.

    Args:
        agent: of the service.
        snapshot: what is written.
        directory: does not exist yet, or is empty. Only its owner can read it.

    Raises:
        ConfigError: it is not empty, or cannot be written.
        BackupError: the agent cannot read the snapshot, or the stream differs from its manifest.
    """
    refuse_nonempty(directory)
    stage = directory.parent / f".{directory.name}-{secrets.token_hex(4)}"
    size = (snapshot.database.bytes if snapshot.database else 0) + snapshot.files.bytes
    try:
        _prepare(stage, directory, size, agent.name)
        with agent.exporting(snapshot.id) as execution:
            _unpack(execution, agent, stage, size, snapshot)
        try:
            stage.rename(directory)
        except OSError as error:
            raise _unwritable(directory, error) from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def refuse_nonempty(directory: Path) -> None:
    """Refuse a directory that is not empty.

    Raises:
        ConfigError: it is not empty, or it is a file or a link.
    """
    if directory.is_symlink() or directory.is_file() or (directory.is_dir() and any(directory.iterdir())):
        raise ConfigError(
            "cannot export: the directory is not empty",
            where=str(directory),
            hint="name a directory that does not exist yet",
        )


def _prepare(stage: Path, directory: Path, size: int, name: str) -> None:
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        stage.mkdir(mode=0o700)
        free = shutil.disk_usage(stage).free
    except OSError as error:
        raise _unwritable(directory, error) from error
    if free < size + _SPARE:
        raise BackupError(
            f"cannot export {name}: it has {size / 1024**2:.0f} MiB, and {free / 1024**2:.0f} MiB are free",
            where=str(directory),
            hint="name a directory on a larger disk",
        )


def _unpack(execution: Execution, agent: Agent, stage: Path, size: int, snapshot: Snapshot) -> None:
    stream = ChunkStream(execution.output())
    head = stream.peek()
    if not head or head[:1] == b"{":
        # An error is a JSON document; a tar begins with a name.
        raise agent.failure(execution.ended(stream.rest(LARGEST_OUTPUT)))
    try:
        extract(stream, stage, size, agent.name)
    except tarfile.TarError as error:
        raise BackupError(
            f"cannot export snapshot {snapshot.id[:SHORT]}: the stream is incomplete ({error})",
            where=agent.name,
            hint="try again; if it fails again, check the repository: ronron backup status",
        ) from error
    except OSError as error:
        raise _unwritable(stage.parent, error) from error
    ended = execution.ended(stream.rest(LARGEST_OUTPUT))
    if ended.code != 0:
        raise agent.failure(ended)


def extract(stream: ChunkStream, stage: Path, size: int, name: str) -> None:
    """Unpack a tar that is not trusted: nothing is written outside of the stage, and owners are ignored.

    Args:
        stream: the tar.
        stage: an empty directory.
        size: bytes of all files together, by the manifest.
        name: of the service, for errors.

    Raises:
        BackupError: it is larger. tarfile.TarError, OSError: it is incomplete, or cannot be written.
    """
    skipped: list[str] = []
    written = 0
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        for member in tar:
            written += member.size
            if written > size + _SPARE:
                raise BackupError(
                    f"cannot export {name}: it is larger than the {size} bytes of its manifest",
                    hint="do not trust this snapshot; choose another one: ronron backup list",
                )
            try:
                tar.extract(member, stage, filter="data")
            except tarfile.FilterError:
                skipped.append(member.name)
    if skipped:
        (stage / SKIPPED).write_text("".join(f"{each}\n" for each in skipped), encoding="utf-8")


def _unwritable(directory: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"cannot export: {(error.strerror or str(error)).lower()}",
        where=str(directory),
        hint="name a directory that does not exist yet, below one that you may write into",
    )


class ChunkStream(io.RawIOBase):
    """The output of a program as a file that can be read once."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._ahead = chunks, bytearray()

    def peek(self) -> bytes:
        """Its beginning, which is not consumed."""
        if not self._ahead:
            self._ahead += next(self._chunks, b"")
        return bytes(self._ahead)

    def rest(self, most: int) -> bytes:
        """Read to the end; returns the first `most` bytes of that."""
        first = bytearray()
        while part := self.read(64 * 1024):
            first += part[: most - len(first)]
        return bytes(first)

    def readable(self) -> bool:
        """Always True."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes: fewer only at the end, as tarfile expects."""
        while size < 0 or len(self._ahead) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._ahead += chunk
        size = len(self._ahead) if size < 0 else size
        part = bytes(self._ahead[:size])
        del self._ahead[:size]
        return part
