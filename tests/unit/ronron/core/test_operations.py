from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from ronron.core.model import Change, Operation
from ronron.core.operations import OperationEvent, Operations, Phase, plain_type
from ronron.testing import NOON

SERVICE = "urn:pulumi:dev::p::chatons:index:Service::pad"
CONTAINER = "docker:index/container:Container"


def change(name: str, operation: Operation = Operation.CREATE, type_: str = CONTAINER) -> Change:
    return Change(
        urn=f"urn:pulumi:dev::p::chatons:index:Service${type_}::{name}",
        operation=operation,
        ancestors=(SERVICE,),
    )


def event(phase: Phase, name: str = "pad", **more: object) -> OperationEvent:
    retained = bool(more.pop("retained", False))
    return OperationEvent(change=change(name, **more), phase=phase, retained=retained)  # type: ignore[arg-type]


def at(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def told(*steps: tuple[float, tuple[OperationEvent, ...]], kinds: dict[str, str] | None = None) -> list[str]:
    """The lines after each step: seconds since the beginning, and the events until then."""
    operations, lines = Operations(kinds=kinds or {}), list[str]()
    for seconds, events in steps:
        operations, more = operations.after(events, NOON + at(seconds))
        lines += more
    return lines


def test_a_short_operation_has_one_line_with_its_type_and_time() -> None:
    steps = ((0, (event(Phase.BEGUN),)), (3, ()), (4, (event(Phase.DONE),)))
    assert told(*steps) == ["created container pad in 4 s"]


def test_a_container_of_a_service_says_of_which_kind_it_is() -> None:
    steps = ((0, (event(Phase.BEGUN), event(Phase.BEGUN, "pad-database"))),)
    ends = ((1, (event(Phase.DONE), event(Phase.DONE, "pad-database"))),)
    assert told(*steps, *ends, kinds={SERVICE: "etherpad"}) == [
        "created container pad (etherpad) in 1 s",
        "created container pad-database in 1 s",
    ]


def test_resources_of_one_name_are_told_apart_by_their_types() -> None:
    types = (CONTAINER, "docker:index/network:Network", "docker:index/remoteImage:RemoteImage")
    begun = tuple(event(Phase.BEGUN, type_=one) for one in types)
    done = tuple(event(Phase.DONE, type_=one) for one in types)
    lines = told((0, begun), (1, done))
    assert lines == [f"created {what} pad in 1 s" for what in ("container", "network", "image")]


def test_a_long_operation_is_told_when_it_has_begun_and_every_half_minute() -> None:
    seconds = (4, 5, 6, 29, 30, 31, 59, 60, 90)
    lines = told((0, (event(Phase.BEGUN),)), *((second, ()) for second in seconds))
    assert lines == [
        "creating container pad",
        "still creating container pad: 30 s",
        "still creating container pad: 60 s",
        "still creating container pad: 90 s",
    ]


def test_after_five_minutes_an_operation_is_told_every_five() -> None:
    minutes = range(1, 16)
    lines = told((0, (event(Phase.BEGUN),)), *((60.0 * minute, ()) for minute in minutes))
    assert [line.rpartition(": ")[2] for line in lines[-3:]] == ["300 s", "600 s", "900 s"]


def test_a_failure_is_told_with_its_time() -> None:
    assert told((0, (event(Phase.BEGUN),)), (2, (event(Phase.FAILED),))) == [
        "cannot create container pad: failed after 2 s"
    ]


@pytest.mark.parametrize(
    ("operation", "line"),
    [
        (Operation.CREATE_REPLACEMENT, "created new container pad in 1 s"),
        (Operation.DELETE_REPLACED, "deleted old container pad in 1 s"),
        (Operation.UPDATE, "updated container pad in 1 s"),
        (Operation.DELETE, "deleted container pad in 1 s"),
        (Operation.DISCARD, "forgot container pad in 1 s; it stays where it is"),
    ],
)
def test_every_operation_has_its_words(operation: Operation, line: str) -> None:
    steps = (
        (0, (event(Phase.BEGUN, operation=operation),)),
        (1, (event(Phase.DONE, operation=operation),)),
    )
    assert told(*steps) == [line]


@pytest.mark.parametrize(
    "operation", [Operation.SAME, Operation.READ, Operation.REFRESH, Operation.REPLACE, Operation.UNKNOWN]
)
def test_what_touches_nothing_by_itself_is_not_told(operation: Operation) -> None:
    steps = ((0, (event(Phase.BEGUN, operation=operation),)), (90, (event(Phase.DONE, operation=operation),)))
    assert told(*steps) == []


def test_components_and_providers_are_not_told() -> None:
    component = event(Phase.BEGUN)
    component = component.with_(change=component.change.with_(custom=False))
    provider = event(Phase.BEGUN, type_="pulumi:providers:docker")
    assert told((0, (component, provider)), (60, ())) == []


def test_a_volume_that_is_retained_is_not_said_to_be_deleted() -> None:
    volume: dict[str, Any] = {
        "type_": "docker:index/volume:Volume",
        "operation": Operation.DELETE,
        "retained": True,
    }
    lines = told((0, (event(Phase.BEGUN, **volume),)), (1, (event(Phase.DONE, **volume),)))
    assert lines == ["forgot volume pad in 1 s; it stays where it is"]


def test_what_goes_on_now_fits_in_one_line() -> None:
    operations, _ = Operations().after((event(Phase.BEGUN), event(Phase.BEGUN, "team")), NOON)
    now = operations.now(NOON + at(12))
    assert now == "creating container pad (12 s), creating container team (12 s)"
    assert Operations().now(NOON) == ""


@pytest.mark.parametrize(
    ("token", "words"),
    [
        (CONTAINER, "container"),
        ("docker:index/volume:Volume", "volume"),
        ("proxmoxve:index/vmLegacy:VmLegacy", "virtual machine"),
        ("random:index/randomPassword:RandomPassword", "random password"),
        ("aws:s3/bucketV2:BucketV2", "bucket v2"),
        ("pulumi-python:dynamic:Resource", "resource"),
        ("", "resource"),
    ],
)
def test_types_in_words(token: str, words: str) -> None:
    assert plain_type(token) == words
