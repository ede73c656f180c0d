"""Files are restored beside the old ones, then take their place; another run mends a kill at any moment.

What is done is written down on the volume itself, before it is done: `.ronron-restore` holds the snapshot and
the phase. `restoring`: the old files are untouched. `replacing`: the old ones move away, entry by entry.
`placing`: the new ones move in. `cleaning`: they are in their places, and what is left over goes.
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
        root: where it is here, and where its files are in a snapshot.
    """

    role: str
    root: Path

    @property
    def fresh(self) -> Path:
        """Where the files of this volume are after restic has restored them."""
        return self.root / RESTORED / str(self.root).lstrip("/")


def restore(repository: Repository, configuration: Configuration, identity: str) -> dict[str, int]:
    """Restore the files of a snapshot into the service's volumes, with owners and modes.

    Args:
        repository: of the service.
        configuration: of the agent; its volumes are writable here.
        identity: of the snapshot.

    Returns:
        How many files there are now, and their bytes.

    Raises:
        AgentError: `no-snapshot`, `other-service`, `newer-database`, `full`, `failed`. Until all volumes are
            restored beside the old files, those stay where they are.
    """
    half, _, document = repository.chosen(identity)
    held = set(document.get("volumes") or [])
    places = [Place(role, Path(root)) for role, root in sorted(configuration.volumes.items()) if role in held]
    for place in places:
        _writable(place)
        settled(place.root, half.id)
    for place in places:
        if phase(place.root) is None:
            _restore(repository, place, half.id, document)
    for place in places:
        replace(place.root, place.fresh)
    count, size = measured([str(place.root) for place in places], [])
    return {"files": count, "bytes": size}


def settled(root: Path, identity: str) -> None:
    """End or undo what an earlier run has left on a volume, unless it is this very restore.

    Args:
        root: of the volume.
        identity: of the snapshot that is restored now.
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
    """Put restored files in the place of the old ones, from whichever phase was reached.

    Args:
        root: of the volume.
        fresh: where the restored ones are.
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
    """The snapshot and the phase of a restore that is under way on a volume; None for none."""
    try:
        known = json.loads((root / PROGRESS).read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise AgentError(
            "failed",
            f"cannot tell how far a restore of {root} went: {error}",
            f"Look at {root}, and remove {PROGRESS}",
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
            "Choose another one: ronron backup list",
        )
    for copy in document.get("sqlite") or []:
        if str(copy["path"]).startswith(root + "/"):
            _restore_sqlite(repository, place, identity, copy)
    _note(place.root, identity, "replacing")


def _restore_sqlite(repository: Repository, place: Place, identity: str, copy: dict[str, Any]) -> None:
    """The copy that SQLite made goes where the original was, with its owner."""
    target = place.root / RESTORED / str(copy["path"]).lstrip("/")
    # Not a path within the snapshot alone: restic makes it below its target.
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
    """Move every entry but ours; what has been moved before is no longer there."""
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
    """Write down a phase so that it is on the disk before anything of it is done."""
    # What was restored or moved before has to be there, too, should the machine lose its power.
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
        # Some file systems cannot, and then need not.
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _writable(place: Place) -> None:
    if not place.root.is_dir():
        raise AgentError("failed", f"cannot find the volume {place.role} at {place.root}", "Mount it there")
    if os.statvfs(place.root).f_flag & os.ST_RDONLY:
        raise AgentError(
            "failed",
            f"cannot write to the volume {place.role}: it is read-only here",
            "Restore from the reconciler",
        )
