"""The operations of an update as they begin and end, and the lines that a person reads meanwhile. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from ronron.core.model import Change, Operation
from ronron.core.urns import name_of
from ronron.core.value import Value

CONTAINER_TYPE = "docker:index/container:Container"

LONG = timedelta(seconds=5)
"""An operation that lasts longer has a line when it begins, too."""

BEAT = timedelta(seconds=30)
"""From one line about a long operation to the next, in its first five minutes."""

SLOW_BEAT = timedelta(minutes=5)
"""The same, after that."""

_PLAIN_TYPES = {
    CONTAINER_TYPE: "container",
    "docker:index/remoteImage:RemoteImage": "image",
    "proxmoxve:index/vmLegacy:VmLegacy": "virtual machine",
    "pulumi-python:dynamic:Resource": "resource",
}
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

# Infinitive, present participle, past participle, and a word before the type.
_WORDS: Mapping[Operation, tuple[str, str, str, str]] = {
    Operation.CREATE: ("create", "creating", "created", ""),
    Operation.CREATE_REPLACEMENT: ("create", "creating", "created", "new "),
    Operation.DELETE_REPLACED: ("delete", "deleting", "deleted", "old "),
    Operation.UPDATE: ("update", "updating", "updated", ""),
    Operation.DELETE: ("delete", "deleting", "deleted", ""),
    Operation.IMPORT: ("import", "importing", "imported", ""),
    Operation.IMPORT_REPLACEMENT: ("import", "importing", "imported", "new "),
    Operation.DISCARD: ("forget", "forgetting", "forgot", ""),
    Operation.DISCARD_REPLACED: ("forget", "forgetting", "forgot", "old "),
}
_FORGOTTEN = {Operation.DELETE: Operation.DISCARD, Operation.DELETE_REPLACED: Operation.DISCARD_REPLACED}


class Phase(StrEnum):
    """Where an operation on a resource is."""

    BEGUN = "begun"
    DONE = "done"
    FAILED = "failed"


class ContainerPlace(Value):
    """Where a container is, as the engine reaches it.

    Args:
        name: the container's own, in Docker.
        machine: name of the provider, which is the machine's.
        docker: address of its Docker: `unix:///path` or `ssh://user@host`; empty if it is not known.
        host_key: the key that ssh must find there; None with a local socket.
    """

    name: str
    machine: str
    docker: str = ""
    host_key: str | None = None


class OperationEvent(Value):
    """An operation of a running update that began or ended.

    Args:
        change: the step.
        phase: whether it began, ended or failed.
        retained: what it deletes from the state stays in the world.
        place: of a container that it is about; None for another resource.
    """

    change: Change
    phase: Phase
    retained: bool = False
    place: ContainerPlace | None = None


@dataclass(frozen=True)
class UnderWay:
    """An operation that has begun.

    Args:
        what: the operation that is named.
        subject: the resource, such as `container pad`.
        since: when it began.
        told: after how long there was a line about it; None for none yet.
    """

    what: Operation
    subject: str
    since: datetime
    told: timedelta | None = None


@dataclass(frozen=True)
class Operations:
    """The operations that are under way in an update.

    Args:
        kinds: kind of each service by the URN of its component; named with its own container.
        under_way: by URN and the engine's word for the operation, in the order in which they began.
    """

    kinds: Mapping[str, str] = field(default_factory=dict)
    under_way: Mapping[tuple[str, Operation], UnderWay] = field(default_factory=dict)

    def after(self, events: Sequence[OperationEvent], now: datetime) -> tuple[Operations, tuple[str, ...]]:
        """What is under way after some events, and the lines to log: ends, long operations and their age."""
        under_way = dict(self.under_way)
        lines: list[str] = []
        for event in events:
            if not event.change.custom or event.change.type.startswith("pulumi:"):
                continue
            what = event.change.operation
            if event.retained:
                what = _FORGOTTEN.get(what, what)
            if what not in _WORDS:
                continue
            key = (event.change.urn, event.change.operation)
            if event.phase is Phase.BEGUN:
                under_way[key] = UnderWay(what, self._subject(event.change, what), now)
                continue
            began = under_way.pop(key, None) or UnderWay(what, self._subject(event.change, what), now)
            lines.append(_ended(began, event.phase, now))
        for key, one in under_way.items():
            age = now - one.since
            if age >= _next_line(one.told):
                lines.append(_going_on(one, age))
                under_way[key] = replace(one, told=age)
        return replace(self, under_way=under_way), tuple(lines)

    def now(self, now: datetime) -> str:
        """What is under way, in one line: `creating container pad (12 s)`; empty where nothing is."""
        return ", ".join(
            f"{_WORDS[one.what][1]} {one.subject} ({_seconds(now - one.since)})"
            for one in self.under_way.values()
        )

    def _subject(self, change: Change, what: Operation) -> str:
        kind = next((self.kinds[urn] for urn in change.ancestors if urn in self.kinds), "")
        owner = next((urn for urn in change.ancestors if urn in self.kinds), "")
        is_its_own = bool(owner) and name_of(owner) == change.name
        type_ = plain_type(change.type)
        about = f" ({kind})" if is_its_own and change.type == CONTAINER_TYPE and kind != type_ else ""
        return f"{_WORDS[what][3]}{type_} {change.name}{about}"


def plain_type(token: str) -> str:
    """The type of a resource in words: `container`, `image`, `random password`."""
    if token in _PLAIN_TYPES:
        return _PLAIN_TYPES[token]
    return _HUMP.sub(" ", token.rpartition(":")[2]).lower() or "resource"


def _ended(one: UnderWay, phase: Phase, now: datetime) -> str:
    took = _seconds(now - one.since)
    infinitive, _, past, _ = _WORDS[one.what]
    if phase is Phase.FAILED:
        return f"cannot {infinitive} {one.subject}: failed after {took}"
    stays = "; it stays where it is" if one.what in _FORGOTTEN.values() else ""
    return f"{past} {one.subject} in {took}{stays}"


def _going_on(one: UnderWay, age: timedelta) -> str:
    participle = _WORDS[one.what][1]
    if one.told is None and age < BEAT:
        return f"{participle} {one.subject}"
    return f"still {participle} {one.subject}: {_seconds(age)}"


def _next_line(told: timedelta | None) -> timedelta:
    """The age at which an operation has its next line; `told` is its age at the last one."""
    if told is None:
        return LONG
    beat = BEAT if told < SLOW_BEAT else SLOW_BEAT
    return (told // beat + 1) * beat


def _seconds(span: timedelta) -> str:
    return f"{max(0, round(span.total_seconds()))} s"
