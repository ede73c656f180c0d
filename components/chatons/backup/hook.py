"""Takes a snapshot of a service before one of its containers with data changes or is deleted.

The engine calls the hook during an update while the old container still runs; when the hook fails, the
engine changes nothing. The hook reads what it needs from the labels of the old container, because a service
that is to be deleted is no longer declared. Previews take no snapshot.
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
from chatons.schema.by_hand import pulumi_command
from chatons.schema.errors import ChatonsError
from chatons.schema.image_reference import ImageReference
from chatons.schema.models import Machine
from chatons.schema.problems import DeclarationError, Problem

NAME = "ronron-snapshot-before-change"
"""Stands in the state of every container that has the hook, so it must never change."""

REVISION_VARIABLE = "RONRON_REVISION"
"""Set by the reconciler: the commit that was live until now."""
REPAIR_VARIABLE = "RONRON_REPAIR"
"""Set by the reconciler: names of the containers that it puts back while a part of their service is down."""
TIMEOUT_VARIABLE = "RONRON_SNAPSHOT_TIMEOUT"
_TIMEOUT_SECONDS = 2700
"""Default of `TIMEOUT_VARIABLE`. By default the reconciler gives a whole update one hour."""

_SHORT = 12
"""Digits of a snapshot's id on screen; restic's own short ids have 8."""

_BACKUP, _BACKUP_INTERFACE_1 = "backup", "now"
"""The agent's command, and its name in agents made before interface 2; see docs/backup-agent.md."""
_NOT_UNDERSTOOD = 2
"""Exit code of an agent that does not know a command; it has done nothing then."""


