"""Follows the event log of a running update, so that what it does is known while it does it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ronron.adapters.pulumi_engine.events import Reading
from ronron.core.operations import CONTAINER_TYPE, ContainerPlace, OperationEvent, Phase
from ronron.core.urns import name_of

POLL_SECONDS = 0.25
"""From one look at the log to the next."""

_PHASES = {
    "resourcePreEvent": Phase.BEGUN,
    "resOutputsEvent": Phase.DONE,
    "resOpFailedEvent": Phase.FAILED,
}
_DOCKER_PROVIDER = "pulumi:providers:docker"
_KEY_OPTION = "KnownHostsCommand=/bin/echo "


class OperationReader:
    """Reads operations from the lines of an event log."""

    def __init__(self) -> None:
        self._reading = Reading()
        self._machines: dict[str, tuple[str, str | None]] = {}

    def read(self, line: bytes) -> OperationEvent | None:
        """The operation that a line is about; None for every other line, and for one that cannot be read."""
        try:
            event = json.loads(line)
        except ValueError:
            return None
        kind = next((kind for kind in _PHASES if isinstance(event, dict) and kind in event), None)
        step = _mapping(_mapping(event, kind), "metadata") if kind is not None else {}
        urn, word = step.get("urn"), step.get("op")
        if kind is None or not isinstance(urn, str) or not isinstance(word, str):
            return None
        self._reading.take(event)
        self._note_machine(urn, step)
        return OperationEvent(
            change=self._reading.change(urn, word),
            phase=_PHASES[kind],
            retained=_mapping(step, "old").get("retainOnDelete") is True,
            place=self._place(step),
        )

    def _note_machine(self, urn: str, step: Mapping[str, object]) -> None:
        if step.get("type") != _DOCKER_PROVIDER:
            return
        inputs = _inputs(step)
        host = inputs.get("host")
        if isinstance(host, str):
            self._machines[urn] = (host, _host_key(inputs.get("sshOpts")))

    def _place(self, step: Mapping[str, object]) -> ContainerPlace | None:
        if step.get("type") != CONTAINER_TYPE:
            return None
        name = _inputs(step).get("name")
        provider = step.get("provider")
        if not isinstance(name, str) or not isinstance(provider, str):
            return None
        urn = provider.rpartition("::")[0]
        docker, host_key = self._machines.get(urn, ("", None))
        return ContainerPlace(name=name, machine=name_of(urn), docker=docker, host_key=host_key)


@contextmanager
def following(log: Path, follow: Callable[[Sequence[OperationEvent]], None]) -> Iterator[None]:
    """Call `follow` with the operations of an event log while the block writes it, and once at its end.

    Args:
        log: is made by the block.
        follow: is called from a thread, about four times a second, with what is new, which may be nothing. It
            is not called again after it has raised an error.
    """
    ended = threading.Event()

    def read() -> None:
        # The update goes on, whatever becomes of those who watch it.
        with suppress(Exception):
            _read(log, follow, ended)

    thread = threading.Thread(target=read, name="follow", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _read(log: Path, follow: Callable[[Sequence[OperationEvent]], None], ended: threading.Event) -> None:
    reader, rest = OperationReader(), b""
    file: BinaryIO | None = None
    try:
        while True:
            # Asked before reading: whatever was written before the end is read.
            is_last = ended.wait(POLL_SECONDS)
            if file is None and log.is_file():
                file = log.open("rb")
            lines: list[bytes] = []
            if file is not None:
                *lines, rest = (rest + file.read()).split(b"\n")
            found = (reader.read(line) for line in lines)
            follow([event for event in found if event is not None])
            if is_last:
                return
    finally:
        if file is not None:
            file.close()


def _mapping(value: object, key: str) -> Mapping[str, object]:
    inside = value.get(key) if isinstance(value, Mapping) else None
    return inside if isinstance(inside, Mapping) else {}


def _inputs(step: Mapping[str, object]) -> Mapping[str, object]:
    return _mapping(_mapping(step, "new"), "inputs") or _mapping(_mapping(step, "old"), "inputs")


def _host_key(options: object) -> str | None:
    """The host key that the options of a Docker provider pin, as the program of this repository writes it."""
    try:
        words = json.loads(options) if isinstance(options, str) else options
    except ValueError:
        return None
    for word in words if isinstance(words, list) else ():
        if isinstance(word, str) and word.startswith(_KEY_OPTION):
            # The name of the host comes first.
            return word.removeprefix(_KEY_OPTION).partition(" ")[2] or None
    return None
