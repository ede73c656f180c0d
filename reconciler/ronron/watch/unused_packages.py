"""Removes the virtual environments that no revision needs any more."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from ronron.core.errors import RevisionNotFoundError
from ronron.core.packages import LOCK_FILE, lock_digest, unneeded
from ronron.passes.reconcile import Ports, Target


def remove_unneeded(targets: Mapping[str, Target], ports: Ports) -> tuple[str, ...]:
    """Remove what nothing has used for two weeks, and what no live or healthy revision needs.

    A rollback finds its packages installed, however old the healthy revision is.

    Args:
        targets: every environment of the policy.
        ports: whose virtual environments they are.

    Returns:
        Names of the removed ones.

    Raises:
        SourceError, StoreError: it is unknown what is needed; nothing was removed.
    """
    now, kept = ports.clock.now(), ports.packages.kept()
    if not unneeded(kept, (), now):
        return ()
    needed = {digest for target in targets.values() for digest in _needed(target, ports)}
    return tuple(name for name in unneeded(kept, needed, now) if ports.packages.remove(name))


def _needed(target: Target, ports: Ports) -> set[str]:
    record = ports.store.load(target.name)
    degraded = record.degraded.revision if record.degraded is not None else None
    known = (record.current, record.updated, record.attempted, record.healthy, degraded)
    revisions = {revision for revision in known if revision is not None}
    found = set()
    for revision in revisions:
        try:
            lock = ports.source.read(revision, str(PurePosixPath(target.project, LOCK_FILE)))
        except RevisionNotFoundError:
            continue  # nobody can go back to it
        if lock is not None:
            found.add(lock_digest(lock))
    return found
