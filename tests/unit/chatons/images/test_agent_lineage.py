"""Whether volumes were recreated, from what the agent recorded and what the repository has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chatons.images.backup_agent import lineage, places_of_data
from chatons.images.backup_agent.configuration import Configuration, Retention, Running, Secrets
from chatons.images.backup_agent.lineage import ACCEPTED, KNOWN, RECREATED, RESTORED, UNKNOWN, Data

AT = "2026-11-29T10:00:00+00:00"
PLACES = {"/data/var": "12 2026-01-01", "database": "7301"}
FULL: dict[str, Any] = {"lineage": "", "places": PLACES}
OLD: dict[str, Any] = {"counts": {"pads": 12}}
"""A manifest of an agent that recorded no places."""
LIVED = Data(KNOWN, "", PLACES)
BOTH = ("/data/var", "database")


def judged(
    stored: Data | None, places: Mapping[str, str], *manifests: Mapping[str, Any], lived: bool = False
) -> Data:
    return lineage.judged(stored, places, manifests, lived=lived, at=AT)


@pytest.mark.parametrize(
    ("stored", "places", "manifests", "lived", "recreated"),
    [
        pytest.param(None, PLACES, [], False, (), id="a new service with an empty repository"),
        pytest.param(None, PLACES, [OLD], True, (), id="an agent of an earlier version lived here"),
        pytest.param(None, PLACES, [OLD], False, BOTH, id="the machine was lost"),
        pytest.param(None, {"/data/var": "13"}, [FULL], False, ("/data/var",), id="a site of files was lost"),
        pytest.param(None, PLACES, [OLD, FULL], False, (), id="only the agent's volume was lost"),
        pytest.param(Data(UNKNOWN), PLACES, [OLD], False, BOTH, id="the repository is readable now"),
        pytest.param(LIVED, PLACES, [FULL], False, (), id="nothing happened"),
        pytest.param(LIVED, {**PLACES, "database": "7302"}, [FULL], False, ("database",), id="its database"),
        pytest.param(LIVED, {**PLACES, "/data/var": "13"}, [FULL], False, ("/data/var",), id="one volume"),
        pytest.param(LIVED, {**PLACES, "/data/var": "13"}, [], False, (), id="no snapshot can be lost"),
        pytest.param(LIVED, {**PLACES, "/data/more": "14"}, [FULL], False, (), id="a volume was added"),
        pytest.param(LIVED, {"database": "7301"}, [FULL], False, (), id="a volume is no longer declared"),
    ],
)
def test_the_state_of_the_data(
    stored: Data | None,
    places: dict[str, str],
    manifests: list[dict[str, Any]],
    lived: bool,
    recreated: tuple[str, ...],
) -> None:
    found = judged(stored, places, *manifests, lived=lived)
    assert found.recreated == recreated
    assert found.state == (RECREATED if recreated else KNOWN)
    assert found.places == places
    assert (found.lineage != "") == bool(recreated)
    assert found.since == (AT if recreated else None)
    assert judged(found, places, *manifests) == found, "asking again changes nothing"
    assert lineage.read(lineage.written(found)) == found


def test_a_second_loss_is_added_to_the_first() -> None:
    first = judged(LIVED, {**PLACES, "database": "7302"}, FULL)
    second = judged(first, {"/data/var": "13", "database": "7302"}, FULL)
    assert second.recreated == BOTH
    assert (second.lineage, second.since) == (first.lineage, first.since)


def test_a_lost_volume_of_the_agent_does_not_make_empty_data_known() -> None:
    """Its newest snapshot is one that a person took of volumes that were recreated."""
    fresh = judged(None, PLACES, OLD)
    taken = {"lineage": fresh.lineage, "recreated": True, "places": PLACES}
    again = judged(None, PLACES, taken, OLD)
    assert (again.state, again.lineage) == (RECREATED, fresh.lineage)


def test_accepted_data_are_a_lineage_of_their_own_until_the_next_loss() -> None:
    fresh = judged(None, PLACES, OLD)
    accepted = lineage.accepted(fresh, PLACES)
    assert (accepted.state, accepted.lineage, accepted.word) == (KNOWN, fresh.lineage, ACCEPTED)
    lost = judged(accepted, {**PLACES, "database": "7302"}, {**FULL, "lineage": fresh.lineage})
    assert (lost.state, lost.word) == (RECREATED, None)
    assert lost.lineage not in {"", fresh.lineage}


def test_data_that_are_accepted_before_the_repository_was_read_are_a_lineage_of_their_own() -> None:
    accepted = lineage.accepted(Data(UNKNOWN), PLACES)
    assert (accepted.state, accepted.word) == (KNOWN, ACCEPTED)
    assert accepted.lineage
    assert lineage.accepted(LIVED, PLACES).lineage == LIVED.lineage, "a mistake changes nothing"


def test_restored_data_continue_the_lineage_of_the_snapshot() -> None:
    restored = lineage.restored({"lineage": "abc"}, PLACES)
    assert (restored.state, restored.lineage, restored.word) == (KNOWN, "abc", RESTORED)
    assert lineage.restored(OLD, PLACES).lineage == ""


def test_a_volume_that_is_recreated_has_another_identity(tmp_path: Path) -> None:
    root = tmp_path / "var"
    configuration = Configuration(
        project="p", stack="s", service="pad", kind="etherpad", running=Running("1", "i", None),
        repository="/repository", host="h", schedule="0 3 * * *", keep=Retention(),
        volumes={"var": str(root)},
    )  # fmt: skip
    secrets = Secrets(tmp_path / "password")
    root.mkdir()
    before = places_of_data.present(configuration, secrets)
    (root / "file").write_text("x")
    root.chmod(0o700)
    (root / "file").unlink()
    assert places_of_data.present(configuration, secrets) == before, "its contents are no identity"
    root.rmdir()
    root.mkdir()
    assert places_of_data.present(configuration, secrets) != before
    both = replace(configuration, volumes={"var": str(root), "more": str(tmp_path)})
    assert set(places_of_data.present(both, secrets)) == {str(root), str(tmp_path)}
