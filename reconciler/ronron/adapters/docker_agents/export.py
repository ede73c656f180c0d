"""Writes what is in a snapshot into a directory; see ports.Backups.export."""

from __future__ import annotations

import io
import secrets
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker

from ronron.adapters.docker_agents.agent import WORK_SECONDS, Agent
from ronron.adapters.docker_agents.exec import LARGEST_OUTPUT, Execution, running
from ronron.core.backups import Snapshot
from ronron.core.errors import BackupError, ConfigError
from ronron.core.model import SHORT

_SPARE = 64 * 1024 * 1024
"""Bytes besides the dump and the files: the manifest, and what a file system needs for each file."""

LEFT_OUT = "left-out.txt"
"""Names of what was not written: links that lead out of the directory, devices and the like."""


def refuse_filled(place: Path) -> None:
    """Refuse a place where something is already.

    Raises:
        ConfigError: it is.
    """
    if place.is_symlink() or place.is_file() or (place.is_dir() and any(place.iterdir())):
        raise ConfigError(
            "cannot export: the place is not empty",
            where=str(place),
            hint="name a directory that does not exist yet",
        )


def export(client: docker.DockerClient, container: str, name: str, snapshot: Snapshot, place: Path) -> None:
    """Write a snapshot's manifest, dump and files; the place is there in whole or not at all.

    Args:
        client: of the Docker that the agent is on.
        container: the agent's.
        name: of the service.
        snapshot: what is written.
        place: a directory that is not there, or empty. Only its owner can read it.

    Raises:
        ConfigError: it cannot be written there.
        BackupError: the agent cannot read the snapshot, or the stream is not what it promised.
    """
    refuse_filled(place)
    stage = place.parent / f".{place.name}-{secrets.token_hex(4)}"
    size = (snapshot.database.bytes if snapshot.database else 0) + snapshot.files.bytes
    try:
        _prepare(stage, place, size, name)
        agent = Agent(client, container, name)
        words = agent.words("export", "--snapshot", snapshot.id)
        with running(client, container, words, seconds=WORK_SECONDS) as execution:
            _unpack(execution, agent, stage, size, name, snapshot)
        try:
            stage.rename(place)
        except OSError as error:
            raise _unwritable(place, error) from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _prepare(stage: Path, place: Path, size: int, name: str) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        stage.mkdir(mode=0o700)
        free = shutil.disk_usage(stage).free
    except OSError as error:
        raise _unwritable(place, error) from error
    if free < size + _SPARE:
        raise BackupError(
            f"cannot export {name}: it has {size / 1024**2:.0f} MiB, and {free / 1024**2:.0f} MiB are free",
            where=str(place),
            hint="name a directory on a larger disk",
        )


def _unpack(
    execution: Execution, agent: Agent, stage: Path, size: int, name: str, snapshot: Snapshot
) -> None:
    stream = ChunkStream(execution.output())
    head = stream.peek()
    if not head or head[:1] == b"{":
        # An error is a document where a tar would begin with a name.
        raise agent.failure(execution.ended(stream.rest(LARGEST_OUTPUT)))
    try:
        extract(stream, stage, size, name)
    except tarfile.TarError as error:
        raise BackupError(
            f"cannot export snapshot {snapshot.id[:SHORT]}: the stream broke off ({error})",
            where=name,
            hint="try it again; where it stays so, look for damage: ronron backup status",
        ) from error
    except OSError as error:
        raise _unwritable(stage.parent, error) from error
    ended = execution.ended(stream.rest(LARGEST_OUTPUT))
    if ended.code != 0:
        raise agent.failure(ended)


def extract(stream: ChunkStream, stage: Path, size: int, name: str) -> None:
    """Unpack a tar that somebody else made: nothing leaves the stage, and nothing gets an owner.

    Args:
        stream: the tar.
        stage: an empty directory.
        size: bytes that the manifest promises, of all files together.
        name: of the service, for errors.

    Raises:
        BackupError: it is larger. tarfile.TarError, OSError: it breaks off, or cannot be written.
    """
    left_out: list[str] = []
    written = 0
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        for member in tar:
            written += member.size
            if written > size + _SPARE:
                raise BackupError(
                    f"cannot export {name}: it is larger than the {size} bytes that its manifest promises",
                    hint="do not trust this snapshot, and look at the others: ronron backup list",
                )
            try:
                tar.extract(member, stage, filter="data")
            except tarfile.FilterError:
                left_out.append(member.name)
    if left_out:
        (stage / LEFT_OUT).write_text("".join(f"{each}\n" for each in left_out), encoding="utf-8")


def _unwritable(place: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"cannot export: {(error.strerror or str(error)).lower()}",
        where=str(place),
        hint="name a directory that does not exist yet, below one that you may write into",
    )


class ChunkStream(io.RawIOBase):
    """The output of a program, as a file that is read once."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._ahead = chunks, bytearray()

    def peek(self) -> bytes:
        """Its beginning, which stays where it is."""
        if not self._ahead:
            self._ahead += next(self._chunks, b"")
        return bytes(self._ahead)

    def rest(self, most: int) -> bytes:
        """Everything that is left; only the first `most` bytes of it are kept."""
        kept = bytearray()
        while part := self.read(64 * 1024):
            kept += part[: most - len(kept)]
        return bytes(kept)

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Up to so many bytes: fewer only at the end, as tarfile expects."""
        while size < 0 or len(self._ahead) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._ahead += chunk
        size = len(self._ahead) if size < 0 else size
        part = bytes(self._ahead[:size])
        del self._ahead[:size]
        return part
