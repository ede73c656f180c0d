"""Everything in a snapshot as one tar, and a bundle of the reconciler's into a repository."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Mapping
from typing import IO, Any

from .children import CHUNK
from .configuration import Configuration
from .errors import AgentError
from .manifest import DUMP, NAME
from .repository import Repository
from .restic import LONG_SECONDS, Restic, summary
from .retention import WITHIN

_TAR_END = 1024
REMAINING_SECONDS = 60.0
"""How long restic may take to end once its last byte was read."""


def export(repository: Repository, identity: str, sink: IO[bytes]) -> None:
    """Write `manifest.json`, `database.pgdump` and `data/<role>/...`; nothing is spooled.

    Raises:
        AgentError: `no-snapshot`, `other-service`, or the repository's own trouble; the tar then has no end.
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
            # A copy goes where the original was.
            name, size = str(copy["path"]).lstrip("/"), int(copy["bytes"])
            _stored(archive, repository.restic, half.id, str(copy["copy"]), name, size, owner=copy)


def backup_bundle(restic: Restic, configuration: Configuration, name: str, source: int) -> str:
    """Store what is read as a snapshot, and keep as many of them as of the service's.

    Args:
        restic: on the repository for it.
        configuration: of the agent.
        name: of the file in the snapshot.
        source: descriptor to read from.

    Returns:
        Restic's id of it.

    Raises:
        AgentError: `failed`: there was nothing to read, or the name is none; or the repository's own trouble.
    """
    if not name or name.startswith("-") or "/" in name or not name.isprintable():
        raise AgentError(
            "failed", f"cannot keep {name[:80]!r}: it is no name of a file", "Write it without a slash"
        )
    words = ["backup", "--json", "--stdin", "--stdin-filename", f"/{name}", "--host", "reconciler"]
    with restic.start(*words, "--tag", "reconciler", stdin=True) as child:
        # Leaving by an error stops restic before its input ends: there is no snapshot of a part.
        try:
            if not _passed(source, child.stdin):
                raise AgentError(
                    "failed",
                    f"cannot keep {name}: what was given is no whole tar",
                    "Give a tar on standard input",
                )
            child.close_stdin()
        except BrokenPipeError:
            verb = f"keep {name}"
            raise restic.failure(verb, restic.end_of(child, REMAINING_SECONDS, verb=verb)) from None
        ended = restic.end_of(child, LONG_SECONDS, verb=f"keep {name}")
    told = summary(ended.output)
    if ended.code != 0 or told is None:
        raise restic.failure(f"keep {name}", ended)
    # Of those whose owner is silent for half an hour; other agents work in this repository, too.
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
        restic.output(*words, seconds=LONG_SECONDS, verb="remove old copies of the reconciler")
    return str(told["snapshot_id"])


def _passed(source: int, sink: int) -> bool:
    """Pass everything on; whether it ended as a tar does: with two blocks of zeros (POSIX, pax)."""
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
            # tarfile's word for a source that ends too early: restic's own is better.
            raise restic.failure(f"read {name}", child.wait(REMAINING_SECONDS)) from error
        ended = child.wait(REMAINING_SECONDS)
    if ended.code != 0:
        raise restic.failure(f"read {name}", ended)


def _folder(archive: tarfile.TarFile, restic: Restic, identity: str) -> None:
    """Restic's own tar of `/data`, entry by entry: owners, modes and links are as it gives them."""
    with restic.start("dump", "--no-lock", "--archive", "tar", identity, "/data", pipe=True) as child:
        try:
            with tarfile.open(fileobj=child.stdout, mode="r|") as source:
                for member in source:
                    member.name = member.name.lstrip("/")
                    archive.addfile(member, source.extractfile(member) if member.isreg() else None)
                    # Both remember every member, and a volume may have millions.
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
