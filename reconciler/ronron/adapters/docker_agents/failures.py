"""Finds out why containers failed; see ports.ContainerFailures.

A container that ends is looked at within the same moment: its provider may remove it right after that, and
Docker forgets the exit code of one that it restarts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ronron.adapters.docker_agents.containers import observation
from ronron.core.containers import ContainerHealth, ContainerState, Observation, missing
from ronron.core.errors import BackupError
from ronron.core.failed_containers import (
    LOG_LINES,
    FailedContainer,
    exit_in_words,
    failed_container,
    is_at_fault,
    secret_values,
)
from ronron.core.inventory import Machine
from ronron.core.operations import ContainerPlace

if TYPE_CHECKING:
    import docker

ANSWER_SECONDS = 20.0
"""For one answer of Docker: a person waits for it, after a failure."""

_ILL = ContainerHealth.UNHEALTHY
_JOIN_SECONDS = 5.0
_UNKNOWN_MACHINE = "nothing says how the machine is reached"


@dataclass(frozen=True)
class _Seen:
    """A container at one moment: what Docker said, the end of its log, and its secret values."""

    observation: Observation
    log: tuple[str, ...] = ()
    secrets: frozenset[str] = frozenset()


@dataclass
class _Listener:
    """The events of one machine's Docker, read by a thread of its own.

    Attributes:
        since: when it was asked to listen, in seconds since 1970.
        names: of the containers that are looked at when they end.
        ended: the last look at each container that ended, by name.
    """

    machine: str
    described: Machine
    since: float = field(default_factory=time.time)
    names: set[str] = field(default_factory=set)
    ended: dict[str, _Seen] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _stream: Any = None
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._listen, name=f"events of {self.machine}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._stream is not None:
            with suppress(Exception):  # it has ended by itself
                self._stream.close()
        if self._thread is not None:
            self._thread.join(_JOIN_SECONDS)

    def _listen(self) -> None:
        from ronron.adapters.docker_agents.connection import machine_client

        # Whatever fails here: the container is still looked at after the update.
        with (
            suppress(Exception),
            machine_client(
                self.machine, self.described, self.machine, "read the events of", ANSWER_SECONDS
            ) as client,
        ):
            # From the first container on: connecting takes a second where it goes by ssh.
            stream: Any = client.api.events(
                since=int(self.since), filters={"type": "container", "event": ["die"]}, decode=True
            )
            self._stream = stream
            try:
                while not self._stop.is_set():
                    event = next(stream, None)
                    if event is None:
                        return
                    actor = event.get("Actor", {})
                    self._note(client, str(actor.get("ID", "")), actor.get("Attributes", {}))
            finally:
                stream._response.close()  # docker-py closes the socket only

    def _note(self, client: docker.DockerClient, identity: str, attributes: Mapping[str, str]) -> None:
        name = attributes.get("name", "")
        if name not in self.names:
            return
        code = attributes.get("exitCode", "")
        seen = _look(client, name) or _Seen(missing(name))
        if seen.observation.id not in {"", identity}:
            return  # the former container of that name
        ended: dict[str, object] = {"exit_code": int(code)} if code.isdecimal() else {}
        if seen.observation.state in {ContainerState.MISSING, ContainerState.RUNNING}:
            # Removed or restarted between the event and the look.
            ended["state"] = ContainerState.EXITED
            ended["image"] = seen.observation.image or attributes.get("image", "")
        self.ended[name] = _Seen(seen.observation.with_(**ended), seen.log, seen.secrets)


class DockerContainerWatch:
    """See ports.ContainerWatch."""

    def __init__(self) -> None:
        self._listeners: dict[str, _Listener] = {}

    def begun(self, place: ContainerPlace) -> None:
        """See ports.ContainerWatch."""
        described = _machine(place)
        if described is None:
            return
        if place.machine not in self._listeners:
            self._listeners[place.machine] = _Listener(place.machine, described)
            self._listeners[place.machine].names.add(place.name)
            self._listeners[place.machine].start()
        self._listeners[place.machine].names.add(place.name)

    def reason(
        self,
        place: ContainerPlace,
        *,
        service: str = "",
        secrets: Iterable[str] = (),
        even_if_well: bool = True,
    ) -> FailedContainer | None:
        """See ports.ContainerWatch."""
        from ronron.adapters.docker_agents.connection import machine_client

        listener = self._listeners.get(place.machine)
        ended = listener.ended.get(place.name) if listener is not None else None
        described = _machine(place)
        seen, unknown = None, _UNKNOWN_MACHINE
        if described is not None:
            try:
                with machine_client(
                    place.machine, described, place.name, "look at", ANSWER_SECONDS
                ) as client:
                    seen = _look(client, place.name) or _Seen(missing(place.name))
            except BackupError as error:
                unknown = error.message
        if seen is None and ended is None:
            return FailedContainer(name=place.name, service=service, machine=place.machine, unknown=unknown)
        told = _joined(seen, ended)
        if not even_if_well and not is_at_fault(told.observation):
            return None
        found = failed_container(
            told.observation,
            told.log,
            service=service,
            machine=place.machine,
            secrets={*secrets, *told.secrets},
        )
        if seen is not None and ended is not None:
            found = found.with_(why=_why(found.why, seen.observation, ended.observation))
        return found

    def close(self) -> None:
        """End all threads."""
        for listener in self._listeners.values():
            listener.close()


class DockerContainerFailures:
    """See ports.ContainerFailures."""

    @contextmanager
    def watch(self) -> Iterator[DockerContainerWatch]:
        """See ports.ContainerFailures."""
        watch = DockerContainerWatch()
        try:
            yield watch
        finally:
            watch.close()


def _machine(place: ContainerPlace) -> Machine | None:
    return Machine(docker=place.docker, host_key=place.host_key) if place.docker else None


def _look(client: docker.DockerClient, name: str) -> _Seen | None:
    """A container and the end of its log; None where it does not exist."""
    from docker.errors import APIError, NotFound

    try:
        inspected = client.api.inspect_container(name)
        if inspected["Name"] != f"/{name}":
            return None
        seen = observation(inspected)
        seen = seen.with_(image=_image_name(client, seen))
    except NotFound:
        return None
    log: tuple[str, ...] = ()
    # Removed since, or of a log driver that cannot be read.
    with suppress(APIError):
        log = _log(client, seen, since=seen.started_at) if seen.restarts else ()
        log = log or _log(client, seen)
    return _Seen(seen, log, secret_values(inspected["Config"].get("Env") or ()))


def _log(client: docker.DockerClient, seen: Observation, since: datetime | None = None) -> tuple[str, ...]:
    text = client.api.logs(seen.id, tail=LOG_LINES, since=None if since is None else since.timestamp())
    return tuple(bytes(text).decode(errors="replace").splitlines())


def _image_name(client: docker.DockerClient, seen: Observation) -> str:
    """The image by a name that a person knows: containers are often made from an image's id."""
    from docker.errors import APIError

    if not seen.image.startswith("sha256:"):
        return seen.image
    if "ronron.image" in seen.labels:
        return seen.labels["ronron.image"]
    with suppress(APIError):
        image: Any = client.images.get(seen.image)
        tags = image.tags
        return str(tags[0]) if tags else seen.image[:19]
    return seen.image[:19]


def _joined(seen: _Seen | None, ended: _Seen | None) -> _Seen:
    """What is known of a container from the look after its failure and from its last end before that."""
    if seen is None or seen.observation.state is ContainerState.MISSING:
        return ended or seen or _Seen(missing(""))
    log = seen.log or (ended.log if ended is not None else ())
    now = seen.observation
    if ended is not None and now.state is ContainerState.RUNNING and now.health is not _ILL:
        # Between two restarts it runs for a moment.
        last = ended.observation
        now = now.with_(state=ContainerState.EXITED, exit_code=last.exit_code, oom_killed=last.oom_killed)
    return _Seen(now, log, seen.secrets)


def _why(why: str, seen: Observation, ended: Observation) -> str:
    if seen.state is ContainerState.MISSING:
        return f"{why}, and was removed"
    if seen.health is _ILL:
        how = exit_in_words(ended.exit_code, oom_killed=ended.oom_killed)
        return f"{why}; its last run {how}"
    return why
