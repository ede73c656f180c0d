"""Version jumps: which are refused, with reason and source, and that no other is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from chatons import catalogue
from chatons.catalogue import postgresql
from chatons.catalogue.versions import Jump
from chatons.declaration.upgrades import refused
from chatons.inventory import inventory
from chatons.schema.problems import Problem
from tests.support.declarations import EVERY_KIND, Edits, declaration

IMAGES = {
    "etherpad": ("pad", "etherpad/etherpad"),
    "mattermost": ("team", "mattermost/mattermost-team-edition"),
    "kanboard": ("board", "kanboard/kanboard"),
}


def problems(edits: Edits, previous: object) -> list[Problem]:
    return list(refused(declaration(edits), previous))


def exported(edits: Edits | None = None) -> Any:
    """The last inventory as the engine hands it back: through JSON, and every number a float."""
    return json.loads(json.dumps(inventory(declaration(edits))), parse_int=float)


def image(kind: str, tag: str) -> Edits:
    service, repository = IMAGES[kind]
    return {("services", service, "image"): f"{repository}:{tag}"}


def jump(kind: str, before: str, after: str) -> list[Problem]:
    return problems(image(kind, after), exported(image(kind, before)))


@pytest.mark.parametrize(
    ("kind", "before", "after", "why"),
    [
        ("mattermost", "10.11.17", "11.7.2", "migrations"),
        ("mattermost", "10.12.0", "11.0.0", "migrations"),
        ("mattermost", "release-10.11.17", "release-11.2", "migrations"),
        ("mattermost", "11.7.3", "10.11.17", "passwords"),
        ("mattermost", "11.0.0", "9.11.0", "passwords"),
        ("kanboard", "v1.2.53", "v1.2.52", "forward only"),
        ("kanboard", "v1.2.10", "v1.2.9", "forward only"),
    ],
)
def test_a_jump_that_loses_data_is_refused_with_its_reason(
    kind: str, before: str, after: str, why: str
) -> None:
    (problem,) = jump(kind, before, after)
    service = IMAGES[kind][0]
    assert problem.key == f"ronron:services.{service}.image"
    assert f"{kind} must not go from " in problem.problem
    assert why in problem.problem
    assert "; see https://" in problem.remedy


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("mattermost", "10.11.17", "11.7.3"), ("mattermost", "10.11.16", "11.0.0"),
        ("mattermost", "11.7.2", "11.7.3"), ("mattermost", "11.7.3", "11.7.3"),
        ("mattermost", "10.11.17", "10.11.18"), ("mattermost", "11.7.3", "11.7.1"),
        ("kanboard", "v1.2.52", "v1.2.53"), ("kanboard", "v1.2.9", "v1.2.10"),
        ("etherpad", "1.8.14", "3.3.1"), ("etherpad", "3.3.1", "2.5.0"),
    ],
)  # fmt: skip
def test_every_other_jump_is_nobodys_business(kind: str, before: str, after: str) -> None:
    assert jump(kind, before, after) == []


@pytest.mark.parametrize(("before", "after"), [("15.14", "16.10"), ("16.10", "15.14"), ("13.1", "18.0")])
def test_a_database_keeps_its_major_version(before: str, after: str) -> None:
    found = problems(
        {("database", "image"): f"postgres:{after}"}, exported({("database", "image"): f"postgres:{before}"})
    )
    assert {problem.key for problem in found} == {"ronron:database.image"}
    assert len(found) == 4, "one for each service that has a database"
    assert f"postgresql of pad must not go from {before[:2]} to {after[:2]}" in found[1].problem
    assert "dump" in found[0].remedy


def test_a_database_of_ones_own_is_refused_by_its_own_key() -> None:
    own = ("services", "wiki", "database")
    (found,) = problems({own: {"image": "postgres:17.6"}}, exported({own: {"image": "postgres:16.10"}}))
    assert found.key == "ronron:services.wiki.database.image"


def test_a_database_may_go_to_another_minor_version() -> None:
    edits = {("database", "image"): "postgres:15.2"}
    assert problems(edits, exported({("database", "image"): "postgres:15.14"})) == []


def test_a_service_that_becomes_another_kind_has_no_version_before() -> None:
    before = exported(image("mattermost", "11.7.3"))
    before["services"]["team"]["kind"] = "container"
    assert problems(image("mattermost", "10.11.17"), before) == []


@pytest.mark.parametrize(
    "previous",
    [None, {}, [], "x", 1.0, {"services": None}, {"services": {"team": None}}, {"services": {"team": {}}}],
)
def test_what_is_no_inventory_counts_as_a_first_deployment(previous: object) -> None:
    assert problems({}, previous) == []


@pytest.mark.parametrize("version", ["enterprise", "", None, True])
def test_a_version_that_cannot_be_read_stops_nobody(version: object) -> None:
    before = exported()
    before["services"]["team"]["version"] = version
    assert problems(image("mattermost", "10.11.17"), before) == []
    assert jump("mattermost", "11.7.3", "stable") == []


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=10),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(["services", "team", "kind", "version", "database", "major"]), inner
            )
        ),
        max_leaves=6,
    )
)
def test_no_remembered_inventory_makes_the_program_crash(previous: object) -> None:
    for problem in problems({}, previous):
        assert problem.remedy


# -- versions that do not go together ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mattermost", "postgres", "fits"),
    [
        ("11.7.3", "13.22", False), ("11.7.3", "14.19", True), ("10.6.0", "12.22", False),
        ("10.6.0", "13.22", True), ("10.5.0", "12.22", True),
    ],
)  # fmt: skip
def test_a_service_works_only_with_some_databases(mattermost: str, postgres: str, fits: bool) -> None:
    team = EVERY_KIND["services"]["team"]
    edits = {
        ("services",): {"team": {**team, "image": f"mattermost/mattermost-team-edition:{mattermost}"}},
        ("database", "image"): f"postgres:{postgres}",
    }
    found = problems(edits, None)
    assert (found == []) == fits
    for problem in found:
        assert problem.key == "ronron:services.team.image"
        assert f"does not work with PostgreSQL {postgres[:2]}" in problem.problem


# -- the rules themselves ----------------------------------------------------------------------------------


def test_every_rule_names_its_source() -> None:
    kinds = catalogue.kinds().values()
    jumps = [jump for kind in kinds for jump in kind.jumps]
    requirements = [requirement for kind in kinds for requirement in kind.requirements]
    assert jumps
    assert requirements
    assert catalogue.kinds()["container"].jumps == (), "its tag may follow any rule"
    for see in [*(each.see for each in (*jumps, *postgresql.JUMPS)), *(each.see for each in requirements)]:
        assert see.startswith("https://")


@pytest.mark.parametrize(
    "wrong",
    [
        {"before": ">=1"}, {"after": ">=1"}, {}, {"before": ">=1", "after": "<1", "change": "major"},
        {"before": "one", "after": "two"}, {"change": "sideways"}, {"change": "major", "befor": ">=1"},
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_meant_is_refused_when_it_is_read(wrong: dict[str, str]) -> None:
    whole = {"because": "b", "instead": "i", "see": "https://s.example"}
    with pytest.raises(ValidationError):
        Jump.model_validate({**whole, **wrong})
    assert Jump.model_validate({**whole, "change": "major"}).change == "major"


def test_a_service_that_goes_back_may_have_an_earlier_version() -> None:
    before = exported(image("kanboard", "v1.2.53"))
    earlier = declaration(image("kanboard", "v1.2.52"))
    assert list(refused(earlier, before, {"pad"})) != []
    assert list(refused(earlier, before, {"board"})) == []


def test_a_service_that_goes_back_may_not_jump_ahead_nor_change_its_database() -> None:
    ahead = declaration(image("mattermost", "11.7.2"))
    assert list(refused(ahead, exported(image("mattermost", "10.11.17")), {"team"})) != []
    before = exported()
    before["services"]["board"]["database"]["major"] = 99.0
    assert list(refused(declaration(), before, {"board"})) != []
