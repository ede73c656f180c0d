"""The repository of a service: its creation, its locks and its snapshots."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from . import manifest
from .configuration import Configuration, Places
from .errors import AgentError
from .journal import Journal
from .restic import LONG_SECONDS, QUICK_SECONDS, Restic, meaning
from .retention import Half

LINEAGE_TAG = "lineage:"
"""Of a half with files of another lineage than the original one; see lineage.py."""

STALE = timedelta(minutes=30)
"""Restic refreshes a lock every five minutes; after thirty it calls it stale. Source: its lock.go."""


class Repository:
    """A repository, and what the journal records of it.

    Args:
        restic: on that repository.
        configuration: of the agent.
        journal: stores manifests; None in a clone.
        places: of the agent.
    """

    def __init__(
        self, restic: Restic, configuration: Configuration, places: Places, journal: Journal | None
    ) -> None:
        self.restic = restic
        self._configuration = configuration
        self._journal = journal
        self._manifest_path = str(places.stage / manifest.NAME)

    # Creation

    def ensure(self) -> None:
        """Create the repository where it does not exist and the journal does not know it.

        Raises:
            AgentError: `unreachable`, `wrong-password`, `full`, ...; also where it existed once and is gone:
                usually a disk is not mounted.
        """
        verb = "open the repository"
        known = f"repository {self.restic.repository}"
        if self._journal is not None and self._journal.fact(known):
            return
        ended = self.restic.ended("cat", "config", "--no-lock", verb=verb)
        if ended.code != 0:
            absent = meaning(ended.code, ended.stderr) is None
            if not absent or expects_copies(self._configuration):
                raise self.restic.failure(verb, ended)
            self.restic.output("init", "--repository-version", "2", verb="create the repository")
        if self._journal is not None:
            self._journal.remember(known, "made" if ended.code else "found")

    # Locks

    def locks(self, *, seconds: float = QUICK_SECONDS) -> list[dict[str, Any]]:
        """Restic's locks, the oldest first, as STATUS has them."""
        found = []
        for identity in self._lock_ids(seconds):
            # A lock that is gone by now belonged to a process that ended well.
            ended = self.restic.ended(
                "cat", "lock", identity, "--no-lock", seconds=seconds, verb="read a lock"
            )
            if ended.code != 0:
                continue
            lock = json.loads(ended.output)
            since = instant(str(lock["time"]))
            found.append(
                {
                    "id": identity,
                    "host": str(lock.get("hostname", "")),
                    "pid": int(lock.get("pid", 0)),
                    "since": since.isoformat(timespec="seconds"),
                    "stale": datetime.now(UTC) - since > STALE,
                }
            )
        return sorted(found, key=lambda lock: str(lock["since"]))

    def unlock(self) -> None:
        """Remove stale locks, and no others; the caller must have the agent's own lock.

        Then no other process of this container uses the repository, so a lock with this host name is that of
        a killed process. Restic cannot know that, as another process may have its ID now. Of other hosts'
        locks restic removes those that were not refreshed for 30 minutes.
        """
        locks = self.locks()
        if not locks:
            return
        if all(lock["host"] == socket.gethostname() or lock["stale"] for lock in locks):
            self.restic.output("unlock", "--remove-all", verb="remove stale locks")
        else:
            self.restic.output("unlock", verb="remove stale locks")

    def _lock_ids(self, seconds: float) -> list[str]:
        if self.restic.repository.startswith("/"):
            # Listing the folder is a hundred times faster than restic, which opens the repository.
            try:
                return sorted(os.listdir(Path(self.restic.repository) / "locks"))  # noqa: PTH208
            except OSError:
                return []
        output = self.restic.output("list", "locks", "--no-lock", seconds=seconds, verb="list the locks")
        return re.findall(r"\b[0-9a-f]{64}\b", output.decode())

    # Snapshots

    def halves(self, *words: str, seconds: float = QUICK_SECONDS) -> list[Half]:
        """The restic snapshots of this service's agent, the oldest first."""
        output = self.restic.output(
            "snapshots", "--json", "--no-lock", "--host", self._configuration.host, *words,
            seconds=seconds, verb="read the snapshots",
        )  # fmt: skip
        return sorted(_halves(json.loads(output) or []), key=lambda half: half.taken)

    def full(self, short: str) -> str:
        """The full id of a restic snapshot that was just stored; 0.14 prints a short one.

        Raises:
            AgentError: `not-verified`: it does not exist; or another error of the repository.
        """
        if self.restic.repository.startswith("/"):
            # Each snapshot is a file named by its id: half a second faster than restic.
            with contextlib.suppress(OSError):
                names = os.listdir(Path(self.restic.repository) / "snapshots")  # noqa: PTH208
                found = [name for name in names if name.startswith(short)]
                if len(found) == 1:
                    return found[0]
        found = [half.id for half in self.halves() if half.id.startswith(short)]
        if len(found) != 1:
            raise AgentError(
                "not-verified",
                f"cannot find the snapshot {short} that was just stored",
                "run this again: ronron backup now",
            )
        return found[0]

    def manifest(self, identity: str) -> dict[str, Any]:
        """The manifest in a half with files, from the journal where it has it.

        Raises:
            AgentError: `corrupt`, or another error of the repository.
        """
        found = self._journal.manifest(identity) if self._journal is not None else None
        if found is not None:
            return found
        document = manifest.read(self.manifest_text(identity))
        if self._journal is not None:
            self._journal.store_manifest(identity, document)
        return document

    def manifest_text(self, identity: str) -> bytes:
        """The manifest in a half with files, read from the repository."""
        return self.restic.output(
            "dump", "--no-lock", identity, self._manifest_path, verb=f"read the manifest of {identity[:8]}"
        )

    def whole(self, *, newest: int | None = None, seconds: float = QUICK_SECONDS) -> list[dict[str, Any]]:
        """SNAPSHOT of each complete snapshot, the newest first; at most `newest` of them."""
        halves = self.halves(seconds=seconds)
        found: list[dict[str, Any]] = []
        for half, dump in whole(halves)[:newest]:
            document = {**self.manifest(half.id), "database_id": None if dump is None else dump.id}
            found.append(manifest.snapshot(half.id, document))
        if self._journal is not None and newest is None:
            self._journal.drop_manifests({half.id for half in halves})
        return found

    def chosen(self, identity: str) -> tuple[Half, Half | None, dict[str, Any]]:
        """Both halves and the manifest of a complete snapshot, by its id or a prefix of it.

        Raises:
            AgentError: `no-snapshot`, also where a half is missing; `other-service`.
        """
        if not re.fullmatch(r"[0-9a-f]{8,64}", identity):
            raise _unknown(identity)
        output = self.restic.output("snapshots", "--json", "--no-lock", verb="read the snapshots")
        rows = json.loads(output) or []
        pairs = [pair for pair in whole(_halves(rows)) if pair[0].id.startswith(identity)]
        if len(pairs) != 1:
            raise _unknown(identity)
        half, dump = pairs[0]
        host = next(str(row.get("hostname")) for row in rows if row["id"] == half.id)
        document = self.manifest(half.id)
        manifest.refuse_foreign(document, self._configuration)
        if host != self._configuration.host:
            raise AgentError(
                "other-service",
                f"cannot restore the snapshot {identity[:8]}: {host} took it, not {self._configuration.host}",
                "choose a snapshot of this service: ronron backup list",
            )
        return half, dump, document

    def forget(self, identities: Iterable[str], verb: str = "remove snapshots") -> None:
        """Remove these restic snapshots; the next prune frees their space."""
        words = list(identities)
        if words:
            self.restic.output("forget", *words, seconds=LONG_SECONDS, verb=verb)


