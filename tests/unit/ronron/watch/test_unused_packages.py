"""Which virtual environments the watcher removes: by time, and by what revisions need."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from ronron.core.errors import SourceUnavailableError
from ronron.core.model import Revision
from ronron.core.packages import UNUSED_FOR
from ronron.core.record import Record
from ronron.passes.reconcile import Target
from ronron.testing import NOON
from ronron.watch.unused_packages import remove_unneeded
from tests.support.worlds import World

LONG_AGO = NOON - UNUSED_FOR - timedelta(days=1)
GONE = "f" * 40


class Watched:
    """An environment whose project is in `infra/`, with three revisions: each has a lock file of its own."""

    def __init__(self, work: Path) -> None:
        self.world = World(work)
        self.targets = {"production": Target(self.world.policy, project="infra")}
        self.revisions = {name: self._push(name) for name in ("live", "healthy", "other")}
        self.world.source.refresh()

    def _push(self, lock: str) -> Revision:
        commit = self.world.source.commit({"infra/requirements.lock": lock, "requirements.lock": "other"})
        return Revision(reference="main", commit=commit)

    def remembers(self, **revisions: Revision) -> None:
        self.world.store.save(Record(environment="production", **revisions))

    def removed(self) -> list[str]:
        kept = {self.world.packages.keep(lock, LONG_AGO): lock for lock in self.revisions}
        return sorted(kept[name] for name in remove_unneeded(self.targets, self.world.ports))


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_what_a_live_and_a_healthy_revision_need_stays(watched: Watched) -> None:
    watched.remembers(updated=watched.revisions["live"], healthy=watched.revisions["healthy"])
    assert watched.removed() == ["other"]
    watched.remembers(current=watched.revisions["other"], attempted=watched.revisions["live"])
    assert watched.removed() == ["healthy"]


def test_a_revision_that_is_gone_from_the_repository_needs_nothing(watched: Watched) -> None:
    watched.remembers(updated=watched.revisions["live"], healthy=Revision(reference="main", commit=GONE))
    assert watched.removed() == ["healthy", "other"]


def test_what_was_used_lately_stays_and_nothing_is_read(watched: Watched) -> None:
    watched.world.packages.keep("lately", NOON)
    watched.world.source.fail("read", SourceUnavailableError("it is not asked"))
    assert remove_unneeded(watched.targets, watched.world.ports) == ()


def test_where_it_is_unknown_what_is_needed_nothing_is_removed(watched: Watched) -> None:
    watched.remembers(updated=watched.revisions["live"])
    watched.world.source.fail("read", SourceUnavailableError("no answer"))
    with pytest.raises(SourceUnavailableError):
        watched.removed()
    assert len(watched.world.packages.kept()) == 3
