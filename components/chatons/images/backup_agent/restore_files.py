"""Restores files beside the old ones, then replaces these; a killed restore can be run again at any moment.

`.ronron-restore` on the volume has the snapshot and the phase, written before the phase starts. `restoring`:
restic writes, the old files are untouched. `replacing`: the old entries move away, one by one. `placing`: the
new ones move into their places. `cleaning`: they are there, and the rest is removed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .configuration import Configuration
from .errors import AgentError
from .repository import Repository
from .restic import LONG_SECONDS
from .snapshot import RESTORED, literal, measured

REPLACED = ".ronron-replaced"
PROGRESS = ".ronron-restore"
DRAFT = ".ronron-restore-draft"
_OURS = {RESTORED, REPLACED, PROGRESS, DRAFT}


@dataclass(frozen=True)
class Place:
    """One volume.

    Attributes:
        role: of the volume.
        root: its mount point, which is also its path in a snapshot.
    """

    role: str
    root: Path

    @property
    def fresh(self) -> Path:
        """Folder of the files of this volume after restic has restored them."""
        return self.root / RESTORED / str(self.root).lstrip("/")


def restore(repository: Repository, configuration: Configuration, identity: str) -> dict[str, int]:
    """Restore the files of a snapshot into the service's volumes, with owners and modes.

    Args:
        repository: of the service.
        configuration: of the agent; its volumes must be writable.
        identity: of the snapshot.

    Returns:
        Number of files on the volumes, and their bytes.

    Raises:
        AgentError: `no-snapshot`, `other-service`, `newer-database`, `full`, `failed`. The old files stay in
            their places until the files of all volumes are restored.
    """
    half, _, document = repository.chosen(identity)
    included = set(document.get("volumes") or [])
    places = [
        Place(role, Path(root)) for role, root in sorted(configuration.volumes.items()) if role in included
    ]
    for place in places:
        _writable(place)
        recover(place.root, half.id)
    for place in places:
        if phase(place.root) is None:
            _restore(repository, place, half.id, document)
    for place in places:
        replace(place.root, place.fresh)
    count, size = measured([str(place.root) for place in places], [])
    return {"files": count, "bytes": size}


def recover(root: Path, identity: str) -> None:
    """Complete or undo an interrupted restore of another snapshot on a volume.

    Args:
        root: of the volume.
        identity: of the snapshot to restore now; an interrupted restore of it is continued later.
    """
    known = phase(root)
    if known is None:
        _clean(root)
        return
    found, at = known
    if at == "restoring":
        _clean(root)
    elif found != identity:
        if at == "replacing":
            _moved(root / REPLACED, root)
            _clean(root)
        else:
            _finish(root)


def replace(root: Path, fresh: Path) -> None:
    """Replace the old files by the restored ones, from the phase that was reached.

    Args:
        root: of the volume.
        fresh: folder of the restored files.
    """
    known = phase(root)
    if known is None:
        return
    identity, at = known
    if at == "replacing":
        (root / REPLACED).mkdir(mode=0o700, exist_ok=True)
        _moved(root, root / REPLACED)
        _note(root, identity, "placing")
    _finish(root, fresh)


def phase(root: Path) -> tuple[str, str] | None:
    """Snapshot and phase of an unfinished restore on a volume; None where there is none."""
    try:
        known = json.loads((root / PROGRESS).read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise AgentError(
            "failed",
            f"cannot read the phase of a restore of {root}: {error}",
            f"check the files in {root}, and delete {PROGRESS} there",
        ) from error
    return str(known["snapshot"]), str(known["phase"])


def _restore(repository: Repository, place: Place, identity: str, document: dict[str, Any]) -> None:
    _note(place.root, identity, "restoring")
    (place.root / RESTORED).mkdir(mode=0o700)
    root = str(place.root)
    repository.restic.output(
        "restore", identity, "--target", str(place.root / RESTORED), "--include", literal(root),
        seconds=LONG_SECONDS, verb=f"restore the files of {place.role}",
    )  # fmt: skip
    if not place.fresh.is_dir():
        raise AgentError(
            "failed",
            f"cannot find the volume {place.role} in the snapshot",
            "choose another one: ronron backup list",
        )
    for copy in document.get("sqlite") or []:
        if str(copy["path"]).startswith(root + "/"):
            _restore_sqlite(repository, place, identity, copy)
    _note(place.root, identity, "replacing")


def _restore_sqlite(repository: Repository, place: Place, identity: str, copy: dict[str, Any]) -> None:
    """Restore the copy of a SQLite file to the path of the original, with owner and mode."""
    target = place.root / RESTORED / str(copy["path"]).lstrip("/")
    # Restic restores it below its target with its full path.
    repository.restic.output(
        "restore", identity, "--target", str(place.root / RESTORED), "--include", literal(str(copy["copy"])),
        seconds=LONG_SECONDS, verb=f"restore {copy['path']}",
    )  # fmt: skip
    made = place.root / RESTORED / str(copy["copy"]).lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    made.replace(target)
    os.chown(target, int(copy["uid"]), int(copy["gid"]))
    target.chmod(int(copy["mode"]))


def _finish(root: Path, fresh: Path | None = None) -> None:
    known = phase(root)
    if known is None:
        return
    identity, at = known
    source = fresh or root / RESTORED / str(root).lstrip("/")
    if at == "placing":
        if source.is_dir():
            about = source.stat()
            _moved(source, root)
            os.chown(root, about.st_uid, about.st_gid)
            root.chmod(about.st_mode & 0o7777)
        _note(root, identity, "cleaning")
    _clean(root)


def _moved(source: Path, target: Path) -> None:
    """Move every entry except the agent's own; entries that were moved before are gone."""
    for name in sorted(os.listdir(source)):  # noqa: PTH208 -- names
        if name not in _OURS:
            (source / name).rename(target / name)
    _synced(source)
    _synced(target)


def _clean(root: Path) -> None:
    for name in (RESTORED, REPLACED):
        if (root / name).is_dir():
            shutil.rmtree(root / name)
    for name in (DRAFT, PROGRESS):
        (root / name).unlink(missing_ok=True)


def _note(root: Path, identity: str, reached: str) -> None:
    """Write a phase to the disk before it starts."""
    # What was restored or moved before must be on the disk, too, in case the machine loses power.
    os.sync()
    draft = root / DRAFT
    with draft.open("w") as opened:
        json.dump({"snapshot": identity, "phase": reached}, opened)
        opened.flush()
        os.fsync(opened.fileno())
    draft.replace(root / PROGRESS)
    _synced(root)


def _synced(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # Some file systems do not support it, and do not need it.
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _writable(place: Place) -> None:
    if not place.root.is_dir():
        raise AgentError("failed", f"cannot find the volume {place.role} at {place.root}", "mount it there")
    if os.statvfs(place.root).f_flag & os.ST_RDONLY:
        raise AgentError(
            "failed",
            f"cannot write to the volume {place.role}: it is read-only here",
            "let the reconciler restore it: ronron restore",
        )