class NoSnapshotError(ChatonsError):
    """The agent took no snapshot, so nothing may change; the text says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Changing:
    """A container that is about to change, as its labels describe it.

    Attributes:
        service: name of the service.
        machine: name of the machine that it runs on.
        container: name of the service's main container, also where its database is what changes.
        agent: name of the container of the service's backup agent.
        running: version, image and digest of what runs, for the manifest; None where the labels do not have
            them: the agent then uses its own configuration.
    """

    service: str
    machine: str
    container: str
    agent: str
    running: Mapping[str, str | None] | None

    @classmethod
    def read(cls, inputs: Mapping[str, Any], machines_of_services: Mapping[str, str]) -> Changing:
        """Read the labels in the inputs of a container.

        Args:
            inputs: the container's inputs before the change.
            machines_of_services: used where the container was made before `ronron.machine` became a label.

        Raises:
            NoSnapshotError: the labels name no service.
        """
        labels = {each["label"]: each["value"] for each in inputs.get("labels") or ()}
        service = labels.get("ronron.service")
        machine = labels.get("ronron.machine") or machines_of_services.get(service or "")
        if not service or not machine or "ronron.project" not in labels or "ronron.stack" not in labels:
            raise NoSnapshotError(
                f"cannot find the service of container {inputs.get('name')!r}: no label names it\n"
                f"  -> refresh the state with `{pulumi_command('refresh')}`, and update again"
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

    def command(self, name: str, revision: str | None) -> list[str]:
        """The agent's command line for a snapshot.

        Args:
            name: of the command, which depends on the agent's interface version.
            revision: commit that was live until now; None where it is unknown.
        """
        words = ["ronron-agent", name, "--reason", "update"]
        if revision is not None:
            words += ["--revision", revision]
        if self.running is not None:
            words += ["--running", json.dumps(self.running)]
        return words


@dataclass
class SnapshotBeforeChange:
    """Takes at most one snapshot of each service in a run of the program.

    Attributes:
        machines: the declared machines by name.
        machines_of_services: name of the machine of each declared service.
        without: services with `snapshot_before_update: false`.
        lost: services that are held back because their data were lost: a snapshot would be of nothing, and
            their volumes stay.
        seconds: timeout of a snapshot.
        revision: the commit that was live until now; None where it is unknown.
        repaired: names of the containers that are put back as they were. Their data is in volumes that stay,
            and a service that is down may not be able to give a snapshot.
        connect: returns the Docker endpoint of a machine.
        log, warn: take one line for a person.
    """

    machines: Mapping[str, Machine]
    machines_of_services: Mapping[str, str]
    without: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()
    seconds: float = _TIMEOUT_SECONDS
    revision: str | None = None
    repaired: frozenset[str] = frozenset()
    connect: Callable[[Machine], Endpoint] = endpoint
    log: Callable[[str], object] = pulumi.log.info
    warn: Callable[[str], object] = pulumi.log.warn
    _locks: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    _done: dict[str, NoSnapshotError | None] = field(default_factory=dict)

    async def before_change(self, inputs: Mapping[str, Any]) -> None:
        """Let the agent take and verify a snapshot, unless it already took one in this run.

        Args:
            inputs: the container's inputs before the change.

        Raises:
            NoSnapshotError: the agent took none; the container must not change.
        """
        if inputs.get("name") in self.repaired:
            self.log(f"{inputs['name']} is put back as it was, without a snapshot; its volumes stay")
            return
        changing = Changing.read(inputs, self.machines_of_services)
        service = changing.service
        if service in self.without:
            self.warn(
                f"{service} changes WITHOUT a snapshot because of `snapshot_before_update: false`: "
                "remove that line once the service works again"
            )
            return
        if service in self.lost:
            self.warn(f"{service} changes without a snapshot: its data were lost, and it is held back")
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
                f"deletes what is left of {changing.service} without a snapshot: an earlier update deleted "
                "its backup agent"
            )
        else:
            self.log(f"snapshot {taken} of {changing.service} was taken before it changes")
        return None

    async def _is_a_remainder(self, changing: Changing, error: NoSnapshotError) -> bool:
        """Whether an earlier update took the snapshot, deleted service and agent, and was interrupted."""
        if changing.service in self.machines_of_services or not isinstance(error.__cause__, NoContainerError):
            return False
        machine = self.machines[changing.machine]
        try:
            await within(
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
                f"declare {changing.machine} again until {changing.service} is deleted",
            )
        try:
            ran = await within(self.seconds, lambda: self._run_backup(machine, changing))
        except TimeoutError:
            raise _no_snapshot(
                changing,
                f"{changing.agent} did not finish within {self.seconds:g} seconds",
                f"read `docker logs {changing.agent}`, or set a longer timeout with {TIMEOUT_VARIABLE}",
            ) from None
        except NoContainerError as error:
            raise _no_snapshot(
                changing,
                f"there is no container {changing.agent} on {changing.machine}",
                "first make an update that only adds the backup, then one that changes the service",
            ) from error
        except EndpointError as error:
            raise _no_snapshot(
                changing,
                f"{changing.agent} on {changing.machine}: {error}",
                f"start it: docker start {changing.agent}",
            ) from error
        return _id(changing, ran)

    def _run_backup(self, machine: Machine, changing: Changing) -> Ran:
        """Run the agent's backup; an agent that was made before interface 2 gets the command's old name.

        The update that replaces such an agent takes its snapshot in the old container.
        """
        endpoint_ = self.connect(machine)
        ran = endpoint_.run_inside(changing.agent, changing.command(_BACKUP, self.revision), self.seconds)
        if ran.code == _NOT_UNDERSTOOD:
            command = changing.command(_BACKUP_INTERFACE_1, self.revision)
            ran = endpoint_.run_inside(changing.agent, command, self.seconds)
        return ran


def register(declaration: Declaration) -> pulumi.ResourceHook:
    """Register the hook with the engine.

    Every run must register it: also the states of services that are no longer declared name it.

    Raises:
        DeclarationError: RONRON_SNAPSHOT_TIMEOUT is not a number of seconds.
    """
    snapshot = SnapshotBeforeChange(
        machines={name: declaration.reachable(name) for name in declaration.machines},
        machines_of_services={name: service.machine for name, service in declaration.services.items()},
        without=frozenset(
            name for name, service in declaration.services.items() if not service.snapshot_before_update
        ),
        lost=frozenset(declaration.held),
        seconds=_seconds(os.environ.get(TIMEOUT_VARIABLE)),
        revision=_revision(os.environ.get(REVISION_VARIABLE)),
        repaired=frozenset(filter(None, os.environ.get(REPAIR_VARIABLE, "").split(","))),
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
                    problem=f"the variable {TIMEOUT_VARIABLE} is not a number of seconds",
                    remedy=f"set it to a whole number such as {_TIMEOUT_SECONDS}, or unset it",
                )
            ]
        )
    return float(text)


def _revision(text: str | None) -> str | None:
    return text if text and re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", text) else None


def _id(changing: Changing, ran: Ran) -> str:
    """The short id of the snapshot in the agent's answer."""
    try:
        answer = json.loads(ran.out)
        if ran.code == 0:
            return str(answer["snapshot"]["id"])[:_SHORT]
        error = answer["error"]
        message, hint = str(error["message"]), str(error.get("hint") or "")
    except (ValueError, KeyError, TypeError):
        message = ran.last_words or f"the agent exited with {ran.code} and printed nothing"
        hint = ""
    raise _no_snapshot(changing, message, hint or f"read `docker logs {changing.agent}`")


def _no_snapshot(changing: Changing, why: str, hint: str) -> NoSnapshotError:
    return NoSnapshotError(
        f"cannot take a snapshot of {changing.service} before it changes: {why}\n"
        f"  -> {hint}\n"
        f"  nothing of {changing.service} was changed; to update it without a snapshot, declare "
        "`snapshot_before_update: false` for it"
    )


async def within(seconds: float, ask: Callable[[], Ran]) -> Ran:
    """Call `ask` in a daemon thread, which does not block the program's exit when it gets no answer.

    Raises:
        TimeoutError: no answer within `seconds`.
    """
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
        except Exception as caught:  # noqa: BLE001  # raised again in the event loop
            error = caught
        # The event loop may be closed by now.
        if not loop.is_closed():
            loop.call_soon_threadsafe(give, result, error)

    threading.Thread(target=work, daemon=True).start()
    return await asyncio.wait_for(answer, seconds)
