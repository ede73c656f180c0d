"""Another repository for snapshots: refused until the declaration says what becomes of the existing ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chatons.declaration.backup_moves import refused
from chatons.inventory import inventory
from tests.support.declarations import BACKUP, OFF_SITE, Document, configuration, declaration, problems

PREVIOUS = json.loads(json.dumps(inventory(declaration({("backup",): BACKUP}))))


def changed(**more: object) -> Document:
    return {**BACKUP, "repository": "/mnt/new", **more}


@pytest.mark.parametrize(
    ("backup", "previous"),
    [
        pytest.param(BACKUP, PREVIOUS, id="the same repository"),
        pytest.param({**BACKUP, "repository": "/srv/backups/"}, PREVIOUS, id="written otherwise"),
        pytest.param(changed(), None, id="a first update"),
        pytest.param(changed(), json.loads(json.dumps(inventory(declaration()))), id="no backup before"),
        pytest.param(
            changed(moved={"repository": "/srv/backups", "snapshots": "copied"}), PREVIOUS, id="copied"
        ),
        pytest.param(changed(moved={"repository": "/srv/backups", "snapshots": "left"}), PREVIOUS, id="left"),
        pytest.param(
            {**BACKUP, "moved": {"repository": "/srv/backups", "snapshots": "left"}},
            PREVIOUS,
            id="a new beginning at the same place",
        ),
    ],
)
def test_a_repository_that_may_be_used(backup: Document, previous: Any) -> None:
    assert list(refused(declaration({("backup",): backup}), previous)) == []


@pytest.mark.parametrize(
    "backup",
    [
        pytest.param(changed(), id="nothing is said"),
        pytest.param(OFF_SITE, id="to another host"),
        pytest.param(
            changed(moved={"repository": "/srv/older", "snapshots": "copied"}), id="said of an earlier move"
        ),
    ],
)
def test_a_change_of_the_repository_is_refused_with_both_ways(backup: Document) -> None:
    (problem,) = refused(declaration({("backup",): backup}), PREVIOUS)
    assert problem.key == "ronron:backup.repository"
    assert "the repository of board, pad, team, wiki was /srv/backups" in problem.problem
    assert "moved: {repository: '/srv/backups', snapshots: copied}" in problem.remedy
    assert "snapshots: left" in problem.remedy
    assert "docs/operations.md, Move the backups to another repository" in problem.remedy


def test_what_became_of_snapshots_is_copied_or_left() -> None:
    wrong = changed(moved={"repository": "/srv/backups", "snapshots": "moved"})
    (problem,) = problems(configuration({("backup",): wrong}))
    assert problem.key == "ronron:backup.moved.snapshots"
