"""What a store may keep of a value: the same value, without secrets."""

from __future__ import annotations

import pytest

from ronron.core.model import Outcome, Value
from ronron.core.record import Record
from ronron.core.storable import LONGEST, as_kept
from tests.support.values import (
    FAILED,
    FAILURE,
    OWN_BACKUP,
    RUNNING,
    SEEN,
    SUSPENSION,
    SYNCED,
    UPDATED,
    WAITING_PLAN,
    begun,
)
from tests.support.worlds import inventory

SECRET = "hunter22hunter22"


@pytest.mark.parametrize(
    "value",
    [
        SYNCED,
        FAILED.with_(waiting=WAITING_PLAN, running=RUNNING, suspended=SUSPENSION, inventory=inventory()),
        SYNCED.with_(backups={"pad": SEEN}, kept=OWN_BACKUP),
        UPDATED,
        begun().with_(outcome=UPDATED),
    ],
)
def test_a_value_without_secrets_is_kept_as_it_is(value: Value) -> None:
    assert as_kept(value, [SECRET]) == value
    assert type(as_kept(value)) is type(value)


def test_secrets_and_credentials_are_not_kept() -> None:
    message = f"cannot pull https://ada:token@git.example/x?key=1 with {SECRET}"
    kept = as_kept(FAILED.with_(failed=FAILURE.with_(message=message), stalled=message), [SECRET])
    assert kept.failed == FAILURE.with_(message=kept.stalled)
    assert kept.stalled == "cannot pull https://[secret]@git.example/x?[secret] with [secret]"


def test_a_probe_of_an_inventory_is_kept_as_it_will_be_asked_again() -> None:
    url = "https://pad.example/health?deep=1"
    document = inventory(url=url)
    kept = as_kept(SYNCED.with_(inventory=document), [SECRET])
    assert kept.inventory == document


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("ssh://tech@old.example", "ssh://tech@old.example"),
        ("ssh://tech@old.example:2222", "ssh://tech@old.example:2222"),
        ("ssh://tech:hunter2@old.example", "ssh://[secret]@old.example"),
        ("https://ada@old.example", "https://[secret]@old.example"),
    ],
)
def test_a_machine_of_an_inventory_is_reached_by_what_is_kept(address: str, kept: str) -> None:
    document = {"machines": {"old": {"docker": address}}}
    found = as_kept(SYNCED.with_(inventory=document), [SECRET]).inventory
    assert found == {"machines": {"old": {"docker": kept}}}


def test_an_inventory_is_kept_without_secrets_all_the_same() -> None:
    document = inventory(url=f"https://ada:token@pad.example/?key={SECRET}")
    kept = str(as_kept(SYNCED.with_(inventory=document), [SECRET]).inventory)
    assert "token" not in kept
    assert SECRET not in kept


def test_a_flood_of_text_is_cut() -> None:
    outcome = as_kept(UPDATED.with_(message="x" * (LONGEST + 1)))
    assert isinstance(outcome, Outcome)
    assert len(outcome.message) == LONGEST
    assert outcome.message.endswith(" … [cut]")
    assert as_kept(UPDATED.with_(message="x" * LONGEST)).message == "x" * LONGEST


def test_a_record_without_an_inventory_stays_without() -> None:
    kept = as_kept(SYNCED)
    assert isinstance(kept, Record)
    assert kept.inventory is None
