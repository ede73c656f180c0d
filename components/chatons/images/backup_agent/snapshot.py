"""Takes one snapshot: the database, then files and manifest, then the verification."""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import manifest as manifests
from . import sqlite
from .configuration import Configuration, Places, Running, Secrets
from .dump import DatabaseHalf, dump
from .errors import AgentError
from .journal import Journal, moment, now
from .lineage import RECREATED, Data
from .manifest import DUMP, Manifest
from .postgres import work_folder
from .processes import Process, StalledError
from .repository import LINEAGE_TAG, Repository
from .restic import LONG_SECONDS, QUICK_SECONDS, UNREADABLE_SOURCES, summary

RESTORED = ".ronron-restored"
"""Folder that a restore writes into first; never in a snapshot."""

TOC_SECONDS = 600.0


@dataclass(frozen=True)
class Taking:
    """What `take` needs.

    Attributes:
        configuration, secrets, places: of the agent.
        repository: the service's.
        journal: of the agent.
        inherit: descriptors that child processes inherit: the agent's lock.
        log: takes one line for each step.
        data: what is known of the service's data.
    """

    configuration: Configuration
    secrets: Secrets
    places: Places
    repository: Repository
    journal: Journal
    inherit: Sequence[int]
    log: Callable[[str], None]
    data: Data


def take(with_: Taking, *, reason: str, revision: str | None, running: Running | None) -> dict[str, Any]:
    """Take a snapshot and verify it.

    Args:
        with_: configuration, repository, journal and log.
        reason: `asked`, `schedule`, `update` or `restore`.
        revision: the commit that is live; None where it is unknown.
        running: what the service runs; None: as in the configuration.

    Returns:
        SNAPSHOT of the contract.

    Raises:
        AgentError: there is no snapshot; a half that is left over does not count.
    """
    began, taken, run = time.monotonic(), moment(now()), uuid.uuid4().hex
    configuration, repository = with_.configuration, with_.repository
    repository.ensure()
    repository.unlock()
    _empty(with_.places.stage)
    half: DatabaseHalf | None = None
    if configuration.database is not None:
        with_.log(f"dumping the database {configuration.database.name}")
        half = dump(repository.restic, configuration, with_.secrets, with_.places, run, with_.inherit)
    copies = tuple(sqlite.copied(path, with_.places.stage / "sqlite") for path in configuration.sqlite)
    excluded = exclusions(configuration)
    roots = sorted(configuration.volumes.values())
    count, size = measured([*roots, *(one.copy for one in copies)], excluded)
    manifest = Manifest(
        run=run,
        taken=taken,
        reason=reason,
        project=configuration.project,
        stack=configuration.stack,
        service=configuration.service,
        kind=configuration.kind,
        running=running or configuration.running,
        revision=revision,
        database_id=half.id if half else None,
        database=half.dumped if half else None,
        counts=half.counts if half else {},
        files=count,
        bytes=size,
        seconds=time.monotonic() - began,
        sqlite=copies,
        volumes=tuple(sorted(configuration.volumes)),
        lineage=with_.data.lineage,
        recreated=with_.data.state == RECREATED,
        places=with_.data.places,
    )
    text = manifests.written(manifest)
    (with_.places.stage / manifests.NAME).write_bytes(text)
    with_.log(f"storing {count} file{'' if count == 1 else 's'}")
    stored = _files(with_, run, reason, roots, excluded, paired=half is not None, copied=bool(copies))
    with_.log("verifying")
    try:
        snapshot = _verified(with_, stored, half, text)
    except AgentError as error:
        _undo(with_, run)
        raise error if error.code != "failed" else _unverified(error.message) from error
    _empty(with_.places.stage)
    return snapshot


def exclusions(configuration: Configuration) -> list[str]:
    """Patterns that restic excludes: declared ones, live SQLite files, and folders of unfinished restores."""
    live = [literal(one) for path in configuration.sqlite for one in sqlite.beside(path)]
    begun = [f"{literal(root)}/{RESTORED}" for root in sorted(configuration.volumes.values())]
    return [*configuration.exclude, *live, *begun]


def literal(path: str) -> str:
    """A pattern that matches this path only. Source: Go's documentation, filepath.Match."""
    return "".join(f"\\{letter}" if letter in "\\*?[" else letter for letter in path)


