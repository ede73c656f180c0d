"""Writes a snapshot as one tar, and stores a bundle of the reconciler in a repository."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Mapping
from typing import IO, Any

from .configuration import Configuration
from .errors import AgentError
from .manifest import DUMP, NAME
from .processes import CHUNK
from .repository import Repository
from .restic import LONG_SECONDS, Restic, summary
from .retention import WITHIN

_TAR_END = 1024
REMAINING_SECONDS = 60.0
"""Timeout of restic after its last byte was read."""


def export(repository: Repository, identity: str, sink: IO[bytes]) -> None:
    """Write a tar with `manifest.json`, `database.pgdump` and `data/<role>/...`, without a temporary file.

    Raises:
        AgentError: `no-snapshot`, `other-service`, or an error of the repository; the tar then has no end.
    """
    half, dump, document = repository.chosen(identity)
    with tarfile.open(fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        text = repository.manifest_text(half.id)
        _add(archive, NAME, len(text), io.BytesIO(text))
        if dump is not None:
            _stored(
                archive,
                repository.restic,
                dump.id,
                DUMP,
                "database.pgdump",
                int(document["database"]["bytes"]),
            )
        if document.get("volumes"):
            _folder(archive, repository.restic, half.id)
        for copy in document.get("sqlite") or []:
            # The copy gets the path of the original.
            name, size = str(copy["path"]).lstrip("/"), int(copy["bytes"])
            _stored(archive, repository.restic, half.id, str(copy["copy"]), name, size, owner=copy)


def backup_bundle(restic: Restic, configuration: Configuration, name: str, source: int) -> str:
    """Store a tar as a snapshot, and apply the service's retention to such snapshots.

    Args:
        restic: on the repository `reconciler`.
        configuration: of the agent.
        name: of the file in the snapshot.
        source: descriptor to read the tar from.

    Returns:
        Restic's id of the snapshot.

    Raises:
        AgentError: `failed`: the tar is incomplete, or the name is not a file name; or another error of the
            repository.
    """
    if not name or name.startswith("-") or "/" in name or not name.isprintable():
        raise AgentError(
            "failed", f"cannot back up {name[:80]!r}: it is not a file name", "write it without a slash"
        )
    words = ["backup", "--json", "--stdin", "--stdin-filename", f"/{name}", "--host", "reconciler"]
    with restic.start(*words, "--tag", "reconciler", stdin=True) as child:
        # An error stops restic before its standard input ends, so there is no snapshot of a part.
        try:
            if not _passed(source, child.stdin):
                raise AgentError(
                    "failed",
                    f"cannot back up {name}: standard input is not a complete tar",
                    "pipe a tar into standard input",
                )
            child.close_stdin()
        except BrokenPipeError:
            verb = f"back up {name}"
            raise restic.failure(verb, restic.end_of(child, REMAINING_SECONDS, verb=verb)) from None
        ended = restic.end_of(child, LONG_SECONDS, verb=f"back up {name}")
    stored = summary(ended.output)
    if ended.code != 0 or stored is None:
        raise restic.failure(f"back up {name}", ended)
    # Stale ones only: other agents use this repository, too.
    restic.output("unlock", verb="remove stale locks")
    if configuration.forget:
        words = [
            "forget",
            "--quiet",
            "--prune",
            "--tag",
            "reconciler",
            "--group-by",
            "tags",
            "--keep-last",
            "1",
        ]
        words += ["--keep-within", f"{WITHIN.days}d"]
        for kind in ("daily", "weekly", "monthly"):
            number = getattr(configuration.keep, kind)
            words += [f"--keep-{kind}", str(number)] if number else []
        restic.output(*words, seconds=LONG_SECONDS, verb="remove old bundles of the reconciler")
    return str(stored["snapshot_id"])


def _passed(source: int, sink: int) -> bool:
    """Pass everything on; whether it ended like a tar: with two blocks of zeros (POSIX, pax)."""
    end = b""
    while chunk := os.read(source, CHUNK):
        end = (end + chunk)[-_TAR_END:]
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(sink, rest) :]
    return len(end) == _TAR_END and not any(end)


def _stored(
    archive: tarfile.TarFile,
    restic: Restic,
    identity: str,
    path: str,
    name: str,
    size: int,
    owner: Mapping[str, Any] | None = None,
) -> None:
    with restic.start("dump", "--no-lock", identity, path, pipe=True) as child:
        try:
            _add(archive, name, size, child.stdout, owner)
        except OSError as error:
            # tarfile raises it where the source ends too early; restic's error has the cause.
            raise restic.failure(f"read {name}", child.wait(REMAINING_SECONDS)) from error
        ended = child.wait(REMAINING_SECONDS)
    if ended.code != 0:
        raise restic.failure(f"read {name}", ended)


def _folder(archive: tarfile.TarFile, restic: Restic, identity: str) -> None:
    """Restic's tar of `/data`, entry by entry, with the owners, modes and links in it."""
    with restic.start("dump", "--no-lock", "--archive", "tar", identity, "/data", pipe=True) as child:
        try:
            with tarfile.open(fileobj=child.stdout, mode="r|") as source:
                for member in source:
                    member.name = member.name.lstrip("/")
                    archive.addfile(member, source.extractfile(member) if member.isreg() else None)
                    # Both objects store every member, and a volume may have millions.
                    source.members = []  # type: ignore[attr-defined]
                    archive.members = []  # type: ignore[attr-defined]
        except (tarfile.TarError, OSError) as error:
            raise restic.failure("read the files", child.wait(REMAINING_SECONDS)) from error
        ended = child.wait(REMAINING_SECONDS)
    if ended.code != 0:
        raise restic.failure("read the files", ended)


def _add(
    archive: tarfile.TarFile, name: str, size: int, source: IO[bytes], owner: Mapping[str, Any] | None = None
) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    if owner is not None:
        member.uid, member.gid, member.mode = (int(owner[part]) for part in ("uid", "gid", "mode"))
    archive.addfile(member, source)
