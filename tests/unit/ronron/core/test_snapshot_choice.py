"""Which snapshots are chosen when a person names none."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ronron.core.backups import DataState, Files, Snapshot
from ronron.core.snapshot_choice import SKEW, plausible_snapshots
from ronron.testing import NOON

WAITS = DataState(state="recreated", lineage="b", recreated=("database",), since=NOON)


def taken(ago: int, lineage: str = "", *, recreated: bool = False, reason: str = "schedule") -> Snapshot:
    """A snapshot that was taken so many hours ago."""
    return Snapshot(
        id=f"{ago:064x}", run=f"{ago:032x}", taken=NOON - timedelta(hours=ago), reason=reason, service="pad",
        kind="etherpad", version="1", image="pad:1", image_digest=None, revision=None, database=None,
        counts={}, files=Files(count=1, bytes=1), lineage=lineage, recreated=recreated,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("snapshots", "data", "chosen"),
    [
        pytest.param([taken(3), taken(1), taken(2)], None, [1, 2, 3], id="an agent that knows no lineages"),
        pytest.param([taken(1), taken(2)], DataState(state="unknown"), [1, 2], id="it knows nothing yet"),
        pytest.param([taken(1, reason="restore"), taken(2)], None, [2], id="no safety snapshots"),
        pytest.param([taken(1, "b", recreated=True), taken(9)], WAITS, [9], id="while volumes are recreated"),
        pytest.param([taken(1, "b", recreated=True)], WAITS, [], id="there is nothing before"),
        pytest.param(
            [taken(1), taken(2, "b", recreated=True), taken(3)],
            DataState(state="known"),
            [1, 3],
            id="after a restore",
        ),
        pytest.param(
            [taken(1, "b"), taken(2, "b", recreated=True), taken(3)],
            DataState(state="known", lineage="b"),
            [1],
            id="after the data were accepted",
        ),
        pytest.param(
            [taken(2, "b", recreated=True), taken(3)],
            DataState(state="known", lineage="b"),
            [3],
            id="accepted, and none is taken yet",
        ),
        pytest.param(
            [taken(1, "b"), taken(3), taken(4, "a")],
            DataState(state="recreated", lineage="c"),
            [1, 3, 4],
            id="lost a second time",
        ),
    ],
)
def test_the_snapshots_that_may_be_chosen_unnamed(
    snapshots: list[Snapshot], data: DataState | None, chosen: list[int]
) -> None:
    assert plausible_snapshots(snapshots, NOON, data) == [
        one for ago in chosen for one in snapshots if one.id == f"{ago:064x}"
    ]


def test_a_snapshot_of_the_future_is_not_chosen() -> None:
    soon, late = (taken(0).model_copy(update={"taken": NOON + SKEW + timedelta(seconds=s)}) for s in (0, 1))
    assert plausible_snapshots([soon, late], NOON) == [soon]
