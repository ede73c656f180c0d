"""The engine's event log: what is read of it, and what of a log that is broken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ronron.adapters.pulumi_engine.events import (
    Diagnostic,
    EventLog,
    belongs_to_pulumi,
    parse_events,
    public_outputs,
    read_events,
)
from ronron.core.model import Change, Operation

STACK = "urn:pulumi:dev::tiny::pulumi:pulumi:Stack::tiny-dev"
ROOM = "urn:pulumi:dev::tiny::tiny:index:Room::room"
SHELF = "urn:pulumi:dev::tiny::tiny:index:Room$tiny:index:Shelf::shelf"
LAMP = "urn:pulumi:dev::tiny::tiny:index:Lamp::lamp"
SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "value": "[secret]"}
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"

Event = dict[str, object]


def step(op: str, urn: str, **more: object) -> Event:
    """The metadata of a step, as all events about resources have it."""
    kind = urn.split("::")[2].rpartition("$")[2]
    return {"op": op, "urn": urn, "type": kind, "old": None, "new": None, "detailedDiff": None, **more}


def state(parent: str = STACK, *, custom: bool = True, **inside: object) -> Event:
    return {"parent": parent, "custom": custom, "inputs": {}, "outputs": {}, **inside}


def begins(op: str, urn: str, **more: object) -> Event:
    return {"resourcePreEvent": {"metadata": step(op, urn, **more), "planning": True}}


def ends(op: str, urn: str, **more: object) -> Event:
    return {"resOutputsEvent": {"metadata": step(op, urn, **more), "planning": True}}


def fails(op: str, urn: str, **more: object) -> Event:
    return {"resOpFailedEvent": {"metadata": step(op, urn, **more), "status": 0, "steps": 1}}


def says(severity: str, message: str, **more: object) -> Event:
    return {"diagnosticEvent": {"severity": severity, "message": message, "color": "never", **more}}


def summary(result: str = "succeeded") -> Event:
    return {"summaryEvent": {"maybeCorrupt": False, "resourceChanges": {}, "result": result}}


def lines(*events: Event) -> list[str]:
    numbered = ({"sequence": n, "timestamp": 1795600000, **event} for n, event in enumerate(events))
    return [json.dumps(event) + "\n" for event in numbered]


def read(*events: Event) -> EventLog:
    return parse_events(lines(*events))


# -- steps -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", [one for one in Operation if one is not Operation.UNKNOWN])
def test_every_operation_of_the_engine_is_read_as_itself(operation: Operation) -> None:
    (change,) = read(begins(operation.value, LAMP, new=state())).planned
    assert (change.urn, change.operation, change.original) == (LAMP, operation, "")


@pytest.mark.parametrize("word", ["transmogrify", "unknown", "", "CREATE"])
def test_an_operation_that_is_not_known_is_kept_for_a_person(word: str) -> None:
    (change,) = read(begins(word, LAMP, new=state())).planned
    assert (change.operation, change.original) == (Operation.UNKNOWN, word)


def test_steps_keep_the_order_of_the_engine() -> None:
    log = read(begins("create", LAMP, new=state()), begins("same", ROOM), begins("delete", SHELF))
    assert [(change.operation.value, change.name) for change in log.planned] == [
        ("create", "lamp"),
        ("same", "room"),
        ("delete", "shelf"),
    ]


def test_ancestors_are_the_nearest_first_and_without_the_stack() -> None:
    log = read(
        begins("create", STACK, new=state(parent="", custom=False)),
        begins("create", ROOM, new=state(custom=False)),
        begins("create", SHELF, new=state(parent=ROOM)),
        begins("create", LAMP, new=state(parent=SHELF)),
    )
    assert [change.ancestors for change in log.planned] == [(), (), (ROOM,), (SHELF, ROOM)]
    assert [change.custom for change in log.planned] == [False, False, True, True]


def test_ancestors_that_run_in_a_circle_end() -> None:
    log = read(begins("create", ROOM, new=state(parent=LAMP)), begins("create", LAMP, new=state(parent=ROOM)))
    assert log.planned[0].ancestors == (LAMP, ROOM)


def test_a_step_is_done_only_when_it_has_ended_and_not_failed() -> None:
    log = read(
        begins("create", LAMP, new=state()),
        begins("update", SHELF, old=state(), new=state()),
        begins("delete", ROOM, old=state()),
        ends("create", LAMP, new=state()),
        fails("update", SHELF, old=state(), new=state()),
    )
    assert [change.name for change in log.done] == ["lamp"]
    assert [(change.operation, change.name) for change in log.failed] == [(Operation.UPDATE, "shelf")]


def test_the_steps_of_one_replacement_end_each_by_itself() -> None:
    log = read(
        begins("create-replacement", LAMP, old=state(), new=state()),
        begins("replace", LAMP, old=state(), new=state()),
        begins("delete-replaced", LAMP, old=state()),
        ends("create-replacement", LAMP, old=state(), new=state()),
        fails("delete-replaced", LAMP, old=state()),
    )
    assert [change.operation for change in log.done] == [Operation.CREATE_REPLACEMENT]
    assert [change.operation for change in log.failed] == [Operation.DELETE_REPLACED]


def test_a_component_is_done_without_an_end_of_its_own() -> None:
    log = read(begins("create", ROOM, new=state(custom=False)))
    assert [change.name for change in log.done] == ["room"]


def test_a_failure_without_a_beginning_is_one() -> None:
    log = read(fails("delete", LAMP, old=state()), fails("delete", LAMP, old=state()))
    assert log.failed == (Change(urn=LAMP, operation=Operation.DELETE),)


@pytest.mark.parametrize(
    ("type_", "bookkeeping"),
    [
        ("pulumi:pulumi:Stack", True),
        ("pulumi:providers:docker", True),
        ("pulumi:pulumi:StackReference", False),
        ("docker:index/container:Container", False),
        ("", False),
    ],
)
def test_stacks_and_providers_belong_to_the_engine(type_: str, bookkeeping: bool) -> None:
    assert belongs_to_pulumi(type_) is bookkeeping


# -- properties ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "properties"),
    [
        pytest.param({"detailedDiff": {"envs[0]": {}, "image": {}}}, ("envs", "image"), id="detailed"),
        pytest.param({"detailedDiff": {"env.TOKEN_OF_ALICE": {}}}, ("env",), id="keys of the user's own"),
        pytest.param({"detailedDiff": {"a[0].b": {}, "a[1]": {}}}, ("a",), id="each once"),
        pytest.param({"diffs": ["image", "labels"]}, ("image", "labels"), id="plain"),
        pytest.param(
            {"detailedDiff": {"image": {}}, "diffs": ["labels"]}, ("image",), id="detailed goes first"
        ),
        pytest.param({"detailedDiff": {}, "diffs": ["labels"]}, ("labels",), id="an empty detailed one"),
    ],
)
def test_a_change_names_the_properties_that_the_provider_names(
    told: Event, properties: tuple[str, ...]
) -> None:
    (change,) = read(begins("update", LAMP, old=state(), new=state(), **told)).planned
    assert change.properties == properties


def test_where_the_provider_names_none_the_inputs_are_compared() -> None:
    old = state(inputs={"volt": 12, "watt": 5, "gone": 1, "__provider": "x"})
    new = state(inputs={"volt": 24, "watt": 5, "came": 1, "__provider": "y"})
    (change,) = read(begins("update", LAMP, old=old, new=new)).planned
    assert set(change.properties) == {"volt", "gone", "came"}


@pytest.mark.parametrize("op", ["create", "delete", "same"])
def test_what_is_made_taken_away_or_left_names_no_property(op: str) -> None:
    old = None if op == "create" else state(inputs={"volt": 12})
    new = None if op == "delete" else state(inputs={"volt": 24})
    (change,) = read(begins(op, LAMP, old=old, new=new)).planned
    assert change.properties == ()


def test_no_value_is_kept() -> None:
    log = read(
        begins("update", LAMP, old=state(inputs={"key": "hunter2"}), new=state(inputs={"key": "hunter3"})),
        ends("update", LAMP, old=state(), new=state(outputs={"key": "hunter3"})),
        summary(),
    )
    assert "hunter" not in repr(log)


# -- outputs of the stack --------------------------------------------------------------------------


def stack_ends(old: Event | None, new: Event) -> tuple[Event, Event]:
    before = None if old is None else state(parent="", custom=False, outputs=old)
    after = state(parent="", custom=False, outputs=new)
    op = "create" if old is None else "same"
    return begins(op, STACK, old=before, new=after), ends(op, STACK, old=before, new=after)


def test_the_outputs_of_the_stack_are_kept_without_those_that_hold_a_secret() -> None:
    outputs: Event = {"inventory": {"version": 1}, "key": SECRET, "deep": {"a": [{"b": SECRET}]}}
    assert read(*stack_ends(None, outputs)).outputs == {"inventory": {"version": 1}}


@pytest.mark.parametrize("outputs", [None, [], "text", 7])
def test_what_is_no_mapping_has_no_outputs(outputs: object) -> None:
    assert public_outputs(outputs) == {}


def test_other_outputs_are_a_change_of_the_stack() -> None:
    log = read(*stack_ends({"inventory": 1, "gone": 1}, {"inventory": 2, "came": 1}))
    expected = Change(
        urn=STACK, operation=Operation.UPDATE, custom=False, properties=("came", "gone", "inventory")
    )
    assert log.planned == log.done == (expected,)


@pytest.mark.parametrize("unknown", [UNKNOWN, {"pad": {"address": UNKNOWN}}, [1, UNKNOWN]])
def test_an_output_that_nobody_knows_yet_is_no_change(unknown: object) -> None:
    (change,) = read(*stack_ends({"inventory": 1}, {"inventory": unknown})).planned
    assert change.operation is Operation.SAME


def test_a_stack_that_is_made_stays_a_creation() -> None:
    (change,) = read(*stack_ends(None, {"inventory": 1})).planned
    assert change.operation is Operation.CREATE


# -- words and the end -----------------------------------------------------------------------------


def test_what_is_said_is_kept_in_order_but_for_chatter() -> None:
    log = read(
        says("info", "begins"),
        says("debug", "dialling"),
        says("info#err", "working …", ephemeral=True),
        says("warning", "odd", urn=LAMP),
        says("error", "broke"),
    )
    assert log.diagnostics == (
        Diagnostic("info", "begins"),
        Diagnostic("warning", "odd", LAMP),
        Diagnostic("error", "broke"),
    )


@pytest.mark.parametrize("result", ["succeeded", "failed", "canceled", ""])
def test_the_end_is_in_the_engines_own_word(result: str) -> None:
    log = read(summary(result), {"cancelEvent": {}})
    assert (log.ended, log.result) == (True, result)


def test_a_log_without_a_summary_has_not_ended() -> None:
    assert read(begins("create", LAMP, new=state()), {"cancelEvent": {}}).ended is False


@pytest.mark.parametrize("kind", ["preludeEvent", "stdoutEvent", "policyLoadEvent", "startDebuggingEvent"])
def test_events_that_tell_of_no_resource_are_passed_over(kind: str) -> None:
    assert read({kind: {"config": {}}}) == EventLog()


def test_a_new_kind_of_event_about_a_resource_is_kept_for_a_person() -> None:
    (change,) = read({"resourceTeleportEvent": {"metadata": step("same", LAMP, new=state())}}).planned
    assert (change.urn, change.operation) == (LAMP, Operation.UNKNOWN)
    assert change.original == "resourceTeleportEvent"


# -- broken logs -----------------------------------------------------------------------------------


def test_a_last_line_that_was_cut_off_is_passed_over() -> None:
    whole = lines(begins("create", LAMP, new=state()), summary())
    log = parse_events([*whole, '{"sequence":9,"diagn'])
    assert log.ended
    assert [change.name for change in log.planned] == ["lamp"]


@pytest.mark.parametrize("broken", ["{broken\n", "[1]\n", "7\n", "\n"])
def test_a_line_that_is_no_event_makes_a_change_that_nobody_can_allow(broken: str) -> None:
    log = parse_events([broken, *lines(begins("same", LAMP, new=state()))])
    assert [change.operation for change in log.planned] == [Operation.SAME, Operation.UNKNOWN]
    assert log.planned[-1].original == "unreadable event"


def test_a_line_that_was_cut_off_before_others_is_broken() -> None:
    log = parse_events(['{"sequ', *lines(summary())])
    assert [change.original for change in log.planned] == ["unreadable event"]


def test_no_file_is_an_empty_log(tmp_path: Path) -> None:
    assert read_events(tmp_path / "none.jsonl") == EventLog()


def test_bytes_that_are_no_text_harm_only_their_own_place(tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    log.write_bytes(b'{"diagnosticEvent":{"severity":"warning","message":"caf\xe9 \xff"}}\n')
    assert read_events(log).diagnostics == (Diagnostic("warning", "caf\ufffd \ufffd"),)


leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
values = leaves | st.lists(leaves, max_size=3) | st.dictionaries(st.text(max_size=8), leaves, max_size=3)
steps = st.dictionaries(
    st.sampled_from(["urn", "op", "type", "old", "new", "detailedDiff", "diffs"]), values, max_size=7
)
kinds = st.sampled_from(["resourcePreEvent", "resOutputsEvent", "resOpFailedEvent", "diagnosticEvent", "new"])
bodies = values | st.builds(lambda one: {"metadata": one}, steps)


@given(st.lists(st.dictionaries(kinds, bodies, max_size=3), max_size=5))
def test_events_of_any_shape_are_read_and_no_step_is_lost(events: list[dict[str, object]]) -> None:
    begun = sum(isinstance(event.get("resourcePreEvent"), dict) for event in events)
    assert len(read(*events).planned) >= begun
