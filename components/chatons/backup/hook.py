"""A snapshot before a container with data changes or goes; without one it does not change.

The engine calls the hook in the middle of an update, while the old container still runs, and leaves
everything as it is when the hook fails. It finds what it needs in the labels of the container as it was, as a
service that is to be deleted is declared no more. Previews take no snapshots.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi

from chatons.declaration.resolved import BACKUP, Declaration
from chatons.docker.endpoint import Endpoint, EndpointError, NoContainerError, Ran, endpoint
from chatons.schema.errors import ChatonsError
from chatons.schema.image_reference import ImageReference
from chatons.schema.models import Machine
from chatons.schema.problems import DeclarationError, Problem

NAME = "ronron-snapshot-before-change"
"""Kept in the state of every container that has it, so that it must never change."""

REVISION_VARIABLE = "RONRON_REVISION"
"""The commit that ran until now, where who runs the engine says so."""
TIMEOUT_VARIABLE = "RONRON_SNAPSHOT_TIMEOUT"
_TIMEOUT_SECONDS = 2700
"""An update under the reconciler may take an hour as a whole, unless its settings say otherwise."""

_SHORT = 12
"""Digits of an id on screen: restic's own short ids have 8."""


class NoSnapshotError(ChatonsError):
    """There is no snapshot, so nothing may change; the text says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Changing:
    """A container that is about to change, as its labels tell of it.

    Attributes:
        container: the service's own, which need not be the one that changes.
        agent: the container of the service's agent.
        running: what ran, for the snapshot; None where the labels do not tell, and the agent knows.
    """

    service: str
    machine: str
    container: str
    agent: str
    running: Mapping[str, str | None] | None

    @classmethod
    def read(cls, inputs: Mapping[str, Any], machines_of_services: Mapping[str, str]) -> Changing:
        """Find it in the inputs of a container.

        Args:
            inputs: as they were before the change.
            machines_of_services: for containers made before their labels told the machine.

        Raises:
            NoSnapshotError: the labels are not those of a service.
        """
        labels = {each["label"]: each["value"] for each in inputs.get("labels") or ()}
        service = labels.get("ronron.service")
        machine = labels.get("ronron.machine") or machines_of_services.get(service or "")
        if not service or not machine or "ronron.project" not in labels or "ronron.stack" not in labels:
            raise NoSnapshotError(
                f"cannot tell which service the container {inputs.get('name')!r} is of: no label says it\n"
                "  -> bring its state up to date with `pulumi refresh`, and update again"
            )
        running: dict[str, str | None] | None = None
        if "ronron.image" in labels:
            image = ImageReference.parse(labels["ronron.image"])
            running = {"version": image.version, "image": str(image), "image_digest": image.digest}
        container = "-".join((labels["ronron.project"], labels["ronron.stack"], service))
        return cls(
            service=service,
            machine=machine,
            container=container,
            agent=f"{container}-{BACKUP}",
            running=running,
        )

    def command(self, revision: str | None) -> list[str]:
        """What the agent is asked."""
        words = ["ronron-agent", "now", "--reason", "update"]
        if revision is not None:
            words += ["--revision", revision]
        if self.running is not None:
            words += ["--running", json.dumps(self.running)]
        return words


@dataclass
class SnapshotBeforeChange:
    """Takes a snapshot of a service, once in each run of the program however many containers change.

    Attributes:
        machines: those that are declared.
        machines_of_services: by service, as far as it is declared.
        without: the services that are changed without a snapshot.
        seconds: how long a snapshot may take.
        revision: the commit that ran until now; None where nobody says.
        connect: finds the Docker of a machine.
        tell, warn: are given a line for the person.
    """

    machines: Mapping[str, Machine]
    machines_of_services: Mapping[str, str]
    without: frozenset[str] = frozenset()
    seconds: float = _TIMEOUT_SECONDS
    revision: str | None = None
    connect: Callable[[Machine], Endpoint] = endpoint
    tell: Callable[[str], object] = pulumi.log.info
    warn: Callable[[str], object] = pulumi.log.warn
    _locks: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    _done: dict[str, NoSnapshotError | None] = field(default_factory=dict)

    async def before_change(self, inputs: Mapping[str, Any]) -> None:
        """Take a snapshot, verified by the agent, unless this run has one already.

        Args:
            inputs: of the container, as they were before the change.

        Raises:
            NoSnapshotError: there is none; the change must not happen.
        """
        changing = Changing.read(inputs, self.machines_of_services)
        service = changing.service
        if service in self.without:
            self.warn(
                f"{service} changes WITHOUT a snapshot, as `snapshot_before_update: false` says: "
                "remove that line once it is mended"
            )
            return
        async with self._locks[service]:
            if service not in self._done:
                self._done[service] = await self._attempt(changing)
        failed = self._done[service]
        if failed is not None:
            raise NoSnapshotError(str(failed))

    async def _attempt(self, changing: Changing) -> NoSnapshotError | None:
        try:
            taken = await self._snapshot(changing)
        except NoSnapshotError as error:
            if not await self._is_a_remainder(changing, error):
                return error
            self.warn(
                f"what is left of {changing.service} goes without a snapshot: its agent has gone already"
            )
        else:
            self.tell(f"snapshot {taken} of {changing.service} was taken before it changes")
        return None

    async def _is_a_remainder(self, changing: Changing, error: NoSnapshotError) -> bool:
        """Whether an earlier run took the snapshot, removed service and agent, and did not come to an end."""
        if changing.service in self.machines_of_services or not isinstance(error.__cause__, NoContainerError):
            return False
        machine = self.machines[changing.machine]
        try:
            await _within(
                self.seconds,
                lambda: self.connect(machine).run_inside(changing.container, ["true"], self.seconds),
            )
        except NoContainerError:
            return True
        except (EndpointError, TimeoutError):
            pass
        return False

    async def _snapshot(self, changing: Changing) -> str:
        machine = self.machines.get(changing.machine)
        if machine is None:
            raise _no_snapshot(
                changing,
                f"its machine {changing.machine} is no longer declared",
                f"declare {changing.machine} again until {changing.service} has left it",
            )
        try:
            ran = await _within(
                self.seconds,
                lambda: self.connect(machine).run_inside(
                    changing.agent, changing.command(self.revision), self.seconds
                ),
            )
        except TimeoutError:
            raise _no_snapshot(
                changing,
                f"{changing.agent} was not done within {self.seconds:g} seconds",
                f"look at it with `docker logs {changing.agent}`, or allow more with {TIMEOUT_VARIABLE}",
            ) from None
        except NoContainerError as error:
            raise _no_snapshot(
                changing,
                f"there is no container {changing.agent} on {changing.machine}",
                "make the update that only adds the backup first, then the one that changes the service",
            ) from error
        except EndpointError as error:
            raise _no_snapshot(
                changing,
                f"{changing.agent} on {changing.machine}: {error}",
                f"start it: docker start {changing.agent}",
            ) from error
        return _id(changing, ran)


def register(declaration: Declaration) -> pulumi.ResourceHook:
    """The hook, made known to the engine.

    It must be there in every run, whatever is declared: states of services that were declared once name it.

    Raises:
        DeclarationError: the environment holds no number of seconds where one is expected.
    """
    snapshot = SnapshotBeforeChange(
        machines={name: declaration.reachable(name) for name in declaration.machines},
        machines_of_services={name: service.machine for name, service in declaration.services.items()},
        without=frozenset(
            name for name, service in declaration.services.items() if not service.snapshot_before_update
        ),
        seconds=_seconds(os.environ.get(TIMEOUT_VARIABLE)),
        revision=_revision(os.environ.get(REVISION_VARIABLE)),
    )

    async def before_change(args: pulumi.ResourceHookArgs) -> None:
        await snapshot.before_change(args.old_inputs or {})

    return pulumi.ResourceHook(NAME, before_change)


def _seconds(text: str | None) -> float:
    if not text:
        return _TIMEOUT_SECONDS
    if not re.fullmatch(r"[1-9]\d{0,5}", text):
        raise DeclarationError(
            [
                Problem(
                    path=(),
                    problem=f"the variable {TIMEOUT_VARIABLE} is no number of seconds",
                    remedy=f"set it to a whole number such as {_TIMEOUT_SECONDS}, or unset it",
                )
            ]
        )
    return float(text)


def _revision(text: str | None) -> str | None:
    return text if text and re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", text) else None


def _id(changing: Changing, ran: Ran) -> str:
    try:
        answer = json.loads(ran.out)
        if ran.code == 0:
            return str(answer["snapshot"]["id"])[:_SHORT]
        error = answer["error"]
        message, hint = str(error["message"]), str(error.get("hint") or "")
    except (ValueError, KeyError, TypeError):
        message = ran.last_words or f"the agent ended with {ran.code} and said nothing"
        hint = ""
    raise _no_snapshot(changing, message, hint or f"look at `docker logs {changing.agent}`")


def _no_snapshot(changing: Changing, why: str, hint: str) -> NoSnapshotError:
    return NoSnapshotError(
        f"cannot take a snapshot of {changing.service} before it changes: {why}\n"
        f"  -> {hint}\n"
        f"  nothing of {changing.service} was changed; to mend it without a snapshot, declare "
        "`snapshot_before_update: false` for it"
    )


async def _within(seconds: float, ask: Callable[[], Ran]) -> Ran:
    """Ask in a thread of its own, which does not keep the program from ending when nobody answers."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Ran] = loop.create_future()

    def give(result: Ran | None, error: Exception | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        elif result is not None:
            answer.set_result(result)

    def work() -> None:
        result, error = None, None
        try:
            result = ask()
        except Exception as caught:  # noqa: BLE001  # raised again where it can be seen
            error = caught
        # The program may have ended meanwhile.
        if not loop.is_closed():
            loop.call_soon_threadsafe(give, result, error)

    threading.Thread(target=work, daemon=True).start()
    return await asyncio.wait_for(answer, seconds)
