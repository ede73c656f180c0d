"""One verified snapshot: the database, then files and manifest, then proof that all of it is there."""

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
from .children import Child, StalledError
from .configuration import Configuration, Places, Running, Secrets
from .dump import DatabaseHalf, dump
from .errors import AgentError
from .journal import Journal, moment, now
from .manifest import DUMP, Manifest
from .postgres import work_folder
from .repository import Repository
from .restic import LONG_SECONDS, QUICK_SECONDS, UNREADABLE_SOURCES, summary

RESTORED = ".ronron-restored"
"""Where a restore puts files first: what is in it comes from a snapshot, and never goes into one."""

TOC_SECONDS = 600.0


@dataclass(frozen=True)
class Taking:
    """What a snapshot is taken with.

    Attributes:
        configuration, secrets, places: of the agent.
        repository: the service's.
        journal: of the agent.
        keep: the descriptor of the agent's lock, for children.
        told: is given a line for each step.
    """

    configuration: Configuration
    secrets: Secrets
    places: Places
    repository: Repository
    journal: Journal
    keep: Sequence[int]
    told: Callable[[str], None]


def take(with_: Taking, *, reason: str, revision: str | None, running: Running | None) -> dict[str, Any]:
    """Take a snapshot and verify it.

    Args:
        with_: what it is taken with.
        reason: `asked`, `schedule`, `update` or `restore`.
        revision: the commit that runs, where it is known.
        running: what the service runs; None: as the configuration says.

    Returns:
        SNAPSHOT of the contract.

    Raises:
        AgentError: there is no snapshot; what there is of it counts for nothing.
    """
    began, taken, run = time.monotonic(), moment(now()), uuid.uuid4().hex
    configuration, repository = with_.configuration, with_.repository
    repository.ensure()
    repository.unlock()
    _empty(with_.places.stage)
    half: DatabaseHalf | None = None
    if configuration.database is not None:
        with_.told(f"dumping the database {configuration.database.name}")
        half = dump(repository.restic, configuration, with_.secrets, with_.places, run, with_.keep)
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
    )
    text = manifests.written(manifest)
    (with_.places.stage / manifests.NAME).write_bytes(text)
    with_.told(f"reading {count} files")
    stored = _files(with_, run, reason, roots, excluded, paired=half is not None, copied=bool(copies))
    with_.told("verifying")
    try:
        snapshot = _verified(with_, stored, half, text)
    except AgentError as error:
        _undo(with_, run)
        raise error if error.code != "failed" else _unproven(error.message) from error
    _empty(with_.places.stage)
    return snapshot


def exclusions(configuration: Configuration) -> list[str]:
    """Patterns of what is not read: what is declared, live SQLite files, and what a restore has begun."""
    live = [literal(one) for path in configuration.sqlite for one in sqlite.beside(path)]
    begun = [f"{literal(root)}/{RESTORED}" for root in sorted(configuration.volumes.values())]
    return [*configuration.exclude, *live, *begun]


def literal(path: str) -> str:
    """A path as a pattern that matches this path only. Source: Go's documentation, filepath.Match."""
    return "".join(f"\\{letter}" if letter in "\\*?[" else letter for letter in path)


def measured(roots: Sequence[str], excluded: Sequence[str]) -> tuple[int, int]:
    """How many files there are, and their bytes, without what is excluded by a path or a simple pattern."""
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
        with contextlib.suppress(OSError):  # restic says it when it cannot read something
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
    for pattern in excluded:
        words += ["--exclude", pattern]
    words += [*roots, str(stage / manifests.NAME), *([str(stage / "sqlite")] if copied else [])]
    verb = "store the files"
    ended = with_.repository.restic.ended(*words, seconds=LONG_SECONDS, verb=verb)
    if ended.code == UNREADABLE_SOURCES:
        _undo(with_, run)
    if ended.code != 0:
        raise with_.repository.restic.failure(verb, ended)
    told = summary(ended.output)
    if told is None:
        raise _unproven("restic tells of no snapshot")
    return str(told["snapshot_id"])


def _verified(with_: Taking, stored: str, half: DatabaseHalf | None, text: bytes) -> dict[str, Any]:
    """See that everything is there; gives SNAPSHOT. Each look at a half fails where it is not there."""
    repository = with_.repository
    dump_id = None
    if half is not None:
        dump_id = repository.full(half.id)
        size = _size_of_dump(repository, dump_id)
        if size != half.dumped.bytes:
            raise _unproven(f"the dump has {size} bytes there, and {half.dumped.bytes} were sent")
        _readable(with_, dump_id)
    identity = repository.full(stored)
    if repository.manifest_text(identity) != text:
        raise _unproven("the manifest reads back otherwise than it was written")
    document = {**manifests.read(text), "database_id": dump_id}
    with_.journal.keep_manifest(identity, document)
    return manifests.snapshot(identity, document)


def _size_of_dump(repository: Repository, identity: str) -> int:
    output = repository.restic.output("ls", "--json", "--no-lock", identity, verb="look at the dump")
    for line in output.splitlines():
        node: Mapping[str, Any] = json.loads(line)
        if node.get("path") == DUMP:
            return int(node.get("size", 0))
    return 0


def _readable(with_: Taking, identity: str) -> None:
    """pg_restore reads the dump's table of contents, which is at its beginning, and no more of it."""
    folder = work_folder(with_.places)
    environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8", "PGTZ": "UTC"}
    with with_.repository.restic.start("dump", "--no-lock", identity, DUMP, pipe=True) as source:
        with Child(
            ["pg_restore", "--list"], environment, folder, stdin=source.stdout.fileno(), keep=with_.keep
        ) as reader:
            source.close_stdout()
            try:
                ended = reader.wait(TOC_SECONDS)
            except StalledError as error:
                raise _unproven(str(error)) from error
        source.kill()
        said = source.said()
    if ended.code != 0 or b"Archive created at" not in ended.output:
        raise _unproven(f"pg_restore does not read the dump: {ended.said or said}")


def _undo(with_: Taking, run: str) -> None:
    """Take back what there is of a failed snapshot; where that fails, it counts for nothing all the same."""
    with contextlib.suppress(AgentError):
        halves = with_.repository.halves("--tag", f"run:{run}", seconds=QUICK_SECONDS)
        with_.repository.forget([half.id for half in halves if half.run == run])


def _empty(stage: Path) -> None:
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True, exist_ok=True, mode=0o700)


def _unproven(why: str) -> AgentError:
    return AgentError(
        "not-verified",
        f"cannot vouch for the snapshot: {why}",
        "Run it again: ronron backup now; where it stays, check the repository",
    )
