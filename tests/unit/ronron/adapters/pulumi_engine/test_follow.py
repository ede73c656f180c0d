from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from ronron.adapters.pulumi_engine.follow import OperationReader, following
from ronron.core.model import Operation
from ronron.core.operations import ContainerPlace, OperationEvent, Phase

PROVIDER = "urn:pulumi:dev::p::chatons:index:DockerHost$pulumi:providers:docker::pica01"
CONTAINER = "urn:pulumi:dev::p::chatons:index:Service$docker:index/container:Container::pad"
KEY = "ssh-ed25519 AAAAC3Nz"


def line(kind: str, urn: str, op: str = "create", *, old: bool = False, **state: object) -> bytes:
    type_ = urn.split("::")[2].rpartition("$")[2]
    side = {"type": type_, "urn": urn, "custom": True, "parent": "", "inputs": {}, **state}
    step = {"op": op, "urn": urn, "type": type_, "old": side if old else None, "new": None if old else side,
            "provider": f"{PROVIDER}::56ae31ab"}  # fmt: skip
    return json.dumps({"sequence": 1, kind: {"metadata": step}}).encode()


def provider(**inputs: object) -> bytes:
    return line("resourcePreEvent", PROVIDER, "same", inputs=inputs)


def place_of(*lines: bytes) -> ContainerPlace | None:
    reader = OperationReader()
    found = [reader.read(one) for one in lines]
    assert found[-1] is not None
    return found[-1].place


def test_an_operation_begins_and_ends() -> None:
    reader = OperationReader()
    kinds = ("resourcePreEvent", "resOutputsEvent", "resOpFailedEvent")
    found = [reader.read(line(kind, CONTAINER, "create-replacement")) for kind in kinds]
    assert [one.phase for one in found if one] == [Phase.BEGUN, Phase.DONE, Phase.FAILED]
    assert {one.change.operation for one in found if one} == {Operation.CREATE_REPLACEMENT}


@pytest.mark.parametrize(
    "other",
    [b"", b"{", b"[]", b'{"summaryEvent": {}}', b'{"resourcePreEvent": 3}', b'{"resourcePreEvent": {}}'],
)
def test_another_line_is_no_operation(other: bytes) -> None:
    assert OperationReader().read(other) is None


def test_a_container_knows_the_machine_of_its_provider() -> None:
    inputs = {"name": "p-pad"}
    begun = line("resourcePreEvent", CONTAINER, inputs=inputs)
    assert place_of(begun) == ContainerPlace(name="p-pad", machine="pica01")
    local = provider(host="unix:///var/run/docker.sock")
    assert place_of(local, begun) == ContainerPlace(
        name="p-pad", machine="pica01", docker="unix:///var/run/docker.sock"
    )


@pytest.mark.parametrize("as_text", [True, False])
def test_a_machine_that_is_reached_by_ssh_has_its_host_key(as_text: bool) -> None:
    options = ["-o", "BatchMode=yes", "-o", f"KnownHostsCommand=/bin/echo [old01]:2222 {KEY}"]
    ssh = provider(host="ssh://tech@old01:2222", sshOpts=json.dumps(options) if as_text else options)
    found = place_of(ssh, line("resourcePreEvent", CONTAINER, inputs={"name": "p-pad"}))
    assert found is not None
    assert (found.docker, found.host_key) == ("ssh://tech@old01:2222", KEY)


def test_a_volume_that_is_retained_says_so() -> None:
    urn = "urn:pulumi:dev::p::docker:index/volume:Volume::pad-data"
    found = OperationReader().read(line("resourcePreEvent", urn, "delete", old=True, retainOnDelete=True))
    assert found is not None
    assert found.retained


def test_a_log_is_followed_while_it_is_written(tmp_path: Path) -> None:
    log, found = tmp_path / "events.jsonl", list[OperationEvent]()
    has_first = threading.Event()

    def follow(events: Sequence[OperationEvent]) -> None:
        found.extend(events)
        if found:
            has_first.set()

    first, second = line("resourcePreEvent", CONTAINER), line("resOutputsEvent", CONTAINER)
    with following(log, follow), log.open("wb") as written:
        written.write(first + b"\n" + second[:20])
        written.flush()
        assert has_first.wait(30)
        assert [one.phase for one in found] == [Phase.BEGUN]
        written.write(second[20:] + b"\n" + b'{"cut')
    assert [one.phase for one in found] == [Phase.BEGUN, Phase.DONE]


def test_an_error_of_who_follows_ends_nothing(tmp_path: Path) -> None:
    calls = []

    def follow(events: Sequence[OperationEvent]) -> None:
        calls.append(events)
        raise OSError("the terminal is gone")

    with following(tmp_path / "never", follow):
        pass
    assert len(calls) == 1
