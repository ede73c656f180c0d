"""Which services an update may affect, and how an inventory is read.

tests/contract/test_inventory_contract.py compares the program's inventory with the reader's.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ronron.core.errors import ConfigError
from ronron.core.inventory import Inventory, changed_probes, read_inventory, touched
from ronron.core.model import QUIET, Change, Operation
from tests.support.values import change
from tests.support.worlds import inventory as a_document

PAD = "urn:pulumi:production::picasoft::chatons:index:Service::pad"
WIKI = "urn:pulumi:production::picasoft::chatons:index:Service::wiki"
EDGE = "urn:pulumi:production::picasoft::chatons:index:Edge::edge-here"


def read(document: object) -> Inventory:
    found = read_inventory(document)
    assert found is not None
    return found


def services(**resources: str | None) -> Inventory:
    """An inventory of services, each with the URN of its component."""
    document = a_document()
    one = read(document).services["pad"]
    inner = {name: one.model_copy(update={"resource": resource}) for name, resource in resources.items()}
    return read(document).model_copy(update={"services": inner})


BOTH = services(pad=PAD, wiki=WIKI)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        pytest.param((), (), id="nothing"),
        pytest.param((change(Operation.SAME, below=PAD), change(Operation.READ)), (), id="only quiet"),
        pytest.param((change(below=PAD),), ("pad",), id="below one service"),
        pytest.param((change(below=PAD), change(below=WIKI)), ("pad", "wiki"), id="below both"),
        pytest.param((change(below=WIKI), change(below=PAD)), ("pad", "wiki"), id="sorted by name"),
        pytest.param((change(Operation.DELETE, below=PAD),), ("pad",), id="something deleted"),
        pytest.param((change(Operation.UNKNOWN, below=PAD),), ("pad",), id="something unknown"),
        pytest.param((change(),), ("pad", "wiki"), id="below no service"),
        pytest.param((change(below=EDGE),), ("pad", "wiki"), id="below the edge"),
        pytest.param((change(below=PAD), change(below=EDGE)), ("pad", "wiki"), id="below one and the edge"),
        pytest.param((change(below=PAD, custom=False),), (), id="a component has nothing in the world"),
    ],
)
def test_an_update_affects_the_services_above_its_changes(
    changes: tuple[Change, ...], names: tuple[str, ...]
) -> None:
    assert touched(changes, BOTH) == names


def test_a_grandchild_belongs_to_the_service() -> None:
    deep = change().with_(ancestors=(f"{PAD}$database", PAD))
    assert touched([deep], BOTH) == ("pad",)


def test_a_service_that_is_one_resource_is_affected_by_its_own_change() -> None:
    own = change(below=EDGE).with_(urn=WIKI)
    assert touched([own], BOTH) == ("wiki",)


def test_a_service_without_a_resource_is_affected_by_every_change() -> None:
    found = services(pad=PAD, wiki=WIKI, job=None)
    assert touched([change(below=PAD)], found) == ("job", "pad")
    assert touched([change(Operation.SAME)], found) == ()


def test_without_services_nothing_is_affected() -> None:
    assert touched([change()], services()) == ()


changes = st.builds(
    change,
    st.sampled_from(list(Operation)),
    below=st.sampled_from(["", PAD, WIKI, EDGE]),
    custom=st.booleans(),
)


@given(st.lists(changes, max_size=6), changes)
def test_one_change_more_never_affects_fewer_services(some: list[Change], more: Change) -> None:
    before, after = set(touched(some, BOTH)), set(touched([*some, more], BOTH))
    assert before <= after <= {"pad", "wiki"}
    if more.operation in QUIET or not more.custom:
        assert before == after


# -- asked otherwise than before ---------------------------------------------------------------------------


def probed(url: str, **others: str) -> Inventory:
    """An inventory whose pad is probed at a URL; `others` by name."""
    one = read(a_document(url=url)).services["pad"]
    inner = {"pad": one} | {
        name: read(a_document(url=other)).services["pad"] for name, other in others.items()
    }
    return read(a_document()).model_copy(update={"services": inner})


@pytest.mark.parametrize(
    ("before", "names"),
    [
        pytest.param(probed("https://a.example/", wiki="https://w.example/"), (), id="the same"),
        pytest.param(probed("https://b.example/", wiki="https://w.example/"), ("pad",), id="one of them"),
        pytest.param(probed("https://b.example/", wiki="https://b.example/"), ("pad", "wiki"), id="both"),
        pytest.param(probed("https://a.example/"), ("wiki",), id="a new service"),
        pytest.param(
            probed("https://a.example/", wiki="https://w.example/", x="https://x.example/"), (), id="one went"
        ),
        pytest.param(None, ("pad", "wiki"), id="no inventory"),
    ],
)
def test_services_whose_probe_has_changed_are_named(before: Inventory | None, names: tuple[str, ...]) -> None:
    after = probed("https://a.example/", wiki="https://w.example/")
    assert changed_probes(before.model_dump(mode="json") if before else None, after) == names


def test_an_earlier_inventory_that_cannot_be_read_is_ignored() -> None:
    assert changed_probes(a_document() | {"version": 2}, services(wiki=WIKI, pad=PAD)) == ("pad", "wiki")


# -- read --------------------------------------------------------------------------------------------------


def test_a_project_without_an_inventory_has_none() -> None:
    assert read_inventory(None) is None


def test_an_inventory_is_read_completely() -> None:
    assert read(a_document()).model_dump(mode="json") == a_document()


@pytest.mark.parametrize("version", [0, 2, "1", True, None, 1.5])
def test_another_version_is_refused_and_named(version: object) -> None:
    with pytest.raises(ConfigError, match="cannot read the inventory: version") as caught:
        read_inventory(a_document() | {"version": version})
    assert repr(version) in caught.value.message
    assert caught.value.where == "stack output inventory"
    assert "same release" in caught.value.hint


@pytest.mark.parametrize("output", ["", "text", 1, [], [a_document()], {}])
def test_another_document_is_refused(output: object) -> None:
    with pytest.raises(ConfigError) as caught:
        read_inventory(output)
    assert caught.value.hint


def test_a_refusal_names_the_key_and_not_the_value() -> None:
    document = a_document()
    document["machines"] = {"here": {"docker": ["hunter22"]}}
    with pytest.raises(ConfigError, match=r"machines\.here\.docker") as caught:
        read_inventory(document)
    assert "hunter22" not in str(caught.value)


def test_an_unknown_field_of_this_version_is_ignored() -> None:
    assert read(a_document() | {"motto": "purr"}) == read(a_document())
