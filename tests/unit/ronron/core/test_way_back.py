"""What a known state remembers, and what is told of the way back."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ronron.core.inventory import Inventory, read_inventory
from ronron.core.model import Change, Operation, OutcomeKind, TakenSnapshot
from ronron.core.record import Record
from ronron.core.released import Guarded, Released, RestoredData, UnrestoredData
from ronron.core.way_back import (
    MOST,
    KnownState,
    WayBack,
    added,
    changed_images,
    existing,
    gone_back,
    is_retained,
    known_state,
    needs_release,
    released,
    restore_hint,
    restored_text,
    unrestored_text,
    wanted,
)
from ronron.testing import NOON
from tests.support.values import NEW, OLD, OLD_DIGEST, SYNCED, UPDATED, VOLUME, change
from tests.support.worlds import COMPONENT, inventory

VM = "proxmoxve:index/vmLegacy:VmLegacy"
PAD = change(name="pad", below=COMPONENT, properties=("image",))


def with_image(image: str = "pad:1.8.14") -> Inventory:
    document = inventory(backup=True)
    services = document["services"]
    assert isinstance(services, dict)
    services["pad"]["image"] = image
    found = read_inventory(document)
    assert found is not None
    return found


def of(*names: str, digest: str | None = OLD_DIGEST) -> KnownState:
    return known_state((change(name=name).urn for name in names), with_image(), digest, NOON)


def test_a_baseline_knows_what_was_there() -> None:
    before = of("pad", "wiki")
    urns = [change(name=name).urn for name in ("pad", "board", "wiki")]
    assert added(urns, before) == {urns[1]}
    assert added(urns, None) == frozenset()
    assert added(urns, before.holding(urns[1:2])) == frozenset()


def test_a_baseline_of_too_much_releases_nothing() -> None:
    before = known_state((f"urn:{number}" for number in range(MOST + 1)), None, None, NOON)
    assert before.resources is None
    assert added(["urn:new"], before) == frozenset()
    assert before.holding(["urn:more"]) == before


def test_a_baseline_goes_through_a_record_that_is_stored() -> None:
    before = of("pad").with_migrated(["pad", "nobody"])
    way = WayBack(
        failed=NEW,
        to=OLD,
        message="the pad is down",
        restores=(TakenSnapshot(service="pad", id="5" * 64),),
        restored=(RestoredData(service="board", snapshot="6" * 64),),
    )
    record = SYNCED.with_(known_state=before, way_back=way)
    assert Record.model_validate_json(record.model_dump_json()) == record
    assert before.migrated == ("pad",)


@pytest.mark.parametrize("kind", list(OutcomeKind))
def test_a_way_back_ends_with_every_outcome_but_an_interruption(kind: OutcomeKind) -> None:
    record = SYNCED.with_(way_back=WayBack(failed=NEW, to=OLD, message="the pad is down"))
    outcome = UPDATED.with_(kind=kind, excluded=None, restored=OLD)
    if kind is OutcomeKind.DEGRADED:
        outcome = outcome.with_(excluded={"machines": {"pica02": "no answer"}})
    after = record.after(outcome, NEW, None, NOON)
    assert (after.way_back is not None) is (kind is OutcomeKind.INTERRUPTED)
    assert record.recovered(NOON + timedelta(1)).way_back is not None


def test_what_a_preview_shows_tells_what_is_there_and_what_will_be() -> None:
    changes = [
        change(Operation.SAME, "same"),
        change(Operation.CREATE, "new"),
        change(Operation.IMPORT, "adopted"),
        change(Operation.DELETE, "gone"),
        change(Operation.REPLACE, "replaced"),
        change(Operation.UNKNOWN, "strange"),
    ]
    names = {one.urn: one.name for one in changes}
    assert {names[urn] for urn in existing(changes)} == {"same", "gone", "replaced", "strange"}
    assert {names[urn] for urn in wanted(changes)} == {"same", "new", "adopted", "replaced", "strange"}


@pytest.mark.parametrize(
    ("resource", "needs", "stays"),
    [
        (Guarded(urn=change().urn, protected=True), True, True),
        (Guarded(urn=change().urn, retained=True), False, True),
        (Guarded(urn=change().urn, protected=True, retained=True), True, True),
        (Guarded(urn=change().urn, hooked=True), True, False),
        (Guarded(urn=change(kind=VOLUME).urn), True, True),
        (Guarded(urn=change(kind=VM).urn), True, True),
        (Guarded(urn=change().urn), False, False),
    ],
)
def test_what_may_hold_data_stays_in_the_world(resource: Guarded, needs: bool, stays: bool) -> None:
    assert (needs_release(resource), is_retained(resource)) == (needs, stays)


@pytest.mark.parametrize(
    ("resource", "text"),
    [
        (
            Guarded(urn=change(name="pad-data", kind=VOLUME).urn, id="p-local-pad-data", place="here"),
            "the volume p-local-pad-data stays on here",
        ),
        (
            Guarded(urn=change(name="pica02", kind=VM).urn, id="102", place="alice"),
            "the virtual machine 102 (pica02) stays on alice",
        ),
        (
            Guarded(urn=change(name="files", kind="s3:Bucket").urn, protected=True, place="default_7_1_0"),
            "the Bucket files stays",
        ),
    ],
)  # fmt: skip
def test_what_was_released_is_named_with_where_it_is(resource: Guarded, text: str) -> None:
    assert [one.text for one in released([resource])] == [text]


@pytest.mark.parametrize(
    ("changes", "services"),
    [
        ((PAD,), {"pad"}),
        ((PAD.with_(operation=Operation.CREATE_REPLACEMENT),), {"pad"}),
        ((PAD.with_(operation=Operation.SAME),), set()),
        ((PAD.with_(properties=("envs",)),), set()),
        ((PAD.with_(operation=Operation.DELETE_REPLACED),), set()),
        # The steps of one replacement need not all name what differs.
        (
            (
                PAD.with_(operation=Operation.DELETE_REPLACED),
                PAD.with_(operation=Operation.CREATE_REPLACEMENT, properties=()),
            ),
            {"pad"},
        ),
        # The agent's own container, below a component of its own.
        ((PAD.with_(ancestors=(f"{COMPONENT}-backup", COMPONENT)),), set()),
        ((change(name="edge", properties=("image",)),), set()),
    ],
)
def test_the_services_that_are_started_on_another_image(
    changes: tuple[Change, ...], services: set[str]
) -> None:
    assert changed_images(changes, with_image()) == services


@pytest.mark.parametrize(
    ("digest", "image", "names"),
    [
        (OLD_DIGEST, "pad:2", ("pad",)),
        (OLD_DIGEST, None, ("pad",)),
        ("other", "pad:1.8.14", ("pad",)),
        ("other", "pad:3", ()),
        ("other", None, ()),
    ],
)
def test_a_service_has_gone_back_where_its_code_is_what_it_was(
    digest: str, image: str | None, names: tuple[str, ...]
) -> None:
    before = of().with_migrated(["pad"])
    assert gone_back(before, digest, with_image(image) if image is not None else None) == names
    assert gone_back(of(), digest, with_image()) == ()
    assert gone_back(None, digest, with_image()) == ()


def test_sentences_name_services_and_snapshots() -> None:
    data = (UnrestoredData(service="pad", snapshot="5" * 64), UnrestoredData(service="team"))
    assert unrestored_text(data) == (
        "the code of pad and team went back, the data did not and may have been migrated"
    )
    assert restore_hint("production", data) == (
        "to bring back the data from before the update: ronron restore production pad --snapshot 555555555555"
    )
    assert restored_text([RestoredData(service="pad", snapshot="5" * 64)]) == (
        "restored pad from snapshot 555555555555"
    )
    assert (unrestored_text(()), restored_text(()), restore_hint("production", data[1:])) == ("", "", "")


def test_what_has_no_id_is_named_by_its_name() -> None:
    assert Released(name="page", kind="Thing").text == "the Thing page stays"