def follow_move(configuration: Configuration, journal: Journal) -> None:
    """Forget the repository before, once, when the declaration says that it was left or copied."""
    moved = configuration.moved
    if moved is None:
        return
    known = f"{moved.before} {moved.now} {moved.copied}"
    if journal.fact("moved") != known:
        journal.forget_repository()
        journal.remember("moved", known)


def expects_copies(configuration: Configuration) -> bool:
    """Whether snapshots were copied into the repository, so that it must exist."""
    return configuration.moved is not None and configuration.moved.copied


def whole(halves: Iterable[Half]) -> list[tuple[Half, Half | None]]:
    """Pairs of halves, the newest first: files, and the dump of a service with a database. Pure."""
    known = list(halves)
    dumps = {half.run: half for half in known if not half.files and half.run}
    pairs = [
        (half, dumps.get(half.run) if half.paired else None)
        for half in known
        if half.files and half.run and (not half.paired or half.run in dumps)
    ]
    return sorted(pairs, key=lambda pair: pair[0].taken, reverse=True)


def instant(text: str) -> datetime:
    """A time as restic writes it, with nanoseconds."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,6})?\d*(Z|[+-]\d\d:\d\d)", text)
    if match is None:
        raise ValueError(f"{text!r} is not a time")
    zone = "+00:00" if match[3] == "Z" else match[3]
    return datetime.fromisoformat(f"{match[1]}{(match[2] or '.0').ljust(7, '0')}{zone}").astimezone(UTC)


def _halves(rows: Iterable[Mapping[str, Any]]) -> list[Half]:
    found = []
    for row in rows:
        tags = row.get("tags") or []
        if "files" not in tags and "database" not in tags:
            continue
        run = next((tag[4:] for tag in tags if tag.startswith("run:")), "")
        lineage = next((tag for tag in tags if tag.startswith(LINEAGE_TAG)), "").removeprefix(LINEAGE_TAG)
        found.append(
            Half(
                id=str(row["id"]),
                run=run,
                files="files" in tags,
                paired="paired" in tags,
                taken=instant(str(row["time"])),
                lineage=lineage,
            )
        )
    return found


def _unknown(identity: str) -> AgentError:
    return AgentError(
        "no-snapshot",
        f"cannot find the snapshot {identity[:64]!r}: it does not exist, or is incomplete",
        "choose one of the list: ronron backup list",
    )
