"""What every store does; see ports.Store."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread
from typing import Protocol

import pytest

from ronron.adapters.sql_store.store import SqlStore
from ronron.core.containers import MadeContainer
from ronron.core.drift import Drift, DriftKind
from ronron.core.drift_record import Baseline, DriftRecord
from ronron.core.errors import RecordCorruptError, StackLockedError, StoreError
from ronron.core.model import Decision, Outcome, OutcomeKind, Reason, TakenSnapshot
from ronron.core.record import Record
from ronron.core.released import RestoredData
from ronron.core.removals import Removal
from ronron.core.storable import LONGEST
from ronron.core.way_back import KnownState, WayBack
from ronron.ports import Store
from ronron.testing import NOON, MemoryStore
from tests.support.values import (
    DEGRADED,
    FAILED,
    FAILURE,
    FRESH,
    HEALTHY,
    MINUTE,
    NEW,
    NEW_DIGEST,
    OLD,
    OLD_DIGEST,
    OTHER_PLAN,
    OWN_BACKUP,
    PLAN,
    RUNNING,
    SEEN,
    SUSPENSION,
    SYNCED,
    UPDATED,
    WAITING_PLAN,
    begun,
)

KEPT = 5


class Open(Protocol):
    """Opens a store that keeps so many passes of an environment."""

    def __call__(self, kept: int = KEPT) -> Store: ...


@pytest.fixture(params=["fake", pytest.param("sqlite", marks=pytest.mark.check)])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    opened: list[SqlStore] = []

    def open_one(kept: int = KEPT) -> Store:
        if request.param == "fake":
            return MemoryStore(kept=kept)
        opened.append(SqlStore(tmp_path / "state", kept=kept))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Open) -> Store:
    return open_store()


FULL = FAILED.with_(
    suspended=SUSPENSION,
    stalled="nothing helps",
    waiting=WAITING_PLAN,
    degraded=DEGRADED,
    running=RUNNING,
    interrupted=True,
    served=3,
    decision=Decision(reason=Reason.BACKING_OFF, why="one failure", poll_again_at=NOON + MINUTE),
    stack="production",
    inventory={"version": 1, "services": {"pad": {"ports": [80, 443], "url": None, "up": True}}},
    backups={"pad": SEEN},
    kept=OWN_BACKUP,
    removed=NOON,
    restored=OLD,
    known_state=KnownState(
        at=NOON,
        digest=OLD_DIGEST,
        resources=("0123456789abcdef",),
        images={"pad": "pad:1"},
        migrated=("pad",),
    ),
    way_back=WayBack(
        failed=NEW,
        to=OLD,
        message="the pad is down",
        hint="push a fix",
        restores=(TakenSnapshot(service="pad", id="5" * 64),),
        restored=(RestoredData(service="board", snapshot="6" * 64, safety_snapshot="7" * 64),),
    ),
    removals={"team": Removal(by="ada", at=NOON, resource="urn:pulumi:production::fake::x::team")},
)

# -- records -----------------------------------------------------------------------------------------------


def test_an_environment_that_nobody_wrote_has_a_fresh_record(store: Store) -> None:
    assert store.load("production") == FRESH
    assert store.environments() == ()


def test_a_record_is_loaded_as_it_was_saved(store: Store) -> None:
    unset = [name for name, value in FULL if not value and name != "version"]
    assert unset == ["digest"], "the record of this test has something in every other field"
    store.save(FULL)
    assert store.load("production") == FULL
    store.save(SYNCED)
    assert store.load("production") == SYNCED.with_(backups={"pad": SEEN}, kept=OWN_BACKUP)


def test_what_is_seen_of_the_backups_changes_nothing_else(store: Store) -> None:
    store.save(FAILED)
    store.save_backups("production", {"pad": SEEN}, OWN_BACKUP)
    assert store.load("production") == FAILED.with_(backups={"pad": SEEN}, kept=OWN_BACKUP)
    store.save_backups("production", {}, None)
    assert store.load("production") == FAILED


def test_a_pass_that_ends_keeps_what_was_seen_of_the_backups_meanwhile(store: Store) -> None:
    store.save(SYNCED)
    number = store.begin(begun())
    store.save_backups("production", {"pad": SEEN}, OWN_BACKUP)
    store.finish(number, UPDATED, NOON, SYNCED.with_(backups={"board": SEEN}))
    assert store.load("production").backups == {"pad": SEEN}
    assert store.load("production").kept == OWN_BACKUP


def test_what_is_seen_of_the_backups_is_kept_without_secrets(store: Store) -> None:
    said = SEEN.conditions[0].with_(message="cannot reach rest:https://ada:hunter22@backup.example/")
    store.save_backups("production", {"pad": SEEN.with_(conditions=(said,))}, None)
    assert "hunter22" not in store.load("production").model_dump_json()


def test_a_copy_is_a_new_file_for_us_alone(store: Store, tmp_path: Path) -> None:
    store.save(SYNCED)
    place = tmp_path / "copy"
    store.copy(place)
    assert place.stat().st_size > 0
    assert place.stat().st_mode & 0o777 == 0o600
    with pytest.raises(StoreError, match="cannot copy the store"):
        store.copy(place)


def test_environments_are_named_in_order_and_know_nothing_of_each_other(store: Store) -> None:
    for name in ("staging", "local", "Production"):
        store.save(Record(environment=name, served=len(name)))
    assert store.environments() == ("Production", "local", "staging")
    assert store.load("local").served == 5


def test_an_environment_that_is_forgotten_is_as_if_it_had_never_been(store: Store) -> None:
    for name in ("production", "staging"):
        number = store.begin(begun(name))
        store.finish(number, UPDATED, NOON, SYNCED.with_(environment=name))
        store.save_health(name, HEALTHY)
        store.save_drift(DriftRecord(environment=name))
        store.ask(name, "ada", NOON)
        store.approve(name, PLAN, "ada", NOON)
    store.forget("production")
    assert store.environments() == ("staging",)
    assert store.load("production") == FRESH
    assert store.health("production") == {}
    assert store.load_drift("production").version == 0
    assert store.history("production") == ()
    assert store.asked("production") is None
    assert store.approvals("production") == frozenset()
    assert store.load("staging").environment == "staging"
    assert store.health("staging") == {"pad": HEALTHY}
    assert len(store.history("staging")) == 1
    assert store.asked("staging") is not None
    assert store.approvals("staging") == {PLAN}
    assert store.begin(begun()) == 3
    assert store.ask("production", "ada", NOON).id == 3


# -- drift -------------------------------------------------------------------------------------------------


def test_the_drift_of_an_environment_is_read_as_it_was_written(store: Store) -> None:
    assert store.load_drift("production") == DriftRecord(environment="production")
    made = MadeContainer(urn="u", name="pad", id="1" * 64, machine="here", volumes=("files",))
    drift = Drift(container="pad", machine="here", urn="u", kind=DriftKind.STOPPED, since=NOON)
    written = DriftRecord(
        environment="production",
        made=(made,),
        open=(drift,),
        baselines={made.id: Baseline(modified="then", settings={"memory": "384 MiB"})},
    )
    assert store.save_drift(written)
    assert store.load_drift("production") == written.with_(version=1)
    assert store.load_drift("staging").open == ()


def test_an_older_look_never_replaces_a_newer_one(store: Store) -> None:
    older = store.load_drift("production")
    assert store.save_drift(older.with_(looked_at=NOON))
    assert not store.save_drift(older)
    newer = store.load_drift("production")
    assert newer.looked_at == NOON
    assert store.save_drift(newer.with_(looked_at=None))
    assert not store.save_drift(newer)
    assert store.load_drift("production").version == 2


# -- health ------------------------------------------------------------------------------------------------


def test_the_health_of_a_service_is_read_as_it_was_written(store: Store) -> None:
    assert store.health("production") == {}
    store.save_health("production", HEALTHY)
    store.save_health("staging", HEALTHY.with_(service="team"))
    assert store.health("production") == {"pad": HEALTHY}
    later = HEALTHY.with_(checked_at=NOON + MINUTE, status=None, failing_since=NOON + MINUTE)
    store.save_health("production", later)
    assert store.health("production") == {"pad": later}
    assert store.environments() == (), "health makes no record"


def test_an_older_probe_never_replaces_a_newer_one(store: Store) -> None:
    store.save_health("production", HEALTHY)
    store.save_health("production", HEALTHY.with_(healthy=False, checked_at=NOON - MINUTE))
    assert store.health("production") == {"pad": HEALTHY}
    again = HEALTHY.with_(detail="200 in 0.05 s")
    store.save_health("production", again)
    assert store.health("production") == {"pad": again}


def test_services_that_are_gone_leave_health(store: Store) -> None:
    for environment in ("production", "staging"):
        for service in ("pad", "team", "board"):
            store.save_health(environment, HEALTHY.with_(service=service))
    store.forget_health("production", ("pad", "team", "wiki"))
    assert sorted(store.health("production")) == ["pad", "team"]
    store.forget_health("production")
    assert store.health("production") == {}
    assert sorted(store.health("staging")) == ["board", "pad", "team"]


def test_credentials_are_taken_out_of_health(store: Store) -> None:
    store.save_health("production", HEALTHY.with_(detail=LEAK, url="https://ada:hunter2@pad.example/"))
    kept = store.health("production")["pad"]
    assert (kept.detail, kept.url) == (CLEAN, "https://[secret]@pad.example/")


# -- history -----------------------------------------------------------------------------------------------


def test_a_pass_that_begins_is_in_the_history_without_an_outcome(store: Store) -> None:
    number = store.begin(begun())
    assert store.history() == (begun().with_(id=number),)


def test_numbers_of_passes_rise_over_all_environments(store: Store) -> None:
    numbers = [store.begin(begun(name)) for name in ("staging", "production", "staging")]
    assert numbers == sorted(set(numbers))
    assert numbers[0] > 0


def test_the_end_of_a_pass_is_written_with_the_record_after_it(store: Store) -> None:
    number = store.begin(begun())
    store.finish(number, UPDATED, NOON + MINUTE, SYNCED)
    assert store.history() == (begun().with_(id=number, outcome=UPDATED, finished=NOON + MINUTE),)
    assert store.load("production") == SYNCED


@pytest.mark.parametrize("environment", ["production", "staging"])
def test_the_end_of_a_pass_that_never_began_is_refused_and_nothing_is_written(
    store: Store, environment: str
) -> None:
    number = store.begin(begun("staging"))
    missing = number if environment == "production" else number + 1
    with pytest.raises(RecordCorruptError, match=f"cannot read pass {missing}"):
        store.finish(missing, UPDATED, NOON, SYNCED.with_(environment=environment))
    assert store.load(environment) == Record(environment=environment)
    assert store.history() == (begun("staging").with_(id=number),)


def test_the_history_begins_with_the_newest(store: Store) -> None:
    numbers = [store.begin(begun(name)) for name in ("staging", "production", "staging", "staging")]
    assert [made.id for made in store.history()] == numbers[::-1]
    assert [made.id for made in store.history("staging")] == [numbers[3], numbers[2], numbers[0]]
    assert [made.id for made in store.history("staging", limit=2)] == [numbers[3], numbers[2]]
    assert [made.id for made in store.history(limit=1)] == [numbers[3]]
    assert store.history(limit=0) == ()
    assert store.history("nowhere") == ()


def test_only_the_newest_passes_of_each_environment_are_kept(store: Store) -> None:
    other = store.begin(begun("staging"))
    numbers = [store.begin(begun()) for _ in range(KEPT + 2)]
    store.finish(numbers[-1], UPDATED, NOON, SYNCED)
    assert [made.id for made in store.history("production", 100)] == numbers[: -KEPT - 1 : -1]
    assert [made.id for made in store.history("staging")] == [other]


def test_the_number_of_a_pass_that_was_forgotten_is_never_given_again(open_store: Open) -> None:
    store = open_store(kept=1)
    for expected in (1, 2, 3):
        number = store.begin(begun())
        store.finish(number, UPDATED, NOON, SYNCED)
        assert number == expected
        assert [made.id for made in store.history()] == [number]


# -- requests and approvals --------------------------------------------------------------------------------


def test_the_newest_request_is_the_one_that_counts(store: Store) -> None:
    assert store.asked("production") is None
    first = store.ask("production", "ada", NOON)
    second = store.ask("production", "grace", NOON + MINUTE)
    other = store.ask("staging", "ada", NOON)
    assert 0 < first.id < second.id < other.id
    assert store.asked("production") == second
    assert (second.by, second.at, second.environment) == ("grace", NOON + MINUTE, "production")
    assert store.asked("staging") == other


def test_many_requests_keep_their_order(store: Store) -> None:
    asked = [store.ask("production", "ada", NOON).id for _ in range(KEPT * 2)]
    assert asked == sorted(set(asked))
    newest = store.asked("production")
    assert newest is not None
    assert newest.id == asked[-1]


def test_an_approval_is_of_one_plan_of_one_environment(store: Store) -> None:
    store.approve("production", PLAN, "ada", NOON)
    store.approve("production", OTHER_PLAN, "ada", NOON)
    assert store.approvals("production") == {PLAN, OTHER_PLAN}
    assert store.approvals("staging") == frozenset()


def test_saying_yes_again_changes_nothing(store: Store) -> None:
    store.approve("production", PLAN, "ada", NOON)
    store.approve("production", PLAN, "grace", NOON + MINUTE)
    assert store.approvals("production") == {PLAN}


# -- what is never kept ------------------------------------------------------------------------------------

LEAK = "fatal: \x1b[31mhttps://bot:hunter2@forge.example/x.git?token=hunter2\x1b[0m said no"
CLEAN = "fatal: https://[secret]@forge.example/x.git?[secret] said no"


def test_credentials_and_control_codes_are_taken_out_of_records(store: Store) -> None:
    store.save(
        FULL.with_(failed=FAILURE.with_(message=LEAK), stalled=LEAK, waiting=WAITING_PLAN.with_(why=LEAK))
    )
    loaded = store.load("production")
    assert (loaded.failed, loaded.stalled) == (FAILURE.with_(message=CLEAN), CLEAN)
    assert loaded.waiting == WAITING_PLAN.with_(why=CLEAN)
    assert loaded.with_(failed=FULL.failed, stalled=FULL.stalled, waiting=FULL.waiting) == FULL


def test_credentials_and_control_codes_are_taken_out_of_the_history(store: Store) -> None:
    number = store.begin(begun(why=LEAK))
    assert store.history()[0].decision.why == CLEAN
    outcome = Outcome(kind=OutcomeKind.FAILED, message=LEAK, hint=LEAK)
    store.finish(number, outcome, NOON, FAILED.with_(failed=FAILURE.with_(message=LEAK)))
    made = store.history()[0]
    assert made.outcome == Outcome(kind=OutcomeKind.FAILED, message=CLEAN, hint=CLEAN)
    assert store.load("production").failed == FAILURE.with_(message=CLEAN)


def test_credentials_and_control_codes_are_taken_out_of_requests(store: Store) -> None:
    assert store.ask("production", LEAK, NOON).by == CLEAN
    asked = store.asked("production")
    assert asked is not None
    assert asked.by == CLEAN


def test_an_inventory_keeps_the_queries_that_its_probes_ask_and_no_credentials(store: Store) -> None:
    public = "https://team.example/api/v4/system/ping?get_server_status=true"
    store.save(SYNCED.with_(inventory={"probe": public, "docker": "ssh://tech:hunter2@old.example"}))
    assert store.load("production").inventory == {
        "probe": public,
        "docker": "ssh://[secret]@old.example",
    }


def test_long_texts_are_cut_and_say_so(store: Store) -> None:
    store.save(FAILED.with_(failed=FAILURE.with_(message="a" * LONGEST)))
    assert store.load("production").failed == FAILURE.with_(message="a" * LONGEST)
    store.save(FAILED.with_(failed=FAILURE.with_(message="a" * (LONGEST + 1))))
    kept = store.load("production").failed
    assert kept is not None
    assert len(kept.message) == LONGEST
    assert kept.message.endswith("a … [cut]")


# -- holding a stack ---------------------------------------------------------------------------------------


def test_a_stack_is_held_once(store: Store) -> None:
    refused = pytest.raises(
        StackLockedError, match=r"the stack production is locked by .* since 20\d\d-\d\d-\d\d"
    )
    with store.lock("production"):
        with refused, store.lock("production"):
            pass
        with store.lock("staging"):
            pass


def test_a_stack_is_free_after_its_block_however_that_ends(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.lock("production"):
        _ = 1 // 0
    with store.lock("production"):
        pass
    with store.lock("production"):
        pass


def test_a_stack_that_another_thread_holds_is_refused_until_it_ends(store: Store) -> None:
    held, release = Event(), Event()

    def hold() -> None:
        with store.lock("production"):
            held.set()
            release.wait(30)

    owner = Thread(target=hold)
    owner.start()
    try:
        assert held.wait(30)
        with pytest.raises(StackLockedError) as refused, store.lock("production"):
            pass
        assert refused.value.retryable
        assert refused.value.hint
    finally:
        release.set()
        owner.join()
    with store.lock("production"):
        pass


def test_a_refused_stack_stays_with_its_owner(store: Store) -> None:
    with store.lock("production"):
        for _ in range(2):
            with pytest.raises(StackLockedError), store.lock("production"):
                pass


# -- many at once ------------------------------------------------------------------------------------------


def test_many_threads_write_at_once_and_nothing_is_lost(open_store: Open) -> None:
    store = open_store(kept=1000)

    def passes(name: str) -> list[int]:
        numbers = []
        for turn in range(20):
            numbers.append(store.begin(begun(name)))
            store.finish(numbers[-1], UPDATED, NOON, Record(environment=name, served=turn))
            store.ask(name, "ada", NOON)
        return numbers

    names = [f"environment-{number}" for number in range(8)]
    with ThreadPoolExecutor(len(names)) as pool:
        numbers = dict(zip(names, pool.map(passes, names), strict=True))

    given = [number for found in numbers.values() for number in found]
    assert len(set(given)) == len(given) == 160
    for name in names:
        assert [made.id for made in store.history(name, 100)] == numbers[name][::-1]
        assert all(made.outcome == UPDATED for made in store.history(name, 100))
        assert store.load(name).served == 19


def test_a_record_is_never_seen_half_finished(open_store: Open) -> None:
    store = open_store(kept=1000)
    stop = Event()
    torn: list[tuple[int, int]] = []

    def look() -> None:
        while not stop.is_set():
            served = store.load("production").served
            finished = sum(made.outcome is not None for made in store.history("production", 1000))
            if finished < served:
                torn.append((served, finished))

    reader = Thread(target=look)
    reader.start()
    try:
        for turn in range(1, 51):
            store.finish(store.begin(begun()), UPDATED, NOON, SYNCED.with_(served=turn))
    finally:
        stop.set()
        reader.join()
    assert torn == []
    assert store.load("production").served == 50


def test_a_digest_is_kept_in_full(store: Store) -> None:
    store.save(SYNCED.with_(digest=NEW_DIGEST))
    assert store.load("production").digest == NEW_DIGEST