def measured(roots: Sequence[str], excluded: Sequence[str]) -> tuple[int, int]:
    """Number and bytes of the files that are not excluded by a path or a simple pattern."""
    plain = {pattern.replace("\\", "") for pattern in excluded}
    globs = [
        pattern for pattern in excluded if any(letter in pattern for letter in "*?[") and "\\" not in pattern
    ]

    def skipped(path: str) -> bool:
        return path in plain or any(
            fnmatch.fnmatch(path, glob) or fnmatch.fnmatch(os.path.basename(path), glob)  # noqa: PTH119 -- speed
            for glob in globs
        )

    count = size = 0
    waiting = list(roots)
    while waiting:
        path = waiting.pop()
        with contextlib.suppress(OSError):  # restic reports what it cannot read
            about = os.lstat(path)
            if stat.S_ISREG(about.st_mode):
                count, size = count + 1, size + about.st_size
            elif stat.S_ISDIR(about.st_mode):
                with os.scandir(path) as entries:
                    for entry in entries:
                        if skipped(entry.path):
                            continue
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(entry.path)
                        elif entry.is_file(follow_symlinks=False):
                            count, size = count + 1, size + entry.stat(follow_symlinks=False).st_size
    return count, size


def _files(
    with_: Taking,
    run: str,
    reason: str,
    roots: Sequence[str],
    excluded: Sequence[str],
    *,
    paired: bool,
    copied: bool,
) -> str:
    stage = with_.places.stage
    words = ["backup", "--json", "--host", with_.configuration.host, "--tag", "files", "--tag", f"run:{run}"]
    words += ["--tag", f"reason:{reason}", *(["--tag", "paired"] if paired else [])]
    if with_.data.lineage:
        words += ["--tag", f"{LINEAGE_TAG}{with_.data.lineage}"]
    for pattern in excluded:
        words += ["--exclude", pattern]
    words += [*roots, str(stage / manifests.NAME), *([str(stage / "sqlite")] if copied else [])]
    verb = "store the files"
    ended = with_.repository.restic.ended(*words, seconds=LONG_SECONDS, verb=verb)
    if ended.code == UNREADABLE_SOURCES:
        _undo(with_, run)
    if ended.code != 0:
        raise with_.repository.restic.failure(verb, ended)
    stored = summary(ended.output)
    if stored is None:
        raise _unverified("restic reports no snapshot")
    return str(stored["snapshot_id"])


def _verified(with_: Taking, stored: str, half: DatabaseHalf | None, text: bytes) -> dict[str, Any]:
    """Verify both halves; returns SNAPSHOT. Reading a half fails where it does not exist."""
    repository = with_.repository
    dump_id = None
    if half is not None:
        dump_id = repository.full(half.id)
        size = _size_of_dump(repository, dump_id)
        if size != half.dumped.bytes:
            raise _unverified(
                f"the dump has {size} bytes in the repository, and {half.dumped.bytes} were sent"
            )
        _readable(with_, dump_id)
    identity = repository.full(stored)
    if repository.manifest_text(identity) != text:
        raise _unverified("the manifest in the repository differs from the written one")
    document = {**manifests.read(text), "database_id": dump_id}
    with_.journal.store_manifest(identity, document)
    return manifests.snapshot(identity, document)


def _size_of_dump(repository: Repository, identity: str) -> int:
    output = repository.restic.output("ls", "--json", "--no-lock", identity, verb="list the dump")
    for line in output.splitlines():
        node: Mapping[str, Any] = json.loads(line)
        if node.get("path") == DUMP:
            return int(node.get("size", 0))
    return 0


def _readable(with_: Taking, identity: str) -> None:
    """Let pg_restore read the dump's table of contents, which is at its beginning."""
    folder = work_folder(with_.places)
    environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8", "PGTZ": "UTC"}
    with with_.repository.restic.start("dump", "--no-lock", identity, DUMP, pipe=True) as source:
        with Process(
            ["pg_restore", "--list"], environment, folder, stdin=source.stdout.fileno(), inherit=with_.inherit
        ) as reader:
            source.close_stdout()
            try:
                ended = reader.wait(TOC_SECONDS)
            except StalledError as error:
                raise _unverified(str(error)) from error
        source.kill()
        errors = source.read_stderr()
    if ended.code != 0 or b"Archive created at" not in ended.output:
        raise _unverified(f"pg_restore cannot read the dump: {ended.stderr or errors}")


def _undo(with_: Taking, run: str) -> None:
    """Remove the halves of a failed snapshot; where that fails, they do not count either."""
    with contextlib.suppress(AgentError):
        halves = with_.repository.halves("--tag", f"run:{run}", seconds=QUICK_SECONDS)
        with_.repository.forget([half.id for half in halves if half.run == run])


def _empty(stage: Path) -> None:
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True, exist_ok=True, mode=0o700)


def _unverified(why: str) -> AgentError:
    return AgentError(
        "not-verified",
        f"cannot verify the snapshot: {why}",
        "run this again: ronron backup now; if it fails again, check the repository",
    )
